#include "client/event_stream.h"

#include "base/limits.h"

void event_stream_reset(struct event_stream *s)
{
    buf_clear(&s->line);
    buf_clear(&s->type);
    buf_clear(&s->id);
    buf_clear(&s->data);
    s->has_data = false;
}

void event_stream_deinit(struct event_stream *s)
{
    buf_deinit(&s->line);
    buf_deinit(&s->type);
    buf_deinit(&s->id);
    buf_deinit(&s->data);
}

/* An event without data is none. */
static bool dispatch(struct event_stream *s)
{
    const struct stream_event e = {
        .type = buf_slice(&s->type), .id = buf_slice(&s->id), .data = buf_slice(&s->data)};
    bool goes_on = !s->has_data || s->on_event(s->context, &e);
    event_stream_reset(s);
    return goes_on;
}

static void set(struct buf *field, struct slice value)
{
    buf_clear(field);
    buf_append_slice(field, value);
}

static void take_field(struct event_stream *s, struct slice name, struct slice value)
{
    if (slice_equal(name, slice_str("event"))) {
        set(&s->type, value);
    } else if (slice_equal(name, slice_str("id"))) {
        set(&s->id, value);
    } else if (slice_equal(name, slice_str("data"))) {
        if (s->has_data) {
            buf_append_byte(&s->data, '\n');
        }
        buf_append_slice(&s->data, value);
        s->has_data = true;
    }
}

static bool take_line(struct event_stream *s, struct slice line)
{
    if (line.size == 0) {
        return dispatch(s);
    }
    const uint8_t *colon = memchr(line.data, ':', line.size);
    size_t name_size = colon != NULL ? (size_t)(colon - line.data) : line.size;
    struct slice name = slice_of(line.data, name_size);
    size_t skip = name_size + (colon != NULL);
    skip += skip < line.size && line.data[skip] == ' ';
    take_field(s, name, slice_of(line.data + skip, line.size - skip));
    return true;
}

bool event_stream_take(struct event_stream *s, struct slice piece)
{
    while (piece.size > 0) {
        const uint8_t *end = memchr(piece.data, '\n', piece.size);
        size_t size = end != NULL ? (size_t)(end - piece.data) : piece.size;
        if (s->line.size + s->data.size + size > LIMIT_CLIENT_ANSWER_BYTES) {
            return false;
        }
        buf_append(&s->line, piece.data, size);
        piece = slice_of(piece.data + size, piece.size - size);
        if (end == NULL) {
            return true;
        }
        piece = slice_of(piece.data + 1, piece.size - 1);
        struct buf line = s->line;
        s->line = (struct buf){0};
        bool goes_on = take_line(s, buf_slice(&line));
        buf_deinit(&line);
        if (!goes_on) {
            return false;
        }
    }
    return true;
}
