/* verify_walk.c - all members' keys side by side, as of one revision; then all their documents.
 *
 *   node-1  a  b  c  e          each member is asked for its keys in pages, all at revision N, and
 *   node-2  a  b     e          is read by itself (consistency=stale); the smallest key that any of
 *   node-3  a  b' c  e          them stands at is judged, and whoever has it moves on
 *               ^
 *
 * N is the newest that anybody had applied when the walk began, hence committed. When compaction
 * takes N away, a newer one is chosen and the walk goes on behind the last key that was judged:
 * each key is still compared at one revision on all members. Documents are compared at the last one
 * and from the newest to the oldest, in the order in which they are answered; no compaction takes
 * them away. */
#include "base/mem.h"
#include "client/identity.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_KEYS_FIRST 16
#define PAGE_KEYS_MAX   1000
#define PAGE_BYTES      (1u * MIB) /* that pages are made to have, about */
#define POLL_MS         100
#define ATTEMPTS        4  /* at one page */
#define REVISIONS       20 /* that compaction may take away before a single key was compared */

static void set_aside(struct verify_member *m, enum verify_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set_aside(struct verify_member *m, enum verify_state state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    m->state = state;
    vsnprintf(m->why, sizeof(m->why), format, args);
    va_end(args);
    client_answer_deinit(&m->page);
    m->has_item = false;
    m->has_more = false;
}

/* --- who is there ----------------------------------------------------------------------------- */

bool verify_take_members(struct verification *v, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "cluster");
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "id"));
        const char *url = json_string_value(json_object_get(entry, "url"));
        if (name == NULL || url == NULL || v->count == LIMIT_MEMBERS) {
            return false;
        }
        struct verify_member *m = &v->members[v->count++];
        snprintf(m->name, sizeof(m->name), "%s", name);
        snprintf(m->url, sizeof(m->url), "%s", url);
        m->page_keys = PAGE_KEYS_FIRST;
    }
    return v->count > 0;
}

static const char *reason_of(enum status status, const struct client_answer *a)
{
    if (status == STATUS_TIMEOUT) {
        return "no answer in time";
    }
    if (client_is_unidentified(a)) {
        return identity_name() == NULL ? "asks for a user: --user NAME"
                                       : "knows no such user with this password";
    }
    return a->error[0] != '\0' ? a->error : status_text(status);
}

static bool is_text(const struct client_answer *a, const char *name, const char *text)
{
    const char *found = client_answer_string(a, name);
    return found != NULL && strcmp(found, text) == 0;
}

/* What a member says of itself: who it is, whether its state may be compared, and how far it is. */
static void judge_status(struct verification *v, struct verify_member *m,
                         const struct client_answer *a)
{
    const char *cluster = client_answer_string(a, "clusterId");
    const char *name = client_answer_string(a, "nodeId");
    if (name == NULL) {
        set_aside(m, VERIFY_UNREACHABLE, "what answers there is no member");
        return;
    }
    if (strcmp(name, m->name) != 0) {
        set_aside(m, VERIFY_UNREACHABLE, "%s answers at its address", name);
        return;
    }
    if (client_answer_string(a, "role") == NULL || cluster == NULL) {
        set_aside(m, VERIFY_BEHIND, "is founding or joining");
        return;
    }
    if (v->cluster[0] == '\0') {
        snprintf(v->cluster, sizeof(v->cluster), "%s", cluster);
    }
    if (strcmp(v->cluster, cluster) != 0) {
        set_aside(m, VERIFY_ODD, "is of another cluster, %s", cluster);
        return;
    }
    if (is_text(a, "role", "quarantined")) {
        set_aside(m, VERIFY_ODD, "quarantined: its state is not that of the majority");
        return;
    }
    m->leads = is_text(a, "role", "leader");
    m->revision = a->revision;
    uint64_t keys = (uint64_t)json_number_value(json_object_get(a->json, "totalKeys"));
    v->keys_expected = keys > v->keys_expected ? keys : v->keys_expected;
}

static void meet(struct verification *v, struct verify_member *m)
{
    const struct client_request request = {.method = "GET", .target = "/status"};
    struct client_answer a = {0};
    enum status status = client_ask(m->url, &request, v->timeout_ms, &a);
    if (status == STATUS_OK) {
        judge_status(v, m, &a);
    } else {
        set_aside(m, VERIFY_UNREACHABLE, "%.150s", reason_of(status, &a));
    }
    client_answer_deinit(&a);
}

