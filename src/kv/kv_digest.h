/* kv/kv_digest.h - the sums behind kv_digest (rules P15, P15b); only for the files of kv/.
 *
 * The digest is a function of what the outside can see, and compaction makes a million versions
 * unseen at once. So nothing is summed version by version. Two sums say the same, and beside them
 * stand those of the documents, of the leases and of the retry table, which are sums over all there
 * are (which keys a lease has, the versions of those say):
 *
 *   live     over the keys that are there: the newest version of each
 *   history  over the changes from the floor on: what each made, what it superseded, and when
 *
 * A version that can be seen is the newest of its key, and in the first, or was superseded by a
 * change from the floor on, and in the second. The second is kept as a running sum over all changes
 * ever, which every chunk of the history notes at its beginning, less what was before the floor; so
 * moving the floor takes one chunk's changes to be hashed again, however far it goes.
 *
 * The hashes are SipHash-1-3 with 128 bits under a fixed key: as the sum is free of order, a
 * function without its mixing, such as a checksum or a polynomial, would miss two records that
 * swapped a part. It guards against faults, not against forgers, so that the fewer rounds, which
 * hash tables use as well, suffice and halve the cost. A value is hashed once, when it is written,
 * to 64 bits that its version keeps; all else is made from those. */
#pragma once

#include "base/slice.h"
#include "kv/kv.h"

#include <stdint.h>

struct btree_entry;
struct version;
struct retry;
struct document;
struct lease;

void digest_add(struct kv_digest *sum, struct kv_digest d);
void digest_subtract(struct kv_digest *sum, struct kv_digest d);

uint64_t digest_value(struct slice value);
/* A version of `key`; what it superseded is not in it. `value_hash` is digest_value of its value,
 * as the version has it or made anew. */
struct kv_digest digest_version(struct slice key, const struct version *v, uint64_t value_hash);
/* A change made at `time_ms`, from digest_version of what it made and, unless there was none or it
 * was a tombstone, of what it superseded; else that is zero. */
struct kv_digest digest_change(struct kv_digest made, struct kv_digest superseded,
                               uint64_t time_ms);
/* `content_hash` is digest_value of its content, as the document has it or made anew. */
struct kv_digest digest_document(const struct document *d, uint64_t content_hash);
struct kv_digest digest_retry(const struct retry *r);
/* What there is of users and roles, in the bytes of an image (kv_auth_table.h). */
enum digest_auth_part {
    DIGEST_AUTH_HEAD,
    DIGEST_AUTH_USER,
    DIGEST_AUTH_ROLE,
};
struct kv_digest digest_auth(enum digest_auth_part part, struct slice bytes);
struct kv_digest digest_lease(const struct lease *l);
/* How many leases were ever granted. */
struct kv_digest digest_grants(uint64_t grants);
