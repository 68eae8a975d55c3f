/* client/log_pages.h - a part of the log of any length, a page at a time. */
#pragma once

#include "client/client.h"

struct log_pages_options {
    uint64_t from;           /* the first index; 0 = so that the newest is the last */
    uint64_t limit;          /* entries, of all pages together; at least 1 */
    const char *consistency; /* NULL = the server's default */
};

struct log_pages {
    struct client *client; /* borrowed */
    struct log_pages_options options;
    uint64_t next; /* where the next page begins; 0 = the end of the log decides */
    uint64_t left; /* entries that are still wanted; 0 = that was all */
};

/* Everything in `options` is borrowed. Nothing is to be freed. */
void log_pages_init(struct log_pages *p, struct client *c, const struct log_pages_options *options);
/* True until the last page was fetched. */
bool log_pages_has_more(const struct log_pages *p);
/* Fetch the next page; *entries is a JSON array of {id, term, time, type, key, value, ...},
 * borrowed from `a`, for json_text_next. Statuses of client_call; CORRUPT: what was answered is no
 * log. `r` is what was asked, for client_explain. */
enum status MUST_CHECK log_pages_fetch(struct log_pages *p, struct client_request *r,
                                       struct client_answer *a, struct slice *entries);
