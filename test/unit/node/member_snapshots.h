/* member_snapshots.h - whole members with tiny thresholds and segments, so that their logs are cut
 * behind snapshots soon; shared by the tests of snapshots and backups. */
#pragma once

#include "member_trouble.h"

#define SNAPSHOTS_SEGMENT_BYTES (64u * 1024u)

/* A snapshot every `entries`; nobody runs yet. */
struct cluster *snapshots_create(uint64_t seed, int count, uint64_t entries);
/* The same, and all run. */
struct cluster *snapshots_settled(uint64_t seed, int count, uint64_t entries);

/* Its context is a bool: true from here on. */
void snapshots_on_written(struct node_write *w);
/* At member i, and its answer. */
enum status snapshots_try_put(struct cluster *c, int i, const char *key, struct slice value);
/* At whoever leads, until it is taken. */
void snapshots_put(struct cluster *c, const char *key, struct slice value);
/* value-<i> of key-<i modulo keys>. */
void snapshots_put_numbered(struct cluster *c, int from, int to, int keys);
/* large-<i>, which do not shrink when they are compressed. */
void snapshots_put_large(struct cluster *c, int count, size_t size);

/* All have the same state, and it is sound. */
void snapshots_expect_equal(const struct cluster *c);
void snapshots_expect_stored(const struct cluster *c, int i, const char *key, const char *value);

/* The files of a member. */
struct snapshots_tally {
    uint64_t bytes;
    uint32_t logs;
    uint32_t snapshots;
    uint32_t parts; /* being received */
};

struct snapshots_tally snapshots_tally(const struct cluster *c, int i);
