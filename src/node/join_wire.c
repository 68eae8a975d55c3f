/* node/join_wire.c - the bytes of joining.h. */
#include "base/check.h"
#include "base/codec.h"
#include "node/joining.h"

#include <string.h>

void join_ask_encode(const struct join_ask *ask, struct buf *out)
{
    put_name(out, ask->name);
    put_url(out, ask->url);
    put_u32(out, ask->priority);
}

enum status join_ask_decode(struct slice bytes, struct join_ask *ask)
{
    *ask = (struct join_ask){0};
    struct reader in = reader_of(bytes);
    get_name(&in, ask->name);
    get_url(&in, ask->url);
    ask->priority = get_u32(&in);
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

static void put_text(struct buf *out, const char *text)
{
    size_t size = strlen(text);
    CHECK_CMP(size, <, JOIN_TEXT_SIZE);
    put_u16(out, (uint16_t)size);
    buf_append_str(out, text);
}

/* Printable ASCII: it is printed as it is. */
static void get_text(struct reader *in, char text[JOIN_TEXT_SIZE])
{
    size_t size = get_u16(in);
    struct slice bytes = get_raw(in, size);
    if (!reader_ok(in) || size >= JOIN_TEXT_SIZE) {
        in->bad = true;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        in->bad |= bytes.data[i] < ' ' || bytes.data[i] > '~';
        text[i] = (char)bytes.data[i];
    }
    text[size] = '\0';
}

void join_reply_encode(const struct join_reply *reply, struct buf *out)
{
    put_u8(out, (uint8_t)reply->verdict);
    switch (reply->verdict) {
    case JOIN_ACCEPTED:
        put_u64(out, reply->index);
        roster_encode(&reply->founders, out);
        roster_encode(&reply->members, out);
        break;
    case JOIN_ASK_LEADER:
        put_url(out, reply->url);
        break;
    case JOIN_WAIT:
    case JOIN_REFUSED:
        put_text(out, reply->text);
        break;
    }
}

static void get_acceptance(struct reader *in, struct join_reply *reply)
{
    reply->index = get_u64(in);
    roster_decode(in, &reply->founders);
    roster_decode(in, &reply->members);
    in->bad |= reply->index == 0 || reply->founders.count == 0 || reply->members.count == 0 ||
               !uuid_equal(reply->founders.cluster, reply->members.cluster);
}

enum status join_reply_decode(struct slice bytes, struct join_reply *reply)
{
    *reply = (struct join_reply){0};
    struct reader in = reader_of(bytes);
    uint8_t verdict = get_u8(&in);
    switch (verdict) {
    case JOIN_ACCEPTED:
        get_acceptance(&in, reply);
        break;
    case JOIN_ASK_LEADER:
        get_url(&in, reply->url);
        in.bad |= reply->url[0] == '\0';
        break;
    case JOIN_WAIT:
    case JOIN_REFUSED:
        get_text(&in, reply->text);
        break;
    default:
        in.bad = true;
    }
    if (!reader_done(&in)) {
        *reply = (struct join_reply){0};
        return STATUS_CORRUPT;
    }
    reply->verdict = (enum join_verdict)verdict;
    return STATUS_OK;
}
