/* Which URL is dialled when. One attempt an URL at a time; the pause after a failure doubles from
 * 10 ms to 1 s; a link that was good earns an attempt at once (rule E6b). */
#include "node/peers_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_MIN_MS  10
#define PAUSE_MAX_MS  1000
/* After a hello that was refused, by either side. */
#define PAUSE_SLOW_MS 2000

static uint64_t now_ms(const struct peers *p)
{
    return p->loop->ops->now_ms(p->loop);
}

static void start(struct peer_dial *d)
{
    struct peers *p = d->peers;
    p->loop->ops->timer_stop(p->loop, &d->timer);
    d->dialled_ms = now_ms(p);
    d->attempt = peers_dial_link(p, d->url, LANE_RAFT);
    d->attempt->dial = d;
}

static bool is_wanted(const struct peer_dial *d)
{
    if (d->is_self || d->attempt != NULL || !d->peers->has_hello) {
        return false;
    }
    const struct peer *peer = peers_find(d->peers, d->incarnation);
    return peer == NULL || !peer_is_up(peer);
}

static void on_timer(struct timer *t)
{
    struct peer_dial *d = t->context;
    if (is_wanted(d)) {
        start(d);
    }
}

static void wait(struct peer_dial *d, uint64_t pause_ms)
{
    struct peers *p = d->peers;
    p->loop->ops->timer_start(p->loop, &d->timer, now_ms(p) + pause_ms);
}

/* Between half of the pause and the whole, so that two members that dial each other drift apart. */
static uint64_t jittered(const struct peers *p, uint64_t pause_ms)
{
    uint32_t chance;
    p->loop->ops->random(p->loop, &chance, sizeof(chance));
    return pause_ms / 2 + chance % (pause_ms / 2 + 1);
}

/* As this member dials it. A cluster speaks TLS as a whole, and the URL may be of before it did, or
 * of when it still did: it is no reason to speak in the clear, or never to meet. */
static bool own_form(const struct peers *p, const char *url, char form[LIMIT_URL_BYTES])
{
    struct url u;
    if (url_parse(url, &u, NULL) != STATUS_OK) {
        return false;
    }
    bool speaks_tls = p->loop->ops->dial_tls != NULL;
    if (u.is_tls == speaks_tls) {
        snprintf(form, LIMIT_URL_BYTES, "%s", url);
    } else {
        u.is_tls = speaks_tls;
        url_format(&u, form, LIMIT_URL_BYTES);
    }
    return true;
}

static struct peer_dial *add(struct peers *p, const char *url, bool listed)
{
    char form[LIMIT_URL_BYTES];
    if (p->dial_count == LIMIT_PEERS_KNOWN || !own_form(p, url, form)) {
        return NULL;
    }
    struct peer_dial *d = mem_calloc(1, sizeof(*d));
    d->peers = p;
    snprintf(d->url, sizeof(d->url), "%s", form);
    d->listed = listed;
    d->timer = (struct timer){.fire = on_timer, .context = d};
    p->dials[p->dial_count++] = d;
    return d;
}

void dial_destroy(struct peer_dial *d)
{
    struct peers *p = d->peers;
    p->loop->ops->timer_stop(p->loop, &d->timer);
    if (d->attempt != NULL) {
        peers_drop_link(d->attempt, 0);
    }
    for (struct list *at = p->links.next; at != &p->links; at = at->next) {
        struct link *l = CONTAINER_OF(at, struct link, node);
        if (l->dial == d) {
            l->dial = NULL;
        }
    }
    for (uint32_t i = 0; i < p->dial_count; i++) {
        if (p->dials[i] == d) {
            p->dials[i] = p->dials[--p->dial_count];
            break;
        }
    }
    mem_free(d);
}

static struct peer_dial *find_url(const struct peers *p, const char *url)
{
    char form[LIMIT_URL_BYTES];
    bool is_url = own_form(p, url, form);
    for (uint32_t i = 0; is_url && i < p->dial_count; i++) {
        if (strcmp(p->dials[i]->url, form) == 0) {
            return p->dials[i];
        }
    }
    return NULL;
}

void peers_set_urls(struct peers *p, const char *const *urls, uint32_t count)
{
    for (uint32_t i = 0; i < p->dial_count; i++) {
        p->dials[i]->listed = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct peer_dial *d = find_url(p, urls[i]);
        if (d != NULL) {
            d->listed = true;
        } else if (add(p, urls[i], true) == NULL) {
            log_warn("cannot dial url=%s: not http://HOST:PORT, or too many", urls[i]);
        }
    }
    for (uint32_t i = p->dial_count; i-- > 0;) {
        if (!p->dials[i]->listed) {
            dial_destroy(p->dials[i]);
        }
    }
    dial_all(p);
}

void dial_all(struct peers *p)
{
    for (uint32_t i = 0; i < p->dial_count; i++) {
        struct peer_dial *d = p->dials[i];
        if (is_wanted(d) && d->timer.slot == 0) {
            start(d);
        }
    }
}

/* At once, but not more often than every 10 ms: a member that accepts and closes is no reason to
 * spin. */
static void start_again(struct peer_dial *d)
{
    uint64_t since = now_ms(d->peers) - d->dialled_ms;
    if (since >= PAUSE_MIN_MS) {
        start(d);
    } else {
        wait(d, PAUSE_MIN_MS - since);
    }
}

static const char *any_url_of(const struct peer *peer)
{
    if (peer->hello.advertise[0] != 0) {
        return peer->hello.advertise;
    }
    const struct roster_member *m = roster_find(&peer->hello.roster, peer->hello.incarnation);
    if (m == NULL) {
        m = roster_find(&peer->peers->hello.roster, peer->hello.incarnation);
    }
    return m != NULL && m->url[0] != 0 ? m->url : NULL;
}

