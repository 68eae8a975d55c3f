/* cmd/chaos.c - `conclave chaos --simulate`: members go down and come up by chance (rows D10 to
 * D13), while one client writes and reads and knows what it may see. */
#include "base/mem.h"
#include "base/rng.h"
#include "client/client.h"
#include "cmd/chaos_members.h"
#include "cmd/chaos_values.h"
#include "cmd/client_verb.h"
#include "cmd/cluster_verb.h"
#include "cmd/verbs.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHAOS_SIMULATE = CLIENT_ROWS,
    CHAOS_INTERVAL,
    CHAOS_DURATION,
    CHAOS_FAIL,
    CHAOS_RECOVER,
    CHAOS_SEED,
    CHAOS_ROWS
};

static const struct option rows[] = {
    CLIENT_OPTION_ROWS_WITH("how long one write or one answer of a member may take", "2s"),
    [CHAOS_SIMULATE] = {.name = "simulate",
                        .type = OPTION_BOOL,
                        .meaning = "by the members' own /faults; they run with --enable-faults",
                        .fallback = "false"},
    [CHAOS_INTERVAL] = {.name = "interval",
                        .type = OPTION_DURATION,
                        .unit = "DURATION",
                        .meaning = "how often it is drawn who goes down and who comes up",
                        .fallback = "5s",
                        .min = 100,
                        .max = 3600000},
    [CHAOS_DURATION] = {.name = "duration",
                        .type = OPTION_DURATION,
                        .unit = "DURATION",
                        .meaning = "how long; Ctrl-C ends it earlier",
                        .fallback = "30s",
                        .min = 1,
                        .max = 86400000},
    [CHAOS_FAIL] = {.name = "fail-probability",
                    .type = OPTION_TEXT,
                    .unit = "P",
                    .meaning = "that a member which is up goes down, each time; 0 to 1",
                    .fallback = "0.1"},
    [CHAOS_RECOVER] = {.name = "recover-probability",
                       .type = OPTION_TEXT,
                       .unit = "P",
                       .meaning = "that one which is down comes up, each time; 0 to 1",
                       .fallback = "0.3"},
    [CHAOS_SEED] = {.name = "seed",
                    .type = OPTION_INTEGER,
                    .unit = "N",
                    .meaning = "the same chance again; if not given, another one each time",
                    .min = 0,
                    .max = UINT32_MAX},
};

#define CHANCE_ALL     1000000u
#define TIMEOUT_MIN_MS 250
/* Between two rounds of a write and two reads. */
#define PAUSE_MS       20
/* For members to be let back, and for their agreement after that. */
#define HEAL_MS        5000
#define SETTLE_MS      30000

struct simulation {
    const struct options *options;
    FILE *story; /* stderr when stdout is for data */
    struct chaos_members members;
    struct chaos_values values;
    struct client *client;
    struct rng rng;  /* who goes down */
    struct rng pick; /* which key, whom to read */
    uint32_t timeout_ms;
    uint64_t fail;
    uint64_t recover;
    uint64_t seed;
    char keys[48];                     /* "/key/chaos/1a2b3c4d/": of this run alone */
    char leader[LIMIT_NAME_BYTES + 1]; /* as the last write said */
    /* What came of it. */
    uint64_t rounds;
    uint64_t downs;
    uint64_t ups;
    uint64_t written;
    uint64_t refused;
    uint64_t unknown;
    uint64_t failed_with_majority; /* of the latter two */
    uint64_t reads;
    uint64_t reads_unanswered;
    char wrong[256]; /* the first wrong value; empty = none */
    bool is_healed;
    bool has_settled;
};

