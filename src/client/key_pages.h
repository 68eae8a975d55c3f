/* client/key_pages.h - a listing of any length, a page at a time, all of one revision. */
#pragma once

#include "client/client.h"

struct key_pages_options {
    const char *prefix; /* "" = all keys */
    bool values;
    const char *delimiter;   /* NULL = none */
    const char *consistency; /* NULL = the server's default */
};

struct key_pages {
    struct client *client; /* borrowed */
    struct key_pages_options options;
    struct buf after;  /* where the next page begins; empty when there is none */
    uint64_t revision; /* that all pages show; 0 before the first */
    bool is_begun;
};

/* Everything in `options` is borrowed. */
void key_pages_init(struct key_pages *p, struct client *c, const struct key_pages_options *options);
void key_pages_deinit(struct key_pages *p);
/* True until the last page was fetched. */
bool key_pages_has_more(const struct key_pages *p);
/* Fetch the next page; *items is a JSON array of {key, revision, value?} and {prefix}, borrowed
 * from `a`, for json_text_next. Statuses of client_call; CORRUPT: what was answered is no listing.
 * `r` is what was asked, for client_explain. */
enum status MUST_CHECK key_pages_fetch(struct key_pages *p, struct client_request *r,
                                       struct client_answer *a, struct slice *items);
