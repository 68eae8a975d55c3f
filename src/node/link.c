#include "node/link.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void on_open(struct conn *c);
static void on_data(struct conn *c, struct slice data);
static void on_drain(struct conn *c);
static void on_close(struct conn *c, enum status why);
static void on_deadline(struct timer *t);

static const struct conn_events conn_table = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_end = NULL,
    .on_close = on_close,
};

/* --- birth and death -------------------------------------------------------------------------- */

static struct link *create(const struct link_setup *setup)
{
    struct link *l = mem_calloc(1, sizeof(*l));
    l->events = setup->events;
    l->context = setup->context;
    l->loop = setup->loop;
    l->secret_key = setup->secret_key;
    l->heard_ms = l->loop->ops->now_ms(l->loop);
    l->spoke_ms = l->heard_ms;
    list_init(&l->node);
    l->deadline = (struct timer){.fire = on_deadline, .context = l};
    l->loop->ops->timer_start(l->loop, &l->deadline, l->heard_ms + LIMIT_PEER_HANDSHAKE_MS);
    return l;
}

static void destroy(struct link *l)
{
    CHECK(l->state == LINK_ENDED);
    buf_deinit(&l->in);
    buf_deinit(&l->out);
    frame_joiner_deinit(&l->joiner);
    mem_free(l);
}

/* From here on the connection only goes away; on_close frees the link. */
static void finish(struct link *l)
{
    CHECK(l->state != LINK_ENDED);
    l->state = LINK_ENDED;
    l->loop->ops->timer_stop(l->loop, &l->deadline);
    sodium_memzero(&l->seal_in, sizeof(l->seal_in));
    sodium_memzero(&l->seal_out, sizeof(l->seal_out));
}

/* What was written still leaves: a hello under another secret tells the other side what is wrong.
 *  */
static void end(struct link *l, enum link_end why)
{
    finish(l);
    l->events->on_end(l, why);
    l->loop->ops->conn_close(l->conn, true);
}

void link_close(struct link *l, enum frame_bye why)
{
    if (why != 0 && l->state >= LINK_GREETING) {
        uint8_t byte = (uint8_t)why;
        link_send(l, &(struct frame){.type = FRAME_BYE,
                                     .flags = FRAME_FIRST | FRAME_LAST,
                                     .payload = slice_of(&byte, 1)});
    }
    finish(l);
    l->loop->ops->conn_close(l->conn, true);
}

void link_reset(struct link *l)
{
    finish(l);
    l->loop->ops->conn_close(l->conn, false);
}

static void on_close(struct conn *c, enum status why)
{
    struct link *l = c->context;
    if (l->state != LINK_ENDED) {
        enum link_end end = l->state == LINK_DIALLING ? LINK_UNREACHABLE : LINK_CLOSED;
        const char *text = status_text(why);
        /* The other side may refuse our certificate only after it has taken our request. */
        if (c->tls != NULL && c->tls->trouble != NULL && l->state <= LINK_UPGRADING) {
            end = LINK_BAD_TLS;
            text = c->tls->trouble;
        }
        finish(l);
        snprintf(l->detail, sizeof(l->detail), "%s", text);
        l->events->on_end(l, end);
    }
    destroy(l);
}

static void on_deadline(struct timer *t)
{
    end(t->context, LINK_SILENT);
}

/* --- openings --------------------------------------------------------------------------------- */

static void send_opening(struct link *l)
{
    struct frame_opening o = {
        .version = FRAME_VERSION,
        .lane = l->dialled ? l->lane : LANE_RAFT,
        .keyed = l->secret_key != NULL,
        .dialler = l->dialled,
        .number = l->number,
    };
    l->loop->ops->random(l->loop, o.nonce, sizeof(o.nonce));
    opening_encode(&o, l->opening);
    l->loop->ops->conn_write(l->conn, slice_of(l->opening, sizeof(l->opening)));
    l->state = LINK_OPENING;
}

static void derive_keys(struct link *l, const uint8_t theirs[OPENING_BYTES])
{
    if (l->secret_key == NULL) {
        return;
    }
    struct frame_seal *dialler = l->dialled ? &l->seal_out : &l->seal_in;
    struct frame_seal *acceptor = l->dialled ? &l->seal_in : &l->seal_out;
    frame_link_keys(l->secret_key, l->dialled ? l->opening : theirs,
                    l->dialled ? theirs : l->opening, dialler->key, acceptor->key);
    l->seal_in.keyed = true;
    l->seal_out.keyed = true;
    l->secret_key = NULL;
}