static void tell(const struct simulation *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line at once, so that a pipe shows the story as it happens. */
static void tell(const struct simulation *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(s->story, format, args);
    va_end(args);
    fputc('\n', s->story);
    fflush(s->story);
}

static bool is_over(const struct simulation *s)
{
    return cluster_interrupted != 0 || s->wrong[0] != '\0';
}

/* --- down and up ------------------------------------------------------------------------------ */

static bool move(struct simulation *s, uint32_t i, bool is_down)
{
    char *detail = NULL;
    tell(s, "Node %s %s", s->members.members[i].name, is_down ? "going DOWN" : "coming UP");
    enum status status = chaos_members_set(&s->members, i, is_down, s->timeout_ms, &detail);
    if (status != STATUS_OK) {
        verb_complain(s->options, "it stays as it was: %s", detail);
    }
    mem_free(detail);
    return status == STATUS_OK;
}

/* Row D11. Everybody draws once, in the order of names, so that one seed is one story. */
static void draw(struct simulation *s)
{
    uint64_t moves = s->downs + s->ups;
    s->rounds++;
    for (uint32_t i = 0; i < s->members.count; i++) {
        bool was_down = s->members.members[i].is_down;
        if (!rng_chance(&s->rng, was_down ? s->recover : s->fail, CHANCE_ALL)) {
            continue;
        }
        if (move(s, i, !was_down)) {
            *(was_down ? &s->ups : &s->downs) += 1;
        }
    }
    if (s->downs + s->ups > moves) {
        tell(s, "%u of %u members are up: %s", chaos_members_up(&s->members), s->members.count,
             chaos_members_have_majority(&s->members) ? "a majority, writes go on"
                                                      : "no majority, nothing can be written");
    }
}

/* Whatever it was, nobody is left cut off. */
static bool heal(struct simulation *s)
{
    uint64_t deadline_ms = client_now_ms() + HEAL_MS;
    bool is_healed = true;
    for (uint32_t i = 0; i < s->members.count; i++) {
        const struct chaos_member *member = &s->members.members[i];
        bool was_down = member->is_down;
        char *detail = NULL;
        enum status status;
        while ((status = chaos_members_set(&s->members, i, false, s->timeout_ms, &detail)) !=
                   STATUS_OK &&
               client_now_ms() < deadline_ms) {
            client_sleep_ms(PAUSE_MS);
        }
        if (status != STATUS_OK) {
            verb_complain(s->options, "%s may still be cut off; a restart ends that. %s",
                          member->name, detail);
            is_healed = false;
        } else if (was_down) {
            tell(s, "Node %s coming UP", member->name);
            s->ups++;
        }
        mem_free(detail);
    }
    return is_healed;
}

/* --- writing and reading ---------------------------------------------------------------------- */

static void make_target(const struct simulation *s, uint32_t key, const char *query,
                        struct buf *target)
{
    buf_printf(target, "%s%u%s", s->keys, key, query);
}

static void note_leader(struct simulation *s, const struct client_answer *a)
{
    const char *leader = client_answer_string(a, "leaderId");
    if (leader != NULL && strlen(leader) < sizeof(s->leader) && strcmp(leader, s->leader) != 0) {
        tell(s, "%s leads%s", leader, s->leader[0] != '\0' ? " now" : "");
        snprintf(s->leader, sizeof(s->leader), "%s", leader);
    }
}

/* What the client's statuses promise (client.h): anything that is not known to be undone may have
 * been done. */
static enum chaos_outcome outcome_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return CHAOS_WRITTEN;
    case STATUS_NOT_LEADER:
    case STATUS_NO_QUORUM:
    case STATUS_OVERLOADED:
    case STATUS_NO_SPACE:
    case STATUS_UNREACHABLE:
        return CHAOS_REFUSED;
    default:
        return CHAOS_UNKNOWN;
    }
}

