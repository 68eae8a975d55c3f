/* node/disk_damage.c - when what is on the disk is damaged (rules P4, P6, P13).
 *
 * Found at the start: a founded member keeps what is sound of its log, says what it lost, and takes
 * part without votes and acknowledgements until it has that again from the others. What it serves
 * meanwhile is no less true than what a follower serves that was away: what it applied is a part of
 * what was committed, a linearizable read waits for an index that the leader confirmed, and one of
 * a session for its revision. Only "no older than so many ms" it cannot say.
 *
 * Alone, a member has nobody to ask: it refuses to start, and leaves the disk as it is. Term and
 * vote are never guessed, nor who it is: a member that lost either may have promised anything, and
 * must be replaced.
 *
 * Found while running: leadership is handed over, and the process ends, so that its next start does
 * the above. Going on would need another log to go on with. */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* So long a leader may take to hand over, before it ends all the same. */
#define HAND_OVER_ELECTION_TIMEOUTS 2

void node_explain_lost_promise(const struct node *n, char **detail)
{
    char *found = *detail;
    *detail = mem_printf("%s. What this member promised cannot be told any more, so it must not "
                         "take part again. If it is one of several, say \"conclave member replace "
                         "%s\" to the others, then start it with an empty --data and --join",
                         found != NULL ? found : "it is damaged", n->name);
    mem_free(found);
}

/* --- at the start ----------------------------------------------------------------------------- */

static bool is_lone_voter(const struct node *n, const struct raft_config *c)
{
    bool is_joint = c->outgoing_count > 0;
    return membership_votes(c, n->self) && c->voter_count <= 1 &&
           (!is_joint || c->outgoing_count <= 1);
}

/* The newest configuration that is found. */
struct last_config {
    struct raft_config config;
    raft_index index;
};

static bool note_config(void *context, const struct wal_entry *e)
{
    struct last_config *last = context;
    struct raft_config config;
    struct slice annex;
    if (e->type == RAFT_ENTRY_CONFIG && e->index >= last->index &&
        raft_config_decode(e->payload, &config, &annex) == STATUS_OK) {
        *last = (struct last_config){.config = config, .index = e->index};
    }
    return true;
}

/* The description of the members may be right where the state is not. */
static void note_config_of_snapshot(const struct node *n, struct snapshot_id id,
                                    struct last_config *last)
{
    struct snapshot_reader *reader = NULL;
    struct snapshot_meta meta;
    enum status s = snapshot_reader_open(n->disk, n->identity.roster.cluster, id, &reader, NULL);
    if (s == STATUS_OK && snapshot_meta_decode(snapshot_reader_meta(reader), &meta) == STATUS_OK &&
        meta.config_index >= last->index) {
        *last = (struct last_config){.config = meta.config, .index = meta.config_index};
    }
    snapshot_reader_destroy(reader);
}

/* By the newest configuration that a damaged log and its snapshots still have: before anything is
 * changed on the disk. */
static enum status look_whether_alone(const struct node *n, const struct wal_options *options,
                                      bool *is_alone)
{
    struct last_config last = {0};
    struct membership founding;
    membership_found(&n->identity.roster, &founding, &last.config);
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    enum status s = snapshot_list(n->disk, n->identity.roster.cluster, entries, &count);
    for (uint32_t i = 0; s == STATUS_OK && i < count; i++) {
        if (entries[i].sound) {
            note_config_of_snapshot(n, entries[i].id, &last);
        }
    }
    if (s == STATUS_OK) {
        s = wal_look(options, note_config, &last);
    }
    *is_alone = is_lone_voter(n, &last.config);
    return s;
}

static void explain_alone(const struct node *n, char **detail)
{
    char *found = *detail;
    *detail = mem_printf("the log is damaged: %s. %s is the only member that votes, so nobody else "
                         "has what is lost: it does not start. Nothing was changed; restore a "
                         "backup. (If members joined that this disk does not show any more, say "
                         "there: conclave member replace %s)",
                         found != NULL ? found : "unknown", n->name, n->name);
    mem_free(found);
}

enum status node_open_log(struct node *n, const struct wal_options *options, char **detail)
{
    enum status s = wal_open(options, &n->wal, detail);
    if (s != STATUS_CORRUPT || n->identity.phase != FOUNDING_FOUNDED) {
        return s;
    }
    bool is_alone = false;
    enum status looked = look_whether_alone(n, options, &is_alone);
    if (looked == STATUS_OK && is_alone) {
        explain_alone(n, detail);
        return STATUS_CORRUPT;
    }
    mem_free(*detail);
    *detail = NULL;
    if (looked != STATUS_OK) {
        return looked;
    }
    struct wal_options salvage = *options;
    salvage.salvage = true;
    s = wal_open(&salvage, &n->wal, detail);
    if (s == STATUS_CORRUPT) {
        node_explain_lost_promise(n, detail);
    } else if (s == STATUS_OK) {
        struct wal_state state;
        wal_state(n->wal, &state);
        n->figures.damage_found++;
        log_error("the log is damaged: %s. It is kept up to entry %" PRIu64
                  ", what came after is set aside as *.damaged",
                  state.damage, state.last);
    }
    return s;
}

enum status node_check_recovery(const struct node *n, char **detail)
{
    if (!is_lone_voter(n, &n->config)) {
        log_warn("recovering: no votes and no acknowledgements until what was lost is here again");
        return STATUS_OK;
    }
    struct wal_state state;
    wal_state(n->wal, &state);
    mem_free(*detail);
    *detail = mem_printf("the log is damaged%s%s. It can be read up to entry %" PRIu64
                         ", and entries after that may have been acknowledged. %s is the only "
                         "member that votes, so nobody else has them: it does not start. What was "
                         "cut off is kept as *.damaged; restore a backup",
                         state.damage[0] != '\0' ? ": " : ", as an earlier start found",
                         state.damage, state.last, n->name);
    return STATUS_CORRUPT;
}

/* --- while it runs ---------------------------------------------------------------------------- */

void node_on_damage(struct node *n, const char *what)
{
    if (n->damage[0] != '\0' || n->dead) {
        return;
    }
    snprintf(n->damage, sizeof(n->damage), "%s", what);
    n->figures.damage_found++;
    log_error("damage was found: %s", what);
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_BARRED};
    input.barred = true; /* it hands leadership over, and does not take it again */
    node_step(n, &input);
    uint64_t patience_ms = HAND_OVER_ELECTION_TIMEOUTS * n->options.election_timeout_ms;
    n->loop->ops->timer_start(n->loop, &n->damage_timer, node_now(n) + patience_ms);
}

static void end(struct node *n)
{
    node_fail(n, 1, "damage was found: %s; stopping, so that the next start repairs it", n->damage);
}

void node_damage_on_turn(struct node *n)
{
    if (n->damage[0] != '\0' && !node_is_leader(n)) {
        end(n);
    }
}

void node_on_damage_timer(struct timer *t)
{
    end(t->context);
}
