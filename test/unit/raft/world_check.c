#include "world_check.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

#define TERMS_MAX   4096
#define ENTRY_RINGS 8 /* different terms seen at one index; more are forgotten */

struct seen_entry {
    raft_term terms[ENTRY_RINGS];
    uint64_t chains[ENTRY_RINGS];
    uint32_t count;
};

struct committed {
    bool known;
    raft_term term;
    uint64_t payload;
    uint64_t chain; /* the state after it */
};

struct open_read {
    node_id node;
    raft_index floor; /* applied somewhere when it began */
    bool open;
};

/* What the log of a member says about who decides; never what its core believes. */
struct config_truth {
    bool known;
    struct entry_id upto; /* looked at so far */
    raft_index index;     /* of `config`; 0 = the founding one */
    raft_index before;    /* of the one before it */
    struct raft_config config;
};

struct world_checker {
    node_id leaders[TERMS_MAX];
    node_id votes[TERMS_MAX][WORLD_NODES_MAX + 1];
    raft_term highest_sent[WORLD_NODES_MAX + 1];
    enum raft_role roles[WORLD_NODES_MAX + 1];
    raft_index applied[WORLD_NODES_MAX + 1];
    struct seen_entry *seen; /* by index */
    struct committed *committed;
    raft_index capacity;
    raft_index committed_last;
    raft_index checked_commit; /* backed by a durable quorum up to here */
    struct config_truth configs[WORLD_NODES_MAX + 1];
    struct raft_config applied_config;
    raft_index applied_config_index;
    struct open_read *reads;
    uint64_t read_count;
    uint64_t read_capacity;
    uint64_t answered;
    uint64_t open;
    uint64_t lease_reads;
};

struct world_checker *checker_create(void)
{
    return mem_calloc(1, sizeof(struct world_checker));
}

void checker_destroy(struct world_checker *c)
{
    mem_free(c->seen);
    mem_free(c->committed);
    mem_free(c->reads);
    mem_free(c);
}

static uint64_t payload_hash(const struct raft_entry *entry)
{
    struct slice bytes = blob_slice(entry->payload);
    uint32_t crc = bytes.size > 0 ? crc32c(0, bytes.data, bytes.size) : 0;
    return (uint64_t)crc << 8 | (uint64_t)entry->type;
}

uint64_t checker_chain(uint64_t previous, const struct raft_entry *entry)
{
    uint64_t h = previous ^ payload_hash(entry);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ entry->term ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

static void make_room(struct world_checker *c, raft_index index)
{
    if (index < c->capacity) {
        return;
    }
    raft_index larger = c->capacity == 0 ? 256 : c->capacity * 2;
    while (larger <= index) {
        larger *= 2;
    }
    c->seen = mem_realloc(c->seen, larger * sizeof(*c->seen));
    c->committed = mem_realloc(c->committed, larger * sizeof(*c->committed));
    memset(c->seen + c->capacity, 0, (larger - c->capacity) * sizeof(*c->seen));
    memset(c->committed + c->capacity, 0, (larger - c->capacity) * sizeof(*c->committed));
    c->capacity = larger;
}

static const struct world_disk *disk_of(const struct world *w, node_id id)
{
    return &w->nodes[id].disk;
}

/* As an entry, or in its snapshot, which holds what is committed and nothing else. */
static bool disk_has(const struct world *w, node_id node, struct entry_id id)
{
    const struct world_disk *disk = disk_of(w, node);
    const struct world_checker *c = w->checker;
    const struct world_entry *e = world_disk_entry(disk, id.index);
    if (id.index == 0 || e != NULL) {
        return id.index == 0 ? id.term == 0 : e->entry.term == id.term;
    }
    return id.index <= disk->snapshot.id.index && id.index < c->capacity &&
           c->committed[id.index].known && c->committed[id.index].term == id.term;
}

void checker_on_start(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    for (uint64_t i = 0; i < c->read_count; i++) { /* whoever asked before the crash is gone */
        if (c->reads[i].open && c->reads[i].node == id) {
            c->reads[i].open = false;
            c->open--;
        }
    }
    c->applied[id] = w->nodes[id].applied;
    c->roles[id] = RAFT_FOLLOWER;
    c->configs[id] = (struct config_truth){0};
    if (w->nodes[id].disk.term < c->highest_sent[id]) {
        world_fail(w, "I2: n%" PRIu64 " came back at term %" PRIu64 " after speaking of %" PRIu64,
                   id, w->nodes[id].disk.term, c->highest_sent[id]);
    }
}

/* I3: an index and a term name one entry, and everything before it. */
void checker_on_written(struct world *w, node_id id, raft_index first)
{
    struct world_checker *c = w->checker;
    const struct world_disk *disk = disk_of(w, id);
    make_room(c, world_disk_last(disk));
    for (raft_index i = first; i <= world_disk_last(disk); i++) {
        const struct world_entry *e = world_disk_entry(disk, i);
        struct seen_entry *seen = &c->seen[i];
        uint32_t k = 0;
        while (k < seen->count && seen->terms[k] != e->entry.term) {
            k++;
        }
        if (k == seen->count) {
            if (seen->count == ENTRY_RINGS) {
                continue;
            }
            seen->terms[k] = e->entry.term;
            seen->chains[k] = e->chain;
            seen->count++;
        } else if (seen->chains[k] != e->chain) {
            world_fail(w, "I3: n%" PRIu64 " holds another entry %" PRIu64 " of term %" PRIu64, id,
                       i, e->entry.term);
        }
    }
}

/* A member that lost it (rule P4) is, for all that others can learn, one that is stopped with its
 * log whole, and counts as that; but not once the believer was told. */
static bool majority_holds(const struct world *w, node_id believer, const node_id *ids,
                           uint32_t count, struct entry_id entry)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_progress_view view = {0};
        bool told = raft_progress_of(w->nodes[believer].raft, ids[i], &view) && view.recovering;
        holders += !told && ids[i] <= w->node_count &&
                   (disk_has(w, ids[i], entry) || world_disk_had(disk_of(w, ids[i]), entry));
    }
    return 2 * holders > count;
}