static void write_one(struct simulation *s)
{
    uint32_t value = chaos_values_issue(&s->values);
    struct buf target = {0};
    struct buf body = {0};
    make_target(s, chaos_values_key(value), "", &target);
    buf_append_u64(&body, value);
    const struct client_request request = {.method = "PUT",
                                           .target = client_verb_target(&target),
                                           .body = buf_slice(&body),
                                           .is_write = true};
    struct client_answer a = {0};
    enum chaos_outcome outcome = outcome_of(client_call(s->client, &request, &a));
    chaos_values_tell(&s->values, value, outcome);
    if (outcome == CHAOS_WRITTEN) {
        s->written++;
        note_leader(s, &a);
    } else {
        *(outcome == CHAOS_REFUSED ? &s->refused : &s->unknown) += 1;
        s->failed_with_majority += chaos_members_have_majority(&s->members) ? 1 : 0;
    }
    client_answer_deinit(&a);
    buf_deinit(&target);
    buf_deinit(&body);
}

/* The number that was read; one that nobody writes for what is none. */
static uint64_t value_of(const struct client_answer *a)
{
    double number = json_number_value(json_object_get(a->json, "value"));
    bool is_one = number >= 1 && number <= CHAOS_VALUES_MAX && number == (double)(uint64_t)number;
    return is_one ? (uint64_t)number : UINT64_MAX;
}

static void judge(struct simulation *s, const struct chaos_member *member, uint32_t key,
                  const struct client_answer *a, bool is_stale)
{
    char why[128];
    uint64_t value = a->http_status == 200 ? value_of(a) : 0;
    s->reads++;
    const char *wrong = chaos_values_judge(&s->values, key, value, is_stale, why, sizeof(why));
    if (wrong != NULL && s->wrong[0] == '\0') {
        struct slice text = client_answer_text(a);
        snprintf(s->wrong, sizeof(s->wrong), "%s gave%s %.*s: %s", member->name,
                 is_stale ? ", as stale," : "", (int)(text.size < 120 ? text.size : 120),
                 (const char *)text.data, wrong);
    }
}

/* False: no answer that says anything of the key. */
static bool read_one(struct simulation *s, const struct chaos_member *member, uint32_t key,
                     bool is_stale)
{
    struct buf target = {0};
    make_target(s, key, is_stale ? "?consistency=stale" : "", &target);
    const struct client_request request = {.method = "GET", .target = client_verb_target(&target)};
    struct client_answer a = {0};
    enum status status = client_ask(member->url, &request, s->timeout_ms, &a);
    bool is_answered = status == STATUS_OK || status == STATUS_NOT_FOUND;
    if (is_answered) {
        judge(s, member, key, &a, is_stale);
    } else {
        s->reads_unanswered++;
    }
    client_answer_deinit(&a);
    buf_deinit(&target);
    return is_answered;
}

/* Row D13: at whatever member, up or down. */
static void read_somewhere(struct simulation *s, bool is_stale)
{
    uint32_t i = (uint32_t)rng_below(&s->pick, s->members.count);
    uint32_t key = (uint32_t)rng_below(&s->pick, CHAOS_KEYS);
    (void)read_one(s, &s->members.members[i], key, is_stale);
}

