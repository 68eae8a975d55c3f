/* cluster/registry.h - the shared files by which members find each other: FILE lists them,
 * FILE.founder says who founds. docs/decisions/0011-registry.md has the reasons.
 *
 * Plain files, for the threads that may block; nothing here decides. FILE is a hint for finding
 * and never the size of a quorum: whoever is a member is in the log. Only FILE.founder is more than
 * a hint: it is made once, by link(2), and never rewritten, so that of any number of starters one
 * founds.
 *
 *   FILE          [{"id": "node-1", "port": 3001, "url": "http://127.0.0.1:3001",
 *                   "joinedAt": "2024-05-04T03:02:01Z", "clusterId": "..."}, ...]
 *   FILE.founder  {"clusterId": "...", "name": "node-1", "incarnation": "..."}
 *   FILE.lock     held (flock) while FILE is replaced */
#pragma once

#include "base/limits.h"
#include "base/status.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define REGISTRY_TIME_SIZE 32

/* The seeds' entries, whose id is a number, and which have neither url nor cluster, are read as
 * "node-N" on this machine. */
struct registry_entry {
    char id[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    uint16_t port;
    char joined_at[REGISTRY_TIME_SIZE];
    struct uuid cluster; /* zero = not told: no proof that it ever was a member */
};

struct registry {
    uint32_t count;
    struct registry_entry entries[LIMIT_REGISTRY_ENTRIES];
};

struct registry_claim {
    struct uuid cluster;
    char name[LIMIT_NAME_BYTES + 1];
    struct uuid incarnation;
};

/* OK, also for an empty file. NOT_FOUND: there is none. CORRUPT: torn, or no list. IO: cannot be
 * read, a directory. *detail, a new string, is set unless OK and NOT_FOUND. Entries beyond
 * LIMIT_REGISTRY_ENTRIES and those that make no sense are passed over. */
enum status MUST_CHECK registry_read(const char *path, struct registry *r, char **detail);
/* Whether the file lists exactly this entry. */
bool registry_has(const struct registry *r, const struct registry_entry *entry);
/* Add the entry, or put it in place of that with its id. A damaged list is begun anew; in a full
 * one the oldest goes. BUSY: somebody holds the lock for longer than `wait_ms`; IO. */
enum status MUST_CHECK registry_put(const char *path, const struct registry_entry *entry,
                                    uint32_t wait_ms, char **detail);

/* OK; NOT_FOUND; CORRUPT; IO. */
enum status MUST_CHECK registry_claim_read(const char *path, struct registry_claim *claim,
                                           char **detail);
/* Make FILE.founder, durably, if there is none. OK: it holds this claim now. CONFLICT: it holds
 * another one. UNSUPPORTED: no hard links there; CORRUPT; IO. `writer` tells the temporary files of
 * several writers apart. */
enum status MUST_CHECK registry_claim_make(const char *path, const struct registry_claim *claim,
                                           struct uuid writer, char **detail);
