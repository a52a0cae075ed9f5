"""Videos in MP4 files: their tables, and the frames that decoders make of their packets.

Each frame is compared with PyAV's decode of the same file, to the bit, and made files show the
number of each frame in its pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from tests.python.numbered_video import needs_encoder

from . import mp4_boxes as mp4
from .video_files import (
    SIZE,
    av,
    decoded,
    number_in,
    open_videos,
    planes,
    remux,
    rgb,
    write_video,
)


def check_pictures(ours: np.ndarray, frames: list, first: int = 0) -> None:
    assert len(ours) == len(frames)
    for number, (picture, frame) in enumerate(zip(ours, frames, strict=True), first):
        assert np.array_equal(picture, rgb(frame)), f"frame {number}"


# ---- real files ----------------------------------------------------------------------------------


def g1_files(test_data) -> list[Path]:
    return sorted(
        path
        for name in ("lerobot_v21_g1", "lerobot_v30_g1")
        for path in test_data(name).glob("videos/**/*.mp4")
    )


def test_tables_of_real_files(test_data) -> None:
    for path in g1_files(test_data):
        video = rc.read_mp4(path)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            pts = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
            assert (video.codec, video.width, video.height) == ("av1", stream.width, stream.height)
            assert video.time_base == stream.time_base.as_integer_ratio()
            assert video.pixel_format == stream.pix_fmt
        assert video.pts.tolist() == pts
        assert np.abs(video.times_ns - np.arange(len(video)) * 1e9 / 30).max() <= 1


def test_frames_of_a_real_file(test_data, tmp_path) -> None:
    path = g1_files(test_data)[0]
    shutil.copy(path, tmp_path / "a.mp4")
    frames = decoded(path)
    ours = open_videos(tmp_path, "a.mp4").episodes[0]["camera"]
    for begin in range(0, len(frames), 60):
        check_pictures(ours.read(begin, 5), frames[begin : begin + 5], begin)


# ---- made files ----------------------------------------------------------------------------------

X264 = {"preset": "veryfast", "crf": "18"}
X265 = {"preset": "ultrafast", "crf": "18"}
KINDS = {
    "h264": ("libx264", {**X264, "g": "30", "bf": "3"}, {}),
    "h264, every frame a key": ("libx264", {**X264, "g": "1"}, {}),
    "h264, two frames a group": ("libx264", {**X264, "g": "2", "bf": "0"}, {}),
    "h264, one group": ("libx264", {**X264, "g": "250", "bf": "2"}, {}),
    "h264, open groups": (
        "libx264",
        {**X264, "x264-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:b-pyramid=normal"},
        {},
    ),
    "hevc": ("libx265", {**X265, "x265-params": "keyint=20:open-gop=0:bframes=3:log-level=0"}, {}),
    "hevc, open groups": (
        "libx265",
        {**X265, "x265-params": "keyint=12:min-keyint=12:open-gop=1:bframes=4:log-level=0"},
        {},
    ),
    "mpeg4": ("mpeg4", {"g": "12", "bf": "2", "qscale": "3"}, {"bit_rate": 2_000_000}),
    "av1, two frames a group": ("libsvtav1", {"preset": "12", "crf": "20", "g": "2"}, {}),
    "av1": ("libsvtav1", {"preset": "12", "crf": "20", "g": "30"}, {}),
    "vp9": ("libvpx-vp9", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "12"}, {}),
}


def written(path: Path, kind: str, frames: int = 100, **more) -> Path:
    codec, options, settings = KINDS[kind]
    needs_encoder(codec)
    return write_video(path, codec, frames, options=options, **settings, **more)


def needs_decoder(dataset) -> None:
    """Skips where the FFmpeg that is installed lacks the decoder."""
    try:
        dataset.episodes[0]["camera"].read(0, 1)
    except rc.errors.UnsupportedError as error:
        pytest.skip(str(error))


def check_file(folder: Path, name: str, first_number: int = 0) -> None:
    """All frames in order, then each by itself, are PyAV's and show their numbers."""
    frames = decoded(folder / name)
    video = rc.read_mp4(folder / name)
    assert video.pts.tolist() == [frame.pts for frame in frames]
    dataset = open_videos(folder, name)
    needs_decoder(dataset)
    camera = dataset.episodes[0]["camera"]
    ours = camera.values
    assert [number_in(p) for p in ours] == [first_number + i for i in range(len(frames))]
    check_pictures(ours, frames)
    order = np.random.default_rng(1).permutation(len(frames))
    for at in order:
        assert np.array_equal(camera.read(int(at), 1)[0], ours[at]), f"frame {at} by itself"


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_each_kind(tmp_path, kind) -> None:
    written(tmp_path / "a.mp4", kind)
    check_file(tmp_path, "a.mp4")


