#include "cluster/manager.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "client/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_WAIT_MS  15000
#define ASK_MS        300
#define POLL_MS       50
#define SECRET_BYTES  32
#define PORT_TRIES    64
#define ARGUMENTS_MAX 16

/* --- the directory ---------------------------------------------------------------------------- */

static char *path_of(const struct manager *m, const char *name)
{
    return mem_printf("%s/%s", m->dir, name);
}

static char *member_path(const struct manager *m, uint32_t i, const char *ending)
{
    return mem_printf("%s/%s%s", m->dir, m->members[i].name, ending);
}

char *manager_log_path(const struct manager *m, uint32_t i)
{
    return member_path(m, i, ".log");
}

char *manager_run_pid_path(const struct manager *m)
{
    return path_of(m, "run.pid");
}

static enum status fail(char **detail, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status fail(char **detail, enum status status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mem_free(*detail);
    *detail = mem_strdup(text);
    return status;
}

static void set_member(struct manager *m, uint32_t i, uint32_t number)
{
    struct manager_member *member = &m->members[i];
    *member = (struct manager_member){.number = number};
    member->port = (uint16_t)(m->base_port + number - 1);
    snprintf(member->name, sizeof(member->name), "node-%u", number);
    snprintf(member->url, sizeof(member->url), "http://127.0.0.1:%u", member->port);
}

static uint32_t number_of(const json_t *value, uint32_t max)
{
    json_int_t number = json_integer_value(value);
    return number >= 1 && number <= max ? (uint32_t)number : 0;
}

/* False: this is no shape of a cluster. */
static bool take_shape(struct manager *m, const json_t *shape)
{
    m->founders = number_of(json_object_get(shape, "nodes"), LIMIT_MEMBERS);
    m->base_port = (uint16_t)number_of(json_object_get(shape, "basePort"), UINT16_MAX);
    m->next = number_of(json_object_get(shape, "next"), UINT16_MAX);
    m->enable_faults = json_is_true(json_object_get(shape, "enableFaults"));
    const json_t *members = json_object_get(shape, "members");
    m->count = (uint32_t)json_array_size(members);
    if (m->founders == 0 || m->base_port == 0 || m->count == 0 || m->count > LIMIT_MEMBERS ||
        m->base_port + m->next > UINT16_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t number = number_of(json_array_get(members, i), m->next - 1);
        if (number == 0) {
            return false;
        }
        set_member(m, i, number);
    }
    return true;
}

/* Who there is, as cluster.json says. NOT_FOUND, or CORRUPT. */
static enum status read_shape(struct manager *m, char **detail)
{
    char *path = path_of(m, "cluster.json");
    enum status status = STATUS_OK;
    if (access(path, F_OK) != 0) {
        status = fail(detail, STATUS_NOT_FOUND,
                      "there is no cluster in %s; `conclave cluster start` makes one", m->dir);
        mem_free(path);
        return status;
    }
    json_t *shape = json_load_file(path, 0, NULL);
    if (!take_shape(m, shape)) {
        status = fail(detail, STATUS_CORRUPT, "%s does not say how many members there are", path);
    }
    json_decref(shape);
    mem_free(path);
    return status;
}

/* Replaced as a whole: a command that is interrupted leaves the old one. */
static enum status write_shape(const struct manager *m, char **detail)
{
    char *path = path_of(m, "cluster.json");
    char *temporary = path_of(m, "cluster.json.tmp");
    json_t *members = json_array();
    for (uint32_t i = 0; i < m->count; i++) {
        json_array_append_new(members, json_integer(m->members[i].number));
    }
    json_t *shape = json_pack("{s:i, s:i, s:i, s:b, s:o}", "nodes", (int)m->founders, "basePort",
                              (int)m->base_port, "next", (int)m->next, "enableFaults",
                              (int)m->enable_faults, "members", members);
    enum status status = STATUS_OK;
    if (json_dump_file(shape, temporary, 0) != 0 || rename(temporary, path) != 0) {
        status = fail(detail, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    }
    json_decref(shape);
    mem_free(temporary);
    mem_free(path);
    return status;
}

enum status manager_set_faults(struct manager *m, bool enabled, char **detail)
{
    if (m->enable_faults == enabled) {
        return STATUS_OK;
    }
    m->enable_faults = enabled;
    return write_shape(m, detail);
}

static enum status write_secret(const struct manager *m, char **detail)
{
    char *path = path_of(m, "secret");
    enum status status = STATUS_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST) {
        status = fail(detail, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    } else if (fd >= 0) {
        uint8_t bytes[SECRET_BYTES];
        char text[2 * SECRET_BYTES + 1];
        CHECK(sodium_init() >= 0);
        randombytes_buf(bytes, sizeof(bytes));
        sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
        if (write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1) {
            status = fail(detail, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
        }
        close(fd);
    }
    mem_free(path);
    return status;
}

static enum status make_directory(const struct manager *m, char **detail)
{
    if (mkdir(m->dir, 0700) != 0 && errno != EEXIST) {
        return fail(detail, STATUS_IO, "--dir %s cannot be made: %s", m->dir, strerror(errno));
    }
    enum status status = write_secret(m, detail);
    return status == STATUS_OK ? write_shape(m, detail) : status;
}

static enum status check_shape(const struct manager *m, const struct manager_options *options,
                               char **detail)
{
    if (options->nodes != 0 && options->nodes != m->count) {
        return fail(
            detail, STATUS_INVALID,
            "--nodes %u: %s holds a cluster of %u; leave --nodes out, use `cluster add` and "
            "`cluster remove`, or choose another --dir",
            options->nodes, m->dir, m->count);
    }
    if (options->base_port != 0 && options->base_port != m->base_port) {
        return fail(
            detail, STATUS_INVALID,
            "--base-port %u: the cluster in %s is on ports from %u; leave --base-port out, or "
            "choose another --dir",
            options->base_port, m->dir, m->base_port);
    }
    return STATUS_OK;
}

static enum status make_shape(struct manager *m, const struct manager_options *options,
                              char **detail)
{
    m->founders = options->nodes != 0 ? options->nodes : MANAGER_NODES_DEFAULT;
    m->base_port = options->base_port != 0 ? options->base_port : MANAGER_BASE_PORT_DEFAULT;
    if (m->base_port + m->founders - 1 > UINT16_MAX) {
        return fail(detail, STATUS_INVALID, "--base-port %u leaves no room for %u members",
                    m->base_port, m->founders);
    }
    m->next = m->founders + 1;
    m->count = m->founders;
    for (uint32_t i = 0; i < m->count; i++) {
        set_member(m, i, i + 1);
    }
    return make_directory(m, detail);
}

static enum status load(const struct manager_options *options, bool may_create,
                        struct manager **result, char **detail)
{
    struct manager *m = mem_calloc(1, sizeof(*m));
    m->dir = mem_strdup(options->dir);
    m->program = mem_strdup(options->program != NULL ? options->program : "/proc/self/exe");
    m->lock_fd = -1;
    enum status status = read_shape(m, detail);
    if (status == STATUS_OK) {
        status = check_shape(m, options, detail);
    } else if (status == STATUS_NOT_FOUND && may_create) {
        status = make_shape(m, options, detail);
    }
    if (status != STATUS_OK) {
        manager_destroy(m);
        return status;
    }
    mem_free(*detail);
    *detail = NULL;
    manager_refresh(m);
    *result = m;
    return STATUS_OK;
}

enum status manager_create(const struct manager_options *options, struct manager **m, char **detail)
{
    return load(options, true, m, detail);
}

enum status manager_open(const struct manager_options *options, struct manager **m, char **detail)
{
    return load(options, false, m, detail);
}

void manager_destroy(struct manager *m)
{
    manager_unlock(m);
    mem_free(m->dir);
    mem_free(m->program);
    mem_free(m);
}

enum status manager_lock(struct manager *m, char **detail)
{
    char *path = path_of(m, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    enum status status = STATUS_OK;
    if (fd < 0) {
        status = fail(detail, STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    }
    uint64_t deadline_ms = client_now_ms() + LOCK_WAIT_MS;
    while (status == STATUS_OK && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (client_now_ms() >= deadline_ms) {
            status = fail(detail, STATUS_BUSY,
                          "another command is starting or stopping members in %s", m->dir);
            close(fd);
        } else {
            client_sleep_ms(POLL_MS);
        }
    }
    if (status == STATUS_OK) {
        m->lock_fd = fd;
    }
    mem_free(path);
    return status;
}

void manager_unlock(struct manager *m)
{
    if (m->lock_fd >= 0) {
        close(m->lock_fd);
        m->lock_fd = -1;
    }
}

/* --- ports ------------------------------------------------------------------------------------ */

static bool is_port_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    /* As the server does: connections that are only waiting to be forgotten do not hold a port. */
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_free = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                   bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_free;
}

uint16_t manager_find_ports(uint32_t count)
{
    CHECK(sodium_init() >= 0);
    for (int attempt = 0; attempt < PORT_TRIES; attempt++) {
        /* Below the range from which the kernel draws ports for outgoing connections. */
        uint16_t base = (uint16_t)(10000 + randombytes_uniform(20000));
        uint32_t free_count = 0;
        while (free_count < count && is_port_free((uint16_t)(base + free_count))) {
            free_count++;
        }
        if (free_count == count) {
            return base;
        }
    }
    return 0;
}

enum status manager_check_ports(const struct manager *m, char **detail)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct manager_member *member = &m->members[i];
        if (process_state_of(&member->process) == PROCESS_GONE && !is_port_free(member->port)) {
            return fail(detail, STATUS_BUSY,
                        "port %u, which %s needs, is taken by another program; free it, or choose "
                        "others with --base-port and a new --dir",
                        member->port, member->name);
        }
    }
    return STATUS_OK;
}

/* --- starting and stopping -------------------------------------------------------------------- */

uint32_t manager_refresh(struct manager *m)
{
    uint32_t living = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct process *p = &m->members[i].process;
        process_reap(p);
        if (process_state_of(p) == PROCESS_GONE) {
            char *path = member_path(m, i, ".pid");
            struct process found = process_load(path);
            if (found.pid != 0) {
                *p = found;
            }
            mem_free(path);
        }
        living += process_state_of(p) != PROCESS_GONE ? 1 : 0;
    }
    return living;
}

/* Whom a member is told of: a founder of the other founders, whether they are still there or not;
 * one that was added, of everybody. */
static char *others_of(const struct manager *m, const struct manager_member *self)
{
    struct buf text = {0};
    bool is_founder = self->number <= m->founders;
    uint32_t count = is_founder ? m->founders : m->count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = is_founder ? i + 1 : m->members[i].number;
        if (number != self->number) {
            buf_printf(&text, "%shttp://127.0.0.1:%u", text.size > 0 ? "," : "",
                       m->base_port + number - 1);
        }
    }
    char *others = mem_strndup((const char *)text.data, text.size);
    buf_deinit(&text);
    return others;
}