/* The acceptor learns lane and number from the dialler and names none itself; both are covered by
 * the keys, as parts of the dialler's opening. */
static bool take_opening(struct link *l, struct slice bytes, size_t *used)
{
    struct frame_opening o;
    *used = 0;
    switch (opening_decode(bytes, &o)) {
    case STATUS_OK:
        break;
    case STATUS_BUSY:
        return false;
    case STATUS_UNSUPPORTED:
        snprintf(l->detail, sizeof(l->detail), "it speaks peer protocol %u, this one %u", o.version,
                 (unsigned)FRAME_VERSION);
        end(l, LINK_BAD_VERSION);
        return false;
    default:
        end(l, LINK_NOT_MEMBER);
        return false;
    }
    bool keyed = l->secret_key != NULL;
    if (o.keyed != keyed) {
        end(l, keyed ? LINK_SECRET_HERE : LINK_SECRET_THERE);
        return false;
    }
    bool echoes = l->dialled && (o.lane != LANE_RAFT || o.number != 0);
    if (o.dialler == l->dialled || echoes) {
        end(l, LINK_BAD_FRAME);
        return false;
    }
    if (!l->dialled) {
        l->lane = o.lane;
        l->number = o.number;
    }
    derive_keys(l, bytes.data);
    *used = OPENING_BYTES;
    l->state = LINK_GREETING;
    l->events->on_greeting(l);
    return l->state != LINK_ENDED;
}

/* --- the HTTP upgrade ------------------------------------------------------------------------- */

static void on_open(struct conn *c)
{
    struct link *l = c->context;
    if (l->state == LINK_ENDED) {
        return;
    }
    bool v6 = strchr(l->address.host, ':') != NULL;
    buf_clear(&l->out);
    buf_printf(&l->out,
               "GET /peer HTTP/1.1\r\nHost: %s%s%s:%u\r\nConnection: Upgrade\r\n"
               "Upgrade: " FRAME_UPGRADE "\r\n\r\n",
               v6 ? "[" : "", l->address.host, v6 ? "]" : "", l->address.port);
    l->loop->ops->conn_write(c, buf_slice(&l->out));
    buf_clear(&l->out);
    l->state = LINK_UPGRADING;
}

/* The value of a header in `head`, which ends in an empty line; false: not there. */
static bool find_header(struct slice head, const char *name, struct slice *value)
{
    size_t name_size = strlen(name);
    const char *at = (const char *)head.data;
    const char *stop = at + head.size;
    for (;;) {
        at = memmem(at, (size_t)(stop - at), "\r\n", 2);
        if (at == NULL || (at += 2) == stop) {
            return false;
        }
        const char *line_end = memmem(at, (size_t)(stop - at), "\r\n", 2);
        if (line_end == NULL) {
            return false;
        }
        size_t size = (size_t)(line_end - at);
        if (size <= name_size || strncasecmp(at, name, name_size) != 0 || at[name_size] != ':') {
            continue;
        }
        at += name_size + 1;
        at += strspn(at, " \t");
        while (line_end > at && (line_end[-1] == ' ' || line_end[-1] == '\t')) {
            line_end--;
        }
        *value = slice_of(at, (size_t)(line_end - at));
        return true;
    }
}

static bool is_upgrade(struct slice value)
{
    return value.size == strlen(FRAME_UPGRADE) &&
           strncasecmp((const char *)value.data, FRAME_UPGRADE, value.size) == 0;
}

/* `head` is the answer up to and with its empty line. */
static bool check_answer(struct link *l, struct slice head)
{
    static const char upgraded[] = "HTTP/1.1 101";
    static const char http[] = "HTTP/1.";
    struct slice protocol = {0};
    bool named = find_header(head, "Upgrade", &protocol);
    bool ours = named && is_upgrade(protocol);
    size_t size = strlen(upgraded);
    bool accepted = head.size > size && memcmp(head.data, upgraded, size) == 0 &&
                    (head.data[size] == ' ' || head.data[size] == '\r');
    if (accepted && ours) {
        return true;
    }
    /* A member of another version refuses, and names its own. */
    bool member = named && slice_has_prefix(protocol, slice_str("conclave-peer/"));
    if (member && !ours) {
        snprintf(l->detail, sizeof(l->detail), "it speaks %.*s", (int)protocol.size,
                 (const char *)protocol.data);
        end(l, LINK_BAD_VERSION);
    } else {
        if (slice_has_prefix(head, slice_str(http)) && head.size > 12) {
            snprintf(l->detail, sizeof(l->detail), "it answers HTTP %.3s",
                     (const char *)head.data + 9);
        }
        end(l, LINK_NOT_MEMBER);
    }
    return false;
}