/* On purpose not by quorum.h, which is part of what is under test. */
static bool quorum_holds(const struct world *w, node_id believer, struct entry_id entry)
{
    const struct raft_config *config = &w->checker->configs[believer].config;
    return majority_holds(w, believer, config->voters, config->voter_count, entry) &&
           (config->outgoing_count == 0 ||
            majority_holds(w, believer, config->outgoing, config->outgoing_count, entry));
}

static bool is_quorum(const struct raft_config *c, uint32_t set)
{
    uint32_t inside = 0;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        inside += (set >> c->voters[i]) & 1;
    }
    bool enough = 2 * inside > c->voter_count;
    inside = 0;
    for (uint32_t i = 0; i < c->outgoing_count; i++) {
        inside += (set >> c->outgoing[i]) & 1;
    }
    return enough && (c->outgoing_count == 0 || 2 * inside > c->outgoing_count);
}

/* I9, the slow way: is there a quorum of one among those whom a quorum of the other leaves out? */
static bool can_miss(const struct raft_config *a, const struct raft_config *b)
{
    const uint32_t all = 1u << (WORLD_NODES_MAX + 1);
    for (uint32_t set = 0; set < all; set += 2) { /* there is no member 0 */
        if (is_quorum(a, set) && is_quorum(b, ~set)) {
            return true;
        }
    }
    return false;
}

static const struct raft_entry *log_entry(const struct world *w, node_id id, raft_index index)
{
    const struct raft_entry *entry = raft_entry_at(w->nodes[id].raft, index);
    if (entry == NULL) {
        const struct world_entry *e = world_disk_entry(disk_of(w, id), index);
        entry = e != NULL ? &e->entry : NULL;
    }
    return entry;
}

/* Rule C1, where it is kept: at the moment when a leader appends a configuration. */
static void check_first_seen(struct world *w, node_id id, const struct raft_entry *entry)
{
    const struct raft *r = w->nodes[id].raft;
    if (raft_role(r) == RAFT_LEADER && entry->term == raft_term_now(r) &&
        !raft_leader_is_established(r)) {
        world_fail(w, "C1: n%" PRIu64 " changes the members before it is established", id);
    }
}

/* What a log begins with: the configuration of the snapshot before it, or the founding one. */
static struct config_truth truth_of_snapshot(const struct world *w, node_id id)
{
    const struct world_node *n = &w->nodes[id];
    const struct world_snapshot *s = &n->disk.snapshot;
    if (raft_first(n->raft) > s->id.index + 1) {
        s = &n->staged; /* it is not on disk yet */
    }
    if (s->id.index == 0) {
        return (struct config_truth){.known = true, .config = n->config};
    }
    return (struct config_truth){
        .known = true, .upto = s->id, .index = s->config_index, .config = s->config};
}

