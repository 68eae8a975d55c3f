/* JSON at the door: what we let in, another parser (jansson) reads as well. It knows fewer numbers:
 * an integer beyond 64 bits is too big for it, and fine for us. */
#include "api/json_value.h"
#include "base/check.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text;
    if (json_text_check(slice_of(data, size), &text) != STATUS_OK) {
        return 0;
    }
    CHECK(text.data >= data && text.data + text.size <= data + size && text.size > 0);
    json_error_t error;
    json_t *value =
        json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    CHECK(value != NULL || json_error_code(&error) == json_error_numeric_overflow);
    json_decref(value);
    return 0;
}
