/* node/founding.h - from a list of URLs to one cluster, never two: rules G1-G6 of consensus.md
 * (A0).
 *
 * A pure state machine: hellos, promises and completed writes in; "write this identity", "send that
 * note", "exit with these words" out. node.c feeds it and carries out what it says. Nothing is sent
 * that is not durable: an answer waits for founding_on_saved. */
#pragma once

#include "node/peers.h"
#include "node/roster.h"

#include <stdbool.h>
#include <stdint.h>

struct founding;

struct founding_options {
    /* n; 1 = found alone at once */
    uint32_t founders;
    /* Own URL for the roster, or empty: what the peers dialled is taken (with n = 1 nobody dials).
     *  */
    const char *advertise;
    struct uuid boot;
    /* Randomness for the cluster's UUID, drawn once. */
    struct uuid cluster_candidate;
};

struct founding_note {
    struct uuid to;
    enum peer_note kind;
    struct buf body;
};

/* What to do now. Asked for after one or more inputs; borrowed until the next one. What was said is
 * not said again. */
struct founding_output {
    /* Make *identity durable, then call founding_on_saved. Said once; *identity does not change
     * before that call, and nobody may be told of its phase (hello) before it. */
    bool save;
    const struct identity *identity;
    uint32_t note_count;
    const struct founding_note *notes;
    bool founded;      /* identity (durable) has phase FOUNDED: go on as a member */
    const char *fatal; /* rule G6 and the like: exit 2 with these words; NULL = none */
};

/* `identity` is what rule G0 made durable: FRESH or PROMISED. */
struct founding *founding_create(const struct founding_options *options,
                                 const struct identity *identity);
void founding_destroy(struct founding *f);
void founding_on_hello(struct founding *f, const struct peer_hello *hello);
void founding_on_down(struct founding *f, struct uuid peer);
void founding_on_note(struct founding *f, struct uuid from, enum peer_note kind, struct slice body);
void founding_on_saved(struct founding *f);
/* Ask again where an answer is outstanding; every half second or so. */
void founding_on_timer(struct founding *f);
void founding_output(struct founding *f, struct founding_output *out);
/* Who is missing and what is done, one line for a person. */
void founding_text(const struct founding *f, char *text, size_t size);