enum status manager_start_member(struct manager *m, uint32_t i, char **detail)
{
    struct manager_member *member = &m->members[i];
    char *listen = mem_printf("127.0.0.1:%u", member->port);
    char *data = member_path(m, i, "");
    char *log = manager_log_path(m, i);
    char *pid = member_path(m, i, ".pid");
    char *secret = path_of(m, "secret");
    char *others = others_of(m, member);
    char *arguments[ARGUMENTS_MAX] = {
        "conclave",
        "server",
        "--name",
        member->name,
        "--listen",
        listen,
        "--advertise",
        member->url,
        "--data",
        data,
        "--cluster-secret-file",
        secret,
    };
    int count = 12;
    if (others[0] != '\0') {
        arguments[count++] = member->number <= m->founders ? "--peers" : "--join";
        arguments[count++] = others;
    }
    if (m->enable_faults) {
        arguments[count++] = "--enable-faults";
    }
    CHECK_CMP(count, <, ARGUMENTS_MAX);
    const struct process_options options = {.program = m->program,
                                            .arguments = arguments,
                                            .log_path = log,
                                            .pid_path = pid,
                                            .dies_with_parent = m->dies_with_parent};
    enum status status = process_start(&options, &member->process);
    if (status != STATUS_OK) {
        status = fail(detail, status, "cannot start %s: %s", member->name, strerror(errno));
    }
    mem_free(listen);
    mem_free(data);
    mem_free(log);
    mem_free(pid);
    mem_free(secret);
    mem_free(others);
    return status;
}

