#include "cluster/registry_watch.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "cluster/patience.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUND_MS     1000
/* Rule "Founding by registry": so long running members have to put a lost claim back. */
#define PATIENCE_MS  3000
#define PROBE_MS     500
#define LOCK_WAIT_MS 500
#define STOP_MS      1000
/* What has not changed is said again after so many rounds. */
#define TELL_ROUNDS  5

/* What a round of questions found. */
struct findings {
    uint32_t count;
    char urls[LIMIT_MEMBERS][LIMIT_URL_BYTES];
    struct uuid cluster; /* of all of them */
    bool differ;         /* members of two clusters answered */
    uint32_t silent;     /* listed with a cluster, and no member answered there */
    struct uuid lost;    /* the cluster of one of those */
};

struct registry_watch {
    struct registry_watch_options options;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows, up to the blank line */
    pthread_cond_t changed;
    bool is_told;
    bool is_stopping;
    bool has_ended; /* the thread is about to return */
    bool has_verdict;
    struct registry_self self;
    struct registry_verdict verdict;

    /* The thread's own. */
    struct registry_self now; /* a copy of `self` */
    struct registry list;
    struct registry_verdict given; /* the last one */
    bool is_given;
    uint32_t attempts;
    uint64_t first_attempt_ms;
    uint32_t rounds_since_told;
    char told[1024];
};

/* --- telling ---------------------------------------------------------------------------------- */

/* At once when it is new, and now and then while it stays so. */
static void tell(struct registry_watch *w, enum log_level level, const char *text)
{
    if (strcmp(w->told, text) == 0 && w->rounds_since_told < TELL_ROUNDS) {
        return;
    }
    snprintf(w->told, sizeof(w->told), "%s", text);
    w->rounds_since_told = 0;
    log_line(level, "%s", text);
}

static void give(struct registry_watch *w, const struct registry_verdict *verdict)
{
    w->given = *verdict;
    w->is_given = true;
    w->told[0] = '\0';
    pthread_mutex_lock(&w->mutex);
    w->verdict = *verdict;
    w->has_verdict = true;
    pthread_mutex_unlock(&w->mutex);
}

static void refuse(struct registry_watch *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void refuse(struct registry_watch *w, const char *format, ...)
{
    struct registry_verdict *verdict = mem_calloc(1, sizeof(*verdict));
    verdict->kind = REGISTRY_REFUSE;
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->text, sizeof(verdict->text), format, args);
    va_end(args);
    give(w, verdict);
    mem_free(verdict);
}

static bool is_stopping(struct registry_watch *w)
{
    pthread_mutex_lock(&w->mutex);
    bool stops = w->is_stopping;
    pthread_mutex_unlock(&w->mutex);
    return stops;
}

/* --- looking for members ---------------------------------------------------------------------- */

/* The cluster whose member answers there; false: no member does. */
static bool ask_member(const char *url, struct uuid *cluster)
{
    const struct client_request request = {.method = "GET", .target = "/status"};
    struct client_answer a = {0};
    bool is_member =
        client_ask(url, &request, PROBE_MS, &a) == STATUS_OK &&
        client_answer_string(&a, "role") != NULL && client_answer_string(&a, "clusterId") != NULL &&
        uuid_parse(client_answer_string(&a, "clusterId"), cluster) && !uuid_is_zero(*cluster);
    client_answer_deinit(&a);
    return is_member;
}

static void note_member(struct findings *f, const char *url, struct uuid cluster)
{
    f->differ = f->differ || (f->count > 0 && !uuid_equal(f->cluster, cluster));
    f->cluster = cluster;
    if (f->count < LIMIT_MEMBERS) {
        snprintf(f->urls[f->count++], LIMIT_URL_BYTES, "%s", url);
    }
}

/* Ask everybody in the list; with `wanted`, only members of that cluster count. */
static void ask_all(struct registry_watch *w, const struct uuid *wanted, struct findings *f)
{
    for (uint32_t i = 0; i < w->list.count && !is_stopping(w); i++) {
        const struct registry_entry *e = &w->list.entries[i];
        struct uuid cluster;
        if (strcmp(e->url, w->now.url) == 0) {
            continue;
        }
        bool answers = ask_member(e->url, &cluster);
        if (answers && (wanted == NULL || uuid_equal(cluster, *wanted))) {
            note_member(f, e->url, cluster);
        } else if (!answers && !uuid_is_zero(e->cluster)) {
            f->silent++;
            f->lost = e->cluster;
        }
    }
}

