/* Videos in MP4 files: what their tables say, and tracks of a part out of them. */
#include "formats/mp4/mp4.h"
#include "objects/part.h"

#include <stdlib.h>

/* video_decoders() -> (path, licence, version, [(codec, whether it is there)]); UNSUPPORTED without
 * FFmpeg */
PyObject *video_decoders(PyObject *module, PyObject *unused) {
    rbc_error err;
    rbc__ffmpeg_installed found;
    int is_there;
    (void)unused;
    if (rbc__ffmpeg_find(&found, &err) != RBC_OK) {
        return raise_error(state_of_module(module), &err);
    }
    PyObject *codecs = PyList_New(0);
    for (int i = 0; codecs != NULL && rbc__ffmpeg_codec(i, &is_there) != NULL; ++i) {
        PyObject *one =
            Py_BuildValue("(sN)", rbc__ffmpeg_codec(i, &is_there), PyBool_FromLong(is_there));
        if (one == NULL || PyList_Append(codecs, one) != 0) {
            Py_CLEAR(codecs);
        }
        Py_XDECREF(one);
    }
    return codecs == NULL ? NULL
                          : Py_BuildValue("(NsNN)", text_object(found.path), found.licence,
                                          PyUnicode_FromFormat("%d.%d.%d", found.version[0],
                                                               found.version[1], found.version[2]),
                                          codecs);
}

/* Opens and reads without Python's lock. */
static rbc_status read_video(const char *path, int index, rbc__mp4_video *video, rbc_error *err) {
    rbc__source *source;
    rbc__forks_hold();
    rbc_status status = rbc__source_open(path, RBC__SOURCE_FILE, &source, err);
    if (status == RBC_OK) {
        status = rbc__mp4_read(source, index, video, err);
        rbc__source_close(&source);
    }
    rbc__forks_release(NULL);
    return status;
}

static int compare_pts(const void *a, const void *b) {
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* When each frame is shown, in order: int64 in bytes. */
static PyObject *frame_times(const rbc__mp4_video *video) {
    PyObject *bytes =
        PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(video->num_frames * (int64_t)sizeof(int64_t)));
    if (bytes == NULL) {
        return NULL;
    }
    int64_t *times = (int64_t *)(void *)PyBytes_AsString(bytes);
    int64_t count = 0;
    for (int64_t i = 0; i < video->num_packets; ++i) {
        if (video->packets[i].is_shown) {
            times[count++] = video->packets[i].pts;
        }
    }
    if (count > 0) {
        qsort(times, (size_t)count, sizeof *times, compare_pts);
    }
    return bytes;
}

/* (number, codec, pixel format, width, height, (numerator, denominator), pts, packets, videos,
 * rotation or None) */
static PyObject *video_tuple(const rbc__mp4_video *video, int64_t number) {
    PyObject *pts = frame_times(video);
    PyObject *rotation = video->is_transformed ? Py_None : PyLong_FromLong(video->rotation);
    if (video->is_transformed) {
        Py_INCREF(rotation);
    }
    if (pts == NULL || rotation == NULL) {
        Py_XDECREF(pts);
        Py_XDECREF(rotation);
        return NULL;
    }
    return Py_BuildValue("(Lssii(II)NLiN)", (long long)number, video->codec, video->pixel_format,
                         video->params.width, video->params.height, video->time_base.numerator,
                         video->time_base.denominator, pts, (long long)video->num_packets,
                         video->num_videos, rotation);
}

/* read_mp4(path, index of the video) */
PyObject *read_mp4(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    const char *path;
    int index;
    if (!PyArg_ParseTuple(args, "si", &path, &index)) {
        return NULL;
    }
    rbc__mp4_video video;
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = read_video(path, index, &video, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        return raise_error(state, &err);
    }
    PyObject *result = video_tuple(&video, -1);
    rbc__mp4_free(&video);
    return result;
}

/* mp4(path, index of the video, blob): adds the track; its number is the first of what is told */
PyObject *part_mp4(PyObject *self, PyObject *args) {
    const char *path;
    int index;
    unsigned int blob;
    int64_t number = -1;
    rbc__mp4_video video = {0};
    part_call call;
    if (!PyArg_ParseTuple(args, "siI", &path, &index, &blob)) {
        return NULL;
    }
    if (begin_part_call(self, &call)) {
        call.status = read_video(path, index, &video, &call.err);
    }
    for (int64_t i = 0; i < video.num_packets; ++i) {
        video.packets[i].number = blob;
    }
    if (call.status == RBC_OK) {
        const rbc__track_description track = {.video = video.params,
                                              .time_base = video.time_base,
                                              .packets = video.packets,
                                              .num_packets = video.num_packets};
        call.status = rbc__batch_add_track(call.part->writer, &track, &number, &call.err);
    }
    PyObject *result = end_part_call(&call) ? video_tuple(&video, number) : NULL;
    rbc__mp4_free(&video);
    return result;
}
