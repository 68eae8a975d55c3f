/* cmd/cluster_run.c - `cluster run`: all members in the foreground, their logs line by line, and a
 * few lines that teach. */
#include "base/mem.h"
#include "client/client.h"
#include "cluster/log_tail.h"
#include "cmd/cluster_verb.h"
#include "cmd/output.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 50

struct watch {
    const struct options *options;
    struct manager *manager;
    struct log_tail tails[LIMIT_MEMBERS];
    bool is_alive[LIMIT_MEMBERS];
    bool has_color;
};

/* --- logs ------------------------------------------------------------------------------------- */

struct line_context {
    const char *name;
    const char *color;
};

/* One write a line. A line that does not name its member (a crash's last words) gets the name. */
static void show_line(void *context, struct slice line)
{
    const struct line_context *c = context;
    struct buf text = {0};
    char mark[LIMIT_NAME_BYTES + 3];
    snprintf(mark, sizeof(mark), "[%s]", c->name);
    bool is_marked = line.size > 0 && memmem(line.data, line.size, mark, strlen(mark)) != NULL;
    buf_append_str(&text, c->color);
    if (!is_marked) {
        buf_printf(&text, "%s ", mark);
    }
    buf_append_slice(&text, line);
    buf_append_str(&text, c->color[0] != '\0' ? "\033[0m\n" : "\n");
    fwrite(text.data, 1, text.size, stderr);
    buf_deinit(&text);
}

static void show_logs(struct watch *w)
{
    static const char *const colors[] = {"\033[36m", "\033[33m", "\033[35m", "\033[32m",
                                         "\033[34m"};
    for (uint32_t i = 0; i < w->manager->count; i++) {
        struct line_context c = {
            .name = w->manager->members[i].name,
            .color = w->has_color ? colors[i % (sizeof(colors) / sizeof(colors[0]))] : "",
        };
        log_tail_poll(&w->tails[i], show_line, &c);
    }
}

/* --- teaching --------------------------------------------------------------------------------- */

static void teach(const struct watch *w, int leader)
{
    const struct manager *m = w->manager;
    const char *leader_url = m->members[leader].url;
    const char *other_url = m->members[((uint32_t)leader + 1) % m->count].url;
    char *dir = cluster_dir_flag(w->options);
    const char *program = verb_program();
    struct buf t = {0};
    buf_printf(&t, "\n%u member%s run%s, and %s leads:\n\n", m->count, m->count == 1 ? "" : "s",
               m->count == 1 ? "s" : "", m->members[leader].name);
    for (uint32_t i = 0; i < m->count; i++) {
        buf_printf(&t, "  %-8s %s%s\n", m->members[i].name, m->members[i].url,
                   (int)i == leader ? "   leader" : "");
    }
    buf_printf(
        &t, "\nIn another terminal:\n\n  write           curl -X PUT -d '\"Alice\"' %s/key/name\n",
        leader_url);
    if (m->count > 1) {
        buf_printf(&t, "  read elsewhere  curl %s/key/name\n", other_url);
        buf_printf(&t, "  see a failover  %s cluster kill leader%s\n", program, dir);
        buf_printf(&t, "  bring it back   %s cluster restart %s%s\n", program,
                   m->members[leader].name, dir);
    } else {
        buf_printf(&t, "  read            curl %s/key/name\n", leader_url);
    }
    buf_printf(&t, "  who leads       %s cluster status%s\n", program, dir);
    buf_append_str(&t, "\nStop them all with Ctrl-C here.\n\n");
    fwrite(t.data, 1, t.size, stdout);
    fflush(stdout);
    buf_deinit(&t);
    mem_free(dir);
}

/* --- watching --------------------------------------------------------------------------------- */

static void tell_end(const struct watch *w, uint32_t i)
{
    const struct manager_member *member = &w->manager->members[i];
    const struct process *p = &member->process;
    char how[64] = "ended";
    if (p->is_reaped && WIFSIGNALED(p->wait_status)) {
        snprintf(how, sizeof(how), "was killed by signal %d", WTERMSIG(p->wait_status));
    } else if (p->is_reaped && WIFEXITED(p->wait_status)) {
        snprintf(how, sizeof(how), "ended with exit code %d", WEXITSTATUS(p->wait_status));
    }
    char *dir = cluster_dir_flag(w->options);
    fprintf(stderr, "conclave: %s %s. Bring it back: %s cluster restart %s%s\n", member->name, how,
            verb_program(), member->name, dir);
    mem_free(dir);
}

