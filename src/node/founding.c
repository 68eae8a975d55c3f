/* The proof that this file owes (consensus.md, A0): an incarnation promises one roster, because the
 * promise is durable before it is told and is never changed; a founded roster has the promises of
 * all its incarnations; so two founded rosters share no disk. */
#include "node/founding.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Members met in this boot; beyond, strangers are not looked at. */
#define MET_MAX   LIMIT_PEERS_KNOWN
#define TEXT_SIZE 1024

struct met {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES]; /* its --advertise, else the URL by which it was reached; or empty */
    struct uuid incarnation;
    uint32_t founders;
    enum founding_phase phase;
    struct roster roster;
    bool linked;
    bool promised; /* the same roster as this member */
};

struct founding {
    uint32_t founders;
    struct uuid cluster_candidate;
    char url[LIMIT_URL_BYTES]; /* own; or empty until somebody dialled */
    struct identity identity;  /* durable, but for what `saving` says */
    bool saving;
    bool save_told;
    bool has_asker;
    struct uuid asker; /* wants to hear of the promise that is being saved */
    uint32_t met_count;
    struct met met[MET_MAX];
    bool notes_told;
    uint32_t note_count;
    struct founding_note notes[LIMIT_MEMBERS];
    bool is_fatal;
    char fatal[TEXT_SIZE];
};

static void advance(struct founding *f);

/* --- who was met ------------------------------------------------------------------------------ */

static struct met *find(struct founding *f, struct uuid incarnation)
{
    for (uint32_t i = 0; i < f->met_count; i++) {
        if (uuid_equal(f->met[i].incarnation, incarnation)) {
            return &f->met[i];
        }
    }
    return NULL;
}

static void forget(struct founding *f, struct met *m)
{
    *m = f->met[--f->met_count];
}

static uint32_t count_linked(const struct founding *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->met_count; i++) {
        count += f->met[i].linked ? 1 : 0;
    }
    return count;
}

static __attribute__((format(printf, 2, 3))) void fail(struct founding *f, const char *format, ...)
{
    if (f->is_fatal) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(f->fatal, sizeof(f->fatal), format, args);
    va_end(args);
    f->is_fatal = true;
}

static const char *url_or_unknown(const char *url)
{
    return url[0] != 0 ? url : "an unknown address";
}

/* Another disk under a name that was met already. At the same address: it was wiped, and the new
 * one takes its place. At two addresses, both alive: the name was given twice. */
static void check_name(struct founding *f, const struct met *fresh)
{
    for (uint32_t i = 0; i < f->met_count; i++) {
        struct met *m = &f->met[i];
        if (m == fresh || strcmp(m->name, fresh->name) != 0) {
            continue;
        }
        bool elsewhere = m->url[0] != 0 && fresh->url[0] != 0 && strcmp(m->url, fresh->url) != 0;
        if (m->linked && elsewhere) {
            fail(f,
                 "two members are named %s: %s and %s; give every member a name of its own "
                 "(--name)",
                 m->name, m->url, fresh->url);
            return;
        }
    }
}

/* Those of that name that went away are replaced by the one that came. */
static void replace_wiped(struct founding *f, struct uuid keep, const char *name, const char *url)
{
    for (uint32_t i = f->met_count; i-- > 0;) {
        struct met *m = &f->met[i];
        if (!uuid_equal(m->incarnation, keep) && strcmp(m->name, name) == 0 &&
            (!m->linked || (url[0] != 0 && strcmp(m->url, url) == 0))) {
            forget(f, m);
        }
    }
}

/* --- rule G6 and its like --------------------------------------------------------------------- */

