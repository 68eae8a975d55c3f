/* cmd/server_run.c - puts a member together: port, disk, node, HTTP; and takes it apart again. */
#include "cmd/server_run.h"

#include "api/api.h"
#include "base/line_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/state_file.h"
#include "cmd/server_registry.h"
#include "cmd/server_tls.h"
#include "net/grpc.h"
#include "net/tls_loop.h"
#include "wal/disk.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* From the signal to the end, whatever clients do (contract: 5 s). */
#define STOP_MS        4500
#define DRAIN_CHECK_MS 10
/* The same, and from what is fatal to the end, whatever the disk does. */
#define LEAVE_S        5
/* Of --max-client-bytes: large requests, and large answers, are refused before connections are
 * reset for all that they make this member keep. */
#define BODIES_PART    4
#define UNSENT_PART    2

struct server {
    const struct server_settings *settings;
    struct loop *loop; /* `real`, or around it */
    struct loop *real;
    struct server_tls *tls; /* NULL = none */
    struct disk *disk;
    struct node *node;
    struct api *api;
    struct http_server *http;
    struct grpc_server *grpc;         /* gets connections from `http` */
    struct client_memory memory;      /* of both */
    struct server_registry *registry; /* of all lives; NULL = none */
    struct state_file *state_file;    /* the same */
    struct line_file *audit;          /* the same */
    struct timer patience_timer;      /* the end comes at the latest then */
    struct timer drain_timer;
    bool stopping;
    int exit_code;
};

/* --- leaving ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t overdue_exit_code;

static void on_overdue(int signal_number)
{
    (void)signal_number;
    static const char words[] = "the disk does not answer; ending without it\n";
    ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);
    (void)ignored;
    _exit(overdue_exit_code);
}

/* The loop ends behind all work that is under way, and a disk may never answer (rule P17): what
 * waits for it was acknowledged to nobody, so that the process can go as if it were killed. */
static void end_in_time(int overdue_code)
{
    overdue_exit_code = overdue_code;
    (void)signal(SIGALRM, on_overdue);
    (void)alarm(LEAVE_S);
}

static void on_fatal(void *context, int exit_code, const char *why)
{
    struct server *s = context;
    log_error("%s", why);
    s->exit_code = exit_code;
    end_in_time(exit_code);
    s->loop->ops->stop(s->loop);
}

/* --- requests --------------------------------------------------------------------------------- */

static void on_accept(void *context, struct conn *c)
{
    struct server *s = context;
    http_server_accept(s->http, c);
}

static void on_http2(void *context, struct conn *c, struct slice first)
{
    struct server *s = context;
    grpc_server_accept(s->grpc, c, first);
}

static uint32_t count_http2(const void *context)
{
    const struct server *s = context;
    return grpc_server_connections(s->grpc);
}

static bool make_room_http2(void *context)
{
    struct server *s = context;
    return grpc_server_make_room(s->grpc);
}

static void on_turn(void *context)
{
    struct server *s = context;
    api_tell_load(s->api);
    node_turn(s->node);
    grpc_server_turn(s->grpc);
    state_file_keep(s->state_file, node_view(s->node));
}

/* --- the end ---------------------------------------------------------------------------------- */

static uint32_t count_connections(const struct server *s)
{
    return http_server_connections(s->http) + grpc_server_connections(s->grpc);
}

static void on_drain_timer(struct timer *t)
{
    struct server *s = t->context;
    if (count_connections(s) == 0) {
        s->loop->ops->stop(s->loop);
        return;
    }
    s->loop->ops->timer_start(s->loop, t, s->loop->ops->now_ms(s->loop) + DRAIN_CHECK_MS);
}

static void on_patience_timer(struct timer *t)
{
    struct server *s = t->context;
    log_warn("stopping with requests unfinished connections=%u", count_connections(s));
    s->loop->ops->stop(s->loop);
}

static void on_node_finished(void *context)
{
    struct server *s = context;
    s->loop->ops->listen_stop(s->loop);
    http_server_drain(s->http);
    grpc_server_drain(s->grpc);
    s->drain_timer = (struct timer){.fire = on_drain_timer, .context = s};
    s->loop->ops->timer_start(s->loop, &s->drain_timer, s->loop->ops->now_ms(s->loop));
}