static void follow_config(struct world *w, node_id id)
{
    struct config_truth *t = &w->checker->configs[id];
    const struct raft *r = w->nodes[id].raft;
    struct entry_id last = raft_last(r);
    raft_term term = 0;
    if (!t->known || t->upto.index + 1 < raft_first(r) ||
        (t->upto.index > 0 && (!raft_term_at(r, t->upto.index, &term) || term != t->upto.term))) {
        *t = truth_of_snapshot(w, id);
    }
    for (raft_index i = t->upto.index + 1; i <= last.index; i++) {
        const struct raft_entry *entry = log_entry(w, id, i);
        if (entry == NULL || entry->type != RAFT_ENTRY_CONFIG) {
            continue;
        }
        struct raft_config next;
        struct slice annex;
        CHECK(raft_config_decode(blob_slice(entry->payload), &next, &annex) == STATUS_OK);
        if (can_miss(&t->config, &next)) {
            world_fail(w, "I9: n%" PRIu64 " goes to configuration %" PRIu64 ", quorums can miss",
                       id, i);
        }
        check_first_seen(w, id, entry);
        t->before = t->index;
        t->index = i;
        t->config = next;
    }
    t->upto = last;
}

static void check_config(struct world *w, node_id id)
{
    const struct world_checker *c = w->checker;
    const struct config_truth *t = &c->configs[id];
    if (memcmp(raft_active_config(w->nodes[id].raft), &t->config, sizeof(t->config)) != 0) {
        world_fail(w,
                   "C2: n%" PRIu64 " does not decide by the configuration %" PRIu64 " of its log",
                   id, t->index);
    }
    if (t->before > c->checked_commit) {
        world_fail(w,
                   "I9: n%" PRIu64 " has two configurations that are not committed, %" PRIu64
                   " and %" PRIu64,
                   id, t->before, t->index);
    }
}

/* I7: at the moment somebody first believes that an entry is committed, a quorum has it on disk. */
static void check_commit(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    const struct raft *r = w->nodes[id].raft;
    struct entry_id entry = {.index = raft_commit(r)};
    if (entry.index <= c->checked_commit) {
        return;
    }
    CHECK(raft_term_at(r, entry.index, &entry.term));
    make_room(c, entry.index);
    if (!quorum_holds(w, id, entry)) {
        world_fail(
            w, "I7: n%" PRIu64 " commits %" PRIu64 " of term %" PRIu64 " without a durable quorum",
            id, entry.index, entry.term);
    }
    c->checked_commit = entry.index;
}

static void check_new_leader(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    const struct raft *r = w->nodes[id].raft;
    raft_term term = raft_term_now(r);
    CHECK_CMP(term, <, TERMS_MAX);
    if (c->leaders[term] != 0) {
        world_fail(w, "I1: n%" PRIu64 " and n%" PRIu64 " lead term %" PRIu64, c->leaders[term], id,
                   term);
    }
    c->leaders[term] = id;
    raft_term own = 0;
    raft_index i = raft_first(r) - 1; /* what is below is in its snapshot */
    for (i += i == 0; i <= c->committed_last; i++) {
        if (c->committed[i].known && (!raft_term_at(r, i, &own) || own != c->committed[i].term)) {
            world_fail(w,
                       "I5: n%" PRIu64 " leads term %" PRIu64 " without committed entry %" PRIu64,
                       id, term, i);
        }
    }
}

/* I8: what a leader believes of a follower is on the follower's disk, unless a newer leader has
 * overwritten it since. */
static void check_matches(struct world *w, node_id id)
{
    const struct raft *r = w->nodes[id].raft;
    for (node_id other = 1; other <= w->node_count; other++) {
        struct raft_progress_view view;
        if (!raft_progress_of(r, other, &view) || disk_of(w, other)->term > raft_term_now(r) ||
            (w->nodes[other].raft != NULL &&
             raft_term_now(w->nodes[other].raft) > raft_term_now(r))) {
            continue;
        }
        struct entry_id match = {.index = view.match};
        if (match.index > 0 &&
            (match.index + 1 >= raft_first(r) &&
             (!raft_term_at(r, match.index, &match.term) ||
              !(disk_has(w, other, match) || world_disk_had(disk_of(w, other), match))))) {
            world_fail(w, "I8: n%" PRIu64 " believes n%" PRIu64 " holds %" PRIu64, id, other,
                       match.index);
        }
    }
}

