/* Lengths are of fixed width, so that equal rosters are equal bytes and only those are accepted. */
#include "node/roster.h"

#include "base/check.h"
#include "base/codec.h"

#include <string.h>

#define IDENTITY_FORMAT 1

bool roster_equal(const struct roster *a, const struct roster *b)
{
    if (!uuid_equal(a->cluster, b->cluster) || a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        const struct roster_member *x = &a->members[i];
        const struct roster_member *y = &b->members[i];
        if (strcmp(x->name, y->name) != 0 || strcmp(x->url, y->url) != 0 ||
            !uuid_equal(x->incarnation, y->incarnation)) {
            return false;
        }
    }
    return true;
}

const struct roster_member *roster_find(const struct roster *r, struct uuid incarnation)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (uuid_equal(r->members[i].incarnation, incarnation)) {
            return &r->members[i];
        }
    }
    return NULL;
}

const struct roster_member *roster_find_name(const struct roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (strcmp(r->members[i].name, name) == 0) {
            return &r->members[i];
        }
    }
    return NULL;
}

bool member_name_is_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > LIMIT_NAME_BYTES || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

void put_uuid(struct buf *out, struct uuid id)
{
    buf_append(out, id.bytes, sizeof(id.bytes));
}

struct uuid get_uuid(struct reader *in)
{
    struct uuid id = {0};
    struct slice bytes = get_raw(in, sizeof(id.bytes));
    if (reader_ok(in)) {
        memcpy(id.bytes, bytes.data, sizeof(id.bytes));
    }
    return id;
}

void put_name(struct buf *out, const char *name)
{
    CHECK(member_name_is_valid(name));
    put_u8(out, (uint8_t)strlen(name));
    buf_append_str(out, name);
}

void get_name(struct reader *in, char name[LIMIT_NAME_BYTES + 1])
{
    name[0] = 0;
    size_t size = get_u8(in);
    struct slice bytes = get_raw(in, size);
    if (!reader_ok(in) || size > LIMIT_NAME_BYTES || memchr(bytes.data, 0, size) != NULL) {
        in->bad = true;
        return;
    }
    memcpy(name, bytes.data, size);
    name[size] = 0;
    if (!member_name_is_valid(name)) {
        name[0] = 0;
        in->bad = true;
    }
}

void put_url(struct buf *out, const char *url)
{
    size_t size = strlen(url);
    CHECK_CMP(size, <, LIMIT_URL_BYTES);
    put_u16(out, (uint16_t)size);
    buf_append_str(out, url);
}

void get_url(struct reader *in, char url[LIMIT_URL_BYTES])
{
    url[0] = 0;
    size_t size = get_u16(in);
    struct slice bytes = get_raw(in, size);
    if (!reader_ok(in) || size >= LIMIT_URL_BYTES) {
        in->bad = true;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        /* Visible ASCII: it is printed in logs and answers. */
        if (bytes.data[i] <= ' ' || bytes.data[i] > '~') {
            in->bad = true;
            return;
        }
    }
    if (size > 0) {
        memcpy(url, bytes.data, size);
    }
    url[size] = 0;
}

void roster_encode(const struct roster *r, struct buf *out)
{
    CHECK_CMP(r->count, <=, LIMIT_MEMBERS);
    CHECK(uuid_is_zero(r->cluster) == (r->count == 0));
    put_uuid(out, r->cluster);
    put_u8(out, (uint8_t)r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        put_name(out, r->members[i].name);
        put_url(out, r->members[i].url);
        put_uuid(out, r->members[i].incarnation);
    }
}

/* Sorted by name, so that names are distinct; incarnations distinct too. */
static bool is_well_formed(const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct roster_member *m = &r->members[i];
        if (i > 0 && strcmp(r->members[i - 1].name, m->name) >= 0) {
            return false;
        }
        if (uuid_is_zero(m->incarnation) || roster_find(r, m->incarnation) != m) {
            return false;
        }
    }
    return uuid_is_zero(r->cluster) == (r->count == 0);
}

void roster_decode(struct reader *in, struct roster *r)
{
    *r = (struct roster){0};
    struct uuid cluster = get_uuid(in);
    uint32_t count = get_u8(in);
    if (!reader_ok(in) || count > LIMIT_MEMBERS) {
        in->bad = true;
        return;
    }
    r->cluster = cluster;
    r->count = count;
    for (uint32_t i = 0; i < count; i++) {
        get_name(in, r->members[i].name);
        get_url(in, r->members[i].url);
        r->members[i].incarnation = get_uuid(in);
    }
    if (!reader_ok(in) || !is_well_formed(r)) {
        in->bad = true;
        *r = (struct roster){0};
    }
}

void identity_encode(const struct identity *id, struct buf *out)
{
    CHECK((id->phase == FOUNDING_FRESH) == (id->roster.count == 0));
    put_u8(out, IDENTITY_FORMAT);
    put_name(out, id->name);
    put_uuid(out, id->incarnation);
    put_uuid(out, id->log_id);
    put_u8(out, (uint8_t)id->phase);
    roster_encode(&id->roster, out);
    put_u64(out, id->boots);
    put_u8(out, (uint8_t)id->end);
    put_u64(out, id->end_index);
    roster_encode(&id->joined, out);
    put_u64(out, id->joined_index);
}

/* A member is in the roster that it founded, or in that of those who let it in. */
static bool identity_is_sound(const struct identity *id)
{
    bool fresh = id->phase == FOUNDING_FRESH;
    bool joined = id->joined.count > 0;
    if (uuid_is_zero(id->incarnation) || fresh != (id->roster.count == 0) ||
        joined != (id->joined_index > 0) ||
        (joined &&
         (id->phase != FOUNDING_FOUNDED || !uuid_equal(id->joined.cluster, id->roster.cluster))) ||
        (id->end_index > 0) != (id->end == IDENTITY_REMOVED)) {
        return false;
    }
    const struct roster *own = joined ? &id->joined : &id->roster;
    const struct roster_member *self = roster_find(own, id->incarnation);
    return fresh || (self != NULL && strcmp(self->name, id->name) == 0);
}

enum status identity_decode(struct slice bytes, struct identity *id)
{
    *id = (struct identity){0};
    struct reader in = reader_of(bytes);
    uint8_t format = get_u8(&in);
    if (reader_ok(&in) && format != IDENTITY_FORMAT) {
        return STATUS_UNSUPPORTED;
    }
    get_name(&in, id->name);
    id->incarnation = get_uuid(&in);
    id->log_id = get_uuid(&in);
    uint8_t phase = get_u8(&in);
    roster_decode(&in, &id->roster);
    id->boots = get_u64(&in);
    uint8_t end = get_u8(&in);
    id->end_index = get_u64(&in);
    roster_decode(&in, &id->joined);
    id->joined_index = get_u64(&in);
    in.bad |= phase > FOUNDING_FOUNDED || end > IDENTITY_UNFINISHED;
    id->phase = (enum founding_phase)(in.bad ? FOUNDING_FRESH : phase);
    id->end = (enum identity_end)(in.bad ? IDENTITY_GOES_ON : end);
    if (!reader_done(&in) || !identity_is_sound(id)) {
        *id = (struct identity){0};
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}
