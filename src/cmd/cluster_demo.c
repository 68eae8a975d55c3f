/* cmd/cluster_demo.c - `cluster demo`: the story of a cluster, played with real members.
 *
 * In a temporary directory and on free ports; whatever happens, the members are killed and the
 * directory is removed at the end. Each step says what it does and how one would do it by hand. */
#include "base/mem.h"
#include "client/client.h"
#include "client/json_text.h"
#include "cmd/cluster_verb.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS    3
#define STEP_MS    10000
#define ATTEMPT_MS 250
#define PROBE_MS   2

struct demo {
    const struct options *options;
    struct manager *manager;
    char *dir;
    bool is_interactive;
    int step;
    int leader;      /* who leads now */
    int old_leader;  /* who was killed */
    uint32_t writes; /* acknowledged, in all */
    char *detail;    /* why a step failed */
};

/* A step of the story: false with d->detail when it does not come out as it must. */
typedef bool (*demo_step)(struct demo *d);

/* --- telling ---------------------------------------------------------------------------------- */

static bool wait_for_enter(void)
{
    fputs("   [Enter] ", stdout);
    fflush(stdout);
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[256];
    while (cluster_interrupted == 0) {
        if (poll(&p, 1, 200) > 0) {
            return fgets(line, sizeof(line), stdin) != NULL;
        }
    }
    return false;
}

static void tell_step(struct demo *d, const char *title)
{
    if (d->step > 0 && d->is_interactive) {
        d->is_interactive = wait_for_enter();
    }
    printf("\n%d. %s\n", ++d->step, title);
    fflush(stdout);
}

static bool fail(struct demo *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct demo *d, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mem_free(d->detail);
    d->detail = mem_strdup(text);
    return false;
}

static const char *url_of(const struct demo *d, int i)
{
    return d->manager->members[i].url;
}

static const char *name_of(const struct demo *d, int i)
{
    return d->manager->members[i].name;
}

static int follower(const struct demo *d, int n)
{
    return (d->leader + n) % MEMBERS;
}

/* --- asking ----------------------------------------------------------------------------------- */

static enum status put(const struct demo *d, int i, const char *target, const char *value,
                       uint32_t timeout_ms, struct client_answer *a)
{
    const struct client_request r = {
        .method = "PUT", .target = target, .body = slice_str(value), .is_write = true};
    return client_ask(url_of(d, i), &r, timeout_ms, a);
}

/* As the verbs read, but at this member only: a follower that has not heard of the new leader yet
 * is asked again. */
static enum status get(const struct demo *d, int i, const char *target, struct client_answer *a)
{
    const struct client_request r = {.method = "GET", .target = target};
    const char *url = url_of(d, i);
    const struct client_options options = {
        .endpoints = &url, .endpoint_count = 1, .timeout_ms = STEP_MS};
    struct client *c = client_create(&options);
    enum status status = client_call(c, &r, a);
    client_destroy(c);
    return status;
}

static void show_answer(const struct client_answer *a)
{
    struct slice text = client_answer_text(a);
    printf("   -> %d %.*s\n", a->http_status, (int)text.size, (const char *)text.data);
}

static bool value_is(const struct client_answer *a, const char *expected)
{
    struct slice value;
    return a->json != NULL && json_text_member(client_answer_text(a), "value", &value) &&
           slice_equal(value, slice_str(expected));
}

/* --- the steps -------------------------------------------------------------------------------- */

static bool form(struct demo *d)
{
    tell_step(d, "Three members form a cluster and elect a leader.");
    printf("   $ %s cluster start\n", verb_program());
    uint64_t start_ms = client_now_ms();
    if (manager_start(d->manager, &d->detail) != STATUS_OK ||
        manager_await_leader(d->manager, MANAGER_FORM_MS, &cluster_interrupted, &d->leader,
                             &d->detail) != STATUS_OK) {
        return false;
    }
    printf("   -> %s leads, %llu ms after the start\n", name_of(d, d->leader),
           (unsigned long long)(client_now_ms() - start_ms));
    for (int i = 0; i < MEMBERS; i++) {
        printf("      %s %s%s\n", name_of(d, i), url_of(d, i), i == d->leader ? "  leader" : "");
    }
    return true;
}

static bool write_one(struct demo *d, const char *key, const char *value)
{
    char *target = mem_printf("/key/%s", key);
    struct client_answer a = {0};
    printf("   $ curl -X PUT -d '%s' %s%s\n", value, url_of(d, d->leader), target);
    enum status status = put(d, d->leader, target, value, STEP_MS, &a);
    show_answer(&a);
    d->writes += status == STATUS_OK ? 1 : 0;
    if (status != STATUS_OK) {
        fail(d, "the write of %s was not acknowledged: %s", key, status_text(status));
    }
    client_answer_deinit(&a);
    mem_free(target);
    return status == STATUS_OK;
}

