#include "kv/kv_auth_table.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

#define CAPACITY_MIN 4u

struct auth *auth_create(void)
{
    struct auth *a = mem_calloc(1, sizeof(*a));
    a->revision = KV_AUTH_REVISION_NONE;
    return a;
}

bool auth_is_pristine(const struct auth *a)
{
    return a->revision == KV_AUTH_REVISION_NONE;
}

/* --- memory ----------------------------------------------------------------------------------- */

static void user_free(struct auth_user *u)
{
    buf_deinit(&u->item.name);
    buf_deinit(&u->password);
    for (size_t i = 0; i < u->count; i++) {
        buf_deinit(&u->roles[i]);
    }
    mem_free(u->roles);
    auth_intervals_clear(&u->permitted[0]);
    auth_intervals_clear(&u->permitted[1]);
    mem_free(u);
}

static void permission_deinit(struct auth_permission *p)
{
    buf_deinit(&p->key);
    buf_deinit(&p->range_end);
}

static void role_free(struct auth_role *r)
{
    buf_deinit(&r->item.name);
    for (size_t i = 0; i < r->count; i++) {
        permission_deinit(&r->permissions[i]);
    }
    mem_free(r->permissions);
    mem_free(r);
}

void auth_destroy(struct auth *a)
{
    for (size_t i = 0; i < a->users.count; i++) {
        user_free((struct auth_user *)a->users.at[i]);
    }
    for (size_t i = 0; i < a->roles.count; i++) {
        role_free((struct auth_role *)a->roles.at[i]);
    }
    mem_free(a->users.at);
    mem_free(a->roles.at);
    mem_free(a);
}

/* Room for one more of `size` bytes in an array of *capacity that holds `count`. */
static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity > 0 ? 2 * *capacity : CAPACITY_MIN;
    return mem_realloc(array, *capacity * size);
}

/* --- places ----------------------------------------------------------------------------------- */

size_t auth_place(const struct auth_items *items, struct slice name, bool *found)
{
    size_t low = 0;
    size_t high = items->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(buf_slice(&items->at[middle]->name), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < items->count && slice_equal(buf_slice(&items->at[low]->name), name);
    return low;
}

static struct auth_item *find(const struct auth_items *items, struct slice name)
{
    bool found;
    size_t place = auth_place(items, name, &found);
    return found ? items->at[place] : NULL;
}

struct auth_user *auth_user_find(const struct auth *a, struct slice name)
{
    return (struct auth_user *)find(&a->users, name);
}

struct auth_role *auth_role_find(const struct auth *a, struct slice name)
{
    return (struct auth_role *)find(&a->roles, name);
}

size_t auth_user_role_place(const struct auth_user *u, struct slice role, bool *found)
{
    size_t low = 0;
    size_t high = u->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(buf_slice(&u->roles[middle]), role) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < u->count && slice_equal(buf_slice(&u->roles[low]), role);
    return low;
}

static int compare_spans(const struct auth_permission *p, struct slice key, struct slice range_end)
{
    int order = slice_compare(buf_slice(&p->key), key);
    return order != 0 ? order : slice_compare(buf_slice(&p->range_end), range_end);
}

size_t auth_permission_place(const struct auth_role *r, struct slice key, struct slice range_end,
                             bool *found)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_spans(&r->permissions[middle], key, range_end) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < r->count && compare_spans(&r->permissions[low], key, range_end) == 0;
    return low;
}

/* --- items ------------------------------------------------------------------------------------ */

static void *item_add(struct auth_items *items, size_t size, struct slice name)
{
    bool found;
    size_t place = auth_place(items, name, &found);
    CHECK(!found);
    struct auth_item *item = mem_calloc(1, size);
    buf_append_slice(&item->name, name);
    items->at = grow(items->at, items->count, &items->capacity, sizeof(struct auth_item *));
    memmove(items->at + place + 1, items->at + place,
            (items->count - place) * sizeof(struct auth_item *));
    items->at[place] = item;
    items->count++;
    return item;
}

static void item_remove(struct auth *a, struct auth_items *items, struct auth_item *item)
{
    bool found;
    size_t place = auth_place(items, buf_slice(&item->name), &found);
    CHECK(found && items->at[place] == item);
    items->count--;
    memmove(items->at + place, items->at + place + 1,
            (items->count - place) * sizeof(struct auth_item *));
    a->bytes -= item->bytes;
    digest_subtract(&a->sum, item->digest);
}

