/* The store against its twin: random commands, reads at random revisions, cursors that run while
 * writes go on, compactions. Twice at once: a second store gets the same commands, but frees at
 * other moments, and must not be told apart (rule P16). */
#include "base/mem.h"
#include "base/rng.h"
#include "kv/kv.h"
#include "kv_copy.h"
#include "kv_seeds.h"
#include "kv_twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KEYS       80
#define CURSORS    4
#define STEPS      2500
#define CHECK_EACH 50

struct tracked_cursor {
    bool is_open;
    struct kv_cursor cursor;
    struct buf place; /* where the twin goes on */
    struct buf end;
};

struct model {
    struct rng rng;
    struct kv *kv;
    struct kv *other;
    struct twin twin;
    struct buf keys[KEYS];
    struct tracked_cursor cursors[CURSORS];
    uint64_t time_ms;
    uint64_t puts_percent; /* of the writes; the rest are deletes */
    uint64_t compactions_permille;
    /* An export of `kv` under way, and what the image must be: that of `other` at its beginning,
     * which has freed other things. */
    struct kv_export *export;
    struct buf image;
    struct buf want_image;
    uint64_t images;
};

/* Keys that make trouble: prefixes of one another, zero and 0xff bytes, long shared beginnings. */
static void make_key(struct model *m, struct buf *key)
{
    static const uint8_t bytes[] = {0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xff};
    if (rng_chance(&m->rng, 1, 3)) {
        buf_append_str(key, "/registry/pods/namespace-with-a-long-name/deployment-");
    }
    if (rng_chance(&m->rng, 1, 30)) {
        memset(buf_reserve(key, 4000), 'x', 4000);
        key->size += 4000;
    }
    size_t size = (size_t)rng_between(&m->rng, 1, 12);
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(key, bytes[rng_below(&m->rng, sizeof(bytes))]);
    }
}

static struct slice any_key(struct model *m)
{
    return buf_slice(&m->keys[rng_below(&m->rng, KEYS)]);
}

static uint64_t any_revision(struct model *m)
{
    return rng_below(&m->rng, m->twin.revision + 3);
}

static struct slice any_value(struct model *m, uint8_t *space, size_t capacity)
{
    size_t most = rng_chance(&m->rng, 1, 20) ? capacity : 40;
    size_t size = (size_t)rng_below(&m->rng, most);
    memset(space, (int)rng_below(&m->rng, 256), size);
    return slice_of(space, size);
}

static void assert_item(const struct kv_item *item, const struct twin_change *want)
{
    assert_non_null(want);
    assert_true(slice_equal(item->key, want->key));
    assert_true(slice_equal(item->value, want->value));
    assert_int_equal(item->create_revision, want->create_revision);
    assert_int_equal(item->revision, want->revision);
    assert_int_equal(item->version, want->version);
    assert_int_equal(item->lease, want->lease);
}

static void assert_result(const struct kv_result *got, const struct kv_result *want)
{
    assert_int_equal(got->status, want->status);
    assert_int_equal(got->revision, want->revision);
    assert_int_equal(got->create_revision, want->create_revision);
    assert_int_equal(got->version, want->version);
    assert_int_equal(got->time_ms, want->time_ms);
    assert_int_equal(got->replayed, want->replayed);
    assert_int_equal(got->retry_origin, want->retry_origin);
}

static void apply_everywhere(struct model *m, const struct kv_command *c)
{
    struct buf bytes = {0};
    kv_command_encode(c, &bytes);
    struct kv_command decoded;
    assert_int_equal(kv_command_decode(buf_slice(&bytes), &decoded), STATUS_OK);
    struct kv_result want;
    struct kv_result got;
    struct kv_result got_other;
    twin_apply(&m->twin, c, &want);
    kv_apply(m->kv, &decoded, &got);
    kv_apply(m->other, &decoded, &got_other);
    buf_deinit(&bytes);
    assert_result(&got, &want);
    assert_result(&got_other, &want);
}