/* Tell who came and who went since the last look. Returns how many live. */
static uint32_t look(struct watch *w)
{
    uint32_t living = manager_refresh(w->manager);
    for (uint32_t i = 0; i < w->manager->count; i++) {
        const struct manager_member *member = &w->manager->members[i];
        bool is_alive = process_state_of(&member->process) != PROCESS_GONE;
        if (w->is_alive[i] && !is_alive) {
            show_logs(w); /* its last words first */
            tell_end(w, i);
        } else if (!w->is_alive[i] && is_alive) {
            fprintf(stderr, "conclave: %s is back, pid %ld\n", member->name,
                    (long)member->process.pid);
        }
        w->is_alive[i] = is_alive;
    }
    return living;
}

/* Until a leader is there. An exit code; EXIT_DONE also when a signal came first. */
static int form(struct watch *w)
{
    uint64_t deadline_ms = client_now_ms() + MANAGER_FORM_MS;
    for (;;) {
        show_logs(w);
        if (cluster_interrupted != 0) {
            return EXIT_DONE;
        }
        int leader = manager_leader(w->manager);
        if (leader >= 0) {
            show_logs(w);
            teach(w, leader);
            return EXIT_DONE;
        }
        if (look(w) < w->manager->count) {
            verb_complain(w->options, "a member ended while the cluster was forming");
            return EXIT_VERDICT;
        }
        if (client_now_ms() >= deadline_ms) {
            verb_complain(w->options, "no member leads after %d s; the lines above may say why",
                          MANAGER_FORM_MS / 1000);
            return EXIT_VERDICT;
        }
        client_sleep_ms(LOOK_MS);
    }
}

static int watch_members(struct watch *w)
{
    int code = form(w);
    while (code == EXIT_DONE && cluster_interrupted == 0) {
        show_logs(w);
        look(w);
        client_sleep_ms(LOOK_MS);
    }
    fprintf(stderr, "conclave: stopping all members\n");
    bool is_clean = manager_stop(w->manager);
    show_logs(w);
    fprintf(stderr, is_clean ? "conclave: all members have stopped\n"
                             : "conclave: all members have stopped, not all of them cleanly\n");
    return is_clean ? code : EXIT_VERDICT;
}

/* --- beginning and end ------------------------------------------------------------------------ */

static enum status begin(struct watch *w, char **detail)
{
    struct manager *m = w->manager;
    enum status status = manager_lock(m, detail);
    if (status == STATUS_OK && manager_refresh(m) > 0) {
        mem_free(*detail);
        char *dir = cluster_dir_flag(w->options);
        *detail = mem_printf("members in %s run already; stop them with `%s cluster stop%s`",
                             m->dir, verb_program(), dir);
        mem_free(dir);
        status = STATUS_BUSY;
    }
    if (status == STATUS_OK) {
        status = manager_check_ports(m, detail);
    }
    if (status == STATUS_OK) {
        status = manager_set_faults(m, options_is_on(w->options, CLUSTER_FAULTS), detail);
    }
    for (uint32_t i = 0; status == STATUS_OK && i < m->count; i++) {
        char *path = manager_log_path(m, i);
        if (!log_tail_open(&w->tails[i], path, false)) {
            *detail = mem_printf("%s cannot be opened", path);
            status = STATUS_IO;
        }
        mem_free(path);
    }
    if (status == STATUS_OK) {
        m->dies_with_parent = true;
        status = manager_start(m, detail);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        w->is_alive[i] = true;
    }
    manager_unlock(m);
    return status;
}

/* Let `cluster stop` find this process. */
static char *leave_address(const struct manager *m)
{
    char *path = manager_run_pid_path(m);
    if (process_save_self(path) != STATUS_OK) {
        unlink(path);
    }
    return path;
}

int cluster_run(struct options *o)
{
    struct watch w = {.options = o, .has_color = output_has_color(stderr)};
    char *detail = NULL;
    cluster_catch_signals();
    int code = cluster_make(o, &w.manager);
    if (code != EXIT_DONE) {
        return code;
    }
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        w.tails[i].fd = -1;
    }
    enum status status = begin(&w, &detail);
    if (status == STATUS_OK) {
        char *address = leave_address(w.manager);
        code = watch_members(&w);
        unlink(address);
        mem_free(address);
    } else {
        if (status != STATUS_BUSY) {
            manager_stop(w.manager);
        }
        code = cluster_complain(o, status, detail);
    }
    for (uint32_t i = 0; i < w.manager->count; i++) {
        log_tail_close(&w.tails[i]);
    }
    manager_destroy(w.manager);
    return code;
}
