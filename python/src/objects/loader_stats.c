/* What a loader tells of itself, as dicts. */
#include "objects/loader.h"

/* Sets dict["<before><name><after>"] to each of the values, by their names. */
static bool put_all(PyObject *dict, const char *before, const char *after, const int64_t *values,
                    int count, const char *(*name)(int index)) {
    for (int i = 0; i < count; ++i) {
        char key[64];
        snprintf(key, sizeof key, "%s%s%s", before, name(i), after);
        PyObject *value = PyLong_FromLongLong(values[i]);
        const bool is_set = value != NULL && PyDict_SetItemString(dict, key, value) == 0;
        Py_XDECREF(value);
        if (!is_set) {
            return false;
        }
    }
    return true;
}

static const char *stage_name(int index) {
    return rbc_stage_name((rbc_stage)index);
}

static const char *work_name(int index) {
    return rbc_gpu_work_name((rbc_gpu_work)index);
}

static bool put_stages(PyObject *dict, const char *before, const char *after,
                       const int64_t *values) {
    return put_all(dict, before, after, values, RBC_NUM_STAGES, stage_name);
}

PyObject *loader_stages(PyObject *self, PyObject *unused) {
    (void)unused;
    rbc_loader *handle = loader_handle(self);
    if (handle == NULL) {
        return NULL;
    }
    loader_object *loader = as_loader(self);
    rbc_loader_stages stages = RBC_LOADER_STAGES_INIT;
    rbc_error err;
    if (rbc_loader_get_stages(handle, &stages, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    int64_t wait_ns = 0;
    for (int i = 0; i < RBC_NUM_STAGES; ++i) {
        wait_ns += stages.wait_ns[i];
    }
    const int64_t now = loader_now_ns();
    const int64_t called_ns =
        loader->called_ns + (loader->called_from_ns > 0 ? now - loader->called_from_ns : 0);
    const int64_t outside_ns =
        loader->outside_ns + (loader->outside_from_ns > 0 ? now - loader->outside_from_ns : 0);
    if (called_ns - wait_ns > loader->deliver_ns) { /* which never decreases */
        loader->deliver_ns = called_ns - wait_ns;
    }
    stages.busy_ns[RBC_STAGE_DELIVER] = loader->deliver_ns;
    PyObject *dict = Py_BuildValue(
        "{s:L,s:L,s:L,s:s,s:L,s:L,s:L,s:i,s:i,s:i,s:i,s:L,s:L,s:L}", "wait_ns", (long long)wait_ns,
        "outside_ns", (long long)outside_ns, "idle_ns", (long long)stages.idle_ns, "waits_for",
        stages.waits_for < 0 ? NULL : rbc_stage_name((rbc_stage)stages.waits_for), "batches_begun",
        (long long)stages.batches_begun, "batches_ready", (long long)stages.batches_ready,
        "ranges_fetched", (long long)stages.ranges_fetched, "threads", stages.num_threads,
        "threads_idle", stages.num_idle, "fetchers", stages.num_fetchers, "fetchers_idle",
        stages.num_idle_fetchers, "images_on_device", (long long)stages.images_on_device,
        "core_image_ns", (long long)stages.core_image_ns, "loop_batch_ns",
        (long long)stages.loop_batch_ns);
    if (dict != NULL &&
        (!put_stages(dict, "stage_", "_ns", stages.busy_ns) ||
         !put_stages(dict, "stage_", "_bytes", stages.bytes) ||
         !put_stages(dict, "wait_", "_ns", stages.wait_ns) ||
         !put_all(dict, "gpu_", "_ns", stages.gpu_ns, RBC_NUM_GPU_WORKS, work_name))) {
        Py_CLEAR(dict);
    }
    return dict;
}

PyObject *loader_stats(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_loader *handle = loader_handle(self);
    if (handle == NULL) {
        return NULL;
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(handle, &stats);
    return Py_BuildValue(
        "{s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L}", "batches_delivered",
        (long long)stats.batches_delivered, "samples_delivered", (long long)stats.samples_delivered,
        "samples_skipped", (long long)stats.samples_skipped, "images_decoded",
        (long long)stats.images_decoded, "bytes_read", (long long)stats.bytes_read, "slots",
        (long long)stats.slots, "slots_in_use", (long long)stats.slots_in_use, "slots_peak",
        (long long)stats.slots_peak, "slot_bytes", (long long)stats.slot_bytes, "wait_ns",
        (long long)stats.wait_ns, "fetch_ns", (long long)stats.fetch_ns, "decode_ns",
        (long long)stats.decode_ns, "align_ns", (long long)stats.align_ns);
}

PyObject *loader_memory(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_loader *handle = loader_handle(self);
    if (handle == NULL) {
        return NULL;
    }
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    rbc_error err;
    if (rbc_loader_get_memory(handle, &memory, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    return Py_BuildValue(
        "{s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:d,s:d,s:L,s:L,s:O,s:L,"
        "s:L,s:z}",
        "memory_bytes", (long long)memory.bound_bytes, "slots_bytes", (long long)memory.slot_bytes,
        "episode_bytes", (long long)memory.episode_bytes, "episodes_at_hand",
        (long long)memory.num_episodes, "block_bytes", (long long)memory.block_bytes,
        "block_peak_bytes", (long long)memory.block_peak_bytes, "fetched_bytes",
        (long long)memory.fetched_bytes, "fetched_peak_bytes", (long long)memory.fetched_peak_bytes,
        "blocks_read", (long long)memory.blocks_read, "blocks_found",
        (long long)memory.blocks_found, "unpack_ns", (long long)memory.unpack_ns, "samples_masked",
        (long long)memory.samples_masked, "decoder_bytes", (long long)memory.decoder_bytes,
        "decoder_peak_bytes", (long long)memory.decoder_peak_bytes, "decoders_opened",
        (long long)memory.num_decoders, "pictures_decoded", (long long)memory.pictures_decoded,
        "unpack_factor_global", memory.unpack_factor_global, "unpack_factor_blocks",
        memory.unpack_factor_blocks, "segment_samples", (long long)memory.segment_samples,
        "group_segments", (long long)memory.group_segments, "is_split",
        memory.is_split ? Py_True : Py_False, "device_bytes", (long long)memory.device_bytes,
        "pinned_bytes", (long long)memory.pinned_bytes, "device_memory", as_loader(self)->memory);
}

PyObject *loader_members(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_loader *handle = loader_handle(self);
    PyObject *list = handle == NULL ? NULL : PyList_New(0);
    rbc_loader_member member = RBC_LOADER_MEMBER_INIT;
    for (int32_t i = 0; list != NULL && rbc_loader_get_member(handle, i, &member, NULL) == RBC_OK;
         ++i) {
        PyObject *item =
            Py_BuildValue("(LLL)", (long long)member.num_samples, (long long)member.segment_samples,
                          (long long)member.group_segments);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}
