/* client_leases.c - what clients ask of leases: T1 to T3 are judged in lease_truth.c. */
#include "base/check.h"
#include "client_request.h"
#include "coverage.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>

/* One that never ends by itself in so short a story. */
#define TTL_LONG_S 1000

static uint64_t lease_of(const struct request *r)
{
    return 1 + r->key % SIM_LEASES;
}

static uint64_t private_lease_of(const struct request *r)
{
    return SIM_PRIVATE_LEASES + request_mark(r) % SIM_LEASES;
}

static uint64_t ttl_of(const struct request *r)
{
    uint32_t number = request_mark(r);
    return number % 16 == 15 ? TTL_LONG_S : number % 4 == 2 ? 2 : 1;
}

void request_lease_command(const struct request *r, struct kv_command *command)
{
    switch (r->kind) {
    case REQUEST_grant:
        *command =
            (struct kv_command){.op = KV_LEASE_GRANT, .lease = lease_of(r), .ttl_s = ttl_of(r)};
        break;
    case REQUEST_revoke:
        *command = (struct kv_command){.op = KV_LEASE_REVOKE, .lease = lease_of(r)};
        break;
    case REQUEST_put_lease:
        command->lease = 1 + request_mark(r) % SIM_LEASES;
        break;
    default:
        command->op = KV_PUT_TTL;
        command->lease = private_lease_of(r);
        command->ttl_s = ttl_of(r);
        break;
    }
}

static void on_answer(struct node_lease_ask *ask)
{
    struct request *r = CONTAINER_OF(ask, struct request, ask);
    verdict_trace("client %" PRIu32 ": lease %" PRIu64 " at member %d: %s", r->client, ask->id,
                  r->member, status_name(ask->status));
    if (ask->status == STATUS_OK || ask->status == STATUS_NO_LEASE) {
        lease_truth_answer(&r->question, ask, r->member);
        request_finish(r);
        return;
    }
    if (r->is_at_leader) {
        coverage_hit(MARK_KEEP_ALIVE_NOT_CONFIRMED);
    }
    request_try_again(r);
}

void request_ask_lease(struct request *r, struct node *n)
{
    bool keeps = r->kind == REQUEST_keep_alive;
    bool is_private = request_mark(r) % 5 == 0;
    r->ask =
        (struct node_lease_ask){.question = keeps ? NODE_LEASE_KEEP_ALIVE : NODE_LEASE_REMAINING,
                                .id = is_private ? private_lease_of(r) : lease_of(r),
                                .done = on_answer};
    r->state = STATE_ASKED;
    lease_truth_ask(&r->question);
    enum status s = node_lease_start(n, &r->ask);
    if (s != STATUS_OK) {
        request_try_again(r);
    }
}
