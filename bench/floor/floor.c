/* floor.c - the answers, and the command line. */
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES   5
#define REVISION_BYTES 5
/* Of the rows of `make bench`, the only key that is asked for, and its value. */
#define KEY            "bench/0000000000"
#define VALUE_BYTES    256

struct floor_message floor_message;
struct floor_out floor_out;

void floor_fail(const char *what)
{
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

void floor_send(const void *bytes, size_t size)
{
    if (size > FLOOR_OUT_BYTES - floor_out.size) {
        floor_fail("more to send than there is room for");
    }
    memcpy(floor_out.bytes + floor_out.size, bytes, size);
    floor_out.size += size;
}

const uint8_t *floor_next_message(void)
{
    static uint64_t revision;
    uint64_t left = ++revision;
    uint8_t *at = floor_message.bytes + floor_message.revision_at;
    for (int i = 0; i < REVISION_BYTES; i++, left >>= 7) {
        at[i] = (uint8_t)((left & 0x7f) | (i < REVISION_BYTES - 1 ? 0x80 : 0));
    }
    return floor_message.bytes;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void append(const void *bytes, size_t size)
{
    memcpy(floor_message.bytes + floor_message.size, bytes, size);
    floor_message.size += size;
}

static void append_byte(unsigned byte)
{
    append(&(uint8_t){(uint8_t)byte}, 1);
}

/* Field 1 of every answer. */
static void append_header(void)
{
    append_byte(0x0a);
    append_byte(1 + REVISION_BYTES);
    append_byte(0x18);
    floor_message.revision_at = floor_message.size;
    append("\0\0\0\0", REVISION_BYTES);
}

/* Fields 2 and 4 of RangeResponse. */
static void append_key_value(void)
{
    size_t key = sizeof(KEY) - 1;
    size_t size = 2 + key + 3 + VALUE_BYTES;
    append_byte(0x12);
    append_byte((unsigned)(size & 0x7f) | 0x80);
    append_byte((unsigned)size >> 7);
    append_byte(0x0a);
    append_byte((unsigned)key);
    append(KEY, key);
    append_byte(0x2a);
    append_byte((VALUE_BYTES & 0x7f) | 0x80);
    append_byte(VALUE_BYTES >> 7);
    for (int i = 0; i < VALUE_BYTES; i++) {
        append_byte(i == 0 || i == VALUE_BYTES - 1 ? '"' : 'v');
    }
    append("\x20\x01", 2);
}

static void make_message(const char *operation)
{
    floor_message.size = PREFIX_BYTES;
    append_header();
    if (strcmp(operation, "range") == 0) {
        append_key_value();
    } else if (strcmp(operation, "keepalive") == 0) {
        append("\x10\x01\x18\x3c", 4); /* lease 1, 60 s: also the answer to its grant */
    } else if (strcmp(operation, "put") != 0) {
        floor_fail("the operation is put, range or keepalive");
    }
    size_t size = floor_message.size - PREFIX_BYTES;
    floor_message.bytes[3] = (uint8_t)(size >> 8);
    floor_message.bytes[4] = (uint8_t)size;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        floor_fail("usage: floor frames|grpc put|range|keepalive PORT");
    }
    make_message(argv[2]);
    bool is_grpc = strcmp(argv[1], "grpc") == 0;
    if (!is_grpc && strcmp(argv[1], "frames") != 0) {
        floor_fail("the door is frames or grpc");
    }
    floor_serve(is_grpc ? &floor_grpc : &floor_frames, atoi(argv[3]));
    return 0;
}