/* Wait until the member has applied the revision, or set it aside. */
static void settle(struct verification *v, struct verify_member *m, uint64_t deadline_ms)
{
    while (m->state == VERIFY_COMPARED && m->revision < v->revision) {
        if (client_now_ms() >= deadline_ms) {
            set_aside(m, VERIFY_BEHIND, "at revision %" PRIu64 " of %" PRIu64, m->revision,
                      v->revision);
            return;
        }
        client_sleep_ms(POLL_MS);
        meet(v, m);
    }
}

static void choose_revision(struct verification *v)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->members[i].state == VERIFY_COMPARED) {
            meet(v, &v->members[i]);
        }
    }
    for (uint32_t i = 0; i < v->count; i++) {
        const struct verify_member *m = &v->members[i];
        if (m->state == VERIFY_COMPARED && m->revision > v->revision) {
            v->revision = m->revision;
        }
    }
    uint64_t deadline_ms = client_now_ms() + v->settle_ms;
    for (uint32_t i = 0; i < v->count; i++) {
        settle(v, &v->members[i], deadline_ms);
    }
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Is `a` before `b` in the order of the walk? */
static bool is_before(const struct verification *v, struct slice a, struct slice b)
{
    int order = slice_compare(a, b);
    return v->table == VERIFY_DOCUMENTS ? order > 0 : order < 0;
}

static enum status ask_page(struct verification *v, struct verify_member *m)
{
    struct buf target = {0};
    bool is_documents = v->table == VERIFY_DOCUMENTS;
    buf_printf(&target, "%s&consistency=stale&revision=%" PRIu64 "&limit=%u",
               is_documents ? "/read?" : "/keys?values=true", v->revision, m->page_keys);
    if (m->after.size > 0) {
        buf_append_str(&target, is_documents ? "&before=" : "&after=");
        client_append_encoded(&target, buf_slice(&m->after), true);
    }
    const struct client_request request = {.method = "GET", .target = client_verb_target(&target)};
    enum status status = client_ask(m->url, &request, v->timeout_ms, &m->page);
    buf_deinit(&target);
    bool is_future = status == STATUS_INVALID && json_object_get(m->page.json, "newest") != NULL;
    return is_future ? STATUS_FUTURE : status;
}

/* Of about PAGE_BYTES, growing slowly: nobody knows how long the next values are. */
static void choose_page_keys(struct verify_member *m, uint64_t keys, uint64_t bytes)
{
    uint64_t fit = keys > 0 ? PAGE_BYTES / (bytes / keys + 1) : m->page_keys;
    uint64_t most = (uint64_t)m->page_keys * 4;
    fit = fit < most ? fit : most;
    fit = fit < PAGE_KEYS_MAX ? fit : PAGE_KEYS_MAX;
    m->page_keys = fit > 0 ? (uint32_t)fit : 1;
}

/* A list of documents does not say whether there are more: there may be, behind a full page. */
static bool open_documents(struct verify_member *m)
{
    size_t count = json_array_size(m->page.json);
    if (!json_is_array(m->page.json)) {
        return false;
    }
    m->rest = client_answer_text(&m->page);
    m->has_more = count >= m->page_keys;
    const char *last =
        json_string_value(json_object_get(json_array_get(m->page.json, count - 1), "id"));
    buf_clear(&m->after);
    buf_append_str(&m->after, last != NULL ? last : "");
    choose_page_keys(m, count, m->rest.size);
    return true;
}

/* Understand the page. False: it is none. */
static bool open_keys(struct verify_member *m)
{
    struct slice text = client_answer_text(&m->page);
    struct slice more;
    if (m->page.json == NULL || !json_text_member(text, "keys", &m->rest) ||
        !json_text_member(text, "more", &more)) {
        return false;
    }
    m->has_more = slice_equal(more, slice_str("true"));
    choose_page_keys(m, json_array_size(json_object_get(m->page.json, "keys")), text.size);
    buf_clear(&m->after);
    client_verb_append_member(&m->after, text, "next");
    return true;
}

static void take_page(struct verification *v, struct verify_member *m)
{
    bool is_documents = v->table == VERIFY_DOCUMENTS;
    if (is_documents ? !open_documents(m) : !open_keys(m)) {
        set_aside(m, VERIFY_UNREACHABLE, "what it answers is no list of %s",
                  is_documents ? "documents" : "keys");
        return;
    }
    json_decref(m->page.json);
    m->page.json = NULL;
}

