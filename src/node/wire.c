#include "node/wire.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/mem.h"

#include <string.h>

enum {
    FLAG_REJECT = 1,
    FLAG_TRANSFER = 2, /* in answers to a leader: `waits` */
    FLAG_BULK = 4,
    FLAG_RECOVERING = 8,
    FLAGS_ALL = 15,
};

/* An entry begins with (its term - the term before it) << ENTRY_TYPE_BITS | type. */
#define ENTRY_TYPE_BITS 2
#define ENTRY_TYPE_MASK 3u

/* Numbers that are mostly zero. A bit mask says which follow; order as here, for ever. */
#define FIELD_COUNT      10
/* Before them: type, flags, mask, from, to, term. */
#define HEAD_FIXED_BYTES 20
#define HEAD_BYTES_MAX   (HEAD_FIXED_BYTES + (1 + FIELD_COUNT) * VARINT_BYTES_MAX)

/* These say `waits` and `rest_ms` by what else is `transfer` and `lease_ms`: members before the two
 * take no flag and no number that is new to them, and look at neither of these in an answer. */
static bool is_answer(enum raft_message_type type)
{
    return type == RAFT_MSG_APPEND_REPLY || type == RAFT_MSG_HEARTBEAT_REPLY;
}

static void list_numbers(const struct raft_message *m, uint64_t numbers[FIELD_COUNT])
{
    numbers[0] = m->last.term;
    numbers[1] = m->last.index;
    numbers[2] = m->commit;
    numbers[3] = m->match;
    numbers[4] = m->hint.term;
    numbers[5] = m->hint.index;
    numbers[6] = m->probe;
    numbers[7] = m->round;
    numbers[8] = m->sent_ms;
    numbers[9] = is_answer(m->type) ? m->rest_ms : m->lease_ms;
}

/* False: one is too large. */
static bool take_numbers(const uint64_t numbers[FIELD_COUNT], struct raft_message *m)
{
    m->last = (struct entry_id){.term = numbers[0], .index = numbers[1]};
    m->commit = numbers[2];
    m->match = numbers[3];
    m->hint = (struct entry_id){.term = numbers[4], .index = numbers[5]};
    m->probe = numbers[6];
    m->round = numbers[7];
    m->sent_ms = numbers[8];
    *(is_answer(m->type) ? &m->rest_ms : &m->lease_ms) = (uint32_t)numbers[9];
    return numbers[9] <= UINT32_MAX;
}

static void encode_entries(const struct raft_message *m, struct buf *out)
{
    uint32_t count = m->entry_count < LIMIT_APPEND_ENTRIES ? m->entry_count : LIMIT_APPEND_ENTRIES;
    put_varint(out, count);
    raft_term before = m->last.term;
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *e = &m->entries[i];
        CHECK_CMP(e->term, >=, before);
        CHECK_CMP(e->term - before, <=, UINT64_MAX >> ENTRY_TYPE_BITS);
        put_varint(out, ((e->term - before) << ENTRY_TYPE_BITS) | (uint64_t)e->type);
        put_bytes(out, blob_slice(e->payload));
        before = e->term;
    }
}

void wire_encode_message(const struct raft_message *m, struct buf *out)
{
    uint64_t numbers[FIELD_COUNT];
    bool second = is_answer(m->type) ? m->waits : m->transfer;
    list_numbers(m, numbers);
    uint8_t *begin = buf_reserve(out, HEAD_BYTES_MAX);
    uint8_t *at = begin + HEAD_FIXED_BYTES;
    uint16_t mask = 0;
    begin[0] = (uint8_t)m->type;
    begin[1] = (uint8_t)((m->reject ? FLAG_REJECT : 0) | (second ? FLAG_TRANSFER : 0) |
                         (m->bulk ? FLAG_BULK : 0) | (m->recovering ? FLAG_RECOVERING : 0));
    store_u64(begin + 4, m->from);
    store_u64(begin + 12, m->to);
    at = store_varint(at, m->term);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (numbers[i] != 0) {
            mask = (uint16_t)(mask | 1u << i);
            at = store_varint(at, numbers[i]);
        }
    }
    store_u16(begin + 2, mask);
    out->size += (size_t)(at - begin);
    if (m->type == RAFT_MSG_APPEND) {
        encode_entries(m, out);
    } else {
        CHECK_CMP(m->entry_count, ==, 0);
    }
}

static void release_entries(struct wire_decoder *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        blob_unref(d->entries[i].payload);
    }
    d->count = 0;
}

void wire_decoder_deinit(struct wire_decoder *d)
{
    release_entries(d);
    mem_free(d->entries);
    *d = (struct wire_decoder){0};
}

