#include "clients.h"

#include "base/check.h"
#include "base/mem.h"
#include "client_request.h"
#include "configs.h"
#include "coverage.h"
#include "truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRIES_MAX 5

/* --- the end of a request --------------------------------------------------------------------- */

static void start_next(struct clients *c, struct client *client);

void request_finish(struct request *r)
{
    r->state = STATE_DONE;
    struct client *client = &r->all->clients[r->client];
    if (client->busy == r) {
        client->busy = NULL;
    }
}

bool request_is_write(const struct request *r)
{
    switch (r->kind) {
    case REQUEST_swap:
        return r->has_read;
    case REQUEST_put:
    case REQUEST_put_if_absent:
    case REQUEST_put_if_exists:
    case REQUEST_delete:
    case REQUEST_document:
    case REQUEST_txn:
    case REQUEST_grant:
    case REQUEST_revoke:
    case REQUEST_put_lease:
    case REQUEST_put_ttl:
        return true;
    default:
        return false;
    }
}

bool request_is_about_lease(const struct request *r)
{
    return r->kind == REQUEST_keep_alive || r->kind == REQUEST_time_to_live;
}

uint32_t request_mark(const struct request *r)
{
    return r->flags >> REQUEST_MARK_SHIFT;
}

uint64_t request_seed(const struct request *r)
{
    uint64_t number = (uint64_t)request_mark(r) << 8 | r->client;
    return (r->all->schedule->seed ^ 0x706c616e) + number * 0x9e3779b97f4a7c15u;
}

void request_try_again(struct request *r)
{
    struct clients *c = r->all;
    struct client *client = &c->clients[r->client];
    if (++r->tries > TRIES_MAX && !r->must_succeed) {
        request_finish(r);
        return;
    }
    struct node_status status;
    client->leader = (r->member + 1) % (int)c->members->count;
    const struct sim_member *m = &c->members->items[r->member];
    if (m->node != NULL) {
        node_status_get(m->node, &status);
        if (status.leader[0] != '\0' && strcmp(status.leader, status.name) != 0) {
            client->leader = status.leader[5] - '1'; /* "node-3" */
        }
    }
    r->state = STATE_WAITS;
    /* Ever slower, and not all at the same moment: who must succeed must not be what keeps the
     * cluster busy. */
    uint64_t wait_ms = c->schedule->knobs[KNOB_election_ms] / 5 + 1;
    if (r->must_succeed) {
        wait_ms <<= r->tries < 5 ? r->tries : 5;
        wait_ms += wait_ms * (r->client % 8) / 8;
    }
    r->again_ms = fake_world_now(c->members->world) + wait_ms;
}

void request_see_revision(struct request *r, uint64_t revision, bool for_all)
{
    struct client *client = &r->all->clients[r->client];
    client->session = revision > client->session ? revision : client->session;
    if (for_all && revision > r->all->floor) {
        r->all->floor = revision;
    }
}

/* --- from item to question -------------------------------------------------------------------- */

/* On the loop of the member. */
static void ask(void *context)
{
    struct request *r = context;
    struct node *n = r->all->members->items[r->member].node;
    if (r->state != STATE_POSTED) {
        return; /* it was given up meanwhile */
    }
    CHECK(n != NULL);
    r->floor = r->all->floor;
    const struct raft *raft = truth.members[r->member].raft;
    r->is_at_leader = raft != NULL && raft_role(raft) == RAFT_LEADER;
    if (request_is_about_lease(r)) {
        request_ask_lease(r, n);
    } else if (request_is_write(r)) {
        request_ask_write(r, n);
    } else {
        request_ask_read(r, n);
    }
}

static int choose_member(const struct request *r)
{
    const struct clients *c = r->all;
    int count = (int)c->members->count;
    int first = c->clients[r->client].leader;
    if (r->only_member >= 0) {
        first = r->only_member;
    } else if (r->flags & REQUEST_ANYWHERE ||
               (!request_is_write(r) && r->tries == 0 && r->key % 2 == 0)) {
        first = (int)(request_mark(r) + r->client) % count;
    }
    for (int i = 0; i < count; i++) {
        int member = (first + i) % count;
        if ((c->core >> member & 1) != 0 && c->members->items[member].node != NULL) {
            return member;
        }
    }
    return -1;
}

static void post(struct request *r)
{
    struct clients *c = r->all;
    r->member = choose_member(r);
    if (r->member < 0) {
        r->member = 0;
        request_try_again(r);
        return;
    }
    r->state = STATE_POSTED;
    r->begun_ms = fake_world_now(c->members->world);
    fake_process_post(c->members->items[r->member].loop, ask, r);
}

static struct request *new_request(struct clients *c, uint32_t client)
{
    CHECK_CMP(c->count, <, c->capacity);
    struct request *r = &c->requests[c->count++];
    *r = (struct request){.all = c, .client = client, .only_member = -1, .state = STATE_WAITS};
    return r;
}

static void start_next(struct clients *c, struct client *client)
{
    if (client->busy == NULL && client->queue_next < client->queue_count) {
        client->busy = &c->requests[client->queue[client->queue_next++]];
        post(client->busy);
    }
}