static void check_founded(struct founding *f, const struct met *m)
{
    if (m->phase != FOUNDING_FOUNDED) {
        return;
    }
    const struct identity *self = &f->identity;
    const struct roster_member *listed = roster_find_name(&m->roster, self->name);
    if (listed == NULL) {
        return;
    }
    if (!uuid_equal(listed->incarnation, self->incarnation)) {
        fail(
            f,
            "the data directory of %s was lost: %s (%s) belongs to a cluster that lists %s with "
            "another data directory. The other members go on. Bring the old directory back; or say "
            "\"conclave member replace %s\", then start this one with --join and not with --peers",
            self->name, m->name, url_or_unknown(m->url), self->name, self->name);
        return;
    }
    bool promised = self->phase != FOUNDING_FRESH && roster_equal(&self->roster, &m->roster);
    if (!promised) {
        fail(f,
             "the data directory of %s is older than its cluster: %s (%s) founded the cluster with "
             "a promise that this directory does not hold. It was restored from an old copy, and "
             "must not take part",
             self->name, m->name, url_or_unknown(m->url));
    }
}

static void check_own_name(struct founding *f, const struct met *m)
{
    if (m->phase != FOUNDING_FOUNDED && strcmp(m->name, f->identity.name) == 0) {
        fail(f,
             "two members are named %s: this one (%s) and the one at %s; give every member a name "
             "of its own (--name)",
             m->name, url_or_unknown(f->url), url_or_unknown(m->url));
    }
}

/* --- what follows from what is known ---------------------------------------------------------- */

static void save(struct founding *f)
{
    CHECK(!f->saving);
    f->saving = true;
    f->save_told = false;
}

static void add_note(struct founding *f, struct uuid to, enum peer_note kind)
{
    for (uint32_t i = 0; i < f->note_count; i++) {
        if (uuid_equal(f->notes[i].to, to) && f->notes[i].kind == kind) {
            return;
        }
    }
    if (f->note_count == LIMIT_MEMBERS) {
        return;
    }
    struct founding_note *n = &f->notes[f->note_count++];
    n->to = to;
    n->kind = kind;
    buf_clear(&n->body);
    roster_encode(&f->identity.roster, &n->body);
}

/* The first by name makes R and asks for promises. */
static bool is_founder(const struct founding *f)
{
    return f->identity.phase == FOUNDING_PROMISED &&
           strcmp(f->identity.roster.members[0].name, f->identity.name) == 0;
}

static bool name_is_met_once(const struct founding *f, const char *name)
{
    uint32_t count = strcmp(f->identity.name, name) == 0 ? 1 : 0;
    for (uint32_t i = 0; i < f->met_count; i++) {
        count += f->met[i].linked && strcmp(f->met[i].name, name) == 0 ? 1 : 0;
    }
    return count == 1;
}

/* Rule G2, up to whose name sorts first. */
static bool is_complete(const struct founding *f)
{
    if (count_linked(f) != f->founders - 1) {
        return false;
    }
    for (uint32_t i = 0; i < f->met_count; i++) {
        const struct met *m = &f->met[i];
        if (m->phase == FOUNDING_FOUNDED) {
            return false;
        }
        /* A promise to another roster is never taken back, so that R could not be founded. */
        if (m->linked && (m->phase != FOUNDING_FRESH || m->founders != f->founders ||
                          !name_is_met_once(f, m->name))) {
            return false;
        }
    }
    return true;
}

static void insert_member(struct roster *r, const char *name, const char *url, struct uuid id)
{
    CHECK_CMP(r->count, <, LIMIT_MEMBERS);
    uint32_t at = r->count++;
    for (; at > 0 && strcmp(r->members[at - 1].name, name) > 0; at--) {
        r->members[at] = r->members[at - 1];
    }
    struct roster_member *m = &r->members[at];
    *m = (struct roster_member){.incarnation = id};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->url, sizeof(m->url), "%s", url);
}

/* R of rule G2. False: an address is not known yet. */
static bool make_roster(const struct founding *f, struct roster *r)
{
    *r = (struct roster){.cluster = f->cluster_candidate};
    bool addressed = f->url[0] != 0;
    insert_member(r, f->identity.name, f->url, f->identity.incarnation);
    for (uint32_t i = 0; i < f->met_count; i++) {
        const struct met *m = &f->met[i];
        if (m->linked) {
            insert_member(r, m->name, m->url, m->incarnation);
            addressed = addressed && m->url[0] != 0;
        }
    }
    return addressed;
}

