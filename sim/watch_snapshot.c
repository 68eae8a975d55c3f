/* watch_snapshot.c - snapshots, watched: what comes out of one is what went in (I16). */
#include "coverage.h"
#include "kv/kv_image.h"
#include "node/frame.h"
#include "node/peers.h"
#include "node/snapshot_wire.h"
#include "odd_state.h"
#include "truth.h"
#include "verdict.h"
#include "wal/snapshot_file.h"
#include "watchers.h"

#include <inttypes.h>

enum status __real_kv_import_finish(struct kv_import *i, struct kv **kv);
enum status __wrap_kv_import_finish(struct kv_import *i, struct kv **kv);
void __real_kv_swap(struct kv *a, struct kv *b);
void __wrap_kv_swap(struct kv *a, struct kv *b);
enum status __real_snapshot_writer_finish(struct snapshot_writer *w, bool verify);
enum status __wrap_snapshot_writer_finish(struct snapshot_writer *w, bool verify);
enum status __real_snapshot_receiver_create(struct disk *disk, const struct snapshot_file *file,
                                            struct snapshot_receiver **receiver, uint64_t *offset);
enum status __wrap_snapshot_receiver_create(struct disk *disk, const struct snapshot_file *file,
                                            struct snapshot_receiver **receiver, uint64_t *offset);
bool __real_peers_send_snapshot(struct peers *p, struct uuid to, uint8_t type, struct slice body);
bool __wrap_peers_send_snapshot(struct peers *p, struct uuid to, uint8_t type, struct slice body);

/* I16: a store out of a snapshot is what the model was at that revision. */
static void check_import(const struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    uint64_t revision = stats.revision;
    bool is_good =
        revision <= model_revision(truth.model) && stats.keys == model_count(truth.model, revision);
    for (uint32_t key = 0; is_good && key < SIM_KEYS_MAX; key++) {
        char name[MODEL_KEY_BYTES];
        struct kv_item item;
        model_key(key, name);
        enum status s = kv_get(kv, slice_str(name), 0, &item);
        is_good =
            model_agrees(truth.model, slice_str(name), revision, s == STATUS_OK ? &item : NULL);
    }
    uint64_t documents = 0;
    is_good = is_good && model_has_documents(truth.model, kv, revision, &documents);
    if (!is_good) {
        verdict_fail("I16", "a snapshot of revision %" PRIu64 " is not what was written", revision);
    }
    if (documents > 0) {
        coverage_hit(MARK_DOCUMENTS_IN_SNAPSHOT);
    }
    truth.imported = (struct imported_store){
        .revision = revision, .compacted = stats.compact_revision, .digest = kv_digest(kv)};
}

enum status __wrap_kv_import_finish(struct kv_import *i, struct kv **kv)
{
    enum status s = __real_kv_import_finish(i, kv);
    if (s == STATUS_OK) {
        check_import(*kv);
    }
    return s;
}

void __wrap_kv_swap(struct kv *a, struct kv *b)
{
    __real_kv_swap(a, b);
    check_import(a);
    odd_state_on_swap(a);
    if (a == truth.members[truth.current].kv) {
        watchers_on_swap();
    }
}

enum status __wrap_snapshot_writer_finish(struct snapshot_writer *w, bool verify)
{
    enum status s = __real_snapshot_writer_finish(w, verify);
    if (s == STATUS_OK) {
        coverage_hit(MARK_SNAPSHOT_TAKEN);
    }
    return s;
}

enum status __wrap_snapshot_receiver_create(struct disk *disk, const struct snapshot_file *file,
                                            struct snapshot_receiver **receiver, uint64_t *offset)
{
    enum status s = __real_snapshot_receiver_create(disk, file, receiver, offset);
    if (s == STATUS_OK) {
        coverage_hit(MARK_TRANSFER_BEGUN);
    }
    return s;
}

/* A follower says where the pieces are to go on. */
bool __wrap_peers_send_snapshot(struct peers *p, struct uuid to, uint8_t type, struct slice body)
{
    struct snapshot_want want;
    if (type == FRAME_SNAPSHOT_WANT && snapshot_want_decode(body, &want) == STATUS_OK &&
        want.answer == SNAPSHOT_FROM && want.offset > 0) {
        coverage_hit(MARK_TRANSFER_RESUMED);
    }
    return __real_peers_send_snapshot(p, to, type, body);
}