void dial_again(struct peer *peer)
{
    struct peers *p = peer->peers;
    bool known = false;
    for (uint32_t i = 0; i < p->dial_count; i++) {
        struct peer_dial *d = p->dials[i];
        if (uuid_equal(d->incarnation, peer->hello.incarnation)) {
            known = true;
            if (is_wanted(d)) {
                start_again(d);
            }
        }
    }
    const char *url = any_url_of(peer);
    if (known || url == NULL) {
        /* Nobody to ask: silence has to tell. */
        peer->lost_pending = known;
        return;
    }
    struct peer_dial *d = find_url(p, url);
    if (d == NULL) {
        d = add(p, url, false);
    }
    if (d == NULL || d->is_self) {
        peer->lost_pending = false;
        return;
    }
    d->incarnation = peer->hello.incarnation;
    if (is_wanted(d)) {
        start(d);
    }
}

/* Silence proves nothing: the process may be stopped and go on later (rule E6b). A refusal that it
 * spoke itself proves that it lives, and so does what it says of certificates. */
static void judge(struct peer_dial *d, enum link_end why)
{
    struct peer *peer = peers_find(d->peers, d->incarnation);
    if (peer == NULL || !peer->lost_pending) {
        return;
    }
    peer->lost_pending = false;
    if (why != LINK_SILENT && why != LINK_REFUSED && why != LINK_BAD_TLS) {
        peers_report_lost(peer);
    }
}

void dial_on_failed(struct peer_dial *d, enum link_end why)
{
    d->attempt = NULL;
    if (!d->listed) {
        judge(d, why);
        dial_destroy(d);
        return;
    }
    uint64_t pause = PAUSE_MAX_MS;
    if (d->failures < 7) {
        pause = (uint64_t)PAUSE_MIN_MS << d->failures;
    }
    d->failures++;
    wait(d, why == LINK_REFUSED ? PAUSE_SLOW_MS : jittered(d->peers, pause));
    judge(d, why);
}

void dial_on_answered(struct peer_dial *d, struct uuid incarnation)
{
    struct peer *before = peers_find(d->peers, d->incarnation);
    d->attempt = NULL;
    d->failures = 0;
    d->trouble[0] = 0;
    d->incarnation = incarnation;
    if (before != NULL && before->lost_pending &&
        !uuid_equal(before->hello.incarnation, incarnation)) {
        before->lost_pending = false;
        peers_report_lost(before);
    }
}

void dial_on_linked(struct peer *peer)
{
    struct peers *p = peer->peers;
    const char *url = any_url_of(peer);
    for (uint32_t i = 0; i < p->dial_count; i++) {
        struct peer_dial *d = p->dials[i];
        if (uuid_equal(d->incarnation, peer->hello.incarnation) ||
            (url != NULL && strcmp(d->url, url) == 0)) {
            d->failures = 0;
            d->trouble[0] = 0;
        }
    }
}

void dial_on_self(struct peer_dial *d)
{
    d->attempt = NULL;
    d->is_self = true;
}

void dial_slowly(struct peer_dial *d)
{
    wait(d, PAUSE_SLOW_MS);
}

void dial_member_slowly(const struct peer *peer)
{
    struct peers *p = peer->peers;
    for (uint32_t i = 0; i < p->dial_count; i++) {
        if (uuid_equal(p->dials[i]->incarnation, peer->hello.incarnation)) {
            dial_slowly(p->dials[i]);
        }
    }
}

const char *dial_url_of(const struct peers *p, struct uuid incarnation)
{
    for (uint32_t i = 0; i < p->dial_count; i++) {
        if (uuid_equal(p->dials[i]->incarnation, incarnation)) {
            return p->dials[i]->url;
        }
    }
    return NULL;
}

void dial_set_trouble(struct peer_dial *d, const struct link *l, enum link_end why)
{
    char text[sizeof(d->trouble)];
    bool more = l->detail[0] != 0 && why != LINK_CLOSED && why != LINK_UNREACHABLE;
    snprintf(text, sizeof(text), "%s%s%s%s", link_end_text(why), more ? " (" : "",
             more ? l->detail : "", more ? ")" : "");
    if (strcmp(text, d->trouble) != 0) {
        memcpy(d->trouble, text, sizeof(text));
        log_info("no link with %s: %s", d->url, text);
    }
}

/* The dial of a member that is not linked; NULL = it is not dialled. */
static const struct peer_dial *find_dial(const struct peers *p, struct uuid id, const char *url)
{
    const struct peer_dial *found = NULL;
    for (uint32_t i = 0; i < p->dial_count; i++) {
        const struct peer_dial *d = p->dials[i];
        if (strcmp(d->url, url) == 0) {
            return d;
        }
        found = uuid_equal(d->incarnation, id) ? d : found;
    }
    return found;
}

void peers_trouble(const struct peers *p, struct uuid id, const char *url,
                   struct peer_trouble *trouble)
{
    *trouble = (struct peer_trouble){0};
    if (peers_is_up(p, id)) {
        trouble->attempts = peers_find(p, id)->unsent;
        snprintf(trouble->text, sizeof(trouble->text), "%s",
                 trouble->attempts > 0 ? "it takes nothing, and too much waits for it" : "");
        return;
    }
    const struct peer_dial *d = find_dial(p, id, url);
    if (d != NULL) {
        trouble->attempts = d->failures;
        snprintf(trouble->text, sizeof(trouble->text), "%s", d->trouble);
    }
}