static bool decode_entry(struct reader *in, raft_term before, struct raft_entry *e)
{
    uint64_t head = get_varint(in);
    struct slice payload = get_bytes(in);
    uint64_t type = head & ENTRY_TYPE_MASK;
    uint64_t step = head >> ENTRY_TYPE_BITS;
    if (!reader_ok(in) || type > RAFT_ENTRY_CONFIG || step > UINT64_MAX - before ||
        payload.size > LIMIT_ENTRY_BYTES) {
        in->bad = true;
        return false;
    }
    *e = (struct raft_entry){
        .term = before + step,
        .type = (enum raft_entry_type)type,
        .payload = payload.size > 0 ? blob_copy(payload) : NULL,
    };
    return true;
}

static void decode_entries(struct wire_decoder *d, struct reader *in)
{
    uint64_t count = get_varint(in);
    /* Every entry takes two bytes or more. */
    if (!reader_ok(in) || count > LIMIT_APPEND_ENTRIES || count > reader_left(in) / 2) {
        in->bad = true;
        return;
    }
    if (count > d->capacity) {
        d->entries = mem_realloc(d->entries, (size_t)count * sizeof(d->entries[0]));
        d->capacity = (uint32_t)count;
    }
    raft_term before = d->message.last.term;
    while (d->count < count && decode_entry(in, before, &d->entries[d->count])) {
        before = d->entries[d->count].term;
        d->count++;
    }
    d->message.entries = d->entries;
    d->message.entry_count = d->count;
}

static void decode_numbers(struct reader *in, struct raft_message *m)
{
    uint64_t numbers[FIELD_COUNT] = {0};
    uint16_t mask = get_u16(in);
    m->from = get_u64(in);
    m->to = get_u64(in);
    m->term = get_varint(in);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (mask & (1u << i)) {
            numbers[i] = get_varint(in);
            in->bad |= numbers[i] == 0;
        }
    }
    in->bad |= mask >> FIELD_COUNT != 0 || m->from == 0 || m->to == 0 || !take_numbers(numbers, m);
}

enum status wire_decode_message(struct wire_decoder *d, struct slice bytes)
{
    release_entries(d);
    struct reader in = reader_of(bytes);
    uint8_t type = get_u8(&in);
    uint8_t flags = get_u8(&in);
    bool second = (flags & FLAG_TRANSFER) != 0;
    bool answers = is_answer((enum raft_message_type)type);
    d->message = (struct raft_message){
        .type = (enum raft_message_type)type,
        .reject = (flags & FLAG_REJECT) != 0,
        .transfer = second && !answers,
        .waits = second && answers,
        .bulk = (flags & FLAG_BULK) != 0,
        .recovering = (flags & FLAG_RECOVERING) != 0,
    };
    in.bad |= type < RAFT_MSG_PREVOTE || type > RAFT_MSG_TRANSFER_REQUEST || flags > FLAGS_ALL;
    decode_numbers(&in, &d->message);
    if (type == RAFT_MSG_APPEND && reader_ok(&in)) {
        decode_entries(d, &in);
    }
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

enum { HELLO_FLAG_LEADS = 1, HELLO_FLAG_JOINS = 2, HELLO_FLAGS_ALL = 3 };

void wire_encode_hello(const struct peer_hello *h, struct buf *out)
{
    put_name(out, h->name);
    put_uuid(out, h->incarnation);
    put_uuid(out, h->boot);
    put_u64(out, h->boots);
    put_u8(out, (uint8_t)h->phase);
    put_u8(out, (uint8_t)h->founders);
    put_u8(out, (uint8_t)((h->leads ? HELLO_FLAG_LEADS : 0) | (h->joins ? HELLO_FLAG_JOINS : 0)));
    put_u64(out, h->term);
    put_u32(out, h->priority);
    put_url(out, h->advertise);
    put_url(out, h->dialled);
    roster_encode(&h->roster, out);
}

enum status wire_decode_hello(struct slice bytes, struct peer_hello *h)
{
    *h = (struct peer_hello){0};
    struct reader in = reader_of(bytes);
    get_name(&in, h->name);
    h->incarnation = get_uuid(&in);
    h->boot = get_uuid(&in);
    h->boots = get_u64(&in);
    uint8_t phase = get_u8(&in);
    h->founders = get_u8(&in);
    uint8_t flags = get_u8(&in);
    h->term = get_u64(&in);
    h->priority = get_u32(&in);
    get_url(&in, h->advertise);
    get_url(&in, h->dialled);
    roster_decode(&in, &h->roster);
    bool sound = reader_done(&in) && phase <= FOUNDING_FOUNDED && flags <= HELLO_FLAGS_ALL &&
                 h->founders <= LIMIT_MEMBERS && !uuid_is_zero(h->incarnation) &&
                 !uuid_is_zero(h->boot) && (phase == FOUNDING_FRESH) == (h->roster.count == 0) &&
                 (phase == FOUNDING_FRESH || (flags & HELLO_FLAG_JOINS) == 0);
    if (!sound) {
        *h = (struct peer_hello){0};
        return STATUS_CORRUPT;
    }
    h->phase = (enum founding_phase)phase;
    h->leads = (flags & HELLO_FLAG_LEADS) != 0;
    h->joins = (flags & HELLO_FLAG_JOINS) != 0;
    return STATUS_OK;
}
