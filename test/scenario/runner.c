/* test/scenario/runner.c - plays a scenario file and compares what happened with what it says.
 *
 * A file is a story in blocks:
 *
 *     # a comment
 *     nodes 3
 *     run 300
 *     ----
 *     [104] n2 ELECTION_TIMEOUT term=0 silent_ms=104
 *     ...
 *                              (an empty line ends the block)
 *
 * Commands run in order; what follows `----` is the trace of the typed events of all members during
 * them. `runner --rewrite FILE...` writes what happened into the files: read the diff. The commands
 * are listed in test/scenario/README.md. Under all of it run the checks of
 * test/unit/raft/world.h. */
#include "world.h"

#include "world_check.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

struct scenario {
    struct world world;
    bool ready;    /* `nodes` was there */
    bool messages; /* print messages too */
    bool applies;
    struct buf trace; /* of the running block */
    const char *file;
    int line;
};

struct words {
    uint32_t count;
    char *item[WORDS_MAX];
};

static _Noreturn void usage(const struct scenario *s, const char *what, const char *word)
{
    fprintf(stderr, "%s:%d: %s: %s\n", s->file, s->line, what, word);
    exit(2);
}

/* --- words ------------------------------------------------------------------------------------ */

static struct words split(char *text)
{
    struct words w = {0};
    for (char *word = strtok(text, " \t"); word != NULL && w.count < WORDS_MAX;
         word = strtok(NULL, " \t")) {
        w.item[w.count++] = word;
    }
    return w;
}

/* The text after "key=", or NULL. */
static const char *option(const struct words *w, const char *key)
{
    size_t size = strlen(key);
    for (uint32_t i = 1; i < w->count; i++) {
        if (strncmp(w->item[i], key, size) == 0 && w->item[i][size] == '=') {
            return w->item[i] + size + 1;
        }
    }
    return NULL;
}

