/* kv/kv_image.h - the whole state as bytes: for snapshots, backups and other members (rule S1).
 *
 * An image is of exactly one moment: the store as it was when the export began, with its history
 * down to the compaction floor, the times of its changes, leases, the retry table and the digest.
 * The store goes on changing meanwhile; what the export still needs is held back from being freed
 * (its memory is bounded by what is superseded during the walk). One export at a time.
 *
 * Deterministic: members with equal state write equal images, byte for byte. A version is in
 * front; docs/DATA_DIR.md has the bytes. */
#pragma once

#include "base/buf.h"
#include "kv/kv.h"

struct kv_export;
/* NULL: one is under way. The store must outlive it; applying commands between steps is fine. */
struct kv_export *kv_export_begin(struct kv *kv);
/* Append about `bytes` more to `out` (in whole items, so perhaps a value more, or nothing after a
 * few hundred skipped ones: work is bounded by both); false = that was the end. */
bool kv_export_step(struct kv_export *e, struct buf *out, size_t bytes);
/* Lets go what was held. Also before the end. NULL is fine. */
void kv_export_end(struct kv_export *e);

struct kv_import;
/* Builds a store of its own, from pieces of any size. */
struct kv_import *kv_import_begin(void);
/* OK; CORRUPT; UNSUPPORTED: of a newer version. */
enum status MUST_CHECK kv_import_add(struct kv_import *i, struct slice bytes);
/* OK and the store, owned by the caller, when the image was whole and the digest in it is that of
 * what was built; CORRUPT otherwise. The import is gone in any case. */
enum status MUST_CHECK kv_import_finish(struct kv_import *i, struct kv **kv);
void kv_import_abort(struct kv_import *i);

/* For a backup that becomes a new cluster: the revision goes up by `by` > 0, and everything before
 * is compacted, so that no client ever sees one twice. Keys keep the revisions of their own, their
 * order and versions; the retry table is emptied. No export may be under way. */
void kv_raise_revision(struct kv *kv, uint64_t by);

/* Each becomes what the other was; pointers to them stay, and cursors on them go on in the other
 * content. No export of either is under way. */
void kv_swap(struct kv *a, struct kv *b);