static void run(struct simulation *s, uint64_t interval_ms, uint64_t duration_ms)
{
    uint64_t begun_ms = client_now_ms();
    uint64_t drawn_ms = begun_ms;
    draw(s);
    while (!is_over(s) && client_now_ms() - begun_ms < duration_ms &&
           s->values.issued < CHAOS_VALUES_MAX) {
        if (client_now_ms() - drawn_ms >= interval_ms) {
            drawn_ms = client_now_ms();
            draw(s);
        }
        write_one(s);
        read_somewhere(s, false);
        read_somewhere(s, true);
        client_sleep_ms(PAUSE_MS);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Row D12: in the end every member has what was written. */
static bool settle(struct simulation *s)
{
    uint64_t deadline_ms = client_now_ms() + SETTLE_MS;
    for (uint32_t i = 0; i < s->members.count; i++) {
        for (uint32_t key = 0; key < CHAOS_KEYS && !is_over(s); key++) {
            while (!read_one(s, &s->members.members[i], key, false)) {
                if (is_over(s) || client_now_ms() >= deadline_ms) {
                    return false;
                }
                client_sleep_ms(PAUSE_MS);
            }
        }
    }
    return !is_over(s);
}

/* Nothing of the run stays, as far as that can be had. */
static void sweep(struct simulation *s)
{
    for (uint32_t key = 0; key < CHAOS_KEYS; key++) {
        struct buf target = {0};
        make_target(s, key, "", &target);
        const struct client_request request = {
            .method = "DELETE", .target = client_verb_target(&target), .is_write = true};
        struct client_answer a = {0};
        enum status status = client_call(s->client, &request, &a);
        client_answer_deinit(&a);
        buf_deinit(&target);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            return;
        }
    }
}

static const char *verdict_of(const struct simulation *s)
{
    if (s->wrong[0] != '\0') {
        return "wrong";
    }
    return s->has_settled || (s->is_healed && cluster_interrupted != 0) ? "right" : "unsettled";
}

static void print_json(const struct simulation *s)
{
    json_t *summary = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:s?}", "verdict",
        verdict_of(s), "seed", (json_int_t)s->seed, "rounds", (json_int_t)s->rounds, "downs",
        (json_int_t)s->downs, "ups", (json_int_t)s->ups, "writes", "acknowledged",
        (json_int_t)s->written, "refused", (json_int_t)s->refused, "unknown",
        (json_int_t)s->unknown, "failedWithMajority", (json_int_t)s->failed_with_majority, "reads",
        "answered", (json_int_t)s->reads, "unanswered", (json_int_t)s->reads_unanswered, "wrong",
        s->wrong[0] != '\0' ? s->wrong : NULL);
    json_dumpf(summary, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(summary);
}

static void print_words(const struct simulation *s)
{
    printf("Seed %" PRIu64 ": %" PRIu64 " rounds, members went down %" PRIu64
           " times and came up %" PRIu64 " times\n",
           s->seed, s->rounds, s->downs, s->ups);
    printf("Writes: %" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64
           " with an unknown outcome; %" PRIu64 " of those failed while a majority was up\n",
           s->written, s->refused, s->unknown, s->failed_with_majority);
    printf("Reads: %" PRIu64 " answered, %" PRIu64 " not\n", s->reads, s->reads_unanswered);
    if (s->wrong[0] != '\0') {
        struct buf safe = {0};
        output_append_safe(&safe, slice_str(s->wrong));
        printf("❌ Wrong value: %.*s\n", (int)safe.size, (const char *)safe.data);
        buf_deinit(&safe);
    } else if (s->has_settled) {
        puts("✅ No read gave a wrong value, and in the end every member has what was written");
    } else if (strcmp(verdict_of(s), "right") == 0) {
        puts("✅ No read gave a wrong value");
    } else {
        puts("❌ No read gave a wrong value, but not every member answers again");
    }
}

/* --- the verb --------------------------------------------------------------------------------- */

/* False: it is none, and that was said. */
static bool take_probability(const struct options *o, size_t row, uint64_t *chance)
{
    const char *text = options_text(o, row);
    char *end;
    double number = strtod(text, &end);
    if (text[strspn(text, "0123456789.")] != '\0' || *end != '\0' || !(number <= 1)) {
        verb_refuse(o, "--%s: \"%.50s\" is no probability; use a number from 0 to 1",
                    rows[row].name, text);
        return false;
    }
    *chance = (uint64_t)(number * CHANCE_ALL + 0.5);
    return true;
}

static void take_chance(struct simulation *s, const struct options *o)
{
    s->seed =
        options_is_given(o, CHAOS_SEED) ? options_number(o, CHAOS_SEED) : randombytes_random();
    rng_init(&s->rng, s->seed);
    rng_init(&s->pick, s->seed + 1);
    snprintf(s->keys, sizeof(s->keys), "/key/chaos/%08" PRIx32 "/", randombytes_random());
}

/* Short enough that what waits for a member that is down does not hold up the next draw long. */
static uint32_t wanted_timeout_ms(const struct options *o)
{
    uint64_t third_ms = options_number(o, CHAOS_INTERVAL) / 3;
    uint64_t most_ms = third_ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS : third_ms;
    uint64_t given_ms = options_number(o, CLIENT_TIMEOUT);
    return (uint32_t)(given_ms < most_ms ? given_ms : most_ms);
}