static uint64_t number(const struct words *w, const char *key, uint64_t otherwise)
{
    const char *text = option(w, key);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static bool has_word(const struct words *w, const char *word)
{
    for (uint32_t i = 1; i < w->count; i++) {
        if (strcmp(w->item[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t argument(const struct scenario *s, const struct words *w, uint32_t at)
{
    if (at >= w->count) {
        usage(s, "missing argument", w->item[0]);
    }
    return strtoull(w->item[at], NULL, 10);
}

static node_id node(const struct scenario *s, const struct words *w, uint32_t at)
{
    node_id id = argument(s, w, at);
    if (id < 1 || id > s->world.node_count) {
        usage(s, "no such node", w->item[at]);
    }
    return id;
}

/* "1,2,2" into numbers; returns how many. */
static uint32_t numbers(const char *text, uint64_t *out, uint32_t most)
{
    uint32_t count = 0;
    while (text != NULL && *text != '\0' && count < most) {
        char *end;
        out[count++] = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : NULL;
    }
    return count;
}

/* --- the trace -------------------------------------------------------------------------------- */

static const char *const event_fields[][2] = {
#define EVENT_FIELDS(name, a, b) {a, b},
    RAFT_EVENT_TABLE(EVENT_FIELDS)
#undef EVENT_FIELDS
};

static void print_field(struct buf *out, const char *name, uint64_t value)
{
    if (strcmp(name, "role") == 0) {
        buf_printf(out, " %s", raft_role_name((enum raft_role)value));
    } else if (strcmp(name, "type") == 0) {
        buf_printf(out, " %s", raft_message_name((enum raft_message_type)value));
    } else {
        buf_printf(out, " %s=%" PRIu64, name, value);
    }
}

static void on_event(void *context, node_id id, const struct raft_event *event)
{
    struct scenario *s = context;
    buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " %s", s->world.now_ms, id,
               raft_event_name(event->kind));
    print_field(&s->trace, event_fields[event->kind][0], event->a);
    print_field(&s->trace, event_fields[event->kind][1], event->b);
    buf_append_byte(&s->trace, '\n');
}

static void print_id(struct buf *out, const char *name, struct entry_id id)
{
    if (id.index != 0) {
        buf_printf(out, " %s=%" PRIu64 "^%" PRIu64, name, id.index, id.term);
    }
}

static void on_message(void *context, const struct raft_message *m, bool lost)
{
    struct scenario *s = context;
    if (!s->messages) {
        return;
    }
    struct buf *out = &s->trace;
    buf_printf(out, "[%" PRIu64 "] n%" PRIu64 ">n%" PRIu64 " %s term=%" PRIu64, s->world.now_ms,
               m->from, m->to, raft_message_name(m->type), m->term);
    print_id(out, "last", m->last);
    print_id(out, "hint", m->hint);
    if (m->entry_count > 0) {
        buf_printf(out, " entries=%" PRIu32, m->entry_count);
    }
    if (m->commit > 0) {
        buf_printf(out, " commit=%" PRIu64, m->commit);
    }
    if (m->match > 0) {
        buf_printf(out, " match=%" PRIu64, m->match);
    }
    buf_append_str(out, m->reject ? " refused" : "");
    buf_append_str(out, m->transfer ? " transfer" : "");
    buf_append_str(out, m->recovering ? " recovering" : "");
    buf_append_str(out, m->bulk ? " bulk" : "");
    buf_append_str(out, lost ? " (lost)\n" : "\n");
}

static void on_read(void *context, node_id id, const struct raft_read *read)
{
    struct scenario *s = context;
    buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " read %s index=%" PRIu64 "\n", s->world.now_ms,
               id, status_name(read->status), read->index);
}

static void on_apply(void *context, node_id id, raft_index index, const struct raft_entry *entry)
{
    struct scenario *s = context;
    if (s->applies) {
        buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " applies %" PRIu64 "^%" PRIu64 "\n",
                   s->world.now_ms, id, index, entry->term);
    }
}

static void on_host(void *context, node_id id, const char *what, raft_index index)
{
    struct scenario *s = context;
    buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " %s %" PRIu64 "\n", s->world.now_ms, id, what,
               index);
}

static void print_state(struct scenario *s)
{
    struct world *w = &s->world;
    for (node_id id = 1; id <= w->node_count; id++) {
        const struct world_node *n = &w->nodes[id];
        buf_printf(&s->trace, "n%" PRIu64, id);
        if (n->raft == NULL) {
            buf_printf(&s->trace, " down disk=%" PRIu32 " term=%" PRIu64 " vote=%" PRIu64 "\n",
                       (uint32_t)world_disk_last(&n->disk), n->disk.term, n->disk.vote);
            continue;
        }
        struct entry_id last = raft_last(n->raft);
        buf_printf(&s->trace,
                   " %s term=%" PRIu64 " vote=%" PRIu64 " leader=%" PRIu64 " last=%" PRIu64
                   "^%" PRIu64 " durable=%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 "\n",
                   raft_role_name(raft_role(n->raft)), raft_term_now(n->raft), raft_vote(n->raft),
                   raft_leader(n->raft), last.index, last.term, raft_durable(n->raft),
                   raft_commit(n->raft), n->applied);
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static void take_ids(const char *text, node_id *ids, uint32_t *count)
{
    *count = numbers(text, ids, LIMIT_MEMBERS);
}

static struct raft_config config_option(const struct words *w)
{
    struct raft_config config = {0};
    take_ids(option(w, "voters"), config.voters, &config.voter_count);
    take_ids(option(w, "outgoing"), config.outgoing, &config.outgoing_count);
    take_ids(option(w, "learners"), config.learners, &config.learner_count);
    return config;
}

/* nodes N [voters=1,2,3] [outgoing=..] [learners=..] [seed=] [election=] [heartbeat=] [bounds] */
static void do_nodes(struct scenario *s, const struct words *w)
{
    struct world *world = &s->world;
    world_init(world, number(w, "seed", 1));
    world->observer = (struct world_observer){.context = s,
                                              .on_event = on_event,
                                              .on_message = on_message,
                                              .on_read = on_read,
                                              .on_apply = on_apply,
                                              .on_host = on_host};
    s->ready = true;
    uint64_t count = argument(s, w, 1);
    struct raft_config config = config_option(w);
    if (config.voter_count == 0) {
        for (node_id id = 1; id <= count; id++) {
            config.voters[config.voter_count++] = id;
        }
    }
    const struct raft_options options = {
        .self = 1,
        .election_timeout_ms = (uint32_t)number(w, "election", 100),
        .heartbeat_ms = (uint32_t)number(w, "heartbeat", 20),
        .append_bytes_max = (uint32_t)number(w, "append", 0),
        .inflight_messages_max = (uint32_t)number(w, "window", 0),
        .tail_bytes_max = (uint32_t)number(w, "tail", 0),
        .lease_reads = has_word(w, "lease"),
    };
    for (uint64_t i = 0; i < count; i++) {
        world_add(world, &options, &config);
    }
}

/* config N [voters=] [outgoing=] [learners=]: this member knows another one than the rest. */
static void do_config(struct scenario *s, const struct words *w)
{
    s->world.nodes[node(s, w, 1)].config = config_option(w);
}

/* Entry number `at` is a configuration. */
static void preload(struct scenario *s, const struct words *w, node_id id, struct raft_entry entry)
{
    if (number(w, "at", 0) != s->world.nodes[id].disk.count + 1) {
        world_preload(&s->world, id, &entry);
        return;
    }
    struct raft_config config = config_option(w);
    entry.type = RAFT_ENTRY_CONFIG;
    entry.payload = raft_config_encode(&config, (struct slice){0});
    world_preload(&s->world, id, &entry);
    blob_unref(entry.payload);
}

/* disk N [terms=1,1,2] [term=] [vote=] [commit=] [at= voters= ...]: what is there before the
 * start. */
static void do_disk(struct scenario *s, const struct words *w)
{
    node_id id = node(s, w, 1);
    struct world_disk *disk = &s->world.nodes[id].disk;
    uint64_t terms[256];
    uint32_t count = numbers(option(w, "terms"), terms, 256);
    uint64_t repeat = number(w, "repeat", 1);
    for (uint64_t i = 0; i < count * repeat; i++) {
        preload(s, w, id, (struct raft_entry){.term = terms[i / repeat]});
    }
    disk->term = number(w, "term", disk->count > 0 ? terms[count - 1] : 0);
    disk->vote = number(w, "vote", 0);
    disk->commit = number(w, "commit", 0);
}

static void do_start(struct scenario *s, const struct words *w)
{
    for (node_id id = 1; id <= s->world.node_count; id++) {
        if (w->count == 1 || id == argument(s, w, 1)) {
            world_start(&s->world, id);
        }
    }
}

static void report(struct scenario *s, node_id id, const char *what, enum status status)
{
    if (status != STATUS_OK) {
        buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " %s: %s\n", s->world.now_ms, id, what,
                   status_name(status));
    }
}

static void do_propose(struct scenario *s, const struct words *w)
{
    node_id id = node(s, w, 1);
    uint64_t count = number(w, "count", 1);
    for (uint64_t i = 0; i < count; i++) {
        report(s, id, "propose", world_propose(&s->world, id, 8));
    }
}

static void input(struct scenario *s, const struct words *w, struct raft_input in)
{
    node_id id = node(s, w, 1);
    report(s, id, w->item[0], world_input(&s->world, id, &in));
}

static void do_transfer(struct scenario *s, const struct words *w)
{
    input(s, w,
          (struct raft_input){.kind = RAFT_INPUT_TRANSFER,
                              .target = w->count > 2 ? argument(s, w, 2) : 0});
}

static void do_campaign(struct scenario *s, const struct words *w)
{
    input(s, w, (struct raft_input){.kind = RAFT_INPUT_CAMPAIGN});
}

static void do_stalled(struct scenario *s, const struct words *w)
{
    input(s, w, (struct raft_input){.kind = RAFT_INPUT_STALLED});
}

static void do_lost(struct scenario *s, const struct words *w)
{
    const struct raft *r = s->world.nodes[node(s, w, 1)].raft;
    input(s, w,
          (struct raft_input){.kind = RAFT_INPUT_LEADER_LOST,
                              .lost = {.leader = number(w, "leader", raft_leader(r)),
                                       .term = number(w, "term", raft_term_now(r)),
                                       .sync_ms = (uint32_t)number(w, "sync", 1)}});
}

static void do_read(struct scenario *s, const struct words *w)
{
    report(s, node(s, w, 1), "read", world_read(&s->world, node(s, w, 1)));
}

/* change N voters= [learners=] */
static void do_change(struct scenario *s, const struct words *w)
{
    const struct raft_config config = config_option(w);
    report(s, node(s, w, 1), "change", world_change(&s->world, node(s, w, 1), &config));
}

/* prefer [N,M...] [hand_back]: everybody, at once and after each start. */
static void do_prefer(struct scenario *s, const struct words *w)
{
    struct raft_preference p = {.hand_back = has_word(w, "hand_back")};
    p.count = w->count > 1 ? numbers(w->item[1], p.order, LIMIT_MEMBERS) : 0;
    for (node_id id = 1; id <= s->world.node_count; id++) {
        s->world.nodes[id].preference = p;
        if (s->world.nodes[id].raft != NULL) {
            raft_set_preference(s->world.nodes[id].raft, &p);
        }
    }
}

/* bar N | unbar N */
static void do_bar(struct scenario *s, const struct words *w)
{
    input(s, w, (struct raft_input){.kind = RAFT_INPUT_BARRED, .barred = w->item[0][0] == 'b'});
}

static void print_ids(struct buf *out, const char *name, const node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0) {
            buf_printf(out, " %s=%" PRIu64, name, ids[i]);
        } else {
            buf_printf(out, ",%" PRIu64, ids[i]);
        }
    }
}

/* members: the configuration that each member decides by. */
static void do_members(struct scenario *s, const struct words *w)
{
    (void)w;
    world_flush(&s->world);
    for (node_id id = 1; id <= s->world.node_count; id++) {
        const struct raft *r = s->world.nodes[id].raft;
        if (r == NULL) {
            continue;
        }
        struct raft_config_view view;
        raft_config_view(r, &view);
        buf_printf(&s->trace, "n%" PRIu64 " at %" PRIu64, id, view.id.index);
        print_ids(&s->trace, "voters", view.config->voters, view.config->voter_count);
        print_ids(&s->trace, "outgoing", view.config->outgoing, view.config->outgoing_count);
        print_ids(&s->trace, "learners", view.config->learners, view.config->learner_count);
        buf_append_str(&s->trace, view.committed ? "\n" : " (not committed)\n");
    }
}

static void do_run(struct scenario *s, const struct words *w)
{
    world_run(&s->world, argument(s, w, 1));
}

static void do_crash(struct scenario *s, const struct words *w)
{
    world_crash(&s->world, node(s, w, 1));
}

static void do_pause(struct scenario *s, const struct words *w)
{
    world_pause(&s->world, node(s, w, 1), strcmp(w->item[0], "pause") == 0);
}

/* cut|hold|open A B..., A = everybody when 0: both ways, or `A > B` for one. */
static void do_link(struct scenario *s, const struct words *w)
{
    enum world_link state = w->item[0][0] == 'c'   ? WORLD_LINK_CUT
                            : w->item[0][0] == 'h' ? WORLD_LINK_HELD
                                                   : WORLD_LINK_OPEN;
    if (w->count == 1) {
        world_set_all_links(&s->world, state);
        return;
    }
    bool one_way = has_word(w, ">");
    node_id a = node(s, w, 1);
    for (uint32_t i = one_way ? 3 : 2; i < w->count; i++) {
        node_id b = node(s, w, i);
        world_set_link(&s->world, a, b, state);
        if (!one_way) {
            world_set_link(&s->world, b, a, state);
        }
    }
}

/* isolate A: cut from everybody. */
static void do_isolate(struct scenario *s, const struct words *w)
{
    node_id a = node(s, w, 1);
    for (node_id b = 1; b <= s->world.node_count; b++) {
        world_set_link(&s->world, a, b, WORLD_LINK_CUT);
        world_set_link(&s->world, b, a, WORLD_LINK_CUT);
    }
}

/* sync N ms | sync N hangs */
static void do_sync(struct scenario *s, const struct words *w)
{
    bool hangs = has_word(w, "hangs");
    world_set_disk(&s->world, node(s, w, 1), hangs ? 1 : argument(s, w, 2), hangs);
}

/* deliver TYPE from= to= term= [index= prev=] [commit=] [entries=1,1]: a message that nobody
 * sent. */
static void do_deliver(struct scenario *s, const struct words *w)
{
    uint64_t terms[64];
    struct raft_entry entries[64] = {0};
    struct raft_message m = {.from = number(w, "from", 0),
                             .to = number(w, "to", 0),
                             .term = number(w, "term", 0),
                             .last = {.index = number(w, "index", 0), .term = number(w, "prev", 0)},
                             .commit = number(w, "commit", 0),
                             .round = number(w, "round", 1),
                             .entry_count = numbers(option(w, "entries"), terms, 64),
                             .entries = entries};
    for (uint32_t i = 0; i < m.entry_count; i++) {
        entries[i].term = terms[i];
    }
    for (uint32_t type = 1; type <= RAFT_MSG_SNAPSHOT; type++) {
        if (w->count > 1 &&
            strcmp(w->item[1], raft_message_name((enum raft_message_type)type)) == 0) {
            m.type = (enum raft_message_type)type;
        }
    }
    if (m.type == 0 || m.to == 0) {
        usage(s, "which message", w->item[0]);
    }
    world_deliver(&s->world, &m);
}

/* snapshot N [first=]: of what it has applied; the log begins at `first` from now on. */
static void do_snapshot(struct scenario *s, const struct words *w)
{
    world_take_snapshot(&s->world, node(s, w, 1), number(w, "first", 0));
}

/* install FROM TO: the newest snapshot of one reaches the other. */
static void do_install(struct scenario *s, const struct words *w)
{
    (void)!world_install(&s->world, node(s, w, 1), node(s, w, 2));
}

/* lose N FROM: a member that is down lost its entries from there on, though they were durable. */
static void do_lose(struct scenario *s, const struct words *w)
{
    world_lose(&s->world, node(s, w, 1), argument(s, w, 2));
}

/* lease N: would it serve a read now, without asking? */
static void do_lease(struct scenario *s, const struct words *w)
{
    node_id id = node(s, w, 1);
    raft_index index = 0;
    bool may = raft_lease_read(s->world.nodes[id].raft, world_clock_ms(&s->world, id), &index);
    buf_printf(&s->trace, "[%" PRIu64 "] n%" PRIu64 " lease: ", s->world.now_ms, id);
    if (may) {
        buf_printf(&s->trace, "read at %" PRIu64 "\n", index);
    } else {
        buf_append_str(&s->trace, "no\n");
    }
}

/* timeout N MS: its own E, from its next start on. */
static void do_timeout(struct scenario *s, const struct words *w)
{
    s->world.nodes[node(s, w, 1)].options.election_timeout_ms = (uint32_t)argument(s, w, 2);
}

static void do_trace(struct scenario *s, const struct words *w)
{
    s->messages = has_word(w, "messages");
    s->applies = has_word(w, "applies");
}

static void do_state(struct scenario *s, const struct words *w)
{
    (void)w;
    world_flush(&s->world);
    print_state(s);
}

/* The story must have come to a good end. */
static void do_converged(struct scenario *s, const struct words *w)
{
    (void)w;
    buf_printf(&s->trace, "converged: %s\n", world_is_converged(&s->world, NULL) ? "yes" : "NO");
}

static const struct {
    const char *name;
    void (*run)(struct scenario *s, const struct words *w);
} commands[] = {
    {"nodes", do_nodes},         {"config", do_config},     {"disk", do_disk},
    {"start", do_start},         {"run", do_run},           {"propose", do_propose},
    {"transfer", do_transfer},   {"campaign", do_campaign}, {"stalled", do_stalled},
    {"lost", do_lost},           {"read", do_read},         {"change", do_change},
    {"members", do_members},     {"prefer", do_prefer},     {"bar", do_bar},
    {"unbar", do_bar},           {"crash", do_crash},       {"pause", do_pause},
    {"resume", do_pause},        {"cut", do_link},          {"hold", do_link},
    {"open", do_link},           {"isolate", do_isolate},   {"sync", do_sync},
    {"deliver", do_deliver},     {"trace", do_trace},       {"state", do_state},
    {"converged", do_converged}, {"snapshot", do_snapshot}, {"install", do_install},
    {"lose", do_lose},           {"lease", do_lease},       {"timeout", do_timeout},
};

static void run_command(struct scenario *s, const char *line)
{
    char *text = mem_strdup(line);
    struct words w = split(text);
    if (w.count > 0 && w.item[0][0] != '#') {
        bool found = false;
        if (!s->ready && strcmp(w.item[0], "nodes") != 0) {
            usage(s, "a scenario begins with", "nodes");
        }
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            if (strcmp(commands[i].name, w.item[0]) == 0) {
                commands[i].run(s, &w);
                found = true;
            }
        }
        if (!found) {
            usage(s, "unknown command", w.item[0]);
        }
    }
    mem_free(text);
}