static bool write_some(struct demo *d)
{
    tell_step(d, "Write to the leader. It answers once a majority has the write on disk.");
    return write_one(d, "name", "\"Alice\"") && write_one(d, "age", "30") &&
           write_one(d, "city", "{\"name\":\"Oslo\",\"rainy\":true}");
}

static bool read_one(struct demo *d, int i, const char *key, const char *expected)
{
    char *target = mem_printf("/key/%s", key);
    struct client_answer a = {0};
    printf("   $ curl %s%s\n", url_of(d, i), target);
    enum status status = get(d, i, target, &a);
    show_answer(&a);
    bool is_good = status == STATUS_OK && value_is(&a, expected);
    if (!is_good) {
        fail(d, "%s does not have %s as it was written: %s", name_of(d, i), key,
             status_text(status));
    }
    client_answer_deinit(&a);
    mem_free(target);
    return is_good;
}

static bool read_at_followers(struct demo *d)
{
    tell_step(d, "Read at the followers. They first make sure that what they have is current.");
    return read_one(d, follower(d, 1), "name", "\"Alice\"") &&
           read_one(d, follower(d, 2), "age", "30");
}

static bool refuse_at_follower(struct demo *d)
{
    tell_step(d, "A write at a follower is refused, and the answer names the leader.");
    struct client_answer a = {0};
    int i = follower(d, 1);
    printf("   $ curl -X PUT -d '\"Bob\"' %s/key/name\n", url_of(d, i));
    enum status status = put(d, i, "/key/name", "\"Bob\"", STEP_MS, &a);
    show_answer(&a);
    client_answer_deinit(&a);
    return status == STATUS_NOT_LEADER ||
           fail(d, "the write at the follower was not refused: %s", status_text(status));
}

/* Try both survivors in turn until one acknowledges. Every attempt writes the same value to the
 * same key, so that one of unknown outcome does no harm when it is repeated. */
static bool write_as_soon_as_possible(struct demo *d, uint64_t deadline_ms)
{
    for (int i = 0; cluster_interrupted == 0; i++) {
        int candidate = (d->old_leader + 1 + i % (MEMBERS - 1)) % MEMBERS;
        struct client_answer a = {0};
        enum status status = put(d, candidate, "/key/newleader", "\"yes\"", ATTEMPT_MS, &a);
        if (status == STATUS_OK) {
            d->leader = candidate;
            d->writes++;
            show_answer(&a);
        }
        client_answer_deinit(&a);
        if (status == STATUS_OK) {
            return true;
        }
        if (client_now_ms() > deadline_ms) {
            return fail(d, "nobody took a write within %d s", STEP_MS / 1000);
        }
        client_sleep_ms(PROBE_MS);
    }
    return false;
}

static bool lose_leader(struct demo *d)
{
    tell_step(d, "Kill the leader with -9, and write to the new one as soon as there is one.");
    printf("   $ %s cluster kill leader\n", verb_program());
    d->old_leader = d->leader;
    struct process *p = &d->manager->members[d->old_leader].process;
    uint64_t killed_ms = client_now_ms();
    process_signal(p, SIGKILL);
    printf("   $ curl -X PUT -d '\"yes\"' %s/key/newleader     (or the other one)\n",
           url_of(d, follower(d, 1)));
    if (!write_as_soon_as_possible(d, killed_ms + STEP_MS)) {
        return false;
    }
    uint64_t outage_ms = client_now_ms() - killed_ms;
    process_wait(p, STEP_MS);
    printf("   -> %s leads. Outage: %llu ms from the kill to the next acknowledged write.\n",
           name_of(d, d->leader), (unsigned long long)outage_ms);
    return read_one(d, d->leader, "name", "\"Alice\"");
}

/* What a member itself holds, without asking the leader. */
static char *contents_of(const struct demo *d, int i)
{
    struct client_answer a = {0};
    struct slice keys;
    char *contents = NULL;
    if (get(d, i, "/keys?values=true&consistency=stale", &a) == STATUS_OK && a.json != NULL &&
        json_text_member(client_answer_text(&a), "keys", &keys)) {
        contents = mem_strndup((const char *)keys.data, keys.size);
    }
    client_answer_deinit(&a);
    return contents;
}

static bool is_same_at(const struct demo *d, int i, const char *contents)
{
    char *own = contents_of(d, i);
    bool is_same = own != NULL && contents != NULL && strcmp(own, contents) == 0;
    mem_free(own);
    return is_same;
}