/* OK: there is a page, or the member was set aside. COMPACTED. */
static enum status fetch_page(struct verification *v, struct verify_member *m)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < ATTEMPTS && m->state == VERIFY_COMPARED; i++) {
        status = ask_page(v, m);
        if (status == STATUS_COMPACTED) {
            return status;
        }
        if (status == STATUS_OK) {
            take_page(v, m);
            return STATUS_OK;
        }
        if (m->page.http_status == 404 && v->table == VERIFY_DOCUMENTS) {
            m->has_more = false; /* an older version: it has none */
            return STATUS_OK;
        }
        /* It restarted, say, and is not there again yet; or values are long: fewer at a time. */
        m->page_keys = m->page_keys > 4 ? m->page_keys / 4 : 1;
        char why[160];
        snprintf(why, sizeof(why), "%.150s", reason_of(status, &m->page));
        meet(v, m);
        settle(v, m, client_now_ms() + v->settle_ms);
        if (m->state == VERIFY_COMPARED && i == ATTEMPTS - 1) {
            set_aside(m, VERIFY_UNREACHABLE, "%s", why);
        }
    }
    return STATUS_OK;
}

/* As a member with --json-case snake writes it, too. */
static bool find_time(struct slice document, struct slice *time)
{
    return json_text_member(document, "createdAt", time) ||
           json_text_member(document, "created_at", time);
}

static bool take_item(const struct verification *v, struct verify_member *m, struct slice text)
{
    bool is_documents = v->table == VERIFY_DOCUMENTS;
    struct buf key = {0};
    struct slice quoted;
    m->item = (struct verify_item){0};
    (void)json_text_member(text, "encoding", &m->item.encoding);
    bool ok = json_text_member(text, is_documents ? "id" : "key", &quoted) &&
              json_text_decode(quoted, &key) == STATUS_OK &&
              (is_documents ? find_time(text, &m->item.revision)
                            : json_text_member(text, "revision", &m->item.revision)) &&
              json_text_member(text, is_documents ? "content" : "value", &m->item.value) &&
              (m->key.size == 0 || is_before(v, buf_slice(&m->key), buf_slice(&key)));
    buf_deinit(&m->key);
    m->key = key;
    return ok;
}

