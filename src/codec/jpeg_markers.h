/* JPEG's marker codes, the second byte of a marker (ITU-T T.81, table B.1).
 * Shared within src/codec. */
#ifndef RBC_CODEC_JPEG_MARKERS_H
#define RBC_CODEC_JPEG_MARKERS_H

enum {
    RBC__JPEG_TEM = 0x01,
    RBC__JPEG_SOF0 = 0xC0, /* baseline */
    RBC__JPEG_SOF1 = 0xC1, /* extended sequential, Huffman */
    RBC__JPEG_DHT = 0xC4,
    RBC__JPEG_JPG = 0xC8,
    RBC__JPEG_SOF9 = 0xC9, /* extended sequential, arithmetic */
    RBC__JPEG_DAC = 0xCC,
    RBC__JPEG_SOF15 = 0xCF,
    RBC__JPEG_RST0 = 0xD0,
    RBC__JPEG_SOI = 0xD8,
    RBC__JPEG_EOI = 0xD9,
    RBC__JPEG_SOS = 0xDA,
    RBC__JPEG_DQT = 0xDB,
    RBC__JPEG_DRI = 0xDD,
    RBC__JPEG_APP0 = 0xE0,
    RBC__JPEG_APP14 = 0xEE,
    RBC__JPEG_APP15 = 0xEF,
    RBC__JPEG_COM = 0xFE,
};

#endif
