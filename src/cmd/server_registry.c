#include "cmd/server_registry.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/registry_watch.h"
#include "node/roster.h"
#include "wal/wal.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS         50
#define REST_MS         1000 /* once all is said: only its address may change */
/* docs/DATA_DIR.md */
#define IDENTITY_RECORD "identity"

struct server_registry {
    const struct server_settings *settings;
    struct registry_watch *watch;
    char own_url[LIMIT_URL_BYTES];

    /* What was decided last. */
    struct registry_verdict verdict;
    bool has_verdict;
    bool ends_life;
    const char *join[LIMIT_MEMBERS];
    uint32_t join_count;
    bool founds; /* "now the leader" is still to be said */

    /* This life. */
    struct loop *loop;
    struct node *node;
    struct disk *disk;
    struct timer timer;
    struct registry_self self;
    struct work read;
    bool is_reading;
    struct identity identity; /* what was read */
    enum status read_status;
};

struct server_registry *server_registry_create(const struct server_settings *s, struct loop *loop)
{
    if (s->registry == NULL) {
        return NULL;
    }
    struct server_registry *r = mem_calloc(1, sizeof(*r));
    uint8_t random[16];
    loop->ops->random(loop, random, sizeof(random));
    const struct registry_watch_options options = {
        .path = s->registry,
        .name = s->node.name,
        .attempts = s->registry_attempts,
        .started_wall_ms = loop->ops->wall_ms(loop),
        .cluster_candidate = uuid_from_random(random),
    };
    r->settings = s;
    /* A member that dials itself finds nobody (rule G1), so this is a list of nobody. */
    snprintf(r->own_url, sizeof(r->own_url), "%s://127.0.0.1:%u",
             s->node.speaks_tls ? "https" : "http", s->node.listen_port);
    r->join[r->join_count++] = r->own_url;
    r->watch = registry_watch_start(&options);
    return r;
}

void server_registry_destroy(struct server_registry *r)
{
    if (r != NULL) {
        registry_watch_stop(r->watch);
        mem_free(r);
    }
}

void server_registry_set_options(const struct server_registry *r, struct node_options *options)
{
    if (r != NULL) {
        options->join = r->join;
        options->join_count = r->join_count;
    }
}

/* --- who we are ------------------------------------------------------------------------------- */

static enum status read_identity(struct disk *disk, struct identity *identity)
{
    struct blob *content = NULL;
    char *detail = NULL;
    enum status status = record_load(disk, IDENTITY_RECORD, &content, &detail);
    if (status == STATUS_OK) {
        status = identity_decode(blob_slice(content), identity);
    }
    blob_unref(content);
    mem_free(detail);
    return status;
}

static void run_read(struct work *w)
{
    struct server_registry *r = w->context;
    r->read_status = read_identity(r->disk, &r->identity);
}

/* The first of the founding roster stands for the cluster in the claim. */
static void done_read(struct work *w)
{
    struct server_registry *r = w->context;
    const struct roster *roster = &r->identity.roster;
    r->is_reading = false;
    if (r->read_status == STATUS_OK && roster->count > 0) {
        r->self.founder.cluster = roster->cluster;
        r->self.founder.incarnation = roster->members[0].incarnation;
        snprintf(r->self.founder.name, sizeof(r->self.founder.name), "%s", roster->members[0].name);
    }
}

static void learn_founder(struct server_registry *r)
{
    if (r->self.is_member && r->self.founder.name[0] == '\0' && !r->is_reading) {
        r->is_reading = true;
        r->read = (struct work){.run = run_read, .done = done_read, .context = r};
        r->loop->ops->submit(r->loop, &r->read);
    }
}

/* --- a life ----------------------------------------------------------------------------------- */

static void end_life(struct server_registry *r)
{
    r->ends_life = true;
    r->loop->ops->stop(r->loop);
}

static void on_timer(struct timer *t)
{
    struct server_registry *r = t->context;
    struct node_status status;
    node_status_get(r->node, &status);
    if (status.shutting_down) {
        return;
    }
    r->self.is_member = status.role != NULL;
    r->self.incarnation = status.members[0].incarnation;
    r->self.port = r->settings->node.listen_port;
    snprintf(r->self.url, sizeof(r->self.url), "%s", status.url);
    learn_founder(r);
    registry_watch_tell(r->watch, &r->self);
    if (r->founds && status.role != NULL && strcmp(status.role, "leader") == 0) {
        r->founds = false;
        log_info("now the leader of a cluster of one; others join it by the registry %s",
                 r->settings->registry);
    }
    if (registry_watch_ask(r->watch, &r->verdict) && !r->self.is_member) {
        r->has_verdict = true;
        end_life(r);
        return;
    }
    bool is_settled = r->self.founder.name[0] != '\0' && !r->founds;
    uint64_t at_ms =
        is_settled ? loop_about(r->loop, REST_MS) : r->loop->ops->now_ms(r->loop) + LOOK_MS;
    r->loop->ops->timer_start(r->loop, t, at_ms);
}

void server_registry_watch(struct server_registry *r, struct loop *loop, struct node *node,
                           struct disk *disk)
{
    if (r == NULL) {
        return;
    }
    r->loop = loop;
    r->node = node;
    r->disk = disk;
    r->ends_life = false;
    r->timer = (struct timer){.fire = on_timer, .context = r};
    loop->ops->timer_start(loop, &r->timer, loop->ops->now_ms(loop));
}

void server_registry_pause(struct server_registry *r)
{
    if (r != NULL && r->loop != NULL) {
        r->loop->ops->timer_stop(r->loop, &r->timer);
        r->loop = NULL;
    }
}

/* --- between two lives ------------------------------------------------------------------------ */

/* As the founding of one does (node/founding.h), with the cluster that the claim names. A crash
 * before leaves a fresh directory that the claim names, and the next start comes here again. */
static enum status found(struct server_registry *r, struct disk *disk)
{
    struct identity identity;
    enum status status = read_identity(disk, &identity);
    if (status != STATUS_OK || identity.phase != FOUNDING_FRESH) {
        return status;
    }
    struct roster_member *self = &identity.roster.members[0];
    identity.phase = FOUNDING_FOUNDED;
    identity.roster.cluster = r->verdict.cluster;
    identity.roster.count = 1;
    snprintf(self->name, sizeof(self->name), "%s", identity.name);
    snprintf(self->url, sizeof(self->url), "%s", r->self.url);
    self->incarnation = identity.incarnation;
    struct buf content = {0};
    identity_encode(&identity, &content);
    status = record_save(disk, IDENTITY_RECORD, buf_slice(&content));
    buf_deinit(&content);
    r->founds = status == STATUS_OK;
    return status;
}

static void take_urls(struct server_registry *r)
{
    r->join_count = 0; /* at least one follows */
    for (uint32_t i = 0; i < r->verdict.url_count; i++) {
        r->join[r->join_count++] = r->verdict.urls[i];
    }
}

bool server_registry_next_life(struct server_registry *r, struct disk *disk, int *exit_code)
{
    if (r == NULL || !r->ends_life || !r->has_verdict || *exit_code != 0) {
        return false;
    }
    r->has_verdict = false;
    enum status status;
    switch (r->verdict.kind) {
    case REGISTRY_REFUSE:
        log_error("%s", r->verdict.text);
        *exit_code = 2;
        return false;
    case REGISTRY_JOIN:
        take_urls(r);
        return true;
    case REGISTRY_FOUND:
        status = found(r, disk);
        if (status != STATUS_OK) {
            log_error("cannot write the data directory: %s", status_text(status));
            *exit_code = 1;
        }
        return status == STATUS_OK;
    }
    return false;
}
