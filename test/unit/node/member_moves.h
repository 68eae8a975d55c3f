/* member_moves.h - whole members that join and leave, and writes that go on meanwhile; shared by
 * the tests of membership. */
#pragma once

#include "member_world.h"

#define PATIENCE_MS   20000
#define WRITER_WRITES 4000

struct node_status member_status(const struct cluster *c, int i);
/* The membership as member i has it; until the next call. */
struct node_membership *member_list(const struct cluster *c, int i);
/* The place of member i in it, of two the one that stays; NULL = none. */
const struct node_membership_item *member_item(const struct node_membership *m, int i);
/* As the leader has it; 0 while that is joint or not committed. */
uint32_t cluster_voters(const struct cluster *c);
bool member_votes(const struct cluster *c, int i);
void cluster_wait_for_voters(struct cluster *c, uint32_t count);
/* It ends with that exit code; nobody waits for it from then on. */
void member_wait_for_end(struct cluster *c, int i, int exit_code);
/* One more, started with --join; its number. */
int member_join(struct cluster *c);

struct moved {
    struct node_change change;
    int answers;
};

/* At the leader. */
enum status member_start_change(struct cluster *c, struct moved *t, enum node_change_kind kind,
                                int i);
/* The same, and wait for the answer. */
enum status member_change(struct cluster *c, enum node_change_kind kind, int i);

struct writing {
    struct node_write write;
    char key[32];
    bool pending;
    bool acknowledged;
    uint64_t revision;
};

struct writer {
    struct cluster *c;
    struct writing writes[WRITER_WRITES];
    uint32_t count;
    uint32_t acknowledged;
};

/* Writes at whoever leads; one a cluster. */
struct writer *writer_create(struct cluster *c);
void writer_run(struct writer *w, int ms);
/* Everything that was acknowledged is on every member that is left. */
void writer_expect(const struct writer *w);
void writer_forget(void *context, const struct node *n);
void writer_end(struct writer *w);
