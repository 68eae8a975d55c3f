/* api/feed.h - what happens in the cluster, observed by this member, for GET /live and GET /events.
 *
 * One timer for all streams, a tick every FEED_TICK_MS while there is any stream, and none
 * otherwise. A tick looks at this member, now and then asks the others (node_survey_start), makes
 * events of what has changed, and hands out: events at once, pages once a second, a tenth of them a
 * tick. What is handed out is rendered once and referred to by all.
 *
 * A reader that has not taken what it got last gets nothing new, and after LIMIT_LIVE_LATE_MS of
 * that it is closed. So a stream costs its connection and its struct, however slow it is.
 *
 * feed.c observes and keeps the events; live.c has the pages, events.c the listeners. */
#pragma once

#include "api/rest.h"
#include "base/blob.h"

#include <stdbool.h>
#include <stdint.h>

#define FEED_TICK_MS     100
#define FEED_SLOTS       10  /* ticks of a second */
#define FEED_EVENTS      256 /* kept for listeners that are late or come back */
#define FEED_ID_BYTES    8   /* of a session: hex digits */
#define FEED_IDS_TOLD    20  /* of the sessions that began or ended in one tick; others count */
#define FEED_ELECTIONS   3
#define FEED_LIVE_IDS    200 /* sessions that a page lists; others count */
#define FEED_LIVE_EVENTS 12  /* events that a page lists */

struct feed_event {
    uint64_t number;
    struct blob *text; /* as /events sends it; owned */
    struct slice data; /* its JSON, part of `text` */
    bool is_news;      /* shown on pages: neither load nor sessions */
};

/* Sessions that began, or ended, since the last tick. */
struct feed_sessions {
    uint32_t count;
    char ids[FEED_IDS_TOLD][FEED_ID_BYTES + 1];
};

struct feed {
    struct api *api;
    struct timer timer;
    uint32_t streams; /* pages and listeners; 0 = the timer stands */
    uint64_t ticks;

    /* Event n is at n % FEED_EVENTS; numbers begin with 1. `life` changes when nobody watched. */
    struct feed_event events[FEED_EVENTS];
    uint64_t next_number;
    char life[FEED_ID_BYTES + 1];

    struct list pages; /* all, the newest last */
    struct list slots[FEED_SLOTS];
    uint32_t page_count;
    uint32_t next_slot;
    struct list listeners;
    struct feed_sessions began;
    struct feed_sessions ended;

    /* What was seen last. */
    const char *role; /* static or NULL */
    uint64_t term;
    char leader[LIMIT_NAME_BYTES + 1];
    uint64_t elections[FEED_ELECTIONS];
    uint32_t connections;
    uint64_t requests;     /* a second */
    uint32_t member_count; /* 0 = nobody was asked yet */
    struct node_survey_item members[LIMIT_MEMBERS];
    struct node_survey survey;
    bool surveys;
};

struct feed *feed_create(struct api *api);
/* All streams must be gone. */
void feed_destroy(struct feed *f);

/* A stream begins. False: it was answered that it may not. */
bool feed_join(struct feed *f, struct http_request *r);
void feed_leave(struct feed *f);
/* Eight hex digits by chance. */
void feed_make_id(struct feed *f, char id[FEED_ID_BYTES + 1]);
/* The state as the fields of an object: who this is, members, load. */
void feed_print_state(struct feed *f, struct json_writer *w);
/* True when a stream may be written to; false when it is to be left out this time, or was closed
 * for having been left out for too long: then `c` is gone. *late_since is the tick of the first
 * time + 1; 0 = it is on time. */
bool feed_may_write(struct feed *f, struct call *c, uint64_t *late_since);

/* --- live.c ----------------------------------------------------------------------------------- */

/* Hand the update out to the pages whose turn it is. */
void live_serve(struct feed *f);
void live_end_all(struct feed *f);

/* live_page.c: the page before and after the own session's id. */
extern const char live_page_head[];
extern const char live_page_tail[];

/* --- events.c --------------------------------------------------------------------------------- */

void events_serve(struct feed *f);
void events_end_all(struct feed *f);
