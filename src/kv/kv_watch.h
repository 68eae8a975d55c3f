/* kv/kv_watch.h - watches: who wants to know which changes, and what they have been told (I15).
 *
 * The hub stands beside a store and reads its history; the store knows nothing of it. A step of the
 * hub tells watches what was changed since the step before:
 *
 *      history   ---x--x-----x----x--x--x-----x--|  tail
 *                      ^ sweep              ^ front
 *
 * Watches that were told everything are with the front; an index from keys to them (watch_index.h)
 * finds those that a change concerns, so that a change costs nothing for the others, however many
 * there are. Watches that begin in the past, or were paused, are carried along by one sweep through
 * the history until it has reached the front. Both move by whole revisions and in bounded steps.
 * A paused watch is with neither: it has a position and costs nothing.
 *
 * What a watch is told: each change of a key in its span from its first revision on that its
 * filters let pass, in order, once; all of one revision in one call. It ends by kv_watch_cancel, or
 * by on_end: never with a gap. When another state takes the place of the store's (kv_swap,
 * kv_raise_revision), all go on from their own positions in its history, or end.
 *
 * One thread. Callbacks come only inside kv_watch_hub_step, _flush and _close. In a callback any
 * watch may be started, paused, resumed or cancelled, its own too (and freed after that); the store
 * must not be changed, and the hub not be stepped or destroyed. */
#pragma once

#include "base/blob.h"
#include "base/list.h"
#include "kv/kv_range.h"

#include <stdbool.h>
#include <stdint.h>

struct kv_watch_hub;
struct watch_front;
struct watch_node;

/* How many encodings of an event may be kept; api/ says which slot is whose (api/watch_encoding.h).
 */
#define KV_EVENT_ENCODINGS 4

/* One change of one key. One and the same object for all watches that are told it in one step. */
struct kv_event {
    uint64_t revision;
    bool is_delete;
    /* What the key was made; of a delete key and revision only, all else is 0 or empty. Borrowed
     * during the call, like `previous`. */
    struct kv_item item;
    /* What it was before, also if the watch does not want it: that is for who encodes to look at.
     */
    bool has_previous; /* false: it was not there, or a compaction took it */
    struct kv_item previous;
    /* Its place among the changes of its revision, from 0, and how many these are. */
    uint32_t place;
    uint32_t place_count;
    /* Encoded once for all who are told it in this step: NULL until the first of them puts a blob
     * there, which the hub then owns. For an encoding of a whole revision the event at place 0
     * has it, and only who is told all place_count events may make or take it. */
    struct blob *encoded[KV_EVENT_ENCODINGS];
};

/* Embedded in its owner's; zero-initialised, then the first block is set. */
struct kv_watch {
    /* Copied by kv_watch_start. */
    struct kv_span span;
    uint64_t start_revision; /* the first that is told; 0 = the one after the store's */
    bool no_puts;
    bool no_deletes;
    bool wants_previous; /* the owner's own note: see struct kv_event */
    /* Events in order, those of a revision together; at least one, at most about LIMIT_WATCH_EVENTS
     * and LIMIT_WATCH_BYTES, or one revision. Borrowed during the call. */
    void (*on_events)(struct kv_watch *w, struct kv_event *const *events, uint32_t count);
    /* NULL = not wanted. It was behind, and now has been told everything. */
    void (*on_in_step)(struct kv_watch *w);
    /* The last call; the hub does not know it any more. COMPACTED: what comes next is gone, and
     * compact_revision is set; CLOSED: kv_watch_hub_close. */
    void (*on_end)(struct kv_watch *w, enum status why);
    void *context;

    uint64_t compact_revision; /* for on_end */

    /* The hub's own. */
    struct kv_watch_hub *hub; /* NULL: not started, or ended */
    uint64_t next_revision;   /* nothing below is told (any more) */
    struct watch_front *with; /* that it goes with; NULL: it waits for the sweep, or is paused */
    bool is_paused;
    struct watch_node *node; /* of the index of `with` */
    struct list node_link;
    struct list link;     /* among those of `with`, or that wait, or are paused */
    struct list due_link; /* of those that have hits */
    uint32_t first_hit;   /* the hub's numbers; 0 = none */
    uint32_t last_hit;
    uint8_t *span_bytes; /* owned: what `span` borrows */
};

/* `kv` must outlive it. */
struct kv_watch_hub *kv_watch_hub_create(const struct kv *kv);
/* No watch is left. NULL is fine. */
void kv_watch_hub_destroy(struct kv_watch_hub *hub);

/* OK, and it will be told by the steps that follow. A start that is compacted already ends it by
 * on_end in the next step. OVERLOADED: there are LIMIT_WATCHES; CLOSED: kv_watch_hub_close was
 * called; INVALID: a bound of the span is longer than LIMIT_KEY_BYTES. Then it was not started. */
enum status MUST_CHECK kv_watch_start(struct kv_watch_hub *hub, struct kv_watch *w);
/* Nothing is called any more, and it may be freed; harmless when it is not started or has ended. */
void kv_watch_cancel(struct kv_watch *w);
/* Nothing is told until kv_watch_resume, which goes on where this left off. Of several events that
 * an on_events call has brought, all count as told. Harmless when it is so already. */
void kv_watch_pause(struct kv_watch *w);
void kv_watch_resume(struct kv_watch *w);

/* All of `w` up to this revision was told, and it is not above the hub's (kv_watch_hub_told). */
uint64_t kv_watch_told(const struct kv_watch *w);
/* It was told everything that the hub has looked at; not so while it is paused or behind. */
bool kv_watch_is_in_step(const struct kv_watch *w);
/* The revision up to which watches that are in step were told. Outside of a step that is the
 * store's, unless more is to do. */
uint64_t kv_watch_hub_told(const struct kv_watch_hub *hub);

/* Tell what is new, and carry those along that are behind; bounded work. True when more is to do.
 * To be called when something was applied, a watch was started or resumed, or this said so. */
bool kv_watch_hub_step(struct kv_watch_hub *hub);
/* The history is about to be compacted: tell first those that are in step what they were not told
 * yet (of a backlog beyond LIMIT_WATCH_FLUSH steps the rest ends with COMPACTED). */
void kv_watch_hub_flush(struct kv_watch_hub *hub);
/* End all watches with CLOSED; none can be started any more. */
void kv_watch_hub_close(struct kv_watch_hub *hub);

struct kv_watch_stats {
    uint64_t watches;
    uint64_t slow;   /* paused or behind */
    uint64_t events; /* told since the start, each as often as it was told */
};
void kv_watch_hub_stats(const struct kv_watch_hub *hub, struct kv_watch_stats *stats);

/* Aborts when an invariant is broken; O(n), for tests. */
void kv_watch_hub_check(const struct kv_watch_hub *hub);