static struct client *open_client(const struct simulation *s)
{
    const char *urls[LIMIT_MEMBERS];
    for (uint32_t i = 0; i < s->members.count; i++) {
        urls[i] = s->members.members[i].url;
    }
    return client_create(&(struct client_options){
        .endpoints = urls, .endpoint_count = s->members.count, .timeout_ms = s->timeout_ms});
}

static int simulate(struct simulation *s)
{
    const struct options *o = s->options;
    tell(s,
         "%u members: every %s each goes down with probability %s and comes up with %s. Seed "
         "%" PRIu64,
         s->members.count, options_text(o, CHAOS_INTERVAL), options_text(o, CHAOS_FAIL),
         options_text(o, CHAOS_RECOVER), s->seed);
    cluster_catch_signals();
    s->timeout_ms = wanted_timeout_ms(o);
    s->client = open_client(s);
    run(s, options_number(o, CHAOS_INTERVAL), options_number(o, CHAOS_DURATION));
    s->is_healed = heal(s);
    s->has_settled = s->is_healed && settle(s);
    if (s->has_settled) {
        sweep(s);
    }
    if (client_verb_format(o) == OUTPUT_JSON) {
        print_json(s);
    } else {
        print_words(s);
    }
    client_destroy(s->client);
    return strcmp(verdict_of(s), "right") == 0 ? EXIT_DONE : EXIT_VERDICT;
}

static int find_members(struct simulation *s)
{
    const struct options *o = s->options;
    uint32_t count;
    const char *const *endpoints = client_verb_endpoints(o, &count);
    char *detail = NULL;
    uint32_t timeout_ms = (uint32_t)options_number(o, CLIENT_TIMEOUT);
    enum status status = chaos_members_find(endpoints, count, timeout_ms, &s->members, &detail);
    int code = EXIT_DONE;
    if (status == STATUS_UNREACHABLE && s->members.count == 0) {
        code = client_verb_unreachable(o);
    } else if (status != STATUS_OK) {
        verb_complain(o, "%s", detail);
        code = status_exit_code(status);
    }
    mem_free(detail);
    return code;
}

static int run_chaos(struct options *o)
{
    if (!options_is_on(o, CHAOS_SIMULATE)) {
        return verb_refuse(o, "say --simulate: other kinds of chaos are not there yet");
    }
    struct simulation *s = mem_calloc(1, sizeof(*s));
    s->options = o;
    s->story = client_verb_format(o) == OUTPUT_JSON ? stderr : stdout;
    int code = EXIT_USAGE;
    if (sodium_init() >= 0 && take_probability(o, CHAOS_FAIL, &s->fail) &&
        take_probability(o, CHAOS_RECOVER, &s->recover)) {
        take_chance(s, o);
        code = find_members(s);
        code = code == EXIT_DONE ? simulate(s) : code;
    }
    chaos_values_deinit(&s->values);
    mem_free(s);
    return code;
}

const struct verb verb_chaos = {
    .name = "chaos",
    .summary = "let members fail by chance, and check that no read is ever wrong",
    .details =
        "--simulate cuts members off from each other by their /faults; every member must run with\n"
        "--enable-faults. Each --interval a member that is up goes down by chance, and one that "
        "is\n"
        "down comes up. Meanwhile it writes and reads keys of its own, below chaos/, and knows "
        "which\n"
        "values they may have. At the end, and on Ctrl-C, everybody is let back.\n"
        "Exit code 0: no read gave a wrong value; 1: one did, or not every member answers again;\n"
        "7: a member does not play faults.\n",
    .examples = "  conclave cluster start --enable-faults && conclave chaos --simulate\n"
                "  conclave chaos --simulate --interval 1s --fail-probability 0.4 \\\n"
                "      --recover-probability 0.4 --duration 2m --seed 7\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_chaos,
};