static void on_signal(void *context, int signal_number)
{
    struct server *s = context;
    if (s->stopping) {
        return; /* a second signal changes nothing */
    }
    s->stopping = true;
    end_in_time(1);
    log_info("stopping signal=%s", signal_number == SIGINT ? "SIGINT" : "SIGTERM");
    s->patience_timer = (struct timer){.fire = on_patience_timer, .context = s};
    s->loop->ops->timer_start(s->loop, &s->patience_timer, s->loop->ops->now_ms(s->loop) + STOP_MS);
    http_server_announce_end(s->http);
    grpc_server_announce_end(s->grpc);
    node_shutdown(s->node, on_node_finished, s);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* What a person reads when the member cannot start, and the exit code for it. */
static int refuse_to_start(enum status status, const char *what, char *detail)
{
    log_error("%s: %s", what, detail != NULL ? detail : status_text(status));
    mem_free(detail);
    switch (status) {
    case STATUS_BUSY:
    case STATUS_CONFLICT:
    case STATUS_UNSUPPORTED:
    case STATUS_INVALID:
    case STATUS_DENIED:
        return 2;
    default:
        return 1;
    }
}

/* Whoever asks for a reload need not know whether there is anything to read again. */
static void on_hangup(void *context, int signal_number)
{
    (void)signal_number;
    struct server *s = context;
    if (s->tls != NULL) {
        server_tls_refresh(s->tls);
    }
}

/* The loop of one life, encrypted where the settings say so. */
static void create_loop(struct server *s)
{
    s->real = uv_loop_create();
    s->loop = s->real;
    if (s->settings->tls != NULL) {
        s->loop = tls_loop_create(s->real, s->settings->tls);
        s->tls = server_tls_watch(s->settings->tls, s->loop);
    }
}

static void destroy_loop(struct server *s)
{
    server_tls_leave(s->tls);
    s->tls = NULL;
    uv_loop_destroy(s->real);
    if (s->loop != s->real) {
        tls_loop_destroy(s->loop);
    }
}

static double utilisation_under_tls(const struct loop *l)
{
    return uv_loop_utilisation(tls_loop_inner(l));
}

static int open_port(struct server *s)
{
    const struct node_options *o = &s->settings->node;
    uint16_t bound = 0;
    enum status status =
        s->loop->ops->listen(s->loop, o->listen_host, o->listen_port, &bound, on_accept, s);
    if (status == STATUS_OK) {
        return 0;
    }
    log_error(
        status == STATUS_BUSY
            ? "cannot listen on %s:%u: the port is in use; stop what uses it or give another "
              "--listen"
            : "cannot listen on %s:%u: it is no address of this machine; give another --listen",
        o->listen_host, o->listen_port);
    return 2;
}

static uint64_t part_of_memory(const struct server *s, uint64_t part, uint64_t most)
{
    uint64_t bytes = s->settings->client_bytes_max / part;
    return bytes < most ? bytes : most;
}

/* What the limit on open files leaves to clients; members come through the same door. */
static uint32_t count_places(const struct server *s)
{
    uint32_t wanted = s->settings->connections_max;
    uint32_t files = uv_loop_accepted_max(s->real);
    uint32_t others = 2 * LIMIT_MEMBERS + LIMIT_PEER_CONNECTIONS + files / 8;
    uint32_t max = files > 2 * others ? files - others : files / 2;
    if (wanted > max) {
        log_info("the limit on open files leaves fewer connections than --max-connections "
                 "connections=%u",
                 max);
        return max;
    }
    return wanted;
}

static void open_servers(struct server *s)
{
    const struct server_settings *settings = s->settings;
    client_memory_init(&s->memory, s->loop, settings->client_bytes_max);
    s->real->unsent->bytes_max = part_of_memory(s, UNSENT_PART, LIMIT_UNSENT_BYTES);
    const struct http_options http = {.idle_ms = settings->idle_ms,
                                      .request_ms = settings->receive_ms,
                                      .connections_max = count_places(s),
                                      .bodies_max =
                                          part_of_memory(s, BODIES_PART, LIMIT_BODIES_BYTES),
                                      .memory = &s->memory};
    const struct grpc_options grpc = {.idle_ms = settings->idle_ms,
                                      .request_ms = settings->receive_ms,
                                      .streams_max = settings->streams_max,
                                      .memory = &s->memory};
    s->http = http_server_create(s->loop, api_handler(s->api), &http);
    s->grpc = grpc_server_create(s->loop, api_grpc_handler(s->api), &grpc);
    http_server_on_http2(s->http, on_http2, count_http2, make_room_http2, s);
    api_set_servers(s->api, s->http, s->grpc);
}

static int open_member(struct server *s)
{
    char *detail = NULL;
    enum status status = posix_disk_create(s->settings->data_dir, &s->disk, &detail);
    if (status == STATUS_OK) {
        struct node_options options = s->settings->node;
        options.data_dir = s->settings->data_dir;
        options.on_fatal = on_fatal;
        options.context = s;
        server_registry_set_options(s->registry, &options);
        status = node_open(&options, s->loop, s->disk, &s->node, &detail);
    }
    if (status != STATUS_OK) {
        char *what = mem_printf("cannot use the data directory --data %s", s->settings->data_dir);
        int code = refuse_to_start(status, what, detail);
        mem_free(what);
        /* A path that cannot be a data directory is a wrong setting, no fault of the disk. */
        return s->disk == NULL && status != STATUS_NO_SPACE ? 2 : code;
    }
    mem_free(detail);
    const struct api_options api = {
        .loop = s->loop,
        .node = s->node,
        .ack = s->settings->ack,
        .on_follower = s->settings->on_follower,
        .cors_origin = s->settings->cors_origin,
        .knows_hosts = s->settings->knows_hosts,
        .allowed_hosts = s->settings->allowed_hosts,
        .advertise = s->settings->node.advertise,
        .json_snake = s->settings->json_snake,
        .enable_faults = s->settings->enable_faults,
        .request_timeout_ms = s->settings->node.request_timeout_ms,
        .value_bytes_max = s->settings->node.value_bytes_max,
        .loop_utilisation = s->tls != NULL ? utilisation_under_tls : uv_loop_utilisation,
        .peers_show_certificates = s->settings->peers_show_certificates,
        .clients_show_certificates = s->settings->clients_show_certificates,
        .is_insecure = s->settings->is_insecure,
        .has_secret = s->settings->secret.size > 0,
        .more_metrics = s->tls != NULL ? server_tls_metrics : NULL,
        .more_context = s->tls,
        .root_password = buf_slice(&s->settings->root_password),
        .audit = s->audit,
    };
    s->api = api_create(&api);
    open_servers(s);
    return 0;
}

/* True: the registry says that it is to live again. */
static bool close_member(struct server *s)
{
    bool was_told_to_stop = s->stopping;
    s->stopping = true; /* a signal finds nothing to stop any more */
    s->loop->ops->on_turn(s->loop, NULL, NULL);
    server_registry_pause(s->registry);
    if (s->http != NULL) {
        api_set_servers(s->api, NULL, NULL);
        http_server_destroy(s->http);
        grpc_server_destroy(s->grpc);
        client_memory_deinit(&s->memory);
        api_destroy(s->api);
    }
    node_destroy(s->node);
    bool lives_again = !was_told_to_stop && s->disk != NULL &&
                       server_registry_next_life(s->registry, s->disk, &s->exit_code);
    if (s->disk != NULL) {
        s->disk->ops->destroy(s->disk);
    }
    return lives_again;
}

/* Between two lives nobody listens for signals: they wait for the next one. */
static void hold_signals(bool held)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(held ? SIG_BLOCK : SIG_UNBLOCK, &signals, NULL);
}

