/* What a test of the production loop needs: a loop, a log of what happened, and a guard against
 * hanging. */
#pragma once

#include "base/buf.h"
#include "net/loop.h"

#define LOG_MAX 64

/* What happened, one letter each. */
struct story {
    struct loop *loop;
    char log[LOG_MAX];
    size_t size;
    uint32_t turns;
    uint16_t port;
    struct timer guard;
    struct conn *accepted;
    struct buf received;
    enum status why;
    uint64_t bytes;
};

/* Note that something happened. */
void story_tell(struct story *s, char letter);
void story_begin(struct story *s);
/* From inside a callback: let the loop end. */
void story_stop(struct story *s);
/* Run the loop until it is stopped, and take everything down. */
void story_run(struct story *s);