static bool is_in_last_verdict(const struct registry_watch *w, const char *url)
{
    for (uint32_t i = 0; w->is_given && i < w->given.url_count; i++) {
        if (strcmp(w->given.urls[i], url) == 0) {
            return true;
        }
    }
    return false;
}

/* Said again only when somebody answers whom the member does not dial yet. */
static void join(struct registry_watch *w, const struct findings *f)
{
    bool is_news = false;
    for (uint32_t i = 0; i < f->count; i++) {
        is_news = is_news || !is_in_last_verdict(w, f->urls[i]);
    }
    if (!is_news) {
        return;
    }
    struct registry_verdict *verdict = mem_calloc(1, sizeof(*verdict));
    verdict->kind = REGISTRY_JOIN;
    verdict->url_count = f->count;
    memcpy(verdict->urls, f->urls, sizeof(verdict->urls));
    log_info("%s lists a running cluster: joining it through %s", w->options.path, f->urls[0]);
    give(w, verdict);
    mem_free(verdict);
}

/* --- founding --------------------------------------------------------------------------------- */

static void found(struct registry_watch *w, struct uuid cluster)
{
    struct registry_verdict *verdict = mem_calloc(1, sizeof(*verdict));
    verdict->kind = REGISTRY_FOUND;
    verdict->cluster = cluster;
    give(w, verdict);
    mem_free(verdict);
}

static void claim_founding(struct registry_watch *w)
{
    struct registry_claim own = {.cluster = w->options.cluster_candidate,
                                 .incarnation = w->now.incarnation};
    snprintf(own.name, sizeof(own.name), "%s", w->options.name);
    char *detail = NULL;
    switch (registry_claim_make(w->options.path, &own, own.incarnation, &detail)) {
    case STATUS_OK:
        log_info("no leader in %u attempts: becoming leader of a new cluster of one, by the claim "
                 "%s.founder; others that name this registry will join it",
                 w->attempts, w->options.path);
        found(w, own.cluster);
        break;
    case STATUS_CONFLICT:
        log_info("another member claimed to found the cluster first; it is joined, never doubled");
        break;
    case STATUS_UNSUPPORTED:
        refuse(w,
               "%s: this file system has no hard links, by which one founder is chosen safely; "
               "put --registry elsewhere, or use --peers or --join",
               detail);
        break;
    default:
        refuse(w, "the registry cannot be written: %s", detail);
        break;
    }
    mem_free(detail);
}

/* Nobody answered, and nobody has claimed to found. */
static void maybe_found(struct registry_watch *w, enum status list, const struct findings *f)
{
    uint64_t now_ms = client_now_ms();
    w->first_attempt_ms = w->attempts == 0 ? now_ms : w->first_attempt_ms;
    if (w->attempts < w->options.attempts) {
        w->attempts++;
        log_info("Leader not found: no member answers that %s lists (%u entries). Attempt %u of %u",
                 w->options.path, w->list.count, w->attempts, w->options.attempts);
        return;
    }
    if (now_ms - w->first_attempt_ms < PATIENCE_MS) {
        return;
    }
    char cluster[UUID_TEXT_SIZE];
    if (list == STATUS_CORRUPT) {
        refuse(w,
               "%s cannot be read and %s.founder is missing, so nobody can tell whether there is a "
               "cluster already. Mend the file; or remove it, if no member of a cluster is left",
               w->options.path, w->options.path);
    } else if (f->silent > 0) {
        uuid_format(f->lost, cluster);
        char *text =
            mem_printf("not founding: %s lists members of the cluster %s, which do not answer, and "
                       "%s.founder is missing. Start one of them; or, if that cluster is gone for "
                       "good, remove %s and start this member again",
                       w->options.path, cluster, w->options.path, w->options.path);
        tell(w, LOG_WARN, text);
        mem_free(text);
    } else if (!is_stopping(w)) {
        claim_founding(w);
    }
}

/* --- one round of a member to be -------------------------------------------------------------- */

/* Claimed, and died before founding. An entry of that cluster says that it was founded: then this
 * directory is a copy from before. */
