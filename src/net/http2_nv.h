/* net/http2_nv.h - headers as nghttp2 takes them. */
#pragma once

#include "base/slice.h"

#include <nghttp2/nghttp2.h>

/* As an initialiser: name and value are literals. */
#define HTTP2_NV(header_name, header_value)                                                        \
    {                                                                                              \
        .name = (uint8_t *)(header_name), .value = (uint8_t *)(header_value),                      \
        .namelen = sizeof(header_name) - 1, .valuelen = sizeof(header_value) - 1,                  \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

/* The name lives for ever. With NGHTTP2_NV_FLAG_NO_COPY_VALUE in `flags`, the value does until the
 * header is sent; otherwise it is copied. */
static inline nghttp2_nv http2_nv(const char *name, struct slice value, uint8_t flags)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = strlen(name),
                        .valuelen = value.size,
                        .flags = (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | flags)};
}
