#include "base/uuid.h"

#include <string.h>

struct uuid uuid_from_random(const uint8_t random[16])
{
    struct uuid id;
    memcpy(id.bytes, random, 16);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

void uuid_format(struct uuid id, char text[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[id.bytes[i] >> 4];
        *at++ = digits[id.bytes[i] & 15];
    }
    *at = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool uuid_parse(const char *text, struct uuid *id)
{
    if (strlen(text) != UUID_TEXT_SIZE - 1) {
        return false;
    }
    const char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (*at++ != '-') {
                return false;
            }
        }
        int high = hex_digit(at[0]);
        int low = hex_digit(at[1]);
        if (high < 0 || low < 0) {
            return false;
        }
        id->bytes[i] = (uint8_t)(high * 16 + low);
        at += 2;
    }
    return true;
}

int uuid_compare(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, 16);
}
