#include "node/membership_annex.h"

#include "base/check.h"
#include "base/codec.h"
#include "node/peers.h"

#include <stdio.h>
#include <string.h>

#define MEMBERSHIP_FORMAT 1

enum {
    PLACE_STAYS_LEARNER = 1,
    PLACE_REPLACED = 2,
    PLACE_LEAVES = 4,
    PLACE_FLAGS_ALL = 7,
};

static bool is_invited(const struct membership_place *p)
{
    return uuid_is_zero(p->incarnation);
}

/* On its way out: the name may have another place. */
static bool is_old(const struct membership_place *p)
{
    return p->replaced || p->leaves;
}

/* --- configurations --------------------------------------------------------------------------- */

static bool has_id(const node_id *ids, uint32_t count, node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool membership_votes(const struct raft_config *config, node_id id)
{
    return has_id(config->voters, config->voter_count, id);
}

bool membership_decides(const struct raft_config *config, node_id id)
{
    return membership_votes(config, id) || has_id(config->outgoing, config->outgoing_count, id);
}

bool membership_learns(const struct raft_config *config, node_id id)
{
    return has_id(config->learners, config->learner_count, id);
}

bool membership_is_joint(const struct raft_config *config)
{
    return config->outgoing_count > 0;
}

bool membership_counts(const struct raft_config *config, node_id id)
{
    return membership_votes(config, id) || membership_learns(config, id) ||
           has_id(config->outgoing, config->outgoing_count, id);
}

static void add_id(node_id *ids, uint32_t *count, node_id id)
{
    CHECK_CMP(*count, <, LIMIT_MEMBERS);
    ids[(*count)++] = id;
}

static void drop_id(node_id *ids, uint32_t *count, node_id id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (ids[i] != id) {
            ids[kept++] = ids[i];
        }
    }
    for (uint32_t i = kept; i < *count; i++) {
        ids[i] = 0;
    }
    *count = kept;
}

/* --- places ----------------------------------------------------------------------------------- */

/* <0, 0, >0: the order of places. */
static int compare_places(const struct membership_place *a, const struct membership_place *b)
{
    int by_name = strcmp(a->name, b->name);
    return by_name != 0 ? by_name : (int)is_old(b) - (int)is_old(a);
}

static void insert_place(struct membership *m, const struct membership_place *place)
{
    CHECK_CMP(m->count, <, LIMIT_MEMBERS);
    uint32_t at = m->count++;
    for (; at > 0 && compare_places(&m->places[at - 1], place) > 0; at--) {
        m->places[at] = m->places[at - 1];
    }
    m->places[at] = *place;
}

static void drop_place(struct membership *m, uint32_t at)
{
    memmove(&m->places[at], &m->places[at + 1], (m->count - at - 1) * sizeof(m->places[0]));
    m->places[--m->count] = (struct membership_place){0};
}

static struct membership_place *find_place(struct membership *m, const char *name, bool old)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (is_old(&m->places[i]) == old && strcmp(m->places[i].name, name) == 0) {
            return &m->places[i];
        }
    }
    return NULL;
}

static bool has_removed(const struct membership *m, struct uuid incarnation)
{
    for (uint32_t i = 0; i < m->removed_count; i++) {
        if (uuid_equal(m->removed[i], incarnation)) {
            return true;
        }
    }
    return false;
}

static void add_removed(struct membership *m, struct uuid incarnation)
{
    CHECK(!has_removed(m, incarnation));
    if (m->removed_count == LIMIT_REMOVED) {
        memmove(&m->removed[0], &m->removed[1], (LIMIT_REMOVED - 1) * sizeof(m->removed[0]));
        m->removed_count--;
    }
    m->removed[m->removed_count++] = incarnation;
}

