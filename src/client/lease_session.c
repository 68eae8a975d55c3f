#include "client/lease_session.h"

#include "base/check.h"
#include "base/mem.h"
#include "client/gateway.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* After a keep-alive that was not answered. */
#define RETRY_MS 100

struct lease_session {
    struct client *client; /* of the caller's thread: grant and revoke */
    struct client *keeper; /* of the keeper's */
    uint64_t id;
    uint64_t ttl_s;
    int lost_fd; /* a timer: the lease may be gone from then on */
    int stop_fd; /* readable: the keeper ends */
    pthread_t thread;
    uint64_t deadline_ms; /* what lost_fd is set to; the keeper's */
    atomic_bool is_gone;
};

/* A machine that sleeps does not keep its leases: its sleep counts. */
static uint64_t now_ms(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_BOOTTIME, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void set_deadline(struct lease_session *s, uint64_t deadline_ms)
{
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(deadline_ms / 1000),
                                               .tv_nsec = (long)(deadline_ms % 1000) * 1000000}};
    CHECK(timerfd_settime(s->lost_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
    s->deadline_ms = deadline_ms;
}

static json_t *body_of(const struct lease_session *s)
{
    return json_pack("{s:o}", "ID", gateway_number(s->id));
}

/* --- keeping alive ---------------------------------------------------------------------------- */

/* *sent_ms is when the answered keep-alive was sent at the earliest. OK with *ttl_s 0: the lease is
 * gone. */
static enum status keep_alive(const struct lease_session *s, struct client *c, uint64_t *ttl_s,
                              struct client_answer *a)
{
    enum status status = gateway_call(c, "/v3/lease/keepalive", body_of(s), s->stop_fd, a);
    const json_t *result = json_object_get(a->json, "result");
    if (status == STATUS_OK && result == NULL) {
        return STATUS_TIMEOUT; /* the answer's only line is an error */
    }
    *ttl_s = status == STATUS_OK ? gateway_read_number(result, "TTL") : 0;
    return status;
}

/* False: the session stops. */
static bool pause_until(const struct lease_session *s, uint64_t until_ms)
{
    uint64_t now = now_ms();
    struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};
    return poll(&p, 1, now < until_ms ? (int)(until_ms - now) : 0) <= 0;
}

static void *run_keeper(void *context)
{
    struct lease_session *s = context;
    uint64_t third_ms = s->ttl_s * 1000 / 3;
    uint64_t next_ms = s->deadline_ms - 2 * third_ms;
    while (pause_until(s, next_ms)) {
        struct client_answer a = {0};
        uint64_t sent_ms = now_ms();
        uint64_t ttl_s;
        enum status status = keep_alive(s, s->keeper, &ttl_s, &a);
        client_answer_deinit(&a);
        if (now_ms() >= s->deadline_ms) {
            return NULL; /* an answer that comes so late changes nothing: it counts as lost */
        }
        if (status == STATUS_OK && ttl_s == 0) {
            atomic_store(&s->is_gone, true);
            set_deadline(s, now_ms());
            return NULL;
        }
        if (status == STATUS_OK) {
            set_deadline(s, sent_ms + ttl_s * 1000);
        }
        next_ms = status == STATUS_OK ? sent_ms + third_ms : now_ms() + RETRY_MS;
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

/* The id is ours, so that a grant that is repeated is found done. */
static enum status grant(struct lease_session *s, uint32_t ttl_s, struct client_answer *a)
{
    CHECK(sodium_init() >= 0);
    randombytes_buf(&s->id, sizeof(s->id));
    s->id = (s->id >> 1) | 1; /* a positive number */
    json_t *body =
        json_pack("{s:o,s:o}", "ID", gateway_number(s->id), "TTL", gateway_number(ttl_s));
    enum status status = gateway_call(s->client, "/v3/lease/grant", body, 0, a);
    bool is_done =
        status == STATUS_INVALID && strcmp(a->error, "etcdserver: lease already exists") == 0;
    return is_done ? STATUS_OK : status;
}

static void destroy(struct lease_session *s)
{
    client_destroy(s->client);
    if (s->keeper != NULL) {
        client_destroy(s->keeper);
    }
    close(s->lost_fd);
    close(s->stop_fd);
    mem_free(s);
}

/* The first keep-alive also tells the TTL, whichever of several grants it was that counted. */
static enum status begin(struct lease_session *s, const struct client_options *options,
                         uint32_t ttl_s, struct client_answer *a)
{
    enum status status = grant(s, ttl_s, a);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t sent_ms = now_ms();
    status = keep_alive(s, s->client, &s->ttl_s, a);
    if (status != STATUS_OK || s->ttl_s == 0) {
        return status != STATUS_OK ? status : STATUS_TIMEOUT;
    }
    set_deadline(s, sent_ms + s->ttl_s * 1000);
    struct client_options keeper = *options;
    keeper.timeout_ms = (uint32_t)(s->ttl_s * 1000 / 3);
    s->keeper = client_create(&keeper);
    CHECK(pthread_create(&s->thread, NULL, run_keeper, s) == 0);
    return STATUS_OK;
}

enum status lease_session_open(const struct client_options *options, uint32_t ttl_s,
                               struct lease_session **session, struct client_answer *a)
{
    struct lease_session *s = mem_calloc(1, sizeof(*s));
    s->client = client_create(options);
    s->lost_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    s->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(s->lost_fd > 0 && s->stop_fd > 0);
    enum status status = begin(s, options, ttl_s, a);
    if (status != STATUS_OK) {
        destroy(s);
        return status;
    }
    *session = s;
    return STATUS_OK;
}

enum status lease_session_close(struct lease_session *s, bool revoke, struct client_answer *a)
{
    uint64_t one = 1;
    CHECK(write(s->stop_fd, &one, sizeof(one)) == sizeof(one));
    CHECK(pthread_join(s->thread, NULL) == 0);
    enum status status = STATUS_OK;
    if (revoke) {
        status = gateway_call(s->client, "/v3/lease/revoke", body_of(s), 0, a);
        bool is_done = status == STATUS_UNSUPPORTED &&
                       strcmp(a->error, "etcdserver: requested lease not found") == 0;
        status = is_done ? STATUS_OK : status;
    }
    destroy(s);
    return status;
}

uint64_t lease_session_id(const struct lease_session *s)
{
    return s->id;
}

uint32_t lease_session_ttl_s(const struct lease_session *s)
{
    return (uint32_t)s->ttl_s;
}

int lease_session_lost_fd(const struct lease_session *s)
{
    return s->lost_fd;
}

bool lease_session_is_gone(const struct lease_session *s)
{
    return atomic_load(&s->is_gone);
}
