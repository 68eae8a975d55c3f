#include "client/followers.h"

#include "base/mem.h"

#include <string.h>
#include <unistd.h>

/* Members that died within this time are found out by asking them. */
#define REMEMBERED_MS 1000
/* Between tries while there is no leader. */
#define RETRY_MS      50

void followers_init(struct followers *f, struct client *c, uint32_t timeout_ms)
{
    *f = (struct followers){.client = c, .timeout_ms = timeout_ms};
    rng_init(&f->rng, client_now_ms() ^ (uint64_t)getpid() << 32);
}

static void forget(struct followers *f)
{
    while (f->count > 0) {
        mem_free(f->urls[--f->count]);
    }
    f->asked_ms = 0;
}

void followers_deinit(struct followers *f)
{
    forget(f);
}

/* --- who follows ------------------------------------------------------------------------------ */

static bool is_role(const json_t *member, const char *role)
{
    const char *text = json_string_value(json_object_get(member, "role"));
    return json_is_true(json_object_get(member, "online")) && text != NULL &&
           strcmp(text, role) == 0;
}

static void add(struct followers *f, const json_t *member)
{
    const char *url = json_string_value(json_object_get(member, "url"));
    if (url != NULL && f->count < LIMIT_MEMBERS) {
        f->urls[f->count++] = mem_strdup(url);
    }
}

static enum status ask_who_follows(struct followers *f, struct client_answer *a)
{
    const struct client_request who = {.method = "GET", .target = "/cluster"};
    forget(f);
    enum status status = client_call(f->client, &who, a);
    if (status != STATUS_OK) {
        return status;
    }
    const json_t *members = json_object_get(a->json, "cluster");
    bool is_alone = json_array_size(members) == 1;
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        if (is_role(member, "follower") || (is_alone && is_role(member, "leader"))) {
            add(f, member);
        }
    }
    f->asked_ms = client_now_ms();
    return STATUS_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_no_answer(enum status s)
{
    return s == STATUS_UNREACHABLE || s == STATUS_CLOSED || s == STATUS_TIMEOUT;
}

static void leave_out(struct followers *f, uint32_t i)
{
    mem_free(f->urls[i]);
    f->urls[i] = f->urls[--f->count];
}

/* Somebody who followed when the list was made may lead now. */
static bool is_outdated(const struct client_answer *a, uint32_t followers)
{
    const char *role = client_answer_string(a, "nodeRole");
    return followers > 1 && role != NULL && strcmp(role, "follower") != 0;
}

static enum status read_at_one(struct followers *f, const struct client_request *r,
                               struct client_answer *a)
{
    while (f->count > 0) {
        uint32_t chosen = (uint32_t)rng_below(&f->rng, f->count);
        enum status status = client_ask(f->urls[chosen], r, f->timeout_ms, a);
        if (!is_no_answer(status) && !is_outdated(a, f->count)) {
            return status;
        }
        leave_out(f, chosen);
    }
    return STATUS_UNREACHABLE;
}

static enum status read_once(struct followers *f, const struct client_request *r,
                             struct client_answer *a)
{
    bool is_fresh = false;
    if (f->count == 0 || client_now_ms() - f->asked_ms >= REMEMBERED_MS) {
        enum status status = ask_who_follows(f, a);
        if (status != STATUS_OK) {
            return status;
        }
        is_fresh = true;
    }
    enum status status = read_at_one(f, r, a);
    if (status == STATUS_UNREACHABLE && !is_fresh) {
        status = ask_who_follows(f, a);
        status = status == STATUS_OK ? read_at_one(f, r, a) : status;
    }
    return status;
}

/* A follower answers so while a leader is being elected, or when it has too much to do. */
static bool is_passing(enum status s)
{
    return s == STATUS_NOT_LEADER || s == STATUS_NO_QUORUM || s == STATUS_BEHIND ||
           s == STATUS_OVERLOADED;
}

enum status followers_read(struct followers *f, const struct client_request *r,
                           struct client_answer *a)
{
    uint64_t deadline_ms = client_now_ms() + f->timeout_ms;
    enum status status = read_once(f, r, a);
    while (is_passing(status) && client_now_ms() + RETRY_MS < deadline_ms) {
        client_sleep_ms(RETRY_MS);
        status = read_once(f, r, a);
    }
    return status;
}