struct auth_user *auth_user_add(struct auth *a, struct slice name)
{
    return item_add(&a->users, sizeof(struct auth_user), name);
}

struct auth_role *auth_role_add(struct auth *a, struct slice name)
{
    return item_add(&a->roles, sizeof(struct auth_role), name);
}

void auth_user_remove(struct auth *a, struct auth_user *u)
{
    item_remove(a, &a->users, &u->item);
    user_free(u);
}

void auth_role_remove(struct auth *a, struct auth_role *r)
{
    item_remove(a, &a->roles, &r->item);
    role_free(r);
}

void auth_user_insert_role(struct auth_user *u, size_t place, struct slice role)
{
    u->roles = grow(u->roles, u->count, &u->capacity, sizeof(struct buf));
    memmove(u->roles + place + 1, u->roles + place, (u->count - place) * sizeof(struct buf));
    u->roles[place] = (struct buf){0};
    buf_append_slice(&u->roles[place], role);
    u->count++;
}

void auth_user_remove_role(struct auth_user *u, size_t place)
{
    buf_deinit(&u->roles[place]);
    u->count--;
    memmove(u->roles + place, u->roles + place + 1, (u->count - place) * sizeof(struct buf));
}

void auth_role_insert(struct auth_role *r, size_t place, const struct auth_permission *permission)
{
    r->permissions = grow(r->permissions, r->count, &r->capacity, sizeof(*permission));
    memmove(r->permissions + place + 1, r->permissions + place,
            (r->count - place) * sizeof(*permission));
    r->permissions[place] = *permission;
    r->count++;
}

void auth_role_withdraw(struct auth_role *r, size_t place)
{
    permission_deinit(&r->permissions[place]);
    r->count--;
    memmove(r->permissions + place, r->permissions + place + 1,
            (r->count - place) * sizeof(struct auth_permission));
}

/* --- counts and digests ----------------------------------------------------------------------- */

static uint64_t user_bytes(const struct auth_user *u)
{
    uint64_t bytes = AUTH_OVERHEAD + u->item.name.size + u->password.size;
    for (size_t i = 0; i < u->count; i++) {
        bytes += AUTH_OVERHEAD + u->roles[i].size;
    }
    return bytes;
}

static uint64_t role_bytes(const struct auth_role *r)
{
    uint64_t bytes = AUTH_OVERHEAD + r->item.name.size;
    for (size_t i = 0; i < r->count; i++) {
        bytes += AUTH_OVERHEAD + r->permissions[i].key.size + r->permissions[i].range_end.size;
    }
    return bytes;
}

static struct kv_digest user_digest(const struct auth_user *u)
{
    struct buf bytes = {0};
    auth_put_user(u, &bytes);
    struct kv_digest d = digest_auth(DIGEST_AUTH_USER, buf_slice(&bytes));
    buf_deinit(&bytes);
    return d;
}

static struct kv_digest role_digest(const struct auth_role *r)
{
    struct buf bytes = {0};
    auth_put_role(r, &bytes);
    struct kv_digest d = digest_auth(DIGEST_AUTH_ROLE, buf_slice(&bytes));
    buf_deinit(&bytes);
    return d;
}

static struct kv_digest head_digest(const struct auth *a)
{
    struct buf bytes = {0};
    auth_put_head(a, &bytes);
    struct kv_digest d = digest_auth(DIGEST_AUTH_HEAD, buf_slice(&bytes));
    buf_deinit(&bytes);
    return d;
}

static void count_anew(struct auth *a, struct auth_item *item, uint64_t bytes,
                       struct kv_digest digest)
{
    a->bytes = a->bytes - item->bytes + bytes;
    item->bytes = bytes;
    digest_subtract(&a->sum, item->digest);
    digest_add(&a->sum, digest);
    item->digest = digest;
}

void auth_user_changed(struct auth *a, struct auth_user *u)
{
    count_anew(a, &u->item, user_bytes(u), user_digest(u));
}

void auth_role_changed(struct auth *a, struct auth_role *r)
{
    count_anew(a, &r->item, role_bytes(r), role_digest(r));
}