@pytest.mark.parametrize("kind", ["h264", "hevc, open groups", "av1", "mpeg4"])
def test_variable_rate(tmp_path, kind) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.integers(300, 3000, 100)).tolist()
    written(tmp_path / "a.mp4", kind, times=[t - times[0] for t in times])
    check_file(tmp_path, "a.mp4")
    gaps = np.diff(rc.read_mp4(tmp_path / "a.mp4").times_ns)
    np.testing.assert_allclose(gaps, np.diff(times) / 30000 * 1e9, atol=1e5)


@pytest.mark.parametrize("kind", ["h264", "h264, open groups", "hevc, open groups", "av1"])
def test_l11_a_key_frame_that_an_edit_list_hides(tmp_path, kind) -> None:
    written(tmp_path / "whole.mp4", kind)
    unit = int(rc.read_mp4(tmp_path / "whole.mp4").pts[1])
    remux(tmp_path / "whole.mp4", tmp_path / "a.mp4", from_pts=17 * unit)
    video = rc.read_mp4(tmp_path / "a.mp4")
    assert video.num_packets > len(video) == 83
    check_file(tmp_path, "a.mp4", first_number=17)


@pytest.mark.parametrize("kind", ["h264", "hevc", "av1"])
def test_fragmented_files(tmp_path, kind) -> None:
    written(tmp_path / "a.mp4", kind, container={"movflags": "frag_keyframe+empty_moov"})
    check_file(tmp_path, "a.mp4")


def test_tables_at_the_front_and_in_quicktime(tmp_path) -> None:
    written(tmp_path / "front.mp4", "h264", container={"movflags": "faststart"})
    check_file(tmp_path, "front.mp4")
    written(tmp_path / "a.mov", "h264")
    check_file(tmp_path, "a.mov")


@pytest.mark.parametrize(
    ("codec", "pixel_format", "shape"),
    [
        ("libx264", "yuv420p", (50, 102)),
        ("libx264", "yuv422p", SIZE),
        ("libx264", "yuv444p", SIZE),
        ("libx264", "yuv420p10le", SIZE),
        ("libx264", "yuv444p10le", (51, 97)),
        ("libx264", "yuvj420p", SIZE),
        ("libx265", "yuv420p10le", SIZE),
        ("libx265", "yuv422p12le", SIZE),
        ("libx265", "yuv444p12le", SIZE),
    ],
)
def test_pixel_formats(tmp_path, codec, pixel_format, shape) -> None:
    write_video(
        tmp_path / "a.mp4", codec, 12, pixel_format=pixel_format, shape=shape, options={"g": "6"}
    )
    video = rc.read_mp4(tmp_path / "a.mp4")
    assert video.pixel_format == pixel_format.replace("yuvj", "yuv")
    camera = open_videos(tmp_path, "a.mp4").episodes[0]["camera"]
    frames = decoded(tmp_path / "a.mp4")
    check_pictures(camera.values, frames)
    for frame in frames:
        assert abs(rgb(frame) - rgb(frame, exact=True)).max() <= 0.6