/* I14: whenever a leader would serve a read without asking, nobody has applied more. */
static void check_lease(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    raft_index index = 0;
    if (!raft_lease_read(w->nodes[id].raft, world_clock_ms(w, id), &index)) {
        return;
    }
    c->lease_reads++;
    if (index < c->committed_last) {
        world_fail(w,
                   "I14: n%" PRIu64 " serves a lease read at %" PRIu64 ", %" PRIu64
                   " was applied before it",
                   id, index, c->committed_last);
    }
}

void checker_on_step(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    const struct raft *r = w->nodes[id].raft;
    enum raft_role role = raft_role(r);
    if (role == RAFT_LEADER && c->roles[id] != RAFT_LEADER) {
        check_new_leader(w, id);
    }
    c->roles[id] = role;
    follow_config(w, id);
    check_commit(w, id);
    check_config(w, id);
    if (role == RAFT_LEADER) {
        check_matches(w, id);
        check_lease(w, id);
    }
}

static void check_vote(struct world *w, node_id voter, raft_term term, node_id candidate)
{
    struct world_checker *c = w->checker;
    CHECK_CMP(term, <, TERMS_MAX);
    node_id *vote = &c->votes[term][voter];
    if (*vote != 0 && *vote != candidate) {
        world_fail(w, "I1b: n%" PRIu64 " votes for n%" PRIu64 " and n%" PRIu64 " in term %" PRIu64,
                   voter, *vote, candidate, term);
    }
    *vote = candidate;
    if (disk_of(w, voter)->vote != candidate) {
        world_fail(w, "I18: n%" PRIu64 " tells of a vote that is not durable", voter);
    }
}

static void check_acknowledgement(struct world *w, const struct raft_message *m)
{
    const struct world_disk *disk = disk_of(w, m->from);
    const struct world_entry *own = world_disk_entry(disk, m->match);
    if (disk->recovering && !m->recovering && m->match > 0) {
        world_fail(w, "P4: n%" PRIu64 " acknowledges as if its log were whole", m->from);
    }
    if (m->match > 0 && own == NULL && m->match > disk->snapshot.id.index) {
        world_fail(w, "I18: n%" PRIu64 " acknowledges %" PRIu64 ", which is not durable", m->from,
                   m->match);
    }
    if (m->to > w->node_count || m->match == 0 || own == NULL) {
        return;
    }
    const struct raft *leader = w->nodes[m->to].raft;
    raft_term term = 0;
    if (leader != NULL && raft_role(leader) == RAFT_LEADER && raft_term_now(leader) == m->term &&
        m->match + 1 >= raft_first(leader) &&
        (!raft_term_at(leader, m->match, &term) || term != own->entry.term)) {
        world_fail(w,
                   "I18: n%" PRIu64 " acknowledges %" PRIu64 ", where its log is not the leader's",
                   m->from, m->match);
    }
}

void checker_on_send(struct world *w, const struct raft_message *m)
{
    struct world_checker *c = w->checker;
    const struct world_disk *disk = disk_of(w, m->from);
    bool is_grant = m->type == RAFT_MSG_PREVOTE_REPLY && !m->reject;
    if (m->type != RAFT_MSG_PREVOTE && !is_grant) {
        if (disk->term != m->term) {
            world_fail(w, "I18: n%" PRIu64 " sends %s of term %" PRIu64 ", durable is %" PRIu64,
                       m->from, raft_message_name(m->type), m->term, disk->term);
        }
        c->highest_sent[m->from] = m->term;
    }
    if ((m->type == RAFT_MSG_PREVOTE || m->type == RAFT_MSG_VOTE) &&
        !disk_has(w, m->from, m->last)) {
        world_fail(w, "I18: n%" PRIu64 " advertises a tail that is not durable", m->from);
    }
    if (m->type == RAFT_MSG_VOTE) {
        check_vote(w, m->from, m->term, m->from);
    }
    if (m->type == RAFT_MSG_VOTE_REPLY && !m->reject) {
        check_vote(w, m->from, m->term, m->to);
    }
    if (m->type == RAFT_MSG_APPEND_REPLY || m->type == RAFT_MSG_HEARTBEAT_REPLY) {
        check_acknowledgement(w, m);
    }
}

static void note_applied_config(struct world_checker *c, raft_index index,
                                const struct raft_entry *entry)
{
    if (entry->type == RAFT_ENTRY_CONFIG && index > c->applied_config_index) {
        struct slice annex;
        enum status s = raft_config_decode(blob_slice(entry->payload), &c->applied_config, &annex);
        CHECK(s == STATUS_OK);
        c->applied_config_index = index;
    }
}

