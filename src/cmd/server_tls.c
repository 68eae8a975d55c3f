#include "cmd/server_tls.h"

#include "api/metric_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_loop.h"

#include <inttypes.h>
#include <string.h>

#define DAY_S 86400

/* Said when a certificate has so many days left, each once; 0: it has run out. */
static const int warn_days[] = {30, 7, 1, 0};
enum { WARN_STEPS = sizeof(warn_days) / sizeof(warn_days[0]) };

struct watched {
    int64_t expires_s; /* of what `step` is about */
    int step;          /* so many of warn_days have been said */
};

struct server_tls {
    struct tls *tls;
    struct loop *loop;
    struct timer timer;
    struct watched watched[TLS_CERTIFICATES_MAX];
};

static int64_t now_s(const struct server_tls *s)
{
    return (int64_t)(s->loop->ops->wall_ms(s->loop) / 1000);
}

static void say_expiry(const struct tls_certificate *c, int64_t left_s)
{
    const char *what = c->is_crl ? "revocation list" : "certificate";
    if (left_s <= 0) {
        log_error("a %s has run out: %s certificate=%s file=%s", what,
                  c->is_crl ? "what it revokes stays revoked, and newer ones are missing"
                            : "nobody believes it any more",
                  c->subject, c->file);
        return;
    }
    enum log_level level = left_s <= DAY_S ? LOG_ERROR : LOG_WARN;
    log_line(level, "a %s runs out in %" PRId64 " %s certificate=%s file=%s", what,
             left_s > DAY_S ? (left_s + DAY_S - 1) / DAY_S : (left_s + 3599) / 3600,
             left_s > DAY_S ? "days" : "hours", c->subject, c->file);
}

static void look_at_expiry(struct server_tls *s)
{
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    uint32_t count = tls_certificates(s->tls, list);
    for (uint32_t i = 0; i < count; i++) {
        struct watched *w = &s->watched[i];
        if (w->expires_s != list[i].expires_s) {
            *w = (struct watched){.expires_s = list[i].expires_s};
        }
        int64_t left_s = list[i].expires_s - now_s(s);
        int before = w->step;
        while (w->step < WARN_STEPS && left_s <= (int64_t)warn_days[w->step] * DAY_S) {
            w->step++;
        }
        if (w->step > before) {
            say_expiry(&list[i], left_s);
        }
    }
}

static void say_new(const struct server_tls *s)
{
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    uint32_t count = tls_certificates(s->tls, list);
    for (uint32_t i = 0; i < count; i++) {
        log_info("new certificates are in use, for new connections %s=%s days=%" PRId64 " file=%s",
                 list[i].is_crl ? "revokedBy" : "certificate", list[i].subject,
                 (list[i].expires_s - now_s(s)) / DAY_S, list[i].file);
    }
}

void server_tls_refresh(struct server_tls *s)
{
    char *detail = NULL;
    switch (tls_refresh(s->tls, &detail)) {
    case STATUS_OK:
        say_new(s);
        break;
    case STATUS_INVALID:
        log_error("new certificates are not used, the old ones stay: %s", detail);
        mem_free(detail);
        break;
    default:
        break;
    }
    look_at_expiry(s);
}

static void on_timer(struct timer *t)
{
    struct server_tls *s = t->context;
    server_tls_refresh(s);
    s->loop->ops->timer_start(s->loop, t, s->loop->ops->now_ms(s->loop) + LIMIT_TLS_REFRESH_MS);
}

struct server_tls *server_tls_watch(struct tls *tls, struct loop *loop)
{
    struct server_tls *s = mem_calloc(1, sizeof(*s));
    s->tls = tls;
    s->loop = loop;
    s->timer = (struct timer){.fire = on_timer, .context = s};
    loop->ops->timer_start(loop, &s->timer, loop->ops->now_ms(loop));
    return s;
}

void server_tls_leave(struct server_tls *s)
{
    if (s != NULL) {
        s->loop->ops->timer_stop(s->loop, &s->timer);
        mem_free(s);
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

static void print_quoted(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            buf_append_byte(out, '\\');
        }
        buf_append_byte(out, *text == '\n' ? ' ' : (uint8_t)*text);
    }
}

static void print_certificates(struct buf *out, const struct server_tls *s)
{
    static const char name[] = "conclave_tls_certificate_seconds_left";
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    uint32_t count = tls_certificates(s->tls, list);
    metric_head(out, name, "Until the first certificate of a file runs out; negative afterwards.",
                "gauge");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "%s{file=\"", name);
        print_quoted(out, list[i].file);
        buf_append_str(out, "\",subject=\"");
        print_quoted(out, list[i].subject);
        buf_printf(out, "\"} %" PRId64 "\n", list[i].expires_s - now_s(s));
    }
}

static void print_count(struct buf *out, const char *name, const char *label, const char *value,
                        uint64_t count)
{
    buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, count);
}

void server_tls_metrics(const void *context, struct buf *out)
{
    const struct server_tls *s = context;
    const struct tls_counters n = tls_loop_counters(s->loop);
    static const char handshakes[] = "conclave_tls_handshakes_total";
    static const char dials[] = "conclave_tls_dials_failed_total";
    static const char reloads[] = "conclave_tls_reloads_total";
    print_certificates(out, s);
    metric_head(out, handshakes, "Connections that were accepted, by how their handshake ended.",
                "counter");
    print_count(out, handshakes, "result", "done", n.accepted);
    print_count(out, handshakes, "result", "denied", n.denied);
    print_count(out, handshakes, "result", "broken", n.broken);
    print_count(out, handshakes, "result", "plain", n.plain);
    print_count(out, handshakes, "result", "late", n.late);
    print_count(out, handshakes, "result", "crowded_out", n.crowded_out);
    metric_head(out, dials, "Dials of other members that failed in TLS, by reason.", "counter");
    print_count(out, dials, "reason", "denied", n.dials_denied);
    print_count(out, dials, "reason", "broken", n.dials_broken);
    metric_head(out, "conclave_tls_cut_total",
                "Open connections that ended without the word for it.", "counter");
    buf_printf(out, "conclave_tls_cut_total %" PRIu64 "\n", n.cut);
    metric_head(out, "conclave_tls_handshakes_under_way", "Handshakes of accepted connections.",
                "gauge");
    buf_printf(out, "conclave_tls_handshakes_under_way %u\n", n.under_way);
    metric_head(out, reloads, "Times that changed files were read.", "counter");
    print_count(out, reloads, "result", "used", tls_reloads(s->tls));
    print_count(out, reloads, "result", "refused", tls_reload_failures(s->tls));
}
