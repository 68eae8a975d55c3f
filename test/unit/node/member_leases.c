/* member_leases.c - see the header. */
#include "member_leases.h"

#include "kv/kv_lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void on_written(struct node_write *w)
{
    struct writing *t = w->context;
    t->answers++;
}

enum status lease_start_write(struct cluster *c, int i, struct writing *t,
                              const struct kv_command *command)
{
    *t = (struct writing){0};
    t->write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = t};
    return node_write_start(c->members[i].node, &t->write, command);
}

enum status lease_write(struct cluster *c, int i, const struct kv_command *command)
{
    struct writing t;
    enum status s = lease_start_write(c, i, &t, command);
    if (s != STATUS_OK) {
        return s;
    }
    for (int waited = 0; waited < 2 * REQUEST_TIMEOUT_MS && t.answers == 0; waited++) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.answers, 1);
    return t.write.status;
}

void lease_grant(struct cluster *c, int i, uint64_t id, uint64_t ttl_s)
{
    const struct kv_command command = {.op = KV_LEASE_GRANT, .lease = id, .ttl_s = ttl_s};
    assert_int_equal(lease_write(c, i, &command), STATUS_OK);
}

void lease_attach(struct cluster *c, int i, const char *key, uint64_t id)
{
    const struct kv_command command = {
        .op = KV_PUT, .key = slice_str(key), .value = slice_str("1"), .lease = id};
    assert_int_equal(lease_write(c, i, &command), STATUS_OK);
}

static void on_answered(struct node_lease_ask *a)
{
    struct asking *t = a->context;
    t->answers++;
    t->answered_ms = fake_world_now(t->world);
}

enum status lease_start_ask(struct cluster *c, int i, struct asking *t,
                            enum node_lease_question question, uint64_t id)
{
    *t = (struct asking){.world = c->world};
    t->ask =
        (struct node_lease_ask){.question = question, .id = id, .done = on_answered, .context = t};
    enum status s = node_lease_start(c->members[i].node, &t->ask);
    assert_int_equal(t->answers, 0); /* never inside */
    return s;
}

void lease_wait_for(struct cluster *c, const struct asking *t)
{
    for (int waited = 0; waited < 2 * REQUEST_TIMEOUT_MS && t->answers == 0; waited++) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t->answers, 1);
}

struct asking lease_ask(struct cluster *c, int i, enum node_lease_question question, uint64_t id)
{
    static struct asking t;
    enum status s = lease_start_ask(c, i, &t, question, id);
    if (s == STATUS_OK) {
        lease_wait_for(c, &t);
    } else {
        t.ask.status = s;
    }
    return t;
}

struct asking lease_keep_alive(struct cluster *c, int i, uint64_t id)
{
    return lease_ask(c, i, NODE_LEASE_KEEP_ALIVE, id);
}

bool member_has_lease(const struct cluster *c, int i, uint64_t id)
{
    struct kv_lease lease;
    return kv_lease_get(node_kv(c->members[i].node), id, &lease);
}

bool member_has_key(const struct cluster *c, int i, const char *key)
{
    struct kv_item item;
    return kv_get(node_kv(c->members[i].node), slice_str(key), 0, &item) == STATUS_OK;
}

uint64_t lease_wait_for_end(struct cluster *c, uint64_t id)
{
    for (uint64_t waited = 0; waited < 20 * TTL; waited++) {
        for (int i = 0; i < c->count; i++) {
            if (c->members[i].node != NULL && !member_has_lease(c, i, id)) {
                return fake_world_now(c->world);
            }
        }
        fake_world_run(c->world, 1);
    }
    fail_msg("the lease does not end");
    return 0;
}

int member_other_than(const struct cluster *c, int i)
{
    return (i + 1) % c->count;
}

void member_isolate(struct cluster *c, int i, bool is_cut)
{
    for (int k = 0; k < c->count; k++) {
        if (k != i) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[k], is_cut);
            fake_world_cut(c->world, member_hosts[k], member_hosts[i], is_cut);
        }
    }
}

int member_new_leader(struct cluster *c, int old)
{
    for (int waited = 0; waited < 20 * ELECTION_MS; waited++) {
        fake_world_run(c->world, 1);
        for (int i = 0; i < c->count; i++) {
            struct node_status status = {0};
            if (i != old && c->members[i].node != NULL) {
                node_status_get(c->members[i].node, &status);
            }
            if (status.role != NULL && strcmp(status.role, "leader") == 0) {
                return i;
            }
        }
    }
    fail_msg("nobody leads");
    return -1;
}

uint64_t lease_keep_alive_surely(struct cluster *c, int i, uint64_t id)
{
    for (int tries = 0; tries < 200; tries++) {
        struct asking t = lease_keep_alive(c, i, id);
        if (t.ask.status == STATUS_OK) {
            return t.answered_ms;
        }
        assert_int_not_equal(t.ask.status, STATUS_NO_LEASE);
        fake_world_run(c->world, 10);
    }
    fail_msg("the lease cannot be kept alive");
    return 0;
}
