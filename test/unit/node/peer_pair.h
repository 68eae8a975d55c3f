/* peer_pair.h - members with their links in a fake world, and what they were told, for tests. */
#pragma once

#include "fake_world.h"

#include "base/buf.h"
#include "node/peers.h"

#include <stdbool.h>
#include <stdint.h>

#define PAIR_PORT      4000
#define PAIR_TAKEN_MAX 4096

/* What stands behind the port: the HTTP server's part, or something else. */
enum door_kind { DOOR_UPGRADES, DOOR_SILENT, DOOR_ANSWERS };

struct member {
    struct fake_world *world;
    struct loop *loop;
    struct peers *peers;
    char host[16];
    char url[40];
    struct peer_hello hello;
    enum door_kind door;
    const char *answer; /* DOOR_ANSWERS */
    bool refuses;
    /* What it was told. */
    uint32_t hellos;
    uint32_t downs;
    uint32_t losts;
    uint32_t drops;
    struct peer_hello last_hello;
    uint32_t taken_count;
    uint64_t taken[PAIR_TAKEN_MAX]; /* round of each message, in order of arrival */
    size_t taken_bytes;
    uint32_t notes;
    bool alive;
};

struct pair {
    struct fake_world *world;
    struct member a; /* the lower incarnation */
    struct member b;
};

extern const struct fake_options pair_quiet;

/* A process on a host; `disk` is the first byte of its incarnation, so that a test knows which of
 * two is the lower one. */
void member_boot(struct member *m, struct fake_world *w, const char *host, uint8_t disk,
                 const char *secret);
/* kill -9 */
void member_kill(struct member *m);
void member_dial(struct member *m, const struct member *other);
struct raft_message member_beat(const struct member *from, const struct member *to, uint64_t round);
void member_send_beat(struct member *from, const struct member *to, uint64_t round);
void member_send_append(struct member *from, const struct member *to, uint64_t round, size_t size,
                        bool bulk);
bool member_is_up(const struct member *m, const struct member *other);
/* Why there is no link with the only URL. */
const char *member_trouble(const struct member *m);

void pair_open(struct pair *p, const struct fake_options *options, const char *secret_a,
               const char *secret_b);
/* Both have dialled, and both are up. */
void pair_open_linked(struct pair *p, const struct fake_options *options, const char *secret);
void pair_close(struct pair *p);
/* A setup of cmocka. */
int quieten_log(void **state);
