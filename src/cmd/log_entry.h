/* cmd/log_entry.h - an entry of GET /log as text. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

#define LOG_TIME_SIZE 32

struct log_entry {
    struct buf id;
    struct buf term;
    struct buf time_ms; /* empty: it has none */
    struct buf type;
    struct buf key;           /* empty: it has none */
    struct buf revision;      /* of a compaction; empty otherwise */
    struct slice value;       /* its JSON text, borrowed from what was read; empty: it has none */
    char time[LOG_TIME_SIZE]; /* "YYYY-MM-DD HH:MM:SS", local; empty: it has none */
};

/* Read an entry, whatever it is: what is not there, or is no text, is empty. */
void log_entry_read(struct log_entry *e, struct slice json);
void log_entry_deinit(struct log_entry *e);