void membership_found(const struct roster *founders, struct membership *m,
                      struct raft_config *config)
{
    *m = (struct membership){.cluster = founders->cluster};
    *config = (struct raft_config){0};
    for (uint32_t i = 0; i < founders->count; i++) {
        const struct roster_member *f = &founders->members[i];
        struct membership_place place = {.incarnation = f->incarnation};
        snprintf(place.name, sizeof(place.name), "%s", f->name);
        snprintf(place.url, sizeof(place.url), "%s", f->url);
        insert_place(m, &place);
        add_id(config->voters, &config->voter_count, uuid_short(f->incarnation));
    }
}

const struct membership_place *membership_find(const struct membership *m, struct uuid incarnation)
{
    for (uint32_t i = 0; i < m->count && !uuid_is_zero(incarnation); i++) {
        if (uuid_equal(m->places[i].incarnation, incarnation)) {
            return &m->places[i];
        }
    }
    return NULL;
}

const struct membership_place *membership_find_id(const struct membership *m, node_id id)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (!is_invited(&m->places[i]) && uuid_short(m->places[i].incarnation) == id) {
            return &m->places[i];
        }
    }
    return NULL;
}

const struct membership_place *membership_find_name(const struct membership *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (!is_old(&m->places[i]) && strcmp(m->places[i].name, name) == 0) {
            return &m->places[i];
        }
    }
    return NULL;
}

bool membership_is_removed(const struct membership *m, const struct raft_config *config,
                           struct uuid incarnation)
{
    return has_removed(m, incarnation) && !membership_counts(config, uuid_short(incarnation));
}

/* --- bytes ------------------------------------------------------------------------------------ */

void membership_encode(const struct membership *m, struct buf *out)
{
    put_u8(out, MEMBERSHIP_FORMAT);
    put_uuid(out, m->cluster);
    put_u8(out, (uint8_t)m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct membership_place *p = &m->places[i];
        put_name(out, p->name);
        put_url(out, p->url);
        put_uuid(out, p->incarnation);
        put_u32(out, p->priority);
        put_u8(out, (uint8_t)((p->stays_learner ? PLACE_STAYS_LEARNER : 0) |
                              (p->replaced ? PLACE_REPLACED : 0) | (p->leaves ? PLACE_LEAVES : 0)));
    }
    put_u8(out, (uint8_t)m->removed_count);
    for (uint32_t i = 0; i < m->removed_count; i++) {
        put_uuid(out, m->removed[i]);
    }
}

static void decode_place(struct reader *in, struct membership_place *p)
{
    get_name(in, p->name);
    get_url(in, p->url);
    p->incarnation = get_uuid(in);
    p->priority = get_u32(in);
    uint8_t flags = get_u8(in);
    in->bad |= flags > PLACE_FLAGS_ALL;
    p->stays_learner = (flags & PLACE_STAYS_LEARNER) != 0;
    p->replaced = (flags & PLACE_REPLACED) != 0;
    p->leaves = (flags & PLACE_LEAVES) != 0;
}

static bool place_is_sound(const struct membership *m, uint32_t at)
{
    const struct membership_place *p = &m->places[at];
    if (at > 0 && compare_places(&m->places[at - 1], p) >= 0) {
        return false;
    }
    if ((p->replaced && p->leaves) || (is_old(p) && is_invited(p)) ||
        p->leaves != (!is_invited(p) && has_removed(m, p->incarnation))) {
        return false;
    }
    /* Ids and not only incarnations differ: the log knows members by id. */
    return is_invited(p) || membership_find_id(m, uuid_short(p->incarnation)) == p;
}

