#include "api/rest.h"

#include "base/utf8.h"

bool key_of_path(struct api *api, struct http_request *r, struct buf *key)
{
    size_t skip = strlen("/key/");
    struct slice raw = slice_of(r->path.data + skip, r->path.size - skip);
    const char *reason = NULL;
    if (http_percent_decode(raw, key) != STATUS_OK) {
        reason = "broken percent-encoding";
    } else if (key->size == 0 || key->size > LIMIT_KEY_BYTES) {
        reason = "a key has 1 to 4096 bytes";
    } else if (!utf8_is_valid(buf_slice(key))) {
        reason = "a key is UTF-8";
    }
    if (reason != NULL) {
        answer_error_reason(api, r, 400, "Invalid key", reason);
    }
    return reason == NULL;
}