struct kv_digest auth_digest(const struct auth *a)
{
    struct kv_digest sum = a->sum;
    if (!auth_is_pristine(a)) {
        digest_add(&sum, head_digest(a));
    }
    return sum;
}

bool auth_digest_anew(const struct auth *a, uint64_t *at, uint64_t budget, struct kv_digest *sum)
{
    uint64_t count = a->users.count + a->roles.count;
    for (; budget > 0 && *at < count; budget--, ++*at) {
        uint64_t role = *at - a->users.count;
        digest_add(sum, *at < a->users.count
                            ? user_digest((const struct auth_user *)a->users.at[*at])
                            : role_digest((const struct auth_role *)a->roles.at[role]));
    }
    if (*at < count) {
        return false;
    }
    if (!auth_is_pristine(a)) {
        digest_add(sum, head_digest(a));
    }
    return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

void auth_put_head(const struct auth *a, struct buf *out)
{
    put_varint(out, a->revision);
    put_u8(out, a->is_enabled ? 1 : 0);
    buf_append(out, a->token_key, sizeof(a->token_key));
}

void auth_put_user(const struct auth_user *u, struct buf *out)
{
    put_bytes(out, buf_slice(&u->item.name));
    put_u8(out, u->no_password ? 1 : 0);
    put_bytes(out, buf_slice(&u->password));
    put_varint(out, u->since);
    put_varint(out, u->count);
    for (size_t i = 0; i < u->count; i++) {
        put_bytes(out, buf_slice(&u->roles[i]));
    }
}

void auth_put_role(const struct auth_role *r, struct buf *out)
{
    put_bytes(out, buf_slice(&r->item.name));
    put_varint(out, r->count);
    for (size_t i = 0; i < r->count; i++) {
        put_u8(out, (uint8_t)r->permissions[i].permission);
        put_bytes(out, buf_slice(&r->permissions[i].key));
        put_bytes(out, buf_slice(&r->permissions[i].range_end));
    }
}

static bool get_flag(struct reader *r)
{
    uint8_t flag = get_u8(r);
    r->bad = r->bad || flag > 1;
    return flag == 1;
}

static struct slice get_name(struct reader *r)
{
    struct slice name = get_bytes(r);
    r->bad = r->bad || name.size < 1 || name.size > LIMIT_AUTH_NAME_BYTES;
    return name;
}

/* A name that comes after those there are; else the reader is bad. */
static struct slice get_next_name(struct reader *r, const struct auth_items *items)
{
    struct slice name = get_name(r);
    r->bad = r->bad || (items->count > 0 &&
                        slice_compare(buf_slice(&items->at[items->count - 1]->name), name) >= 0);
    return name;
}

/* Numbers in a longer form than the shortest make more bytes than are written again. */
static bool is_whole(const struct reader *r, size_t size, const struct buf *again)
{
    return reader_done(r) && size == again->size;
}

bool auth_load_head(struct auth *a, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    a->revision = get_varint(&r);
    a->is_enabled = get_flag(&r);
    struct slice key = get_raw(&r, sizeof(a->token_key));
    if (!reader_done(&r)) {
        return false;
    }
    static const uint8_t no_key[KV_AUTH_KEY_BYTES];
    memcpy(a->token_key, key.data, key.size);
    struct buf again = {0};
    auth_put_head(a, &again);
    bool ok = is_whole(&r, bytes.size, &again) && a->revision > KV_AUTH_REVISION_NONE &&
              (a->is_enabled || memcmp(a->token_key, no_key, sizeof(no_key)) == 0);
    buf_deinit(&again);
    return ok;
}

bool auth_load_user(struct auth *a, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct slice name = get_next_name(&r, &a->users);
    if (!reader_ok(&r)) {
        return false;
    }
    struct auth_user *u = auth_user_add(a, name);
    u->no_password = get_flag(&r);
    buf_append_slice(&u->password, get_bytes(&r));
    u->since = get_varint(&r);
    uint64_t count = get_varint(&r);
    while (reader_ok(&r) && u->count < count) {
        struct slice role = get_name(&r);
        r.bad =
            r.bad || (u->count > 0 && slice_compare(buf_slice(&u->roles[u->count - 1]), role) >= 0);
        if (reader_ok(&r)) {
            auth_user_insert_role(u, u->count, role);
        }
    }
    auth_user_changed(a, u);
    struct buf again = {0};
    auth_put_user(u, &again);
    bool ok = is_whole(&r, bytes.size, &again) && u->password.size <= LIMIT_AUTH_HASH_BYTES &&
              u->since > KV_AUTH_REVISION_NONE && u->since <= a->revision &&
              (!u->no_password || u->password.size == 0) && a->bytes <= LIMIT_AUTH_BYTES;
    buf_deinit(&again);
    return ok;
}

static void load_permission(struct reader *r, struct auth_role *role)
{
    uint8_t permission = get_u8(r);
    struct slice key = get_bytes(r);
    struct slice range_end = get_bytes(r);
    bool found;
    if (!reader_ok(r) || permission > KV_PERMIT_BOTH || !kv_auth_span_is_sound(key, range_end) ||
        auth_permission_place(role, key, range_end, &found) != role->count) {
        r->bad = true;
        return;
    }
    struct auth_permission p = {.permission = (enum kv_permission)permission};
    buf_append_slice(&p.key, key);
    buf_append_slice(&p.range_end, range_end);
    auth_role_insert(role, role->count, &p);
}

bool auth_load_role(struct auth *a, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct slice name = get_next_name(&r, &a->roles);
    if (!reader_ok(&r)) {
        return false;
    }
    struct auth_role *role = auth_role_add(a, name);
    uint64_t count = get_varint(&r);
    while (reader_ok(&r) && role->count < count) {
        load_permission(&r, role);
    }
    auth_role_changed(a, role);
    struct buf again = {0};
    auth_put_role(role, &again);
    bool ok = is_whole(&r, bytes.size, &again) && a->bytes <= LIMIT_AUTH_BYTES;
    buf_deinit(&again);
    return ok;
}

/* --- checks ----------------------------------------------------------------------------------- */

static void check_item(const struct auth_items *items, size_t i, uint64_t bytes,
                       struct kv_digest digest)
{
    const struct auth_item *item = items->at[i];
    CHECK(item->name.size >= 1 && item->name.size <= LIMIT_AUTH_NAME_BYTES);
    CHECK(i == 0 || slice_compare(buf_slice(&items->at[i - 1]->name), buf_slice(&item->name)) < 0);
    CHECK_CMP(item->bytes, ==, bytes);
    CHECK(memcmp(&item->digest, &digest, sizeof(digest)) == 0);
}

static void check_user(const struct auth *a, const struct auth_user *u)
{
    CHECK(u->since > KV_AUTH_REVISION_NONE && u->since <= a->revision);
    CHECK(u->permitted_at <= a->revision);
    for (size_t i = 1; i < u->count; i++) {
        CHECK(slice_compare(buf_slice(&u->roles[i - 1]), buf_slice(&u->roles[i])) < 0);
    }
}

static void check_role(const struct auth_role *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct auth_permission *p = &r->permissions[i];
        CHECK(kv_auth_span_is_sound(buf_slice(&p->key), buf_slice(&p->range_end)));
        CHECK(i == 0 || compare_spans(&r->permissions[i - 1], buf_slice(&p->key),
                                      buf_slice(&p->range_end)) < 0);
    }
}

void auth_check(const struct auth *a)
{
    uint64_t bytes = 0;
    struct kv_digest sum = {0};
    for (size_t i = 0; i < a->users.count; i++) {
        const struct auth_user *u = (const struct auth_user *)a->users.at[i];
        check_item(&a->users, i, user_bytes(u), user_digest(u));
        check_user(a, u);
        bytes += u->item.bytes;
        digest_add(&sum, u->item.digest);
    }
    for (size_t i = 0; i < a->roles.count; i++) {
        const struct auth_role *r = (const struct auth_role *)a->roles.at[i];
        check_item(&a->roles, i, role_bytes(r), role_digest(r));
        check_role(r);
        bytes += r->item.bytes;
        digest_add(&sum, r->item.digest);
    }
    CHECK_CMP(bytes, ==, a->bytes);
    CHECK_CMP(bytes, <=, LIMIT_AUTH_BYTES);
    CHECK(memcmp(&sum, &a->sum, sizeof(sum)) == 0);
    CHECK(a->revision >= KV_AUTH_REVISION_NONE);
    CHECK(!auth_is_pristine(a) || (a->users.count == 0 && a->roles.count == 0));
}