/* From opening the port to closing it. True: once more. */
static bool live(struct server *s, void (*on_listening)(const struct server_settings *s))
{
    /* Before the log is read back, which may take a while; they are delivered when the loop runs */
    uv_loop_on_signal(s->real, SIGTERM, on_signal, s);
    uv_loop_on_signal(s->real, SIGINT, on_signal, s);
    uv_loop_on_signal(s->real, SIGHUP, on_hangup, s);
    hold_signals(false);
    s->exit_code = open_port(s);
    if (s->exit_code == 0) {
        s->exit_code = open_member(s);
    }
    if (s->exit_code == 0) {
        s->loop->ops->on_turn(s->loop, on_turn, s);
        server_registry_watch(s->registry, s->loop, s->node, s->disk);
        if (on_listening != NULL) {
            on_listening(s->settings);
        }
        uv_loop_run(s->real);
        if (s->stopping && s->exit_code == 0) {
            log_info("stopped");
        }
    }
    hold_signals(true);
    bool lives_again = close_member(s);
    destroy_loop(s);
    return lives_again;
}

/* False: there can be no such file. */
static bool open_state_file(const struct server_settings *settings, struct state_file **f)
{
    char *detail = NULL;
    if (settings->state_file != NULL &&
        state_file_open(settings->state_file, settings->node.name, f, &detail) != STATUS_OK) {
        log_error("cannot keep --state-file %s", detail);
        mem_free(detail);
        return false;
    }
    return true;
}

static bool open_audit_log(const struct server_settings *settings, struct line_file **f)
{
    char *detail = NULL;
    if (settings->audit_log != NULL &&
        line_file_open(settings->audit_log, settings->audit_log_bytes, f, &detail) != STATUS_OK) {
        log_error("cannot keep --audit-log %s", detail);
        mem_free(detail);
        return false;
    }
    return true;
}

int server_run(const struct server_settings *settings,
               void (*on_listening)(const struct server_settings *s))
{
    hold_signals(true); /* also for the threads that keep files */
    struct state_file *state_file = NULL;
    struct line_file *audit = NULL;
    if (!open_state_file(settings, &state_file) || !open_audit_log(settings, &audit)) {
        state_file_close(state_file);
        return 2;
    }
    struct server s = {.settings = settings, .state_file = state_file, .audit = audit};
    create_loop(&s);
    s.registry = server_registry_create(settings, s.loop);
    while (live(&s, on_listening)) {
        on_listening = NULL; /* has been said */
        s = (struct server){
            .settings = settings, .registry = s.registry, .state_file = state_file, .audit = audit};
        create_loop(&s);
    }
    server_registry_destroy(s.registry);
    state_file_close(state_file);
    line_file_close(audit); /* which may wait a while for a disk */
    (void)alarm(0);
    return s.exit_code; /* signals stay held: a second one changes nothing */
}