static bool is_sound(const struct membership *m)
{
    for (uint32_t i = 0; i < m->removed_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (uuid_equal(m->removed[i], m->removed[j])) {
                return false;
            }
        }
        if (uuid_is_zero(m->removed[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (!place_is_sound(m, i)) {
            return false;
        }
    }
    return !uuid_is_zero(m->cluster);
}

enum status membership_decode(struct slice bytes, struct membership *m)
{
    *m = (struct membership){0};
    struct reader in = reader_of(bytes);
    uint8_t format = get_u8(&in);
    if (reader_ok(&in) && format != MEMBERSHIP_FORMAT) {
        return STATUS_UNSUPPORTED;
    }
    m->cluster = get_uuid(&in);
    uint32_t count = get_u8(&in);
    in.bad |= count > LIMIT_MEMBERS;
    for (; m->count < count && reader_ok(&in); m->count++) {
        decode_place(&in, &m->places[m->count]);
    }
    uint32_t removed = get_u8(&in);
    in.bad |= removed > LIMIT_REMOVED;
    for (; m->removed_count < removed && reader_ok(&in); m->removed_count++) {
        m->removed[m->removed_count] = get_uuid(&in);
    }
    if (!reader_done(&in) || !is_sound(m)) {
        *m = (struct membership){0};
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

static bool all_have_places(const struct membership *m, const node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (membership_find_id(m, ids[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool membership_fits(const struct membership *m, const struct raft_config *config)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct membership_place *p = &m->places[i];
        node_id id = uuid_short(p->incarnation);
        if (is_invited(p)) {
            continue;
        }
        bool stays = membership_votes(config, id) || membership_learns(config, id);
        bool goes = has_id(config->outgoing, config->outgoing_count, id);
        if (p->leaves ? stays || goes != membership_is_joint(config) : !stays) {
            return false;
        }
    }
    return all_have_places(m, config->voters, config->voter_count) &&
           all_have_places(m, config->outgoing, config->outgoing_count) &&
           all_have_places(m, config->learners, config->learner_count);
}

/* --- edits ------------------------------------------------------------------------------------ */

void membership_edit_begin(struct membership_edit *e, const struct membership *m,
                           const struct raft_config *config)
{
    CHECK(!membership_is_joint(config));
    e->members = *m;
    e->config = *config;
    for (uint32_t i = e->members.count; i-- > 0;) {
        if (e->members.places[i].leaves) {
            drop_place(&e->members, i);
        }
    }
}

enum status membership_invite(struct membership_edit *e, const char *name, const char *url,
                              bool learner)
{
    if (membership_find_name(&e->members, name) != NULL) {
        return STATUS_CONFLICT;
    }
    if (e->members.count == LIMIT_MEMBERS) {
        return STATUS_INVALID;
    }
    struct membership_place place = {.stays_learner = learner};
    snprintf(place.name, sizeof(place.name), "%s", name);
    snprintf(place.url, sizeof(place.url), "%s", url);
    insert_place(&e->members, &place);
    return STATUS_OK;
}

enum status membership_join(struct membership_edit *e, const char *name, const char *url,
                            struct uuid incarnation, uint32_t priority)
{
    struct membership *m = &e->members;
    if (has_removed(m, incarnation) || membership_find_id(m, uuid_short(incarnation)) != NULL) {
        return STATUS_CONFLICT;
    }
    struct membership_place *place = find_place(m, name, false);
    if (place != NULL && !is_invited(place)) {
        return STATUS_CONFLICT;
    }
    if (place == NULL) {
        enum status s = membership_invite(e, name, url, false);
        if (s != STATUS_OK) {
            return s;
        }
        place = find_place(m, name, false);
    }
    if (e->config.learner_count == LIMIT_MEMBERS) {
        return STATUS_INVALID;
    }
    place->incarnation = incarnation;
    place->priority = priority;
    if (url[0] != '\0') {
        snprintf(place->url, sizeof(place->url), "%s", url);
    }
    add_id(e->config.learners, &e->config.learner_count, uuid_short(incarnation));
    return STATUS_OK;
}

/* A voter goes with the joint change: its place stays until that is over. */
static void let_voter_leave(struct membership_edit *e, struct membership_place *place)
{
    add_removed(&e->members, place->incarnation);
    drop_id(e->config.voters, &e->config.voter_count, uuid_short(place->incarnation));
    place->replaced = false;
    place->leaves = true;
}

/* Out of the configuration; the place is left to the caller. */
static void let_learner_go(struct membership_edit *e, const struct membership_place *place)
{
    add_removed(&e->members, place->incarnation);
    drop_id(e->config.learners, &e->config.learner_count, uuid_short(place->incarnation));
}

enum status membership_remove(struct membership_edit *e, const char *name)
{
    struct membership *m = &e->members;
    bool found = false;
    for (uint32_t i = m->count; i-- > 0;) {
        struct membership_place *place = &m->places[i];
        if (strcmp(place->name, name) != 0) {
            continue;
        }
        found = true;
        if (membership_votes(&e->config, uuid_short(place->incarnation))) {
            let_voter_leave(e, place);
            continue;
        }
        if (!is_invited(place)) {
            let_learner_go(e, place);
        }
        drop_place(m, i);
    }
    if (!found) {
        return STATUS_NOT_FOUND;
    }
    return e->config.voter_count > 0 ? STATUS_OK : STATUS_INVALID;
}

enum status membership_promote(struct membership_edit *e, const char *name)
{
    struct membership *m = &e->members;
    struct membership_place *place = find_place(m, name, false);
    if (place == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (is_invited(place)) {
        return STATUS_BEHIND;
    }
    node_id id = uuid_short(place->incarnation);
    if (membership_votes(&e->config, id)) {
        return STATUS_CONFLICT;
    }
    struct membership_place *before = find_place(m, name, true);
    if (before != NULL) {
        let_voter_leave(e, before);
    }
    place->stays_learner = false;
    drop_id(e->config.learners, &e->config.learner_count, id);
    add_id(e->config.voters, &e->config.voter_count, id);
    return STATUS_OK;
}

enum status membership_replace(struct membership_edit *e, const char *name, const char *url)
{
    struct membership *m = &e->members;
    struct membership_place *place = find_place(m, name, false);
    bool has_old = find_place(m, name, true) != NULL;
    if (place == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (is_invited(place) && !has_old) {
        return STATUS_CONFLICT;
    }
    bool votes = membership_votes(&e->config, uuid_short(place->incarnation));
    if (votes && m->count == LIMIT_MEMBERS) {
        return STATUS_INVALID;
    }
    struct membership_place next = *place;
    next.incarnation = (struct uuid){{0}};
    if (url[0] != '\0') {
        snprintf(next.url, sizeof(next.url), "%s", url);
    }
    if (votes) {
        place->replaced = true;
        insert_place(m, &next);
        return STATUS_OK;
    }
    if (!is_invited(place)) {
        let_learner_go(e, place);
    }
    *place = next;
    return STATUS_OK;
}

/* --- who speaks to us ------------------------------------------------------------------------- */

enum hello_verdict membership_judge_hello(const struct roster *founders, const struct membership *m,
                                          const struct raft_config *config,
                                          const struct peer_hello *hello)
{
    const struct membership_place *place = membership_find(m, hello->incarnation);
    if (place != NULL && strcmp(place->name, hello->name) != 0) {
        return HELLO_OTHER_NAME;
    }
    node_id id = uuid_short(hello->incarnation);
    switch (hello->phase) {
    case FOUNDING_FOUNDED:
        return roster_equal(&hello->roster, founders) ? HELLO_WELCOME : HELLO_OTHER_CLUSTER;
    case FOUNDING_PROMISED:
        /* Who founded it has promised exactly its roster; the rest it will learn from our hello. */
        return roster_equal(&hello->roster, founders) &&
                       roster_find(founders, hello->incarnation) != NULL
                   ? HELLO_WELCOME
                   : HELLO_STRANGER;
    case FOUNDING_FRESH:
        break;
    }
    /* A learner counts nowhere, so that it may begin anew until it votes. */
    if (place != NULL && !(hello->joins && membership_learns(config, id))) {
        return HELLO_FORGOT;
    }
    return hello->joins ? HELLO_JOINS : HELLO_STRANGER;
}
