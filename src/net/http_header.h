/* net/http_header.h - one header line, as parsed; and what client and server both ask of
 * headers. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct http_header {
    struct slice name;  /* as sent */
    struct slice value; /* without white space around it */
};

/* Value of the first header of that name, case-insensitively; data == NULL when absent. */
struct slice http_headers_find(const struct http_header *headers, uint32_t count, const char *name);
/* Same bytes but for the case of ASCII letters. */
bool http_text_equal(struct slice s, const char *text);
/* Percent-decode once ('+' stays '+'). INVALID for a broken escape. Appended to `out`. */
enum status MUST_CHECK http_percent_decode(struct slice in, struct buf *out);