void checker_on_apply(struct world *w, node_id id, raft_index index, const struct raft_entry *entry)
{
    struct world_checker *c = w->checker;
    if (index != c->applied[id] + 1) {
        world_fail(w, "I6: n%" PRIu64 " applies %" PRIu64 " after %" PRIu64, id, index,
                   c->applied[id]);
    }
    c->applied[id] = index;
    make_room(c, index);
    if (!disk_has(w, id, (struct entry_id){.term = entry->term, .index = index})) {
        world_fail(w, "R10: n%" PRIu64 " applies %" PRIu64 " before it is durable", id, index);
    }
    struct committed *slot = &c->committed[index];
    if (!slot->known) {
        *slot = (struct committed){.known = true,
                                   .term = entry->term,
                                   .payload = payload_hash(entry),
                                   .chain = w->nodes[id].state};
        c->committed_last = index > c->committed_last ? index : c->committed_last;
        note_applied_config(c, index, entry);
    } else if (slot->term != entry->term || slot->payload != payload_hash(entry)) {
        world_fail(w, "I6: n%" PRIu64 " applies another entry %" PRIu64, id, index);
    } else if (slot->chain != w->nodes[id].state) {
        world_fail(w, "I16: n%" PRIu64 " has another state at %" PRIu64, id, index);
    }
}

/* I16: the snapshot is the state at its index. */
void checker_on_snapshot(struct world *w, node_id id, const struct world_snapshot *s)
{
    const struct committed *slot = &w->checker->committed[s->id.index];
    if (!slot->known || slot->term != s->id.term || slot->chain != s->chain) {
        world_fail(w, "I16: n%" PRIu64 " takes a snapshot that is not the state at %" PRIu64, id,
                   s->id.index);
    }
}

void checker_on_recovered(struct world *w, node_id id)
{
    const struct world_checker *c = w->checker;
    const struct world_disk *disk = disk_of(w, id);
    for (uint32_t i = 0; i < disk->lost_count; i++) {
        struct entry_id lost = {.term = disk->lost_terms[i], .index = disk->lost_from + i};
        if (c->committed[lost.index].known && c->committed[lost.index].term == lost.term &&
            !disk_has(w, id, lost)) {
            world_fail(w, "P4: n%" PRIu64 " calls itself whole without %" PRIu64, id, lost.index);
        }
    }
}

void checker_on_restore(struct world *w, node_id id, uint64_t chain)
{
    struct world_checker *c = w->checker;
    raft_index index = w->nodes[id].applied;
    if (!c->committed[index].known || c->committed[index].chain != chain) {
        world_fail(w, "I16: n%" PRIu64 " restores what is not the state at %" PRIu64, id, index);
    }
    c->applied[id] = index;
}

uint64_t checker_on_read(struct world *w, node_id id)
{
    struct world_checker *c = w->checker;
    if (c->read_count == c->read_capacity) {
        c->read_capacity = c->read_capacity == 0 ? 256 : c->read_capacity * 2;
        c->reads = mem_realloc(c->reads, c->read_capacity * sizeof(*c->reads));
    }
    c->reads[c->read_count] =
        (struct open_read){.node = id, .floor = c->committed_last, .open = true};
    c->open++;
    return c->read_count++;
}

/* I12: everything that was answered to somebody before the read began was applied somewhere. */
void checker_on_read_done(struct world *w, const struct raft_read *read)
{
    struct world_checker *c = w->checker;
    CHECK_CMP(read->token, <, c->read_count);
    struct open_read *open = &c->reads[read->token];
    if (!open->open) {
        world_fail(w, "a read is answered twice");
    }
    open->open = false;
    c->open--;
    if (read->status != STATUS_OK) {
        return;
    }
    c->answered++;
    if (read->index < open->floor) {
        world_fail(w, "I12: a read is served at %" PRIu64 ", %" PRIu64 " was applied before it",
                   read->index, open->floor);
    }
}

raft_index checker_committed(const struct world *w)
{
    return w->checker->committed_last;
}

uint64_t checker_lease_reads(const struct world *w)
{
    return w->checker->lease_reads;
}

const struct raft_config *checker_config(const struct world *w, raft_index *index)
{
    *index = w->checker->applied_config_index;
    return *index > 0 ? &w->checker->applied_config : NULL;
}

uint64_t checker_reads_answered(const struct world *w)
{
    return w->checker->answered;
}

uint64_t checker_reads_open(const struct world *w)
{
    return w->checker->open;
}
