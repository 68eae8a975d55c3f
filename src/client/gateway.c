#include "client/gateway.h"

#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum status gateway_call(struct client *c, const char *target, json_t *body, int cancel_fd,
                         struct client_answer *a)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    const struct client_request request = {.method = "POST",
                                           .target = target,
                                           .headers = "Content-Type: application/json\r\n",
                                           .body = slice_str(text),
                                           .cancel_fd = cancel_fd};
    enum status status = client_call(c, &request, a);
    mem_free(text);
    return status == STATUS_OK && !json_is_object(a->json) ? STATUS_CORRUPT : status;
}

json_t *gateway_bytes(struct slice bytes)
{
    size_t size = sodium_base64_ENCODED_LEN(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    char *text = mem_alloc(size);
    sodium_bin2base64(text, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    json_t *string = json_string(text);
    mem_free(text);
    return string;
}

json_t *gateway_number(uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return json_string(text);
}

bool gateway_read_bytes(const json_t *object, const char *name, struct buf *out)
{
    const json_t *member = json_object_get(object, name);
    if (member == NULL) {
        return true;
    }
    const char *text = json_string_value(member);
    if (text == NULL) {
        return false;
    }
    size_t size = strlen(text);
    size_t used = 0;
    bool is_read = sodium_base642bin(buf_reserve(out, size + 1), size + 1, text, size, NULL, &used,
                                     NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
    out->size += is_read ? used : 0;
    return is_read;
}

uint64_t gateway_read_number(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    if (json_is_string(member)) {
        return strtoull(json_string_value(member), NULL, 10);
    }
    double number = json_number_value(member);
    return number >= 0 && number < 9e15 ? (uint64_t)number : 0;
}
