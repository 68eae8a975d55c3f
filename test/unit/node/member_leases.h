/* member_leases.h - whole members with leases: granting, keeping alive, waiting for ends; shared by
 * the tests of leases. Deadlines are measured by the world's clock. */
#pragma once

#include "member_world.h"

#define ID       77
#define TTL_S    2
#define TTL      (TTL_S * 1000ull)
/* From a deadline until all members have applied the end, nobody being away. */
#define SLACK    300
/* A new leader is there, and has committed something. */
#define FAILOVER (6 * ELECTION_MS)

struct writing {
    struct node_write write;
    uint32_t answers;
};

enum status lease_start_write(struct cluster *c, int i, struct writing *t,
                              const struct kv_command *command);
/* The same, and wait for the answer; what node_write_start refuses is an answer, too. */
enum status lease_write(struct cluster *c, int i, const struct kv_command *command);
void lease_grant(struct cluster *c, int i, uint64_t id, uint64_t ttl_s);
/* Put a key with that lease; 0 = with none. */
void lease_attach(struct cluster *c, int i, const char *key, uint64_t id);

struct asking {
    struct node_lease_ask ask;
    uint32_t answers;
    struct fake_world *world;
    uint64_t answered_ms;
};

enum status lease_start_ask(struct cluster *c, int i, struct asking *t,
                            enum node_lease_question question, uint64_t id);
void lease_wait_for(struct cluster *c, const struct asking *t);
/* Both of them; what node_lease_start refuses is an answer, too. */
struct asking lease_ask(struct cluster *c, int i, enum node_lease_question question, uint64_t id);
struct asking lease_keep_alive(struct cluster *c, int i, uint64_t id);
/* However often that must be asked; when it was answered. */
uint64_t lease_keep_alive_surely(struct cluster *c, int i, uint64_t id);

bool member_has_lease(const struct cluster *c, int i, uint64_t id);
bool member_has_key(const struct cluster *c, int i, const char *key);
/* When the first of the members that run has no such lease any more. */
uint64_t lease_wait_for_end(struct cluster *c, uint64_t id);

int member_other_than(const struct cluster *c, int i);
void member_isolate(struct cluster *c, int i, bool is_cut);
/* Who leads among the others; waits for it. */
int member_new_leader(struct cluster *c, int old);