/* --- files ------------------------------------------------------------------------------------ */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    struct buf b = {0};
    char chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        buf_append(&b, chunk, got);
    }
    fclose(f);
    char *text = mem_strndup((const char *)b.data, b.size);
    buf_deinit(&b);
    return text;
}

/* The next line without its newline; NULL at the end. Cuts `*rest`. */
static char *next_line(char **rest)
{
    if (**rest == '\0') {
        return NULL;
    }
    char *line = *rest;
    char *end = strchr(line, '\n');
    if (end == NULL) {
        *rest = line + strlen(line);
    } else {
        *end = '\0';
        *rest = end + 1;
    }
    return line;
}

/* Replays the file into `out`, with the traces as they are now. */
static void play(struct scenario *s, char *text, struct buf *out)
{
    bool skipping = false;
    for (char *line = next_line(&text); line != NULL; line = next_line(&text)) {
        s->line++;
        if (skipping) {
            if (line[0] != '\0') {
                continue;
            }
            skipping = false;
        }
        if (strcmp(line, "----") == 0) {
            if (s->ready) {
                world_flush(&s->world);
            }
            buf_append_str(out, "----\n");
            buf_append_slice(out, buf_slice(&s->trace));
            buf_clear(&s->trace);
            skipping = true;
            continue;
        }
        run_command(s, line);
        buf_printf(out, "%s\n", line);
    }
}