/* Rule K2b: few keys and hashes, so that many are used again, after any time. */
static void maybe_add_retry(struct model *m, struct kv_command *c)
{
    static const char *const keys[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
    if (!rng_chance(&m->rng, 1, 3)) {
        return;
    }
    c->retry_key = slice_str(keys[rng_below(&m->rng, 8)]);
    c->retry_hash[rng_below(&m->rng, 2)] = rng_chance(&m->rng, 1, 8);
    c->retry_origin = rng_below(&m->rng, 5);
    m->time_ms += rng_chance(&m->rng, 1, 4) ? rng_below(&m->rng, RETRY_KEPT_MS / 4) : 0;
    c->time_ms = m->time_ms;
}

/* The content is given; every document is told from others by its revision. */
static void write_document(struct model *m)
{
    uint8_t space[6000];
    m->time_ms += rng_below(&m->rng, 100);
    struct kv_command c = {.op = KV_DOCUMENT,
                           .time_ms = m->time_ms - rng_below(&m->rng, 50),
                           .value = any_value(m, space, sizeof(space))};
    maybe_add_retry(m, &c);
    c.retry_hash[0] += c.retry_key.size > 0 ? 2 : 0; /* that of no other kind of request */
    apply_everywhere(m, &c);
}

static void write_something(struct model *m)
{
    uint8_t space[6000];
    struct slice key = any_key(m);
    const struct twin_change *now = twin_find(&m->twin, key, UINT64_MAX);
    m->time_ms += rng_below(&m->rng, 100);
    struct kv_command c = {.op = rng_chance(&m->rng, m->puts_percent, 100) ? KV_PUT : KV_DELETE,
                           .time_ms = m->time_ms - rng_below(&m->rng, 50),
                           .key = key};
    if (rng_chance(&m->rng, 1, 4)) {
        c.condition = (enum kv_condition)rng_below(&m->rng, 4);
    }
    if (c.condition == KV_IF_REVISION) {
        c.condition_revision =
            now != NULL && rng_chance(&m->rng, 2, 3) ? now->revision : any_revision(m);
    }
    if (c.op == KV_PUT) {
        c.value = any_value(m, space, sizeof(space));
    }
    maybe_add_retry(m, &c);
    apply_everywhere(m, &c);
}

static void read_something(struct model *m)
{
    struct slice key = any_key(m);
    uint64_t revision = any_revision(m);
    const struct twin_change *want = NULL;
    enum status status = twin_get(&m->twin, key, revision, &want);
    struct kv_item item;
    assert_int_equal(kv_get(m->kv, key, revision, &item), status);
    if (status == STATUS_OK) {
        assert_item(&item, want);
    }
}

static void close_cursor(struct tracked_cursor *t)
{
    if (t->is_open) {
        kv_cursor_deinit(&t->cursor);
        t->is_open = false;
    }
}

static void open_cursor(struct model *m, struct tracked_cursor *t)
{
    close_cursor(t);
    uint64_t revision = any_revision(m);
    struct slice from = rng_chance(&m->rng, 1, 2) ? any_key(m) : slice_of(NULL, 0);
    struct slice end = rng_chance(&m->rng, 1, 2) ? any_key(m) : slice_of(NULL, 0);
    const struct twin_change *ignored = NULL;
    enum status want = twin_get(&m->twin, slice_str("no such key"), revision, &ignored);
    enum status got = kv_cursor_init(&t->cursor, m->kv, from, end, revision);
    assert_int_equal(got, want == STATUS_NOT_FOUND ? STATUS_OK : want);
    t->is_open = true;
    buf_clear(&t->place);
    buf_append_slice(&t->place, from);
    buf_clear(&t->end);
    buf_append_slice(&t->end, end);
    if (got != STATUS_OK) {
        close_cursor(t);
    }
}

static void seek_cursor(struct model *m, struct tracked_cursor *t)
{
    struct slice key = any_key(m);
    if (slice_compare(key, buf_slice(&t->place)) < 0) {
        return;
    }
    kv_cursor_seek(&t->cursor, key);
    buf_clear(&t->place);
    buf_append_slice(&t->place, key);
}

static void step_cursor(struct model *m, struct tracked_cursor *t)
{
    struct kv_item item;
    enum status got = kv_cursor_next(&t->cursor, &item);
    const struct twin_change *want = twin_next(&m->twin, buf_slice(&t->place), t->cursor.revision);
    if (want != NULL && t->end.size > 0 && slice_compare(want->key, buf_slice(&t->end)) >= 0) {
        want = NULL;
    }
    if (got == STATUS_OK) {
        assert_true(t->cursor.revision >= m->twin.compact_revision);
        assert_item(&item, want);
        buf_clear(&t->place);
        buf_append_slice(&t->place, want->key);
        buf_append_byte(&t->place, 0);
        return;
    }
    if (got == STATUS_COMPACTED) {
        assert_true(t->cursor.revision < m->twin.compact_revision);
    } else {
        assert_int_equal(got, STATUS_NOT_FOUND);
        assert_null(want);
    }
    close_cursor(t);
}

static void use_cursors(struct model *m)
{
    struct tracked_cursor *t = &m->cursors[rng_below(&m->rng, CURSORS)];
    if (!t->is_open) {
        open_cursor(m, t);
        return;
    }
    if (rng_chance(&m->rng, 1, 8)) {
        seek_cursor(m, t);
    }
    step_cursor(m, t);
}

/* The promises of kv_compaction_due, held against the twin. */
static uint64_t ask_for_compaction(struct model *m)
{
    uint64_t age_ms = rng_between(&m->rng, 0, 20000);
    uint64_t bytes = rng_between(&m->rng, 0, 20000);
    uint64_t revision = kv_compaction_due(m->kv, m->time_ms, age_ms, bytes);
    assert_int_equal(kv_compaction_due(m->other, m->time_ms, age_ms, bytes), revision);
    uint64_t history = twin_history_bytes(&m->twin, m->twin.compact_revision);
    if (revision == 0) {
        assert_true(history <= bytes || m->twin.compact_revision == m->twin.revision);
        uint64_t next_ms = twin_time_of(&m->twin, m->twin.compact_revision + 1);
        uint64_t first_ms = m->twin.count > 0 ? m->twin.changes[0].time_ms : 0;
        next_ms = m->twin.compact_revision == 0 ? first_ms : next_ms;
        assert_true(next_ms == 0 || next_ms + age_ms + age_ms / 8 > m->time_ms);
        return 0;
    }
    assert_true(revision > m->twin.compact_revision && revision <= m->twin.revision);
    if (history <= bytes) {
        assert_true(twin_time_of(&m->twin, revision) + age_ms <= m->time_ms);
        uint64_t after_ms = twin_time_of(&m->twin, revision + 1);
        assert_true(after_ms == 0 || after_ms + age_ms > m->time_ms);
    } else if (revision < m->twin.revision) {
        assert_true(twin_history_bytes(&m->twin, revision) <= bytes - bytes / 8);
    }
    return revision;
}

static void compact_something(struct model *m)
{
    uint64_t revision = rng_chance(&m->rng, 1, 2) ? any_revision(m) : ask_for_compaction(m);
    const struct kv_command c = {.op = KV_COMPACT, .time_ms = m->time_ms, .revision = revision};
    apply_everywhere(m, &c);
}

static void assert_documents(struct model *m, const struct kv *kv)
{
    struct kv_document d;
    uint64_t count;
    for (uint64_t i = 0; i < m->twin.document_count; i++) {
        const struct twin_document *want = &m->twin.documents[i];
        assert_true(kv_document_at(kv, i, &d));
        assert_int_equal(d.revision, want->revision);
        assert_int_equal(d.time_ms, want->time_ms);
        assert_true(slice_equal(d.content, want->content));
        assert_int_equal(kv_document_count(kv, d.revision, &count), STATUS_OK);
        assert_int_equal(count, i + 1);
        assert_int_equal(kv_document_count(kv, d.revision - 1, &count), STATUS_OK);
        assert_int_equal(count, i);
    }
    assert_false(kv_document_at(kv, m->twin.document_count, &d));
}

static void assert_stats(struct model *m)
{
    struct kv_stats s;
    struct kv_stats o;
    kv_stats(m->kv, &s);
    kv_stats(m->other, &o);
    assert_int_equal(s.keys, twin_keys(&m->twin));
    assert_int_equal(s.revision, m->twin.revision);
    assert_int_equal(s.compact_revision, m->twin.compact_revision);
    assert_int_equal(s.documents, m->twin.document_count);
    assert_int_equal(s.live_bytes, twin_live_bytes(&m->twin));
    assert_int_equal(s.history_bytes, twin_history_bytes(&m->twin, m->twin.compact_revision));
    assert_int_equal(s.retry_keys, m->twin.retry_count - m->twin.retry_first);
    assert_int_equal(o.retry_keys, s.retry_keys);
    assert_int_equal(o.keys, s.keys);
    assert_int_equal(o.live_bytes, s.live_bytes);
    assert_int_equal(o.history_bytes, s.history_bytes);
    assert_documents(m, m->kv);
    kv_check(m->kv);
    kv_check(m->other);
}

static void dump(const struct kv *kv, uint64_t revision, struct buf *out)
{
    struct kv_cursor c;
    buf_printf(out, "revision %llu\n", (unsigned long long)revision);
    assert_int_equal(kv_cursor_init(&c, kv, slice_of(NULL, 0), slice_of(NULL, 0), revision),
                     STATUS_OK);
    struct kv_item item;
    while (kv_cursor_next(&c, &item) == STATUS_OK) {
        const unsigned long long numbers[] = {item.create_revision, item.revision, item.version,
                                              item.lease};
        buf_append_slice(out, item.key);
        buf_printf(out, " %llu %llu %llu %llu ", numbers[0], numbers[1], numbers[2], numbers[3]);
        buf_append_slice(out, item.value);
    }
    kv_cursor_deinit(&c);
}

static void assert_equal_dumps(struct model *m, const struct kv *one, const struct kv *two)
{
    struct buf a = {0};
    struct buf b = {0};
    uint64_t first = m->twin.compact_revision > 0 ? m->twin.compact_revision : 1;
    for (uint64_t revision = first; revision <= m->twin.revision; revision += 1 + revision % 7) {
        buf_clear(&a);
        buf_clear(&b);
        dump(one, revision, &a);
        dump(two, revision, &b);
        assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
    }
    buf_deinit(&a);
    buf_deinit(&b);
}

/* Rules P15b, P16: the digest is kept right, and does not know what was freed. */
static void assert_digests(struct model *m)
{
    struct kv_digest d = kv_digest(m->kv);
    assert_true(is_same_digest(d, kv_digest(m->other)));
    unsigned budget = (unsigned)rng_between(&m->rng, 1, 200);
    assert_true(is_same_digest(d, digest_anew_of(m->kv, budget)));
}

/* Rule S1: an image is of one moment, and the same whoever writes it. */
static void begin_export(struct model *m)
{
    buf_clear(&m->image);
    buf_clear(&m->want_image);
    export_all(m->other, &m->want_image);
    m->export = kv_export_begin(m->kv);
    assert_non_null(m->export);
    assert_null(kv_export_begin(m->kv));
}

static void end_export(struct model *m)
{
    export_rest(m->export, &m->rng, &m->image);
    kv_export_end(m->export);
    m->export = NULL;
    assert_true(slice_equal(buf_slice(&m->image), buf_slice(&m->want_image)));
    m->images++;
}

/* Go on with a store that went through an image in place of the one that did not. */
static void replace_other(struct model *m)
{
    struct buf image = {0};
    struct buf again = {0};
    export_all(m->kv, &image);
    struct kv *copy = import_all(buf_slice(&image), &m->rng);
    export_all(copy, &again);
    assert_true(slice_equal(buf_slice(&image), buf_slice(&again)));
    assert_equal_dumps(m, m->kv, copy);
    kv_destroy(m->other);
    m->other = copy;
    buf_deinit(&image);
    buf_deinit(&again);
}

static void use_images(struct model *m)
{
    if (m->export == NULL && rng_chance(&m->rng, 1, 2)) {
        replace_other(m);
    }
    if (m->export == NULL) {
        begin_export(m);
    } else if (rng_chance(&m->rng, 1, 4)) {
        end_export(m);
    } else {
        kv_export_step(m->export, &m->image, (size_t)rng_below(&m->rng, 1000));
    }
}

static void run_steps(struct model *m)
{
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t what = rng_below(&m->rng, 98);
        if (rng_chance(&m->rng, m->compactions_permille, 1000)) {
            compact_something(m);
        } else if (what < 60) {
            write_something(m);
        } else if (what < 63) {
            write_document(m);
        } else if (what < 75) {
            read_something(m);
        } else if (what < 96) {
            use_cursors(m);
        } else {
            ask_for_compaction(m);
        }
        if (rng_chance(&m->rng, 1, 10)) {
            kv_compact_step(m->other, (unsigned)rng_below(&m->rng, 100));
        }
        if (rng_chance(&m->rng, 1, 40)) {
            use_images(m);
        }
        if (i % CHECK_EACH == 0) {
            assert_digests(m);
            assert_stats(m);
        }
    }
}

