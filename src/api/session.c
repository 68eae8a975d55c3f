#include "api/session.h"

#include "api/query.h"

#include <string.h>

#define UUID_CHARS (UUID_TEXT_SIZE - 1)

void session_begin(struct uuid cluster, struct buf *out)
{
    char name[UUID_TEXT_SIZE];
    uuid_format(cluster, name);
    buf_append_str(out, name);
    buf_append_byte(out, '.');
}

enum status session_parse(struct slice text, struct uuid cluster, uint64_t *revision)
{
    if (text.size <= UUID_CHARS + 1 || text.data[UUID_CHARS] != '.') {
        return STATUS_INVALID;
    }
    char name[UUID_TEXT_SIZE];
    memcpy(name, text.data, UUID_CHARS);
    name[UUID_CHARS] = '\0';
    struct uuid id;
    struct slice digits = slice_of(text.data + UUID_CHARS + 1, text.size - UUID_CHARS - 1);
    if (!uuid_parse(name, &id) || !number_parse(digits, revision)) {
        return STATUS_INVALID;
    }
    return uuid_equal(id, cluster) ? STATUS_OK : STATUS_CONFLICT;
}