static bool bring_back(struct demo *d)
{
    tell_step(d, "Bring the old leader back. It follows, and gets what it missed.");
    printf("   $ %s cluster restart %s\n", verb_program(), name_of(d, d->old_leader));
    uint64_t start_ms = client_now_ms();
    if (manager_start_member(d->manager, (uint32_t)d->old_leader, &d->detail) != STATUS_OK) {
        return false;
    }
    char *contents = contents_of(d, d->leader);
    bool has_all = false;
    while (!(has_all = is_same_at(d, d->old_leader, contents)) && cluster_interrupted == 0 &&
           client_now_ms() < start_ms + STEP_MS) {
        client_sleep_ms(PROBE_MS);
    }
    mem_free(contents);
    if (!has_all) {
        return fail(d, "%s did not catch up within %d s", name_of(d, d->old_leader),
                    STEP_MS / 1000);
    }
    printf("   -> it has everything, %llu ms after its start\n",
           (unsigned long long)(client_now_ms() - start_ms));
    return read_one(d, d->old_leader, "newleader", "\"yes\"");
}

static bool verify(struct demo *d)
{
    tell_step(d, "Verify: each member shows what it holds itself, and all must be the same.");
    char *contents = contents_of(d, d->leader);
    bool is_same = contents != NULL;
    for (int i = 0; i < MEMBERS; i++) {
        uint64_t deadline_ms = client_now_ms() + STEP_MS;
        printf("   $ curl '%s/keys?values=true&consistency=stale'\n", url_of(d, i));
        while (is_same && !is_same_at(d, i, contents) && cluster_interrupted == 0) {
            is_same = client_now_ms() < deadline_ms;
            client_sleep_ms(PROBE_MS);
        }
    }
    if (is_same) {
        printf("   -> %s\n   All %d members hold the same; %u acknowledged writes, none lost.\n",
               contents, MEMBERS, d->writes);
    } else {
        fail(d, "the members differ");
    }
    mem_free(contents);
    return is_same;
}

static const demo_step steps[] = {
    form, write_some, read_at_followers, refuse_at_follower, lose_leader, bring_back, verify};

/* --- beginning and end ------------------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static void clean_up(struct demo *d)
{
    for (uint32_t i = 0; d->manager != NULL && i < d->manager->count; i++) {
        struct process *p = &d->manager->members[i].process;
        process_signal(p, SIGKILL);
        process_wait(p, STEP_MS);
    }
    if (d->manager != NULL) {
        manager_destroy(d->manager);
    }
    if (d->dir != NULL) {
        nftw(d->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    mem_free(d->dir);
    mem_free(d->detail);
}

static bool set_up(struct demo *d)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/conclave-demo-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) {
        fail(d, "no temporary directory could be made as %s: %s", dir, strerror(errno));
        mem_free(dir);
        return false;
    }
    d->dir = dir;
    const struct manager_options options = {
        .dir = dir, .nodes = MEMBERS, .base_port = manager_find_ports(MEMBERS)};
    if (options.base_port == 0) {
        return fail(d, "no %d free ports in a row were found", MEMBERS);
    }
    if (manager_create(&options, &d->manager, &d->detail) != STATUS_OK) {
        return false;
    }
    d->manager->dies_with_parent = true;
    return true;
}

static void show_logs(const struct demo *d)
{
    for (uint32_t i = 0; d->manager != NULL && i < d->manager->count; i++) {
        char *path = manager_log_path(d->manager, i);
        FILE *file = fopen(path, "re");
        char line[1024];
        fprintf(stderr, "--- %s\n", path);
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            fputs(line, stderr);
        }
        if (file != NULL) {
            fclose(file);
        }
        mem_free(path);
    }
}

int cluster_demo(struct options *o)
{
    struct demo d = {.options = o, .is_interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    cluster_catch_signals();
    bool is_good = set_up(&d);
    if (is_good) {
        printf("Conclave demo: %d members in %s, all removed at the end.\n", MEMBERS, d.dir);
    }
    for (size_t i = 0; is_good && i < sizeof(steps) / sizeof(steps[0]); i++) {
        is_good = steps[i](&d) && cluster_interrupted == 0;
        fflush(stdout);
    }
    if (cluster_interrupted != 0) {
        verb_complain(o, "interrupted; cleaning up");
    } else if (!is_good) {
        show_logs(&d);
        verb_complain(o, "step %d failed: %s", d.step, d.detail != NULL ? d.detail : "");
    } else {
        puts("\nDemo completed!");
    }
    clean_up(&d);
    return is_good ? EXIT_DONE : EXIT_VERDICT;
}
