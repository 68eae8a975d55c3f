#include "net/uv_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <sys/uio.h>

#define SPARE_OUTBOX_BYTES (64u * KIB)
#define WRITE_SEGMENTS_MAX 64 /* of one writev */
#define READS_A_LOOK       4  /* at the clock: one costs some of them */
#define DRAINS_A_LOOK      4  /* and are made in any turn */

enum status uv_conn_status(int uv_error)
{
    switch (uv_error) {
    case UV_EOF:
    case UV_EPIPE:
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_ECANCELED:
    case UV_ETIMEDOUT:
        return STATUS_CLOSED;
    default:
        return STATUS_IO;
    }
}

/* --- outboxes --------------------------------------------------------------------------------- */

static struct outbox *acquire_outbox(struct real_loop *l)
{
    struct list *link = list_pop_front(&l->spare_outboxes);
    if (link != NULL) {
        l->spare_outbox_count--;
        return CONTAINER_OF(link, struct outbox, link);
    }
    struct outbox *o = mem_calloc(1, sizeof(*o));
    list_init(&o->link);
    return o;
}

static void free_outbox(struct outbox *o)
{
    buf_deinit(&o->bytes);
    mem_free(o->segments);
    mem_free(o);
}

static void release_outbox(struct real_loop *l, struct outbox *o)
{
    for (uint32_t i = 0; i < o->count; i++) {
        if (o->segments[i].release != NULL) {
            o->segments[i].release(o->segments[i].owner);
        }
    }
    loop_take_unsent(&l->base, o->size);
    o->count = 0;
    o->size = 0;
    o->sent = 0;
    buf_clear(&o->bytes);
    if (l->spare_outbox_count >= SPARE_OUTBOXES_MAX || o->bytes.capacity > SPARE_OUTBOX_BYTES) {
        free_outbox(o);
        return;
    }
    l->spare_outbox_count++;
    list_push_front(&l->spare_outboxes, &o->link);
}

void uv_conn_forget_spare(struct real_loop *l)
{
    struct list *link;
    while ((link = list_pop_front(&l->spare_outboxes)) != NULL) {
        free_outbox(CONTAINER_OF(link, struct outbox, link));
    }
}

static struct segment *add_segment(struct outbox *o)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity > 0 ? 2 * o->capacity : 4;
        o->segments = mem_realloc(o->segments, o->capacity * sizeof(struct segment));
    }
    CHECK(o->segments != NULL);
    struct segment *s = &o->segments[o->count++];
    *s = (struct segment){0};
    return s;
}

/* What is left to send, as libuv wants it; at most `max` pieces. */
static unsigned list_pieces(const struct outbox *o, uv_buf_t *pieces, unsigned max)
{
    unsigned count = 0;
    size_t skip = o->sent;
    for (uint32_t i = 0; i < o->count && count < max; i++) {
        const struct segment *s = &o->segments[i];
        if (skip >= s->size) {
            skip -= s->size;
            continue;
        }
        const uint8_t *data = s->data != NULL ? s->data : o->bytes.data + s->offset;
        pieces[count++] = uv_buf_init((char *)(uintptr_t)(data + skip), (unsigned)(s->size - skip));
        skip = 0;
    }
    return count;
}

/* --- writing ---------------------------------------------------------------------------------- */

static struct outbox *outbox_of(struct real_conn *c)
{
    struct real_loop *l = loop_of_conn(c);
    if (c->pending == NULL) {
        c->pending = acquire_outbox(l);
    }
    if (list_is_empty(&c->dirty)) {
        list_push_back(&l->dirty, &c->dirty);
        uv_turn_begin(l); /* written outside of a turn: the next one sends it */
    }
    return c->pending;
}

static bool takes_writes(const struct real_conn *c)
{
    return c->stage == CONN_OPEN || c->stage == CONN_DIALLING;
}

static void grow(const struct real_conn *c, struct outbox *o, size_t size)
{
    o->size += size;
    loop_add_unsent(c->base.loop, size);
}

void uv_conn_write(struct conn *conn, struct slice bytes)
{
    struct real_conn *c = real_conn_of(conn);
    if (!takes_writes(c) || bytes.size == 0) {
        return;
    }
    struct outbox *o = outbox_of(c);
    struct segment *last = o->count > 0 ? &o->segments[o->count - 1] : NULL;
    if (last == NULL || last->data != NULL) {
        last = add_segment(o);
        last->offset = o->bytes.size;
    }
    buf_append_slice(&o->bytes, bytes);
    last->size += bytes.size;
    grow(c, o, bytes.size);
}

