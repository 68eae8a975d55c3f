/* cmd/bench_user.h - in whose name `bench` asks: a token, got before the load and renewed. */
#pragma once

#include "cmd/options.h"
#include "load/load_run.h"

#include <stdbool.h>

/* A token is renewed after so long; a cluster may take ours for half an hour. */
#define BENCH_TOKEN_S 600

/* Zero-initialised is nobody. Of one run; `plan` has its token here. */
struct bench_user {
    const struct options *options;
    struct load_plan *plan;
    char *token;
    char *next; /* the thread's, until it is done */
    struct work renewal;
    bool is_renewing;
    uint32_t age_s; /* of the token, in ticks */
    uint64_t errors;
};

/* Log in, where the flags name a user and the cluster asks for one. An exit code; what is wrong was
 * said. The options are those of a client's verb. */
int bench_user_begin(struct bench_user *u, const struct options *o, struct load_plan *plan);
/* Once a second on the loop, with the errors so far: a token that is old, or has maybe just become
 * useless, is renewed beside the loop. */
void bench_user_tick(struct bench_user *u, struct loop *loop, uint64_t errors);
/* After the loop has ended. */
void bench_user_end(struct bench_user *u);
