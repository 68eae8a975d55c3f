/* gate_load.c - requests out, answers in. */
#include "gate_load.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define FRAME_HEAD_BYTES   9
#define MESSAGE_HEAD_BYTES 5
#define WINDOW_BYTES_MORE  0x7fff0000u /* of a connection, on top of the first 65535 */
#define PATIENCE_MS        20000

enum frame_type { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_SETTINGS = 4, FRAME_WINDOW_UPDATE = 8 };
enum frame_flag { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4 };

struct link {
    struct gate_load *load;
    struct conn *conn;
    struct gate_text in;
    struct gate_text out; /* of one call from the loop */
    uint32_t next_id;
    uint32_t opened; /* streams; those of is_stream stay */
    bool has_sent_names;
};

struct gate_load {
    struct gate_world *world;
    const struct gate_plan *plan;
    struct link links[GATE_CONNECTIONS_MAX];
    uint32_t open_count;
    struct gate_text message;
    uint64_t number; /* of the next request */
    uint64_t sent;   /* of this run, like those below */
    uint64_t answered;
    uint64_t target;
    uint64_t messages; /* of all runs */
    uint64_t calls;    /* that ended */
};

/* --- out -------------------------------------------------------------------------------------- */

static void put_frame_head(struct gate_text *b, size_t size, uint8_t type, uint8_t flags,
                           uint32_t id)
{
    const uint8_t head[FRAME_HEAD_BYTES] = {
        (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,      type,       flags,
        (uint8_t)(id >> 24),   (uint8_t)(id >> 16),  (uint8_t)(id >> 8), (uint8_t)id};
    gate_append(b, head, sizeof(head));
}

static void put_text(struct gate_text *b, const char *text)
{
    CHECK_CMP(strlen(text), <, 127);
    gate_append_byte(b, (uint8_t)strlen(text));
    gate_append(b, text, strlen(text));
}

/* The headers of the first call are added to the connection's table, as every client does it; those
 * of later calls refer to it. */
static void put_headers(struct link *k, uint32_t id)
{
    static struct gate_text block;
    block.size = 0;
    const uint8_t fixed[] = {0x83, 0x86}; /* :method POST, :scheme http */
    gate_append(&block, fixed, sizeof(fixed));
    if (!k->has_sent_names) {
        gate_append_byte(&block, 0x44); /* :path */
        put_text(&block, k->load->plan->path);
        gate_append_byte(&block, 0x41); /* :authority */
        put_text(&block, "member:4000");
        gate_append_byte(&block, 0x5f); /* content-type */
        put_text(&block, "application/grpc");
        gate_append_byte(&block, 0x40);
        put_text(&block, "te");
        put_text(&block, "trailers");
        k->has_sent_names = true;
    } else {
        const uint8_t known[] = {0xc1, 0xc0, 0xbf, 0xbe};
        gate_append(&block, known, sizeof(known));
    }
    put_frame_head(&k->out, block.size, FRAME_HEADERS, FLAG_END_HEADERS, id);
    gate_append(&k->out, block.at, block.size);
}

static void put_message(struct link *k, uint32_t id, bool is_last)
{
    struct gate_text *m = &k->load->message;
    m->size = 0;
    k->load->plan->make(m, k->load->number++);
    k->load->sent++;
    put_frame_head(&k->out, MESSAGE_HEAD_BYTES + m->size, FRAME_DATA, is_last ? FLAG_END_STREAM : 0,
                   id);
    const uint8_t head[MESSAGE_HEAD_BYTES] = {0, (uint8_t)(m->size >> 24), (uint8_t)(m->size >> 16),
                                              (uint8_t)(m->size >> 8), (uint8_t)m->size};
    gate_append(&k->out, head, sizeof(head));
    gate_append(&k->out, m->at, m->size);
}

static void begin_call(struct link *k)
{
    uint32_t id = k->next_id;
    k->next_id += 2;
    k->opened++;
    put_headers(k, id);
    put_message(k, id, !k->load->plan->is_stream);
}

static void send_http(struct link *k)
{
    k->load->plan->make(&k->out, k->load->number++);
    k->load->sent++;
}

/* The first request of the stream in a run. */
static void send_first(struct link *k, uint32_t stream)
{
    if (k->load->plan->path == NULL) {
        send_http(k);
    } else if (k->load->plan->is_stream && stream < k->opened) {
        put_message(k, 2 * stream + 1, false);
    } else {
        begin_call(k);
    }
}

static void flush(struct link *k)
{
    if (k->out.size > 0) {
        k->conn->loop->ops->conn_write(k->conn, gate_text_slice(&k->out));
        k->out.size = 0;
    }
}

/* --- in --------------------------------------------------------------------------------------- */

static bool count_answer(struct gate_load *l)
{
    l->answered++;
    CHECK_CMP(l->answered, <=, l->target);
    return l->sent < l->target;
}

/* None of those that are asked for here is longer than a frame. */
static void take_messages(struct link *k, uint32_t id, struct slice data)
{
    struct gate_load *l = k->load;
    while (data.size > 0) {
        CHECK_CMP(data.size, >=, MESSAGE_HEAD_BYTES);
        size_t size = MESSAGE_HEAD_BYTES + ((size_t)data.data[3] << 8 | data.data[4]);
        CHECK_CMP(size, <=, data.size);
        data = slice_of(data.data + size, data.size - size);
        l->messages++;
        if (l->plan->is_stream && l->answered < l->target && count_answer(l)) {
            put_message(k, id, false);
        }
    }
}

static void take_frame(struct link *k, uint8_t type, uint8_t flags, uint32_t id,
                       struct slice payload)
{
    switch (type) {
    case FRAME_DATA:
        take_messages(k, id, payload);
        break;
    case FRAME_HEADERS:
        if ((flags & FLAG_END_STREAM) != 0) {
            /* An error would have come without a message. */
            CHECK(!k->load->plan->is_stream && ++k->load->calls == k->load->messages);
            if (count_answer(k->load)) {
                begin_call(k);
            }
        }
        break;
    case FRAME_SETTINGS:
        if ((flags & FLAG_ACK) == 0) {
            put_frame_head(&k->out, 0, FRAME_SETTINGS, FLAG_ACK, 0);
        }
        break;
    default:
        CHECK(type == FRAME_WINDOW_UPDATE);
    }
}

static void take_frames(struct link *k)
{
    size_t at = 0;
    while (k->in.size - at >= FRAME_HEAD_BYTES) {
        const uint8_t *h = k->in.at + at;
        size_t size = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        if (k->in.size - at < FRAME_HEAD_BYTES + size) {
            break;
        }
        uint32_t id = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
        take_frame(k, h[3], h[4], id, slice_of(h + FRAME_HEAD_BYTES, size));
        at += FRAME_HEAD_BYTES + size;
    }
    k->in.size -= at;
    memmove(k->in.at, k->in.at + at, k->in.size);
}

/* An answer comes whole, as the world does not cut what is written. */
static void take_http(struct link *k)
{
    CHECK(slice_has_prefix(gate_text_slice(&k->in), slice_str("HTTP/1.1 200 OK\r\n")));
    k->in.size = 0;
    if (count_answer(k->load)) {
        send_http(k);
    }
}

static void on_data(struct conn *c, struct slice data)
{
    struct link *k = c->context;
    gate_append(&k->in, data.data, data.size);
    if (k->load->plan->path == NULL) {
        take_http(k);
    } else {
        take_frames(k);
    }
    flush(k);
}

static void on_open(struct conn *c)
{
    struct link *k = c->context;
    k->load->open_count++;
    if (k->load->plan->path != NULL) {
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        gate_append(&k->out, preface, sizeof(preface) - 1);
        put_frame_head(&k->out, 0, FRAME_SETTINGS, 0, 0);
        put_frame_head(&k->out, 4, FRAME_WINDOW_UPDATE, 0, 0);
        const uint8_t more[4] = {WINDOW_BYTES_MORE >> 24, WINDOW_BYTES_MORE >> 16 & 255, 0, 0};
        gate_append(&k->out, more, sizeof(more));
        flush(k);
    }
}

/* When the world ends. */
static void on_close(struct conn *c, enum status why)
{
    (void)c;
    CHECK(why == STATUS_CLOSED);
}

static const struct conn_events events = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

/* --- from outside ----------------------------------------------------------------------------- */

struct gate_load *gate_load_open(struct gate_world *w, const struct gate_plan *plan)
{
    CHECK_CMP(plan->connections, <=, GATE_CONNECTIONS_MAX);
    struct gate_load *l = mem_calloc(1, sizeof(*l));
    l->world = w;
    l->plan = plan;
    for (uint32_t i = 0; i < plan->connections; i++) {
        struct link *k = &l->links[i];
        k->load = l;
        k->next_id = 1;
        k->conn = w->client->ops->dial(w->client, gate_world_leader(w), GATE_PORT, &events, k);
    }
    for (uint32_t ms = 0; l->open_count < plan->connections; ms++) {
        CHECK_CMP(ms, <, PATIENCE_MS);
        fake_world_run(w->world, 1);
    }
    return l;
}

static void send_all_first(void *context)
{
    struct gate_load *l = context;
    for (uint32_t s = 0; s < l->plan->streams; s++) {
        for (uint32_t i = 0; i < l->plan->connections && l->sent < l->target; i++) {
            send_first(&l->links[i], s);
        }
    }
    for (uint32_t i = 0; i < l->plan->connections; i++) {
        flush(&l->links[i]);
    }
}

void gate_load_run(struct gate_load *l, uint64_t count)
{
    l->sent = 0;
    l->answered = 0;
    l->target = count;
    fake_process_post(l->world->client, send_all_first, l);
    for (uint32_t ms = 0; l->answered < count; ms++) {
        CHECK_CMP(ms, <, PATIENCE_MS);
        fake_world_advance(l->world->world, 1);
    }
}

uint64_t gate_load_messages(const struct gate_load *l)
{
    return l->messages;
}

void gate_load_free(struct gate_load *l)
{
    mem_free(l);
}