/* Stand at the next item, if there is one. OK, COMPACTED. */
static enum status step(struct verification *v, struct verify_member *m)
{
    m->has_item = false;
    while (m->state == VERIFY_COMPARED) {
        struct slice text;
        if (json_text_next(&m->rest, &text)) {
            m->has_item = take_item(v, m, text);
            if (!m->has_item) {
                set_aside(m, VERIFY_UNREACHABLE, "what it answers is no list of %s in order",
                          v->table == VERIFY_DOCUMENTS ? "documents" : "keys");
            }
            return STATUS_OK;
        }
        if (!m->has_more) {
            return STATUS_OK;
        }
        enum status status = fetch_page(v, m);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Begin, or begin again, behind the last key that was judged. */
static enum status begin_pages(struct verification *v)
{
    if (v->table == VERIFY_KEYS) {
        choose_revision(v);
    }
    for (uint32_t i = 0; i < v->count; i++) {
        struct verify_member *m = &v->members[i];
        m->rest = slice_of(NULL, 0);
        m->has_more = true;
        buf_clear(&m->after);
        buf_append_slice(&m->after, buf_slice(&v->done));
        buf_clear(&m->key);
        buf_append_slice(&m->key, buf_slice(&v->done));
        enum status status = step(v, m);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* --- judging ---------------------------------------------------------------------------------- */

/* Whole characters of at most VERIFY_CONTENT_TOLD bytes. */
static void append_beginning(struct buf *out, struct slice content)
{
    size_t size = content.size;
    if (size > VERIFY_CONTENT_TOLD) {
        size = VERIFY_CONTENT_TOLD;
        while (size > 0 && (content.data[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    buf_append(out, content.data, size);
    buf_append_str(out, size < content.size ? "..." : "");
}

static void note_key(struct verify_keys *d, struct slice key)
{
    if (d->count < VERIFY_KEYS_TOLD) {
        buf_append_slice(&d->told[d->count], key);
    }
    d->count++;
}

/* By its content (row C13). */
static void note_document(struct verify_keys *d, const struct verify_item *item)
{
    struct buf content = {0};
    if (d->count < VERIFY_KEYS_TOLD && json_text_decode(item->value, &content) == STATUS_OK) {
        struct buf told = {0};
        append_beginning(&told, buf_slice(&content));
        uint64_t at = d->count;
        for (; at > 0 && slice_compare(buf_slice(&told), buf_slice(&d->told[at - 1])) < 0; at--) {
            d->told[at] = d->told[at - 1];
        }
        d->told[at] = told;
    }
    buf_deinit(&content);
    d->count++;
}

/* `whose` has it. */
static void note(const struct verification *v, struct verify_member *m, enum verify_difference kind,
                 const struct verify_member *whose)
{
    struct verify_keys *d = &m->differences[v->table][kind];
    if (v->table == VERIFY_DOCUMENTS) {
        note_document(d, &whose->item);
    } else {
        note_key(d, buf_slice(&whose->key));
    }
}

static bool stands_at(const struct verify_member *m, struct slice key)
{
    return m->has_item && slice_equal(buf_slice(&m->key), key);
}

static bool has_same(const struct verify_member *a, const struct verify_member *b, struct slice key)
{
    bool has = stands_at(a, key);
    if (!has || !stands_at(b, key)) {
        return has == stands_at(b, key);
    }
    return slice_equal(a->item.revision, b->item.revision) &&
           slice_equal(a->item.value, b->item.value) &&
           slice_equal(a->item.encoding, b->item.encoding);
}

/* Whose word on the key is held to be right: what most have; among equals, what the leader has. */
static const struct verify_member *find_reference(const struct verification *v, struct slice key)
{
    const struct verify_member *best = NULL;
    uint32_t best_weight = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct verify_member *m = &v->members[i];
        uint32_t weight = 0;
        for (uint32_t k = 0; k < v->count; k++) {
            const struct verify_member *other = &v->members[k];
            if (other->state == VERIFY_COMPARED && has_same(m, other, key)) {
                weight += other->leads ? 3 : 2;
            }
        }
        if (m->state == VERIFY_COMPARED && weight > best_weight) {
            best = m;
            best_weight = weight;
        }
    }
    return best;
}

static void judge(struct verification *v, struct slice key)
{
    const struct verify_member *reference = find_reference(v, key);
    for (uint32_t i = 0; i < v->count; i++) {
        struct verify_member *m = &v->members[i];
        if (m->state != VERIFY_COMPARED || has_same(m, reference, key)) {
            continue;
        }
        if (!stands_at(m, key)) {
            note(v, m, VERIFY_MISSING, reference);
        } else {
            note(v, m, stands_at(reference, key) ? VERIFY_DIFFERENT : VERIFY_EXTRA, m);
        }
    }
}

/* The first key in the walk's order that anybody stands at; false when all are at their end. */
static bool first_key(const struct verification *v, struct slice *key)
{
    bool found = false;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct verify_member *m = &v->members[i];
        if (m->has_item && (!found || is_before(v, buf_slice(&m->key), *key))) {
            *key = buf_slice(&m->key);
            found = true;
        }
    }
    return found;
}

/* OK: nothing is left. COMPACTED. */
static enum status walk(struct verification *v)
{
    enum status status = begin_pages(v);
    struct slice key;
    while (status == STATUS_OK && first_key(v, &key)) {
        judge(v, key);
        buf_clear(&v->done);
        buf_append_slice(&v->done, key);
        v->compared[v->table]++;
        for (uint32_t i = 0; i < v->count && status == STATUS_OK; i++) {
            if (stands_at(&v->members[i], buf_slice(&v->done))) {
                status = step(v, &v->members[i]);
            }
        }
        if (v->progress != NULL) {
            v->progress(v);
        }
    }
    return status;
}

enum status verify_run(struct verification *v)
{
    enum status status = STATUS_COMPACTED;
    for (int i = 0; i < REVISIONS && status == STATUS_COMPACTED; i++) {
        uint64_t keys = v->compared[VERIFY_KEYS];
        status = walk(v);
        i = v->compared[VERIFY_KEYS] > keys ? 0 : i;
    }
    if (status != STATUS_OK) {
        return status;
    }
    v->table = VERIFY_DOCUMENTS;
    buf_clear(&v->done);
    for (uint32_t i = 0; i < v->count; i++) {
        v->members[i].page_keys = PAGE_KEYS_FIRST;
    }
    return walk(v);
}

void verify_deinit(struct verification *v)
{
    for (uint32_t i = 0; i < v->count; i++) {
        struct verify_member *m = &v->members[i];
        client_answer_deinit(&m->page);
        buf_deinit(&m->after);
        buf_deinit(&m->key);
        for (size_t n = 0; n < (size_t)VERIFY_TABLES * VERIFY_DIFFERENCES; n++) {
            struct verify_keys *d = &m->differences[n / VERIFY_DIFFERENCES][n % VERIFY_DIFFERENCES];
            for (size_t k = 0; k < VERIFY_KEYS_TOLD; k++) {
                buf_deinit(&d->told[k]);
            }
        }
    }
    buf_deinit(&v->done);
}