@pytest.mark.parametrize(("pixel_format", "bound"), [("yuv444p", 1), ("yuv420p", 2)])
@pytest.mark.parametrize("chroma", [2, 4])  # swscale's bilinear, bicubic
def test_rgb_is_close_to_the_accurate_path_of_swscale(
    tmp_path, pixel_format, bound, chroma
) -> None:
    accurate = 0x40000 | 0x2000  # accurate_rnd, full_chroma_int
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]

    def smooth(number: int) -> np.ndarray:
        return np.stack([x + y + number, x + 2 * y, 2 * x + y], -1).clip(0, 255).astype(np.uint8)

    options = {"g": "6", "crf": "10"}
    write_video(
        tmp_path / "a.mp4",
        "libx264",
        6,
        pixel_format=pixel_format,
        options=options,
        pictures=smooth,
    )
    ours = open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values
    for picture, frame in zip(ours, decoded(tmp_path / "a.mp4"), strict=True):
        theirs = frame.reformat(format="rgb24", interpolation=chroma | accurate).to_ndarray()
        assert np.abs(picture.astype(np.int16) - theirs).max() <= bound


@pytest.mark.parametrize("colour", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("is_full", [False, True])
def test_matrix_and_range_are_the_streams(tmp_path, colour, is_full) -> None:
    matrix = {"bt709": 1, "smpte170m": 6, "bt2020nc": 9}[colour]
    options = {"g": "6", "x264-params": f"colormatrix={colour}:fullrange={int(is_full)}"}
    write_video(tmp_path / "a.mp4", "libx264", 6, options=options, color_range=1 + is_full)
    frames = decoded(tmp_path / "a.mp4")
    assert {(int(f.colorspace), int(f.color_range)) for f in frames} == {(matrix, 1 + is_full)}
    check_pictures(open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values, frames)


def test_gray_of_twelve_bits_is_as_it_was_stored(tmp_path) -> None:
    rng = np.random.default_rng(0)
    depths = rng.integers(0, 4096, (20, *SIZE)).astype(np.uint16)
    write_video(
        tmp_path / "a.mp4",
        "libx265",
        20,
        pixel_format="gray12le",
        options={"x265-params": "lossless=1:log-level=0"},
        pictures=lambda number: depths[number],
    )
    assert rc.read_mp4(tmp_path / "a.mp4").pixel_format == "gray12le"
    depth = open_videos(tmp_path, "a.mp4", shape=(*SIZE, 1), dtype="uint16").episodes[0]
    np.testing.assert_array_equal(depth["camera"].values[..., 0], depths)


def test_luma_in_sixteen_bits_is_the_plane(tmp_path) -> None:
    written(tmp_path / "a.mp4", "h264", 10)
    ours = open_videos(tmp_path, "a.mp4", shape=(*SIZE, 1), dtype="uint16").episodes[0]["camera"]
    for picture, frame in zip(ours.values, decoded(tmp_path / "a.mp4"), strict=True):
        np.testing.assert_array_equal(picture[..., 0], planes(frame)[0])


def test_a_loader_delivers_the_frames_of_the_steps(tmp_path) -> None:
    names = [f"{kind.split(',')[0]}-{i}.mp4" for i, kind in enumerate(KINDS) if kind != "vp9"]
    kinds = [kind for kind in KINDS if kind != "vp9"]
    for name, kind in zip(names, kinds, strict=True):
        written(tmp_path / name, kind, 40)
    dataset = open_videos(tmp_path, *names)
    loader = rc.DataLoader(
        dataset,
        batch_size=16,
        shuffle=True,
        streams={"camera": rc.Window(range(-1, 1)), "number": rc.Window(range(-1, 1))},
        array="numpy",
    )
    rows = 0
    for batch in loader:
        for pictures, numbers in zip(batch["camera"], batch["number"], strict=True):
            assert [number_in(picture) for picture in pictures] == numbers.tolist()
            rows += 1
    assert rows == 40 * len(names)


def test_decoding_goes_on_where_it_stopped(tmp_path) -> None:
    """Long groups that do not fit in memory are read in order with each picture decoded once."""
    written(tmp_path / "a.mp4", "h264, one group", 120)
    dataset = open_videos(tmp_path, "a.mp4")
    bytes_of_frame = int(np.prod((*SIZE, 3)))
    loader = rc.DataLoader(
        dataset,
        batch_size=4,
        streams={"camera": rc.Window(range(-1, 1))},
        array="numpy",
        num_threads=1,
        memory_bytes=400 * bytes_of_frame,
    )
    for _ in range(2):
        at = 0
        for batch in loader:
            for pictures in batch["camera"]:
                assert [number_in(p) for p in pictures] == [max(at - 1, 0), at]
                at += 1
        assert at == 120
    camera = dataset.episodes[0]["camera"]
    for first in (0, 30, 31, 33, 32, 119, 5, 6, 7):
        assert number_in(camera.read(first, 1)[0]) == first


@pytest.mark.parametrize("frames", [120, 121])
def test_many_threads_decode_a_long_group_about_once(tmp_path, frames) -> None:
    """Memory holds a tenth of the pictures, and not four decoders: threads wait for the one that is
    on its way rather than decode again what is before their frames. The last of 121 frames is a
    segment of its own, which comes out of the decoder when no packet is left."""
    shape = (192, 256)
    pixels = shape[0] * shape[1]
    written(tmp_path / "a.mp4", "h264, one group", frames, shape=shape)
    dataset = open_videos(tmp_path, "a.mp4")
    with pytest.warns(UserWarning, match="decoders of video, 4 of them, take about"):
        loader = rc.DataLoader(
            dataset,
            batch_size=4,
            streams={"camera": rc.Window(0), "number": rc.Window(0)},
            array="numpy",
            num_threads=4,
            memory_bytes=256 * 3 * pixels,
        )
    epochs = 4
    for _ in range(epochs):
        for batch in loader:
            assert [number_in(p[0]) for p in batch["camera"]] == batch["number"][:, 0].tolist()
    stats = loader.stats()
    assert stats["decoder_peak_bytes"] <= 4 * (2**20 + 10 * pixels * 3 // 2)
    assert epochs * frames <= stats["pictures_decoded"] <= 2 * epochs * frames


# ---- what is wrong -------------------------------------------------------------------------------


def packets_of(path: Path) -> list:
    """Returns the packets, in the order of decoding."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.pts is not None]


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize("kind", ["h264", "hevc", "mpeg4", "av1"])
def test_a_damaged_packet_is_named_and_others_are_delivered(tmp_path, kind) -> None:
    path = written(tmp_path / "a.mp4", kind, 60)
    needs_decoder(open_videos(tmp_path, "a.mp4"))
    good = open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values
    packets = packets_of(path)
    bad = 45
    overwrite(path, packets[bad].pos, np.random.default_rng(5).bytes(packets[bad].size))
    order = sorted(range(60), key=lambda at: packets[at].pts)
    frame_of = {at: frame for frame, at in enumerate(order)}
    keys = [at for at in range(60) if packets[at].is_keyframe]
    begin = max(frame_of[key] for key in keys if key <= bad)
    end = min([frame_of[key] for key in keys if key > bad], default=60)
    others = {*range(begin), *range(end, 60)}
    loader = rc.DataLoader(
        open_videos(tmp_path, "a.mp4"),
        batch_size=1,
        on_error="mask",
        streams={"camera": rc.Window(0)},
        array="numpy",
    )
    delivered = [int(batch["step_index"][0]) for batch in loader if batch["camera_valid"].all()]
    assert frame_of[bad] not in delivered
    assert others <= set(delivered)
    camera = open_videos(tmp_path, "a.mp4").episodes[0]["camera"]
    for frame in delivered:
        np.testing.assert_array_equal(camera.read(frame, 1)[0], good[frame])
    with pytest.raises(rc.errors.FormatError, match=rf"a\.mp4: byte \d+: .*packet {bad} "):
        camera.read(frame_of[bad], 1)
    assert any("a.mp4" in text and "camera" in text for text in loader.skipped)


def test_a_codec_that_lies(tmp_path) -> None:
    path = written(tmp_path / "a.mp4", "h264", 10)
    content = path.read_bytes().replace(b"avc1", b"hvc1").replace(b"avcC", b"hvcC")
    path.write_bytes(content)
    assert rc.read_mp4(path).codec == "hevc"
    with pytest.raises(
        rc.errors.FormatError, match=r"a\.mp4: byte \d+: .*packet 0 cannot be decoded"
    ):
        _ = open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values


def test_pictures_of_another_size_than_declared(tmp_path) -> None:
    written(tmp_path / "a.mp4", "h264", 10)
    dataset = open_videos(tmp_path, "a.mp4", shape=(32, 96, 3))
    message = r"a\.mp4: byte \d+: .*packet 0: found a picture of 96 x 64 pixels, wanted 96 x 32"
    with pytest.raises(rc.errors.FormatError, match=message):
        _ = dataset.episodes[0]["camera"].values


def test_pixels_that_cannot_be_had(tmp_path) -> None:
    written(tmp_path / "a.mp4", "h264", 10)
    dataset = open_videos(tmp_path, "a.mp4", dtype="uint16")
    message = "pixel format yuv420p cannot be had as 3 channels of 16 bits"
    with pytest.raises(rc.errors.UnsupportedError, match=message):
        _ = dataset.episodes[0]["camera"].values


def test_packed_frames_of_mpeg4_are_refused(tmp_path) -> None:
    def index(path, dataset):
        dataset.control_rate_hz = 30.0
        dataset.stream("camera", kind="image", shape=(*SIZE, 3), encoding="frame")
        dataset.part("a.avi", read=read)

    def read(part):
        head = bytes.fromhex("000001b2") + b"DivX503b1393p\0"
        track = part.track(
            codec="mpeg4", extradata=head, offset=[0], bytes=[100], pts=[0], key=[True]
        )
        part.episodes(num_steps=[1], streams={"camera": rc.Frames(track, first=[0])})

    (tmp_path / "a.avi").write_bytes(bytes(100))
    rc.register_format("packed video", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(tmp_path, format="packed video", progress=False)
    with pytest.raises(rc.errors.UnsupportedError, match=r"a\.avi: .*packed B-frames"):
        _ = dataset.episodes[0]["camera"].values


@pytest.mark.parametrize("is_full", [False, True])
def test_matrix_and_range_of_the_container_where_the_pictures_say_none(tmp_path, is_full) -> None:
    write_video(tmp_path / "plain.mp4", "libx264", 6, options={"g": "6", "bf": "0"})
    packets = packets_of(tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "plain.mp4")) as container:
        head = mp4.box("avcC", container.streams.video[0].codec_context.extradata)
    colour = mp4.box("colr", b"nclx", mp4.ints("H", 1, 1, 1), bytes([0x80 * is_full]))
    entry = mp4.entry("avc1", head, colour, width=SIZE[1], height=SIZE[0])
    content = mp4.movie([bytes(packet) for packet in packets], keys=[1], description=entry)
    (tmp_path / "a.mp4").write_bytes(content)
    ours = open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values
    for picture, frame in zip(ours, decoded(tmp_path / "plain.mp4"), strict=True):
        frame.colorspace, frame.color_range = 1, 1 + is_full
        assert np.array_equal(picture, rgb(frame))


@pytest.mark.parametrize("kind", ["h264", "mpeg4", "av1"])
def test_which_frames_a_damaged_packet_damages(tmp_path, kind) -> None:
    """Whoever wants others with them, and whether pictures are kept for all who want them."""
    path = written(tmp_path / "a.mp4", kind, 120)
    needs_decoder(open_videos(tmp_path, "a.mp4"))
    packets = packets_of(path)
    overwrite(path, packets[75].pos, np.random.default_rng(5).bytes(packets[75].size))
    found = []
    for shuffle in (True, False, "blocks"):
        for batch_size, num_threads, memory_bytes in ((1, 1, 4 << 20), (16, 2, 4 << 20), (5, 2, 0)):
            loader = rc.DataLoader(
                open_videos(tmp_path, "a.mp4"),
                batch_size=batch_size,
                shuffle=shuffle,
                on_error="skip",
                streams={"camera": rc.Window(0)},
                num_threads=num_threads,
                memory_bytes=memory_bytes,
                array="numpy",
            )
            assert (loader.stats()["unpack_factor_global"] > 1) == (memory_bytes > 0)
            steps = sorted(int(step) for batch in loader for step in batch["step_index"])
            found.append((steps, sorted(loader.skipped)))
    assert len(found[0][1]) > 0
    assert all(each == found[0] for each in found)
    order = sorted(range(120), key=lambda at: packets[at].pts)
    before = {frame for frame, packet in enumerate(order) if packet < 72}  # a decoder looks ahead
    assert before <= set(found[0][0])