static void maybe_make_roster(struct founding *f)
{
    if (f->identity.phase != FOUNDING_FRESH || !is_complete(f)) {
        return;
    }
    struct roster r;
    if (!make_roster(f, &r) || strcmp(r.members[0].name, f->identity.name) != 0) {
        return;
    }
    f->identity.phase = FOUNDING_PROMISED;
    f->identity.roster = r;
    save(f);
}

static void become_founded(struct founding *f)
{
    f->identity.phase = FOUNDING_FOUNDED;
    save(f);
}

/* Rule G4. */
static void maybe_become_founded(struct founding *f)
{
    if (f->identity.phase != FOUNDING_PROMISED) {
        return;
    }
    const struct roster *r = &f->identity.roster;
    uint32_t promises = 1;
    for (uint32_t i = 0; i < f->met_count; i++) {
        const struct met *m = &f->met[i];
        if (m->phase == FOUNDING_FOUNDED && roster_equal(&m->roster, r)) {
            become_founded(f);
            return;
        }
        promises += m->promised && roster_find(r, m->incarnation) != NULL ? 1 : 0;
    }
    if (is_founder(f) && promises == r->count) {
        become_founded(f);
    }
}

static void advance(struct founding *f)
{
    if (f->saving || f->is_fatal) {
        return;
    }
    maybe_make_roster(f);
    if (!f->saving) {
        maybe_become_founded(f);
    }
}

static void ask(struct founding *f, const struct met *m)
{
    if (!f->saving && is_founder(f) && m->linked && !m->promised &&
        roster_find(&f->identity.roster, m->incarnation) != NULL) {
        add_note(f, m->incarnation, PEER_NOTE_PROMISE_ASK);
    }
}

/* --- inputs ----------------------------------------------------------------------------------- */

/* Notes gather until they were asked for: a turn may have several inputs and one output. */
static void begin_input(struct founding *f)
{
    if (f->notes_told) {
        f->note_count = 0;
        f->notes_told = false;
    }
}

struct founding *founding_create(const struct founding_options *options,
                                 const struct identity *identity)
{
    CHECK(options->founders >= 1 && options->founders <= LIMIT_MEMBERS);
    CHECK(identity->phase != FOUNDING_FOUNDED);
    struct founding *f = mem_calloc(1, sizeof(*f));
    f->founders = options->founders;
    f->cluster_candidate = options->cluster_candidate;
    f->identity = *identity;
    if (options->advertise != NULL) {
        snprintf(f->url, sizeof(f->url), "%s", options->advertise);
    }
    if (f->founders == 1 && identity->phase == FOUNDING_FRESH) {
        /* The only promise is its own: one write for both phases. */
        make_roster(f, &f->identity.roster);
        become_founded(f);
    }
    return f;
}

void founding_destroy(struct founding *f)
{
    if (f == NULL) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        buf_deinit(&f->notes[i].body);
    }
    mem_free(f);
}

static struct met *meet(struct founding *f, const struct peer_hello *hello)
{
    const char *url = hello->advertise[0] != 0 ? hello->advertise : hello->reached;
    replace_wiped(f, hello->incarnation, hello->name, url);
    struct met *m = find(f, hello->incarnation);
    if (m == NULL) {
        if (f->met_count == MET_MAX) {
            return NULL;
        }
        m = &f->met[f->met_count++];
        *m = (struct met){.incarnation = hello->incarnation};
    }
    snprintf(m->name, sizeof(m->name), "%s", hello->name);
    if (url[0] != 0) {
        snprintf(m->url, sizeof(m->url), "%s", url);
    }
    /* A hello that was overtaken does not take back what a later one said. */
    if (hello->phase >= m->phase) {
        m->phase = hello->phase;
        m->roster = hello->roster;
    }
    m->founders = hello->founders;
    m->linked = true;
    return m;
}