void uv_conn_write_owned(struct conn *conn, struct slice bytes, void (*release)(void *owner),
                         void *owner)
{
    struct real_conn *c = real_conn_of(conn);
    if (!takes_writes(c) || bytes.size == 0) {
        if (release != NULL) {
            release(owner);
        }
        return;
    }
    struct outbox *o = outbox_of(c);
    struct segment *s = add_segment(o);
    *s = (struct segment){
        .data = bytes.data, .size = bytes.size, .release = release, .owner = owner};
    grow(c, o, bytes.size);
}

static size_t count_unsent(const struct real_conn *c)
{
    size_t pending = c->pending != NULL ? c->pending->size - c->pending->sent : 0;
    return pending + uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
}

size_t uv_conn_unsent(const struct conn *conn)
{
    struct real_conn *c = real_conn_of(conn);
    size_t unsent = takes_writes(c) ? count_unsent(c) : 0;
    if (unsent > 0) {
        c->owes_drain = true;
    }
    return unsent;
}

size_t uv_conn_kept(const struct conn *conn)
{
    const struct real_conn *c = (const struct real_conn *)(const void *)conn;
    size_t pending = c->pending != NULL ? c->pending->bytes.capacity : 0;
    return pending + (c->in_flight != NULL ? c->in_flight->bytes.capacity : 0);
}

static void on_all_sent(struct real_conn *c)
{
    if (c->stage == CONN_FLUSHING) {
        uv_linger_start(c);
    } else if (c->owes_drain && c->stage == CONN_OPEN) {
        struct real_loop *l = loop_of_conn(c);
        c->owes_drain = false;
        list_remove(&c->drained);
        list_push_back(&l->drained, &c->drained);
        uv_turn_again(l);
    }
}

static void flush(struct real_conn *c);

static void on_written(uv_write_t *request, int error)
{
    struct real_conn *c = request->data;
    struct real_loop *l = loop_of_conn(c);
    uv_turn_begin(l);
    release_outbox(l, c->in_flight);
    c->in_flight = NULL;
    c->active_ms = l->now_ms;
    if (c->stage == CONN_CLOSING) {
        return;
    }
    if (error != 0) {
        uv_conn_destroy(c, uv_conn_status(error));
    } else if (c->pending == NULL) {
        on_all_sent(c);
    } else if (list_is_empty(&c->dirty)) {
        list_push_back(&l->dirty, &c->dirty);
    }
}

/* The kernel is full: libuv sends the rest when it can. */
static void hand_to_libuv(struct real_conn *c)
{
    struct outbox *o = c->pending;
    uv_buf_t *pieces = mem_alloc(o->count * sizeof(uv_buf_t));
    unsigned count = list_pieces(o, pieces, o->count);
    c->in_flight = o;
    c->pending = NULL;
    o->request.data = c;
    int error = uv_write(&o->request, (uv_stream_t *)&c->tcp, pieces, count, on_written);
    mem_free(pieces);
    if (error != 0) {
        c->in_flight = NULL;
        release_outbox(loop_of_conn(c), o);
        uv_conn_destroy(c, uv_conn_status(error));
    }
}

/* Send what is pending. One writev, unless there are very many pieces. */
static void flush(struct real_conn *c)
{
    if (c->stage == CONN_DIALLING || c->stage == CONN_CLOSING || c->in_flight != NULL) {
        return; /* on_open, or on_written, comes back to it */
    }
    struct outbox *o = c->pending;
    c->active_ms = o != NULL ? loop_of_conn(c)->now_ms : c->active_ms;
    while (o != NULL && o->sent < o->size) {
        uv_buf_t pieces[WRITE_SEGMENTS_MAX];
        unsigned count = list_pieces(o, pieces, WRITE_SEGMENTS_MAX);
        size_t offered = 0;
        for (unsigned i = 0; i < count; i++) {
            offered += pieces[i].len;
        }
        int sent = uv_try_write((uv_stream_t *)&c->tcp, pieces, count);
        if (sent < 0 && sent != UV_EAGAIN) {
            uv_conn_destroy(c, uv_conn_status(sent));
            return;
        }
        o->sent += sent > 0 ? (size_t)sent : 0;
        if (sent < 0 || (size_t)sent < offered) {
            hand_to_libuv(c);
            return;
        }
    }
    if (o != NULL) {
        c->pending = NULL;
        release_outbox(loop_of_conn(c), o);
    }
    on_all_sent(c);
}