static bool take_answer(struct link *l, struct slice bytes, size_t *used)
{
    *used = 0;
    size_t window = bytes.size < LIMIT_PEER_ANSWER_BYTES ? bytes.size : LIMIT_PEER_ANSWER_BYTES;
    const uint8_t *tail = memmem(bytes.data, window, "\r\n\r\n", 4);
    if (tail == NULL) {
        static const char begin[] = "HTTP/1.1 ";
        size_t common = window < strlen(begin) ? window : strlen(begin);
        if (window == LIMIT_PEER_ANSWER_BYTES || memcmp(bytes.data, begin, common) != 0) {
            end(l, LINK_NOT_MEMBER);
        }
        return false;
    }
    size_t size = (size_t)(tail + 4 - bytes.data);
    if (!check_answer(l, slice_of(bytes.data, size))) {
        return false;
    }
    *used = size;
    send_opening(l);
    return true;
}

/* --- frames ----------------------------------------------------------------------------------- */

void link_send(struct link *l, const struct frame *f)
{
    CHECK(l->state == LINK_GREETING || l->state == LINK_UP);
    buf_clear(&l->out);
    frame_write(&l->seal_out, f, &l->out);
    l->loop->ops->conn_write(l->conn, buf_slice(&l->out));
    l->spoke_ms = l->loop->ops->now_ms(l->loop);
}

size_t link_unsent(const struct link *l)
{
    return l->loop->ops->conn_unsent(l->conn);
}

/* A member may not become another one in mid-link. */
static bool is_same_member(const struct peer_hello *a, const struct peer_hello *b)
{
    return strcmp(a->name, b->name) == 0 && uuid_equal(a->incarnation, b->incarnation) &&
           uuid_equal(a->boot, b->boot);
}

static void take_hello(struct link *l, struct slice message)
{
    struct peer_hello hello;
    bool first = l->state == LINK_GREETING;
    if (wire_decode_hello(message, &hello) != STATUS_OK ||
        (!first && !is_same_member(&l->hello, &hello))) {
        end(l, LINK_BAD_FRAME);
        return;
    }
    l->hello = hello;
    if (first) {
        l->state = LINK_UP;
        l->loop->ops->timer_stop(l->loop, &l->deadline);
        conn_favour(l->conn);
    }
    l->events->on_hello(l, first);
}

static void take_bye(struct link *l, struct slice message)
{
    if (message.size != 1) {
        end(l, LINK_BAD_FRAME);
        return;
    }
    switch (message.data[0]) {
    case BYE_DUPLICATE:
        end(l, LINK_DUPLICATE);
        return;
    case BYE_REFUSED:
        end(l, LINK_REFUSED);
        return;
    default:
        end(l, LINK_BAD_FRAME);
    }
}

static void take_message(struct link *l, uint8_t type, struct slice message)
{
    bool greeting = l->state == LINK_GREETING;
    switch (type) {
    case FRAME_HELLO:
        take_hello(l, message);
        return;
    case FRAME_BYE:
        take_bye(l, message);
        return;
    case FRAME_PING:
        if (greeting || message.size > 0) {
            end(l, LINK_BAD_FRAME);
        }
        return;
    case FRAME_RAFT:
    case FRAME_NOTE:
    case FRAME_SNAPSHOT_OFFER:
    case FRAME_SNAPSHOT_PIECE:
    case FRAME_SNAPSHOT_WANT:
        if (greeting) {
            end(l, LINK_BAD_FRAME);
            return;
        }
        l->events->on_message(l, type, message);
        return;
    default:
        end(l, LINK_BAD_FRAME);
    }
}