void founding_on_hello(struct founding *f, const struct peer_hello *hello)
{
    begin_input(f);
    if (f->url[0] == 0 && hello->dialled[0] != 0) {
        snprintf(f->url, sizeof(f->url), "%s", hello->dialled);
    }
    struct met *m = meet(f, hello);
    if (m == NULL) {
        return;
    }
    check_founded(f, m);
    check_own_name(f, m);
    check_name(f, m);
    ask(f, m);
    advance(f);
}

void founding_on_down(struct founding *f, struct uuid peer)
{
    begin_input(f);
    struct met *m = find(f, peer);
    if (m == NULL) {
        return;
    }
    m->linked = false;
    /* That somebody was founded stays true. So does a promise; both are durable at their side. */
    if (m->phase == FOUNDING_FRESH && !m->promised) {
        forget(f, m);
    }
    advance(f);
}

/* Rule G3: its incarnations are exactly those that this member reached itself. */
static bool is_what_we_see(struct founding *f, const struct roster *r)
{
    const struct roster_member *self = roster_find(r, f->identity.incarnation);
    if (self == NULL || strcmp(self->name, f->identity.name) != 0 || r->count != f->founders ||
        count_linked(f) != f->founders - 1) {
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const struct roster_member *m = &r->members[i];
        if (m == self) {
            continue;
        }
        const struct met *met = find(f, m->incarnation);
        if (met == NULL || !met->linked || strcmp(met->name, m->name) != 0) {
            return false;
        }
    }
    return true;
}

static void on_ask(struct founding *f, struct uuid from, const struct roster *r)
{
    if (!is_what_we_see(f, r)) {
        return;
    }
    if (f->identity.phase == FOUNDING_FRESH) {
        f->identity.phase = FOUNDING_PROMISED;
        f->identity.roster = *r;
        save(f);
    } else if (!roster_equal(&f->identity.roster, r)) {
        return;
    }
    if (f->saving) {
        f->has_asker = true;
        f->asker = from;
    } else {
        add_note(f, from, PEER_NOTE_PROMISE);
    }
}

static void on_promise(struct founding *f, struct uuid from, const struct roster *r)
{
    struct met *m = find(f, from);
    if (m != NULL && f->identity.phase == FOUNDING_PROMISED &&
        roster_equal(&f->identity.roster, r)) {
        m->promised = true;
    }
}

void founding_on_note(struct founding *f, struct uuid from, enum peer_note kind, struct slice body)
{
    begin_input(f);
    struct reader in = reader_of(body);
    struct roster r;
    roster_decode(&in, &r);
    if (f->is_fatal || !reader_done(&in) || r.count == 0) {
        return;
    }
    if (kind == PEER_NOTE_PROMISE_ASK) {
        on_ask(f, from, &r);
    } else if (kind == PEER_NOTE_PROMISE) {
        on_promise(f, from, &r);
    }
    advance(f);
}

void founding_on_saved(struct founding *f)
{
    CHECK(f->saving);
    begin_input(f);
    f->saving = false;
    if (f->has_asker) {
        f->has_asker = false;
        add_note(f, f->asker, PEER_NOTE_PROMISE);
    }
    for (uint32_t i = 0; i < f->met_count; i++) {
        ask(f, &f->met[i]);
    }
    advance(f);
}

void founding_on_timer(struct founding *f)
{
    begin_input(f);
    for (uint32_t i = 0; i < f->met_count; i++) {
        ask(f, &f->met[i]);
    }
    advance(f);
}

void founding_output(struct founding *f, struct founding_output *out)
{
    *out = (struct founding_output){
        .save = f->saving && !f->save_told && !f->is_fatal,
        .identity = &f->identity,
        .note_count = f->notes_told ? 0 : f->note_count,
        .notes = f->notes,
        .founded = f->identity.phase == FOUNDING_FOUNDED && !f->saving,
        .fatal = f->is_fatal ? f->fatal : NULL,
    };
    f->save_told = f->save_told || out->save;
    f->notes_told = true;
}

