/* node/roster.h - who a member is and who founded its cluster: rules G0-G6 of consensus.md (A0).
 *
 * Plain data and its encodings: in the data directory (record "identity"), in hello frames, and as
 * the founding configuration at index 0. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

enum founding_phase { FOUNDING_FRESH = 0, FOUNDING_PROMISED = 1, FOUNDING_FOUNDED = 2 };

struct roster_member {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    struct uuid incarnation;
};

/* R of rule G2. Members are sorted by name; names and incarnations are distinct. */
struct roster {
    struct uuid cluster;
    uint32_t count;
    struct roster_member members[LIMIT_MEMBERS];
};

/* Why a data directory may never be used again. */
enum identity_end {
    IDENTITY_GOES_ON = 0,
    IDENTITY_REMOVED = 1,  /* rule C6: its member was removed from the cluster */
    IDENTITY_OLD_COPY = 2, /* rule C7: the others know a later state of it */
    /* A backup was being restored into it (node/restore.h). */
    IDENTITY_UNFINISHED = 3,
};

/* What rule G0 makes durable before any byte goes to a peer. */
struct identity {
    char name[LIMIT_NAME_BYTES + 1];
    struct uuid incarnation;
    struct uuid log_id;
    enum founding_phase phase;
    struct roster roster; /* the founding one, also of a member that joined; count 0 while FRESH */
    uint64_t boots;       /* rule C7: starts of this directory, this one too */
    enum identity_end end;
    uint64_t end_index; /* of the configuration without it (rule C6) */
    /* Of a member that joined, else count 0: the members when it was let in, itself too, and the
     * configuration that did. Where to find the others until its log tells. */
    struct roster joined;
    uint64_t joined_index;
};

bool roster_equal(const struct roster *a, const struct roster *b);
/* The member of that incarnation, or NULL. */
const struct roster_member *roster_find(const struct roster *r, struct uuid incarnation);
const struct roster_member *roster_find_name(const struct roster *r, const char *name);

void roster_encode(const struct roster *r, struct buf *out);
struct reader;
/* Leaves the reader bad for anything that roster_encode does not write. */
void roster_decode(struct reader *in, struct roster *r);

/* The same pieces, for hellos. Lengths of fixed width; a name that is not valid, and an URL with
 * anything but visible ASCII, leave the reader bad. */
void put_uuid(struct buf *out, struct uuid id);
struct uuid get_uuid(struct reader *in);
void put_name(struct buf *out, const char *name);
void get_name(struct reader *in, char name[LIMIT_NAME_BYTES + 1]);
void put_url(struct buf *out, const char *url);
void get_url(struct reader *in, char url[LIMIT_URL_BYTES]);

void identity_encode(const struct identity *id, struct buf *out);
/* OK; CORRUPT; UNSUPPORTED: written by a newer version. */
enum status MUST_CHECK identity_decode(struct slice bytes, struct identity *id);

/* Contract: 1-64 of A-Za-z0-9._-, not starting with a dot. */
bool member_name_is_valid(const char *name);