static bool take_frame(struct link *l, struct slice bytes, size_t *used)
{
    struct frame f;
    enum status read = frame_read(&l->seal_in, bytes, &f, used);
    if (read != STATUS_OK) {
        bool secret = l->state == LINK_GREETING && l->seal_in.keyed && read == STATUS_DENIED;
        end(l, secret ? LINK_BAD_SECRET : LINK_BAD_FRAME);
        return false;
    }
    if (*used == 0) {
        return false;
    }
    struct slice message;
    bool complete;
    /* Who has not said hello may not make us keep pieces. */
    if ((l->state == LINK_GREETING && f.stream != 0) ||
        frame_join(&l->joiner, &f, &message, &complete) != STATUS_OK) {
        end(l, LINK_BAD_FRAME);
        return false;
    }
    l->heard_ms = l->loop->ops->now_ms(l->loop);
    if (complete) {
        take_message(l, f.type, message);
    }
    return l->state != LINK_ENDED;
}

/* One step; false: the link ended or more bytes are needed. */
static bool take(struct link *l, struct slice bytes, size_t *used)
{
    switch (l->state) {
    case LINK_UPGRADING:
        return take_answer(l, bytes, used);
    case LINK_OPENING:
        return take_opening(l, bytes, used);
    case LINK_GREETING:
    case LINK_UP:
        return take_frame(l, bytes, used);
    case LINK_DIALLING:
    case LINK_ENDED:
        break;
    }
    *used = 0;
    return false;
}

static size_t take_all(struct link *l, struct slice bytes)
{
    size_t done = 0;
    size_t used = 0;
    while (done < bytes.size && take(l, slice_of(bytes.data + done, bytes.size - done), &used)) {
        done += used;
    }
    return done;
}

/* Straight from the connection's bytes when nothing is left over from before. What is left over is
 * less than a frame (or than an HTTP answer may have). */
void link_feed(struct link *l, struct slice bytes)
{
    if (l->state == LINK_ENDED || bytes.size == 0) {
        return;
    }
    if (l->in.size == 0) {
        size_t done = take_all(l, bytes);
        buf_append(&l->in, bytes.data + done, bytes.size - done);
        return;
    }
    buf_append_slice(&l->in, bytes);
    buf_consume(&l->in, take_all(l, buf_slice(&l->in)));
}

static void on_data(struct conn *c, struct slice data)
{
    link_feed(c->context, data);
}

static void on_drain(struct conn *c)
{
    struct link *l = c->context;
    if (l->state == LINK_UP) {
        l->events->on_drain(l);
    }
}

/* --- the two ways to begin -------------------------------------------------------------------- */

struct link *link_dial(const struct link_setup *setup, const char *url, enum link_lane lane,
                       uint32_t number)
{
    struct link *l = create(setup);
    CHECK(url_parse(url, &l->address, NULL) == STATUS_OK);
    CHECK(l->address.is_tls == (l->loop->ops->dial_tls != NULL));
    snprintf(l->url, sizeof(l->url), "%s", url);
    l->dialled = true;
    l->lane = lane;
    l->number = number;
    l->state = LINK_DIALLING;
    l->conn = url_dial(l->loop, &l->address, LOOP_PEER_PROTOCOL, &conn_table, l);
    return l;
}

struct link *link_accept(const struct link_setup *setup, struct conn *c)
{
    struct link *l = create(setup);
    l->conn = c;
    c->events = &conn_table;
    c->context = l;
    send_opening(l);
    return l;
}

const char *link_end_text(enum link_end why)
{
    switch (why) {
    case LINK_UNREACHABLE:
        return "cannot connect";
    case LINK_BAD_TLS:
        return "no TLS with it";
    case LINK_CLOSED:
        return "it closed the connection";
    case LINK_SILENT:
        return "no answer";
    case LINK_NOT_MEMBER:
        return "not a Conclave member";
    case LINK_BAD_VERSION:
        return "wrong protocol version";
    case LINK_BAD_SECRET:
        return "wrong secret";
    case LINK_SECRET_HERE:
        return "this side uses a cluster secret and the other one does not";
    case LINK_SECRET_THERE:
        return "the other side uses a cluster secret and this one does not";
    case LINK_BAD_FRAME:
        return "damaged or forged bytes";
    case LINK_REFUSED:
        return "it belongs to another cluster or does not know this member";
    case LINK_DUPLICATE:
        return "it has another connection with this member";
    }
    return "unknown";
}