enum status manager_start(struct manager *m, char **detail)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < m->count; i++) {
        if (process_state_of(&m->members[i].process) == PROCESS_GONE) {
            status = manager_start_member(m, i, detail);
        }
    }
    return status;
}

static bool has_ended_well(const struct process *p)
{
    return !p->is_reaped || (WIFEXITED(p->wait_status) && WEXITSTATUS(p->wait_status) == 0);
}

/* SIGTERM to all but `spared` at once, then wait for each. */
static bool stop_all_but(struct manager *m, int spared)
{
    bool is_clean = true;
    for (uint32_t i = 0; i < m->count; i++) {
        if ((int)i != spared && process_signal(&m->members[i].process, SIGTERM)) {
            process_signal(&m->members[i].process, SIGCONT);
        }
    }
    for (uint32_t i = 0; i < m->count; i++) {
        struct process *p = &m->members[i].process;
        if ((int)i != spared && process_state_of(p) != PROCESS_GONE) {
            is_clean = process_stop(p, MANAGER_STOP_MS) && has_ended_well(p) && is_clean;
        }
    }
    return is_clean;
}

bool manager_stop(struct manager *m)
{
    manager_refresh(m);
    bool is_clean = stop_all_but(m, manager_leader(m));
    is_clean = stop_all_but(m, -1) && is_clean;
    for (uint32_t i = 0; i < m->count; i++) {
        char *path = member_path(m, i, ".pid");
        unlink(path);
        mem_free(path);
    }
    return is_clean;
}

