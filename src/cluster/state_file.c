#include "cluster/state_file.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "cluster/json_file.h"
#include "cluster/patience.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_MS 1000
#define STOP_MS  1000

/* last_version: the term, and the number of the view in so many digits. It grows, also when the
 * next leader has not heard the last view of the one before. */
#define VERSIONS_PER_TERM 1000000000

struct state_file {
    const char *path;
    char *temporary;
    uint64_t told_term; /* of the view that was told last */
    uint64_t told_number;

    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows, up to the blank line */
    pthread_cond_t changed;
    struct node_view view;
    bool has_news;
    bool is_stopping;
    bool has_ended;

    bool is_in_trouble; /* the thread's own: it has been told */
};

/* --- what is in it ---------------------------------------------------------------------------- */

static const char *presence_name(enum node_presence presence)
{
    switch (presence) {
    case NODE_OFFLINE:
        return "OFFLINE";
    case NODE_ONLINE:
        return "ONLINE";
    case NODE_LEADS:
        return "LEADER";
    }
    return "OFFLINE";
}

static json_t *node_json(const struct node_view_item *item)
{
    json_t *node = json_object();
    json_object_set_new(node, "id", json_string(item->name));
    json_object_set_new(node, "ip", json_string(item->address.host));
    json_object_set_new(node, "port", json_integer(item->address.port));
    json_object_set_new(node, "service port", json_integer(item->address.port));
    json_object_set_new(node, "status", json_string(presence_name(item->presence)));
    json_object_set_new(node, "load", json_integer(item->connections));
    return node;
}

static json_t *view_json(const struct node_view *view)
{
    json_t *info = json_object();
    json_t *nodes = json_object();
    json_t *leader = json_null();
    for (uint32_t i = 0; i < view->count; i++) {
        const struct node_view_item *item = &view->items[i];
        json_object_set_new(nodes, item->name, node_json(item));
        if (item->presence == NODE_LEADS) {
            leader = json_string(item->name);
        }
    }
    uint64_t version = view->term * VERSIONS_PER_TERM + view->number;
    json_object_set_new(info, "leader", leader);
    json_object_set_new(info, "last_version", json_integer((json_int_t)version));
    json_object_set_new(info, "node number", json_integer(view->count));
    json_t *whole = json_object();
    json_object_set_new(whole, "cluster_info", info);
    json_object_set_new(whole, "nodes", nodes);
    return whole;
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool write_view(struct state_file *f, const struct node_view *view)
{
    char *detail = NULL;
    json_t *json = view_json(view);
    bool is_written = json_file_replace(f->path, f->temporary, json, &detail) == STATUS_OK;
    json_decref(json);
    if (!is_written && !f->is_in_trouble) {
        log_warn("the state file cannot be written; trying again every second: %s", detail);
    } else if (is_written && f->is_in_trouble) {
        log_info("the state file is written again file=%s", f->path);
    }
    f->is_in_trouble = !is_written;
    mem_free(detail);
    return is_written;
}

static void *run(void *context)
{
    struct state_file *f = context;
    pthread_mutex_lock(&f->mutex);
    while (f->has_news || !f->is_stopping) {
        if (!f->has_news) {
            patience_wait(&f->mutex, &f->changed, AGAIN_MS);
            continue;
        }
        struct node_view view = f->view;
        f->has_news = false;
        pthread_mutex_unlock(&f->mutex);
        bool is_written = write_view(f, &view);
        pthread_mutex_lock(&f->mutex);
        if (!is_written && !f->is_stopping) {
            f->has_news = true;
            patience_wait(&f->mutex, &f->changed, AGAIN_MS);
        }
    }
    f->has_ended = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* --- the loop's side -------------------------------------------------------------------------- */

void state_file_keep(struct state_file *f, const struct node_view *view)
{
    if (f == NULL || view->term == 0 ||
        (view->term == f->told_term && view->number == f->told_number)) {
        return;
    }
    f->told_term = view->term;
    f->told_number = view->number;
    pthread_mutex_lock(&f->mutex);
    f->view = *view;
    f->has_news = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

/* Better said before the start than by a file that is missing later. */
static enum status check_place(const struct state_file *f, char **detail)
{
    struct stat about;
    if (stat(f->path, &about) == 0 && !S_ISREG(about.st_mode)) {
        return json_file_fail(detail, STATUS_INVALID, f->path,
                              S_ISDIR(about.st_mode) ? "is a directory" : "is no plain file");
    }
    int fd = open(f->temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return json_file_fail(detail, STATUS_INVALID, f->path, strerror(errno));
    }
    close(fd);
    unlink(f->temporary);
    return STATUS_OK;
}

static void destroy(struct state_file *f)
{
    patience_deinit(&f->mutex, &f->changed);
    mem_free(f->temporary);
    mem_free(f);
}

enum status state_file_open(const char *path, const char *name, struct state_file **file,
                            char **detail)
{
    struct state_file *f = mem_calloc(1, sizeof(*f));
    f->path = path;
    f->temporary = mem_printf("%s.%s.tmp", path, name); /* members may share a directory */
    patience_init(&f->mutex, &f->changed);
    enum status status = check_place(f, detail);
    if (status != STATUS_OK) {
        destroy(f);
        return status;
    }
    CHECK(pthread_create(&f->thread, NULL, run, f) == 0);
    *file = f;
    return STATUS_OK;
}

void state_file_close(struct state_file *f)
{
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->mutex);
    f->is_stopping = true;
    pthread_cond_signal(&f->changed);
    uint64_t deadline_ms = client_now_ms() + STOP_MS;
    while (!f->has_ended && client_now_ms() < deadline_ms) {
        patience_wait(&f->mutex, &f->changed, STOP_MS);
    }
    bool has_ended = f->has_ended;
    pthread_mutex_unlock(&f->mutex);
    if (!has_ended) {
        log_warn("the state file does not answer; not waiting for it file=%s", f->path);
        return; /* its thread still uses the memory */
    }
    pthread_join(f->thread, NULL);
    destroy(f);
}