void clients_take(struct clients *c, const struct item *item)
{
    CHECK(item->a < SIM_CLIENTS_MAX && item->b < REQUEST_COUNT);
    struct client *client = &c->clients[item->a];
    struct request *r = new_request(c, item->a);
    r->kind = (enum request_kind)item->b;
    r->key = item->c % SIM_KEYS_MAX;
    r->flags = item->d;
    if (item->d & REQUEST_OPEN_LOOP) {
        post(r);
    } else {
        r->again_ms = UINT64_MAX; /* in its turn */
        client->queue[client->queue_count++] = (uint32_t)(r - c->requests);
        start_next(c, client);
    }
}

static void give_up(struct request *r)
{
    if (r->state == STATE_ASKED && request_is_about_lease(r)) {
        node_lease_cancel(&r->ask);
    } else if (r->state == STATE_ASKED && request_is_write(r)) {
        node_write_cancel(&r->write);
        truth_attempt_ended(r->attempt, ATTEMPT_UNKNOWN);
    } else if (r->state == STATE_ASKED) {
        node_read_cancel(&r->read);
    }
    if (r->must_succeed || (request_is_write(r) &&
                            (r->flags & (REQUEST_KEYED | REQUEST_ABANDONED)) == REQUEST_KEYED)) {
        request_try_again(r);
    } else {
        request_finish(r);
    }
}

void clients_tend(struct clients *c)
{
    uint64_t now_ms = fake_world_now(c->members->world);
    uint64_t patience_ms = 3ull * c->schedule->knobs[KNOB_request_ms];
    while (c->first_open < c->count && c->requests[c->first_open].state == STATE_DONE) {
        c->first_open++;
    }
    for (uint32_t i = c->first_open; i < c->count; i++) {
        struct request *r = &c->requests[i];
        if (r->only_member >= 0 && configs_is_removed(&truth.members[r->only_member])) {
            r->must_succeed = false; /* whoever is no member need not answer */
        }
        if (r->state == STATE_WAITS && r->again_ms <= now_ms) {
            post(r);
        } else if (r->state == STATE_ASKED && (r->flags & REQUEST_ABANDONED) != 0) {
            coverage_hit(MARK_WRITE_ABANDONED);
            give_up(r);
        } else if ((r->state == STATE_POSTED || r->state == STATE_ASKED) &&
                   now_ms - r->begun_ms > patience_ms) {
            give_up(r);
        }
    }
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        start_next(c, &c->clients[i]);
    }
}

void clients_on_stop(struct clients *c, int member)
{
    for (uint32_t i = c->first_open; i < c->count; i++) {
        struct request *r = &c->requests[i];
        if ((r->state == STATE_POSTED || r->state == STATE_ASKED) && r->member == member) {
            give_up(r);
        }
    }
}

void clients_finish(struct clients *c, uint32_t core)
{
    c->core = core;
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) { /* what was not begun stays so */
        struct client *client = &c->clients[i];
        while (client->queue_next < client->queue_count) {
            c->requests[client->queue[client->queue_next++]].state = STATE_DONE;
        }
    }
    for (uint32_t i = 0; i < c->schedule->knobs[KNOB_clients]; i++) {
        struct request *r = new_request(c, i);
        r->kind = REQUEST_put;
        r->key = i % SIM_KEYS_MAX;
        r->must_succeed = true;
    }
    for (int i = 0; i < (int)c->members->count; i++) {
        if ((core >> i & 1) != 0) {
            struct request *r = new_request(c, 0);
            r->kind = REQUEST_get;
            r->only_member = i;
            r->must_succeed = true;
        }
    }
}

bool clients_are_done(const struct clients *c)
{
    for (uint32_t i = c->first_open; i < c->count; i++) {
        if (c->requests[i].state != STATE_DONE) {
            return false;
        }
    }
    return true;
}

void clients_explain(const struct clients *c, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = c->first_open; i < c->count; i++) {
        const struct request *r = &c->requests[i];
        if (r->state != STATE_DONE) {
            snprintf(text, size,
                     "request %" PRIu32 " of client %" PRIu32 " (kind %d, state %d) at "
                     "member %d, tried %" PRIu32 " times",
                     i, r->client, (int)r->kind, (int)r->state, r->member, r->tries);
            return;
        }
    }
}

struct clients *clients_create(const struct schedule *s, struct sim_members *members)
{
    struct clients *c = mem_calloc(1, sizeof(*c));
    c->schedule = s;
    c->members = members;
    c->core = UINT32_MAX;
    c->capacity = s->item_count + 2 * (SIM_CLIENTS_MAX + SIM_MEMBERS_MAX);
    c->requests = mem_calloc(c->capacity, sizeof(*c->requests));
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        c->clients[i].queue = mem_calloc(s->item_count + 1, sizeof(uint32_t));
    }
    return c;
}

void clients_destroy(struct clients *c)
{
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        mem_free(c->clients[i].queue);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        buf_deinit(&c->requests[i].answer);
    }
    mem_free(c->requests);
    mem_free(c);
}