static void take_up_claim(struct registry_watch *w, const struct registry_claim *claimed)
{
    for (uint32_t i = 0; i < w->list.count; i++) {
        if (uuid_equal(w->list.entries[i].cluster, claimed->cluster)) {
            refuse(w,
                   "this data directory is older than its cluster: %s lists %s as a member of the "
                   "cluster that %s claimed to found with it. It was restored from an old copy, "
                   "and must not take part; bring the newer one back",
                   w->options.path, w->list.entries[i].id, claimed->name);
            return;
        }
    }
    log_info("%s.founder names this member: becoming leader of its cluster of one",
             w->options.path);
    found(w, claimed->cluster);
}

static void follow_claim(struct registry_watch *w, const struct registry_claim *claimed)
{
    if (uuid_equal(claimed->incarnation, w->now.incarnation)) {
        if (!w->is_given) {
            take_up_claim(w, claimed);
        }
        return;
    }
    if (strcmp(claimed->name, w->options.name) == 0 && !w->is_given) {
        refuse(w,
               "%s.founder says that %s founds the cluster with another data directory than this "
               "one. Bring that directory back. If it is lost: while other members run, say "
               "\"conclave member replace %s\" and start this one with --join; if nothing is left "
               "of the cluster, remove %s and %s.founder. If it is another member, give this one "
               "another --name",
               w->options.path, claimed->name, claimed->name, w->options.path, w->options.path);
        return;
    }
    struct findings *f = mem_calloc(1, sizeof(*f));
    ask_all(w, &claimed->cluster, f);
    if (f->count > 0) {
        join(w, f);
    } else if (!w->is_given) {
        char cluster[UUID_TEXT_SIZE];
        uuid_format(claimed->cluster, cluster);
        char *text = mem_printf("waiting for a member of the cluster %s, which %s founds: none "
                                "answers of those that %s lists",
                                cluster, claimed->name, w->options.path);
        tell(w, LOG_INFO, text);
        mem_free(text);
    }
    mem_free(f);
}

static void search_without_claim(struct registry_watch *w, enum status list)
{
    struct findings *f = mem_calloc(1, sizeof(*f));
    ask_all(w, NULL, f);
    if (f->differ) {
        char *text = mem_printf("%s lists members of two clusters, and %s.founder does not say "
                                "which one is meant; take the wrong ones out",
                                w->options.path, w->options.path);
        tell(w, LOG_WARN, text);
        mem_free(text);
    } else if (f->count > 0) {
        join(w, f);
    } else if (!w->is_given) {
        maybe_found(w, list, f);
    }
    mem_free(f);
}

static void search(struct registry_watch *w)
{
    char *detail = NULL;
    struct registry_claim claimed;
    if (w->is_given && w->given.kind != REGISTRY_JOIN) {
        return;
    }
    enum status list = registry_read(w->options.path, &w->list, &detail);
    if (list == STATUS_CORRUPT || (list == STATUS_IO && w->is_given)) {
        tell(w, LOG_WARN, detail);
    }
    enum status claim = list;
    if (list != STATUS_IO) {
        claim = registry_claim_read(w->options.path, &claimed, &detail);
    }
    if (claim == STATUS_OK) {
        follow_claim(w, &claimed);
    } else if (claim == STATUS_NOT_FOUND) {
        search_without_claim(w, list);
    } else if (!w->is_given) {
        refuse(w,
               "the registry cannot be read: %s. Whether there is a cluster already is never "
               "guessed: mend the file; or remove it, if no member of a cluster is left",
               detail);
    }
    mem_free(detail);
}

/* --- one round of a member -------------------------------------------------------------------- */

