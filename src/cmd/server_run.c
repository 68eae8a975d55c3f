#include "cmd/server_run.h"

#include "api/api.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/loop.h"
#include "wal/disk.h"

#include <signal.h>

/* From SIGTERM to the end, whatever clients do (contract: 5 s). */
#define STOP_MS       4500
/* How often it is looked whether the last answer has left. */
#define DRAIN_LOOK_MS 10

struct server {
    struct loop *loop;
    struct disk *disk;
    struct node *node;
    struct api *api;
    struct http_server *http;
    struct timer patience; /* SIGTERM: the end comes at the latest then */
    struct timer look;
    int exit_code;
    bool is_stopping;
};

/* --- the end ---------------------------------------------------------------------------------- */

static void on_patience_gone(struct timer *t)
{
    struct server *s = t->context;
    log_warn("stopping with requests unfinished connections=%u", http_server_connections(s->http));
    s->loop->ops->stop(s->loop);
}

static void on_look(struct timer *t)
{
    struct server *s = t->context;
    if (http_server_connections(s->http) == 0) {
        s->loop->ops->stop(s->loop);
        return;
    }
    s->loop->ops->timer_start(s->loop, t, s->loop->ops->now_ms(s->loop) + DRAIN_LOOK_MS);
}

/* Leadership is handed over and what waited is answered; let the answers leave. */
static void on_node_shut(void *context)
{
    struct server *s = context;
    http_server_drain(s->http);
    on_look(&s->look);
}

static void on_signal(void *context, int signal_number)
{
    struct server *s = context;
    if (s->is_stopping) {
        return;
    }
    s->is_stopping = true;
    log_info("stopping signal=%d", signal_number);
    s->patience = (struct timer){.fire = on_patience_gone, .context = s};
    s->look = (struct timer){.fire = on_look, .context = s};
    s->loop->ops->timer_start(s->loop, &s->patience, s->loop->ops->now_ms(s->loop) + STOP_MS);
    s->loop->ops->listen_stop(s->loop);
    node_shutdown(s->node, on_node_shut, s);
}

static void on_fatal(void *context, int exit_code, const char *why)
{
    struct server *s = context;
    log_error("%s", why);
    s->exit_code = exit_code;
    s->loop->ops->stop(s->loop);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void on_accept(void *context, struct conn *c)
{
    struct server *s = context;
    http_server_accept(s->http, c);
}

static void on_turn(void *context)
{
    node_turn(context);
}

static enum status open_node(struct server *s, const struct server_settings *settings)
{
    char *detail = NULL;
    struct node_options options = settings->node;
    options.on_fatal = on_fatal;
    options.context = s;
    enum status status = posix_disk_create(settings->data_dir, &s->disk, &detail);
    if (status == STATUS_OK) {
        status = node_open(&options, s->loop, s->disk, &s->node, &detail);
    }
    if (status != STATUS_OK) {
        log_error("--data %s: %s", settings->data_dir,
                  detail != NULL ? detail : status_text(status));
    }
    mem_free(detail);
    return status;
}

static void open_http(struct server *s, const struct server_settings *settings)
{
    const struct api_options api = {.loop = s->loop,
                                    .node = s->node,
                                    .ack = settings->ack,
                                    .cors_origin = settings->cors_origin,
                                    .value_bytes_max = settings->node.value_bytes_max,
                                    .loop_utilisation = uv_loop_utilisation};
    s->api = api_create(&api);
    s->http = http_server_create(s->loop, api_handler(s->api), &(struct http_options){0});
    api_set_server(s->api, s->http);
}

static enum status open_port(struct server *s, const struct server_settings *settings)
{
    uint16_t port;
    enum status status = s->loop->ops->listen(s->loop, settings->node.listen_host,
                                              settings->node.listen_port, &port, on_accept, s);
    if (status != STATUS_OK) {
        log_error("--listen %s:%u: %s", settings->node.listen_host, settings->node.listen_port,
                  status == STATUS_BUSY ? "the port is taken by another program"
                                        : status_text(status));
    }
    return status;
}

static void close_all(struct server *s)
{
    if (s->http != NULL) {
        http_server_destroy(s->http);
        api_destroy(s->api);
    }
    if (s->node != NULL) {
        node_destroy(s->node);
    }
    if (s->disk != NULL) {
        s->disk->ops->destroy(s->disk);
    }
    uv_loop_destroy(s->loop);
}

/* Contract: 2 is something for the user to put right, 1 a disk that failed or holds damage. */
static int exit_code_of(enum status status)
{
    bool is_disk = status == STATUS_IO || status == STATUS_CORRUPT || status == STATUS_NO_SPACE;
    return is_disk ? 1 : 2;
}

int server_run(const struct server_settings *settings,
               void (*on_listening)(const struct server_settings *s))
{
    struct server s = {.loop = uv_loop_create()};
    enum status status = open_node(&s, settings);
    if (status == STATUS_OK) {
        open_http(&s, settings);
        status = open_port(&s, settings);
    }
    if (status == STATUS_OK) {
        s.loop->ops->on_turn(s.loop, on_turn, s.node);
        uv_loop_on_signal(s.loop, SIGTERM, on_signal, &s);
        uv_loop_on_signal(s.loop, SIGINT, on_signal, &s);
        on_listening(settings);
        uv_loop_run(s.loop);
    }
    close_all(&s);
    return status == STATUS_OK ? s.exit_code : exit_code_of(status);
}
