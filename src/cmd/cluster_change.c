/* cmd/cluster_change.c - `cluster add` and `cluster remove`: a cluster on this machine that
 * grows and shrinks while it runs. */
#include "base/mem.h"
#include "client/client.h"
#include "cmd/client_verb.h"
#include "cmd/cluster_verb.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define VOTE_MS 60000 /* a member that joins may have much to receive */
#define POLL_MS 100

/* A client for the members that run; NULL when none does. */
static struct client *client_of(const struct manager *m, uint32_t timeout_ms)
{
    const char *urls[LIMIT_MEMBERS];
    struct client_options options = {.endpoints = urls, .timeout_ms = timeout_ms};
    for (uint32_t i = 0; i < m->count; i++) {
        if (process_state_of(&m->members[i].process) == PROCESS_RUNNING) {
            urls[options.endpoint_count++] = m->members[i].url;
        }
    }
    return options.endpoint_count > 0 ? client_create(&options) : NULL;
}

/* Is it a voter, as the members know it? */
static bool is_voter(struct client *c, const char *name)
{
    const struct client_request request = {.method = "GET", .target = "/members"};
    struct client_answer a = {0};
    bool votes = false;
    if (client_call(c, &request, &a) == STATUS_OK) {
        size_t i;
        json_t *member;
        json_array_foreach(json_object_get(a.json, "members"), i, member)
        {
            const char *is = json_string_value(json_object_get(member, "name"));
            votes = votes || (is != NULL && strcmp(is, name) == 0 &&
                              json_is_true(json_object_get(member, "voter")));
        }
    }
    client_answer_deinit(&a);
    return votes;
}

/* EXIT_DONE once it votes. */
static int await_vote(const struct options *o, struct manager *m, uint32_t i)
{
    struct manager_member *member = &m->members[i];
    struct client *c = client_of(m, 2000);
    uint64_t deadline_ms = client_now_ms() + VOTE_MS;
    bool votes = false;
    bool lives = true;
    while (!votes && lives && cluster_interrupted == 0 && client_now_ms() < deadline_ms) {
        client_sleep_ms(POLL_MS);
        process_reap(&member->process);
        lives = process_state_of(&member->process) != PROCESS_GONE;
        votes = is_voter(c, member->name);
    }
    client_destroy(c);
    if (votes) {
        fprintf(stderr, "%s joined and votes: %s\n", member->name, member->url);
        return EXIT_DONE;
    }
    char *log = manager_log_path(m, i);
    verb_complain(o,
                  lives ? "%s does not vote yet; it goes on trying, see %s"
                        : "%s ended before it could join; %s says why",
                  member->name, log);
    mem_free(log);
    return EXIT_VERDICT;
}

/* Who is not told whether the new member votes adds none. */
static int check_user(const struct options *o, const struct manager *m)
{
    struct client *c = client_of(m, 2000);
    if (c == NULL) {
        return EXIT_DONE;
    }
    const struct client_request request = {.method = "GET", .target = "/members"};
    struct client_answer a = {0};
    enum status status = client_call(c, &request, &a);
    int code = status == STATUS_DENIED ? client_verb_judge(o, status, &request, &a) : EXIT_DONE;
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

static int add_locked(struct options *o, struct manager *m)
{
    char *detail = NULL;
    uint32_t i;
    if (manager_refresh(m) == 0) {
        verb_complain(o, "no member of the cluster in %s runs: there is nobody to join", m->dir);
        return EXIT_VERDICT;
    }
    int code = check_user(o, m);
    if (code != EXIT_DONE) {
        return code;
    }
    enum status status = manager_add(m, &i, &detail);
    if (status == STATUS_OK) {
        status = manager_start_member(m, i, &detail);
    }
    return status == STATUS_OK ? await_vote(o, m, i) : cluster_complain(o, status, detail);
}

int cluster_add(struct options *o)
{
    struct manager *m;
    char *detail = NULL;
    cluster_catch_signals();
    int code = cluster_find(o, &m);
    if (code != EXIT_DONE) {
        return code;
    }
    enum status status = manager_lock(m, &detail);
    code = status == STATUS_OK ? add_locked(o, m) : cluster_complain(o, status, detail);
    manager_destroy(m);
    return code;
}

/* Take it out of the membership, then end its process, which ends by itself when it hears of it. */
static int remove_locked(struct options *o, struct manager *m, uint32_t i)
{
    struct manager_member *member = &m->members[i];
    struct client *c = client_of(m, 10000);
    if (c == NULL) {
        verb_complain(o, "no member of the cluster in %s runs", m->dir);
        return EXIT_VERDICT;
    }
    char *target = mem_printf("/members/%s", member->name);
    const struct client_request request = {.method = "DELETE", .target = target, .is_write = true};
    struct client_answer a = {0};
    enum status status = client_call(c, &request, &a);
    int code = EXIT_DONE;
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        char *why = client_explain(status, &request, &a);
        verb_complain(o, "%s stays: %s", member->name, why);
        mem_free(why);
        code = status_exit_code(status);
    }
    client_answer_deinit(&a);
    client_destroy(c);
    mem_free(target);
    if (code == EXIT_DONE) {
        process_stop(&member->process, MANAGER_STOP_MS);
        fprintf(stderr, "%s left the cluster. Its data is of no further use.\n", member->name);
        char *detail = NULL;
        status = manager_forget(m, i, &detail);
        code = status == STATUS_OK ? EXIT_DONE : cluster_complain(o, status, detail);
    }
    return code;
}

int cluster_remove(struct options *o)
{
    struct manager *m;
    uint32_t i;
    char *detail = NULL;
    int code = cluster_find_member(o, &m, &i);
    if (code != EXIT_DONE) {
        return code;
    }
    enum status status = manager_lock(m, &detail);
    code = status == STATUS_OK ? remove_locked(o, m, i) : cluster_complain(o, status, detail);
    manager_destroy(m);
    return code;
}