void uv_conn_flush_all(struct real_loop *l)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, &l->dirty);
    struct list *link;
    while ((link = list_pop_front(&now)) != NULL) {
        flush(CONTAINER_OF(link, struct real_conn, dirty));
    }
}

void uv_conn_drain_all(struct real_loop *l)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, &l->drained);
    struct list *link;
    for (uint32_t i = 1; (link = list_pop_front(&now)) != NULL; i++) {
        struct real_conn *c = CONTAINER_OF(link, struct real_conn, drained);
        if (c->stage == CONN_OPEN && c->base.events->on_drain != NULL) {
            c->base.events->on_drain(&c->base);
        }
        if (i % DRAINS_A_LOOK == 0 && !list_is_empty(&now) && loop_turn_is_long(&l->base)) {
            list_splice_back(&now, &l->drained); /* who has come meanwhile goes behind */
            list_splice_back(&l->drained, &now);
            uv_turn_again(l);
            return;
        }
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Whether a client has to wait for the next turn: so many have been read in this one, or what they
 * asked took so long, that members would wait for them. */
static bool must_wait(struct real_loop *l, const struct real_conn *c)
{
    if (c->base.is_favoured || !l->in_turn) {
        return false;
    }
    if (!l->is_long && ++l->turn_reads % READS_A_LOOK == 0) {
        l->is_long = loop_turn_is_long(&l->base);
    }
    return l->is_long;
}

/* One buffer for all: what is read is handed over before the next read. None: on_read hears
 * UV_ENOBUFS, and nothing was read. */
static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct real_loop *l = handle->loop->data;
    bool waits = must_wait(l, handle->data);
    *buffer = waits ? uv_buf_init(NULL, 0) : uv_buf_init(l->read_buffer, sizeof(l->read_buffer));
}

static void read_later(struct real_conn *c)
{
    struct real_loop *l = loop_of_conn(c);
    uv_read_stop((uv_stream_t *)&c->tcp);
    list_remove(&c->late);
    list_push_back(&l->late, &c->late);
    uv_turn_again(l);
}

static void on_end_of_stream(struct real_conn *c)
{
    c->has_ended = true;
    if (c->stage == CONN_LINGERING) {
        uv_conn_destroy(c, STATUS_CLOSED);
    } else if (c->stage == CONN_OPEN && c->base.events->on_end != NULL) {
        c->base.events->on_end(&c->base);
    } else if (c->stage == CONN_OPEN) {
        uv_conn_close(&c->base, true);
    }
}