/* --- who leads -------------------------------------------------------------------------------- */

int manager_leader(const struct manager *m)
{
    const struct client_request who = {.method = "GET", .target = "/leader"};
    int leader = -1;
    for (uint32_t i = 0; leader < 0 && i < m->count; i++) {
        if (process_state_of(&m->members[i].process) != PROCESS_RUNNING) {
            continue;
        }
        struct client_answer a = {0};
        if (client_ask(m->members[i].url, &who, ASK_MS, &a) == STATUS_OK) {
            leader = (int)i;
        }
        client_answer_deinit(&a);
    }
    return leader;
}

enum status manager_await_leader(struct manager *m, uint32_t timeout_ms,
                                 const volatile sig_atomic_t *stop, int *leader, char **detail)
{
    uint64_t deadline_ms = client_now_ms() + timeout_ms;
    while ((*leader = manager_leader(m)) < 0) {
        for (uint32_t i = 0; i < m->count; i++) {
            process_reap(&m->members[i].process);
            if (process_state_of(&m->members[i].process) == PROCESS_GONE) {
                return fail(detail, STATUS_NOT_FOUND, "%s ended while the cluster was forming",
                            m->members[i].name);
            }
        }
        if (stop != NULL && *stop != 0) {
            return STATUS_CLOSED;
        }
        if (client_now_ms() >= deadline_ms) {
            return fail(detail, STATUS_TIMEOUT, "no member leads after %u s; their logs are in %s",
                        timeout_ms / 1000, m->dir);
        }
        client_sleep_ms(POLL_MS);
    }
    return STATUS_OK;
}

enum status manager_find(struct manager *m, const char *name, uint32_t *i, char **detail)
{
    if (strcmp(name, "leader") == 0) {
        int leader = manager_leader(m);
        *i = leader < 0 ? 0 : (uint32_t)leader;
        return leader < 0 ? fail(detail, STATUS_NOT_LEADER, "no member leads right now")
                          : STATUS_OK;
    }
    for (uint32_t k = 0; k < m->count; k++) {
        if (strcmp(m->members[k].name, name) == 0) {
            *i = k;
            return STATUS_OK;
        }
    }
    struct buf names = {0};
    for (uint32_t k = 0; k < m->count; k++) {
        buf_printf(&names, "%s, ", m->members[k].name);
    }
    enum status status =
        fail(detail, STATUS_NOT_FOUND, "no member is named \"%.64s\"; there are %.*sand \"leader\"",
             name, (int)names.size, (const char *)names.data);
    buf_deinit(&names);
    return status;
}

/* --- growing and shrinking -------------------------------------------------------------------- */

enum status manager_add(struct manager *m, uint32_t *i, char **detail)
{
    if (m->count == LIMIT_MEMBERS || m->base_port + m->next > UINT16_MAX) {
        return fail(detail, STATUS_INVALID, "there are %u members, and no room for another",
                    m->count);
    }
    set_member(m, m->count, m->next);
    if (!is_port_free(m->members[m->count].port)) {
        return fail(detail, STATUS_BUSY, "port %u, which %s needs, is taken by another program",
                    m->members[m->count].port, m->members[m->count].name);
    }
    *i = m->count++;
    m->next++;
    return write_shape(m, detail);
}

enum status manager_forget(struct manager *m, uint32_t i, char **detail)
{
    memmove(&m->members[i], &m->members[i + 1], (m->count - i - 1) * sizeof(m->members[0]));
    m->count--;
    return write_shape(m, detail);
}