static void make_entry(const struct registry_watch *w, struct registry_entry *e)
{
    *e = (struct registry_entry){.port = w->now.port, .cluster = w->now.founder.cluster};
    snprintf(e->id, sizeof(e->id), "%s", w->options.name);
    snprintf(e->url, sizeof(e->url), "%s", w->now.url);
    time_t seconds = (time_t)(w->options.started_wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(e->joined_at, sizeof(e->joined_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static enum status keep_entry(struct registry_watch *w, char **detail)
{
    struct registry_entry own;
    make_entry(w, &own);
    enum status status = registry_read(w->options.path, &w->list, detail);
    if (status == STATUS_OK && registry_has(&w->list, &own)) {
        return STATUS_OK;
    }
    return registry_put(w->options.path, &own, LOCK_WAIT_MS, detail);
}

static enum status keep_claim(struct registry_watch *w, char **detail)
{
    struct registry_claim claimed;
    enum status status = registry_claim_read(w->options.path, &claimed, detail);
    if (status == STATUS_NOT_FOUND) {
        status = registry_claim_make(w->options.path, &w->now.founder, w->now.incarnation, detail);
        if (status == STATUS_OK) {
            log_info("%s.founder was missing; it is back", w->options.path);
        }
        return status;
    }
    if (status == STATUS_OK && !uuid_equal(claimed.cluster, w->now.founder.cluster)) {
        mem_free(*detail);
        *detail = mem_printf("%s.founder is of another cluster, which %s founds", w->options.path,
                             claimed.name);
        return STATUS_CONFLICT;
    }
    return status;
}

/* Whatever is wrong with the files, the member goes on: it knows the others from its log. The claim
 * comes first, and an entry goes only beside a claim of the same cluster. */
static void keep(struct registry_watch *w)
{
    char *detail = NULL;
    enum status status = keep_claim(w, &detail);
    if (status == STATUS_OK) {
        status = keep_entry(w, &detail);
    }
    if (status != STATUS_OK) {
        char *text = mem_printf("the registry is of no use now, and the member goes on without: %s",
                                detail != NULL ? detail : status_text(status));
        tell(w, LOG_WARN, text);
        mem_free(text);
    } else if (w->told[0] != '\0') {
        log_info("the registry is in order file=%s", w->options.path);
        w->told[0] = '\0';
    }
    mem_free(detail);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* With the mutex held. */
static void wait_for_change(struct registry_watch *w, uint64_t patience_ms)
{
    patience_wait(&w->mutex, &w->changed, patience_ms);
}

/* Until the next round is due. False: the end. */
static bool wait_for_round(struct registry_watch *w, uint64_t due_ms)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->is_stopping && (!w->is_told || client_now_ms() < due_ms)) {
        wait_for_change(w, due_ms > client_now_ms() ? due_ms - client_now_ms() : ROUND_MS);
    }
    bool goes_on = !w->is_stopping;
    w->now = w->self;
    pthread_mutex_unlock(&w->mutex);
    return goes_on;
}

static void *run(void *context)
{
    struct registry_watch *w = context;
    uint64_t due_ms = 0;
    while (wait_for_round(w, due_ms)) {
        due_ms = client_now_ms() + ROUND_MS;
        w->rounds_since_told++;
        if (!w->now.is_member) {
            search(w);
        } else if (w->now.founder.name[0] != '\0') {
            keep(w);
        }
    }
    pthread_mutex_lock(&w->mutex);
    w->has_ended = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

struct registry_watch *registry_watch_start(const struct registry_watch_options *options)
{
    struct registry_watch *w = mem_calloc(1, sizeof(*w));
    w->options = *options;
    patience_init(&w->mutex, &w->changed);
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    return w;
}

void registry_watch_tell(struct registry_watch *w, const struct registry_self *self)
{
    pthread_mutex_lock(&w->mutex);
    bool is_news = !w->is_told || (self->founder.name[0] != '\0' && w->self.founder.name[0] == 0);
    w->self = *self;
    w->is_told = true;
    if (is_news) {
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
}

bool registry_watch_ask(struct registry_watch *w, struct registry_verdict *verdict)
{
    pthread_mutex_lock(&w->mutex);
    bool is_there = w->has_verdict;
    if (is_there) {
        *verdict = w->verdict;
        w->has_verdict = false;
    }
    pthread_mutex_unlock(&w->mutex);
    return is_there;
}

void registry_watch_stop(struct registry_watch *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->is_stopping = true;
    pthread_cond_signal(&w->changed);
    uint64_t deadline_ms = client_now_ms() + STOP_MS;
    while (!w->has_ended && client_now_ms() < deadline_ms) {
        wait_for_change(w, STOP_MS);
    }
    bool has_ended = w->has_ended;
    pthread_mutex_unlock(&w->mutex);
    if (!has_ended) {
        log_warn("the registry does not answer; not waiting for it file=%s", w->options.path);
        return; /* its thread still uses the memory */
    }
    pthread_join(w->thread, NULL);
    patience_deinit(&w->mutex, &w->changed);
    mem_free(w);
}
