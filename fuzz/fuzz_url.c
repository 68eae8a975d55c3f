/* URLs as people write them: what parses, formats, and parses to the same again. */
#include "base/check.h"
#include "base/mem.h"
#include "net/url.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    struct url first;
    const char *why = NULL;
    if (url_parse(text, &first, &why) == STATUS_OK) {
        char formatted[URL_TEXT_BYTES];
        url_format(&first, formatted, sizeof formatted);
        struct url second;
        CHECK(url_parse(formatted, &second, NULL) == STATUS_OK);
        CHECK(strcmp(first.host, second.host) == 0);
        CHECK_CMP(first.port, ==, second.port);
    } else {
        CHECK(why != NULL);
    }
    mem_free(text);
    return 0;
}
