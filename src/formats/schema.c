/* What the streams of a schema are to each other. */
#include <string.h>

#include "formats/format.h"

bool rbc__stream_is_action(const rbc__stream_schema *stream) {
    for (const char *part = stream->name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        const size_t length = strcspn(part, "/");
        if ((length == 6 || length == 7) && strncmp(part, "actions", length) == 0) {
            return true;
        }
    }
    return false;
}

void rbc__schema_set_reference(rbc__schema *schema) {
    bool has_action = false;
    bool has_steps = false;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        has_action = has_action || (stream->times >= 0 && rbc__stream_is_action(stream));
        has_steps = has_steps || (stream->times >= 0 && !stream->is_ragged);
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        rbc__stream_schema *stream = &schema->streams[i];
        stream->is_reference = stream->times >= 0 && (has_action  ? rbc__stream_is_action(stream)
                                                      : has_steps ? !stream->is_ragged
                                                                  : true);
    }
}
