#include "api/json_body.h"

#include "api/json_scan.h"

#include <stdio.h>

json_t *json_body_take(struct api *api, struct http_request *r, const char *form)
{
    if (!json_scan(r->body)) {
        answer_error(api, r, 400, "Invalid JSON");
        return NULL;
    }
    /* What follows is JSON, and may still be nothing that can be taken: a field that is there
     * twice, which two readers would read as two things, or a name with a NUL in it. */
    json_error_t error;
    json_t *body = json_loadb((const char *)r->body.data, r->body.size,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json_is_object(body)) {
        return body;
    }
    bool is_repeated = body == NULL && json_error_code(&error) == json_error_duplicate_key;
    char reason[256];
    snprintf(reason, sizeof(reason), "%s%s", is_repeated ? "a field is there twice; " : "", form);
    json_decref(body);
    answer_error_reason(api, r, 400, "Bad request", reason);
    return NULL;
}
