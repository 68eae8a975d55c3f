/* client_request.h - inside of the clients: one request and its life; clients.c has the order of
 * things, client_writes.c, client_reads.c and client_leases.c what is asked and what is checked. */
#pragma once

#include "clients.h"
#include "lease_truth.h"
#include "plans.h"
#include "requests.h"

enum request_state { STATE_WAITS, STATE_POSTED, STATE_ASKED, STATE_DONE };

struct request {
    struct clients *all;
    uint32_t client;
    enum request_kind kind;
    uint32_t key;
    uint32_t flags;
    enum request_state state;
    bool must_succeed; /* one of clients_finish */
    int only_member;   /* -1 = whichever */
    uint32_t tries;
    uint64_t again_ms; /* WAITS: when */
    uint64_t begun_ms;
    int member; /* asked */
    bool is_at_leader;
    uint64_t floor;
    uint64_t swap_revision; /* swap: what the read before it saw */
    bool has_read;
    uint32_t attempt;
    bool has_attempt; /* keyed: the same one in every try */
    uint32_t voters;  /* bits of those that voted when it was asked */
    struct node_write write;
    struct node_read read;
    struct node_lease_ask ask;
    struct lease_question question;
    struct buf answer; /* of a transaction */
};

struct client {
    struct request *busy; /* closed loop */
    uint32_t *queue;      /* requests that wait for their turn, by number; owned */
    uint32_t queue_count;
    uint32_t queue_next;
    int leader; /* as it believes */
    uint64_t session;
};

struct clients {
    const struct schedule *schedule;
    struct sim_members *members;
    struct client clients[SIM_CLIENTS_MAX];
    struct request *requests; /* owned; they stay where they are */
    uint32_t count;
    uint32_t capacity;
    uint32_t first_open; /* all before it are done */
    uint64_t floor;      /* the highest revision that anybody was told of */
    uint32_t core;       /* bits of members that may be asked */
};

void request_finish(struct request *r);
/* Nothing was done: ask again, perhaps somebody else. */
void request_try_again(struct request *r);
/* A client was told of a revision; `for_all`: nobody may see less from now on. */
void request_see_revision(struct request *r, uint64_t revision, bool for_all);
/* What it is in its turn: a swap reads first. */
bool request_is_write(const struct request *r);
bool request_is_about_lease(const struct request *r);
/* What is drawn of it. */
uint64_t request_seed(const struct request *r);
/* A number of its own, of the schedule. */
uint32_t request_mark(const struct request *r);

void request_ask_write(struct request *r, struct node *n);
void request_ask_read(struct request *r, struct node *n);
/* Keep-alives and how long a lease has. */
void request_ask_lease(struct request *r, struct node *n);
/* What a grant, a revoke, a put with a lease asks for. */
void request_lease_command(const struct request *r, struct kv_command *command);
