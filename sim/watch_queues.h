/* watch_queues.h - I19: what waits keeps within its bound, and nothing is left when all is done. */
#pragma once

#include "node/node.h"
#include "truth.h"

/* The core of `m`, at the end of a turn. */
void watch_queues_of_core(const struct truth_member *m);
/* Its log in memory, when something was applied. */
void watch_queues_of_log(const struct truth_member *m);
/* The rest, between turns. */
void watch_queues_of_member(const struct node *n, int member);
bool watch_queues_hold_requests(const struct node *n);
/* Nobody waits for anything. */
void watch_queues_are_empty(const struct node *n, int member);