/* --- words for a person ----------------------------------------------------------------------- */

struct text {
    char *at;
    size_t left;
};

static __attribute__((format(printf, 2, 3))) void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    size_t used = size < 0 ? 0 : (size_t)size;
    used = used < t->left ? used : t->left - 1;
    t->at += used;
    t->left -= used;
}

static void say_linked(const struct founding *f, struct text *t)
{
    say(t, "found %u of %u members: %s (this one)", count_linked(f) + 1, f->founders,
        f->identity.name);
    for (uint32_t i = 0; i < f->met_count; i++) {
        if (f->met[i].linked) {
            say(t, ", %s", f->met[i].name);
        }
    }
}

/* What keeps a FRESH member waiting although others are there. */
static void say_disagreements(const struct founding *f, struct text *t)
{
    char cluster[UUID_TEXT_SIZE];
    for (uint32_t i = 0; i < f->met_count; i++) {
        const struct met *m = &f->met[i];
        if (m->phase == FOUNDING_FOUNDED) {
            uuid_format(m->roster.cluster, cluster);
            say(t,
                "; %s (%s) belongs to the running cluster %s, which does not know this member: "
                "check --peers, or let it join with --join",
                m->name, url_or_unknown(m->url), cluster);
        } else if (m->linked && m->phase == FOUNDING_PROMISED &&
                   roster_find(&m->roster, f->identity.incarnation) == NULL) {
            say(t, "; %s (%s) has promised to found a cluster without this data directory", m->name,
                url_or_unknown(m->url));
        } else if (m->linked && m->founders != f->founders) {
            say(t, "; %s (%s) was started for %u members and this one for %u: make --peers agree",
                m->name, url_or_unknown(m->url), m->founders, f->founders);
        }
    }
    if (count_linked(f) > f->founders - 1) {
        say(t, "; that is more than --peers lists");
    } else if (is_complete(f)) {
        say(t, "; the first by name founds the cluster");
    }
}

/* A name of R that came back with another disk: R will never be complete. */
static const struct met *find_wiped(const struct founding *f)
{
    for (uint32_t i = 0; i < f->met_count; i++) {
        const struct met *m = &f->met[i];
        const struct roster_member *listed = roster_find_name(&f->identity.roster, m->name);
        if (m->linked && listed != NULL && !uuid_equal(listed->incarnation, m->incarnation)) {
            return m;
        }
    }
    return NULL;
}

static void say_promised(struct founding *f, struct text *t)
{
    const struct met *wiped = find_wiped(f);
    if (wiped != NULL) {
        say(t,
            "cannot found the cluster: %s (%s) lost its data directory while it was being founded. "
            "If no member is founded yet, stop all of them, remove their data directories and "
            "start them again",
            wiped->name, url_or_unknown(wiped->url));
        return;
    }
    const struct roster *r = &f->identity.roster;
    uint32_t missing = 0;
    say(t, "promised to found a cluster of %u; waiting for", r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct roster_member *m = &r->members[i];
        struct met *met = find(f, m->incarnation);
        bool self = uuid_equal(m->incarnation, f->identity.incarnation);
        if (!self && (met == NULL || !met->linked || (is_founder(f) && !met->promised))) {
            say(t, "%s %s (%s)", missing++ > 0 ? "," : "", m->name, url_or_unknown(m->url));
        }
    }
    if (missing == 0) {
        say(t, " %s to complete it", r->members[0].name);
    }
}

void founding_text(const struct founding *f, char *text, size_t size)
{
    CHECK(size > 0);
    text[0] = 0;
    struct text t = {.at = text, .left = size};
    if (f->identity.phase == FOUNDING_FRESH) {
        say_linked(f, &t);
        say_disagreements(f, &t);
    } else if (f->identity.phase == FOUNDING_PROMISED) {
        say_promised((struct founding *)f, &t);
    } else {
        say(&t, "founded");
    }
}