static void discard(struct real_conn *c, size_t size)
{
    c->discarded_bytes += (uint32_t)size;
    if (c->discarded_bytes > LIMIT_CONN_LINGER_BYTES) {
        uv_read_stop((uv_stream_t *)&c->tcp); /* the deadline does the rest */
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct real_conn *c = stream->data;
    if (size == UV_ENOBUFS) {
        read_later(c);
        return;
    }
    uv_turn_begin(loop_of_conn(c));
    c->active_ms = loop_of_conn(c)->now_ms;
    if (size == UV_EOF) {
        on_end_of_stream(c);
    } else if (size < 0) {
        uv_conn_destroy(c, uv_conn_status((int)size));
    } else if (size > 0 && c->stage == CONN_OPEN) {
        c->base.events->on_data(&c->base, slice_of(buffer->base, (size_t)size));
    } else if (size > 0) {
        discard(c, (size_t)size);
    }
}

static bool wants_to_read(const struct real_conn *c)
{
    switch (c->stage) {
    case CONN_OPEN:
        return !c->is_paused && !c->has_ended;
    case CONN_FLUSHING:
    case CONN_LINGERING:
        return !c->has_ended;
    case CONN_DIALLING:
    case CONN_CLOSING:
        break;
    }
    return false;
}

void uv_conn_start_reading(struct real_conn *c)
{
    list_remove(&c->late);
    if (wants_to_read(c)) {
        int error = uv_read_start((uv_stream_t *)&c->tcp, lend_buffer, on_read);
        if (error != 0 && error != UV_EALREADY) {
            uv_conn_destroy(c, uv_conn_status(error));
        }
    }
}

void uv_conn_resume_late(struct real_loop *l)
{
    for (uint32_t i = 0; i < LIMIT_TURN_RESUMED && !list_is_empty(&l->late); i++) {
        uv_conn_start_reading(CONTAINER_OF(l->late.next, struct real_conn, late));
    }
    if (!list_is_empty(&l->late)) {
        uv_turn_again(l);
    }
}

void uv_conn_pause(struct conn *conn, bool paused)
{
    struct real_conn *c = real_conn_of(conn);
    c->is_paused = paused;
    if (c->stage != CONN_OPEN) {
        return;
    }
    if (paused) {
        uv_read_stop((uv_stream_t *)&c->tcp);
    } else {
        uv_conn_start_reading(c);
    }
}

/* --- opening and closing ---------------------------------------------------------------------- */

struct real_conn *uv_conn_create(struct real_loop *l)
{
    struct real_conn *c = mem_calloc(1, sizeof(*c));
    c->base.loop = &l->base;
    list_init(&c->dirty);
    list_init(&c->drained);
    list_init(&c->late);
    list_push_back(&l->conns, &c->link);
    l->open_handles++;
    CHECK(uv_tcp_init(&l->uv, &c->tcp) == 0);
    c->tcp.data = c;
    return c;
}

void uv_conn_opened(struct real_conn *c)
{
    uv_tcp_nodelay(&c->tcp, 1);
    struct sockaddr_storage address;
    int size = sizeof(address);
    if (c->base.remote[0] == '\0' &&
        uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &size) == 0) {
        uv_write_address(&address, c->base.remote, sizeof(c->base.remote), true);
    }
    size = sizeof(address);
    if (uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&address, &size) == 0) {
        uv_write_address(&address, c->base.local_host, sizeof(c->base.local_host), false);
    }
    if (c->pending != NULL && list_is_empty(&c->dirty)) { /* written while it dialled */
        list_push_back(&loop_of_conn(c)->dirty, &c->dirty);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct real_conn *c = handle->data;
    struct real_loop *l = loop_of_conn(c);
    uv_turn_begin(l);
    CHECK(c->in_flight == NULL);
    if (c->pending != NULL) {
        release_outbox(l, c->pending);
        c->pending = NULL;
    }
    if (c->base.events != NULL) {
        c->base.events->on_close(&c->base, c->why);
    }
    uv_dial_forget(c);
    list_remove(&c->link);
    mem_free(c);
    uv_handle_closed(l);
}

/* True: stage was open enough that a uv_close is needed, and it is for the caller to call. */
static bool begin_closing(struct real_conn *c, enum status why)
{
    if (c->stage == CONN_CLOSING) {
        return false;
    }
    bool retrying = c->stage == CONN_DIALLING && uv_is_closing((uv_handle_t *)&c->tcp);
    uv_dial_abandon(c);
    c->stage = CONN_CLOSING;
    c->why = why;
    list_remove(&c->dirty);
    list_remove(&c->drained);
    list_remove(&c->late);
    timer_heap_stop(&loop_of_conn(c)->timers, &c->linger);
    if (c->is_accepted) {
        c->is_accepted = false;
        uv_uncount_accepted(loop_of_conn(c)); /* its descriptor is closed with uv_close */
    }
    return !retrying; /* between two addresses: the retry will find out */
}

void uv_conn_destroy(struct real_conn *c, enum status why)
{
    if (begin_closing(c, why)) {
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
}

void uv_conn_reset(struct real_conn *c)
{
    bool connected = c->stage != CONN_DIALLING;
    if (begin_closing(c, STATUS_CLOSED)) {
        if (!connected || uv_tcp_close_reset(&c->tcp, on_closed) != 0) {
            uv_close((uv_handle_t *)&c->tcp, on_closed);
        }
    }
}

void uv_conn_close(struct conn *conn, bool flush_first)
{
    struct real_conn *c = real_conn_of(conn);
    struct real_loop *l = loop_of_conn(c);
    if (!flush_first || c->stage == CONN_DIALLING) {
        uv_conn_reset(c);
        return;
    }
    if (c->stage != CONN_OPEN) {
        return;
    }
    c->stage = CONN_FLUSHING;
    uv_linger_expect(c);
    if (list_is_empty(&c->dirty)) {
        list_push_back(&l->dirty, &c->dirty);
    }
    uv_turn_begin(l);
    uv_conn_start_reading(c);
}

void uv_conn_close_all(struct real_loop *l)
{
    struct list *link = l->conns.next;
    while (link != &l->conns) {
        struct real_conn *c = CONTAINER_OF(link, struct real_conn, link);
        link = link->next;
        uv_conn_destroy(c, STATUS_CLOSED);
    }
}