static void run_model(uint64_t seed)
{
    struct model m = {.time_ms = 1000000};
    rng_init(&m.rng, seed);
    m.puts_percent = rng_between(&m.rng, 40, 90);
    m.compactions_permille = rng_between(&m.rng, 0, 30);
    m.kv = kv_create();
    m.other = kv_create();
    twin_init(&m.twin);
    for (size_t i = 0; i < KEYS; i++) {
        make_key(&m, &m.keys[i]);
    }
    run_steps(&m);
    assert_stats(&m);
    assert_equal_dumps(&m, m.kv, m.other);
    if (m.export != NULL) {
        end_export(&m);
    }
    assert_true(m.images > 0);
    while (kv_compact_step(m.other, 10)) {
    }
    assert_stats(&m);
    assert_digests(&m);
    assert_equal_dumps(&m, m.kv, m.other);
    for (size_t i = 0; i < CURSORS; i++) {
        close_cursor(&m.cursors[i]);
        buf_deinit(&m.cursors[i].place);
        buf_deinit(&m.cursors[i].end);
    }
    for (size_t i = 0; i < KEYS; i++) {
        buf_deinit(&m.keys[i]);
    }
    buf_deinit(&m.image);
    buf_deinit(&m.want_image);
    twin_deinit(&m.twin);
    kv_destroy(m.kv);
    kv_destroy(m.other);
}

static void rule_p16_p18_s1_store_and_twin_agree_whatever_is_freed_or_copied_when(void **state)
{
    (void)state;
    run_seeds("model", 30, run_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p16_p18_s1_store_and_twin_agree_whatever_is_freed_or_copied_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