static void print_difference(const char *path, const char *expected, const char *actual)
{
    int line = 1;
    while (*expected != '\0' && *expected == *actual) {
        line += *expected == '\n';
        expected++;
        actual++;
    }
    fprintf(stderr, "%s: differs near line %d; now it is:\n%.600s\n(runner --rewrite writes it)\n",
            path, line, actual);
}

static bool play_file(const char *path, bool rewrite)
{
    struct scenario s = {.file = path};
    char *replay = mem_printf("in %s\n", path);
    world_set_replay(replay);
    char *expected = read_file(path);
    char *text = mem_strdup(expected);
    struct buf out = {0};
    play(&s, text, &out);
    buf_append_byte(&out, '\0');
    bool same = strcmp((const char *)out.data, expected) == 0;
    if (!same && rewrite) {
        FILE *f = fopen(path, "wb");
        CHECK(f != NULL);
        fputs((const char *)out.data, f);
        fclose(f);
    } else if (!same) {
        print_difference(path, expected, (const char *)out.data);
    }
    if (s.ready) {
        world_deinit(&s.world);
    }
    buf_deinit(&s.trace);
    buf_deinit(&out);
    mem_free(text);
    mem_free(expected);
    world_set_replay("");
    mem_free(replay);
    return same || rewrite;
}

int main(int argc, char **argv)
{
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    bool all_same = true;
    if (argc < 2) {
        fprintf(stderr, "usage: %s [--rewrite] FILE...\n", argv[0]);
        return 2;
    }
    for (int i = rewrite ? 2 : 1; i < argc; i++) {
        all_same = play_file(argv[i], rewrite) && all_same;
    }
    return all_same ? 0 : 1;
}
