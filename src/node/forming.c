/* node/forming.c - carries out what the founding protocol (founding.h) decides, until this member
 * is founded and the core takes over. */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>

/* Unanswered questions are asked again, and who is missing is said, at these intervals. */
#define FOUNDING_ASK_MS  500
#define FOUNDING_TELL_MS 5000

static void on_founding_timer(struct timer *t)
{
    struct node *n = t->context;
    if (n->founding == NULL) {
        return;
    }
    founding_on_timer(n->founding);
    uint64_t now_ms = node_now(n);
    if ((now_ms - n->started_ms) % FOUNDING_TELL_MS < FOUNDING_ASK_MS) {
        char text[1024];
        node_founding_text(n, text, sizeof(text));
        log_info("%s", text);
    }
    n->loop->ops->timer_start(n->loop, t, now_ms + FOUNDING_ASK_MS);
}

void node_forming_begin(struct node *n)
{
    uint8_t random[16];
    n->loop->ops->random(n->loop, random, sizeof(random));
    struct founding_options options = {
        .founders = n->peer_count + 1,
        .advertise = n->advertise != NULL ? n->advertise : "",
        .boot = n->boot,
        .cluster_candidate = uuid_from_random(random),
    };
    n->founding = founding_create(&options, &n->identity);
    n->founding_timer = (struct timer){.fire = on_founding_timer, .context = n};
    n->loop->ops->timer_start(n->loop, &n->founding_timer, node_now(n) + FOUNDING_ASK_MS);
}

static void run_save(struct work *w)
{
    struct identity_save *save = w->context;
    save->status = record_save(save->disk, IDENTITY_RECORD, buf_slice(&save->content));
}

static void done_save(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, save.work);
    n->save.in_flight = false;
    if (n->save.status != STATUS_OK) {
        node_fail(n, 1, "cannot write the data directory: %s", status_text(n->save.status));
        return;
    }
    n->identity = n->save.identity;
    node_update_hello(n); /* whoever meets a member that has promised must know (rule G1) */
    founding_on_saved(n->founding);
}

static void save_identity(struct node *n, const struct identity *identity)
{
    n->save.identity = *identity;
    n->save.disk = n->disk;
    n->save.in_flight = true;
    n->save.work = (struct work){.run = run_save, .done = done_save, .context = &n->save};
    buf_clear(&n->save.content);
    identity_encode(identity, &n->save.content);
    n->loop->ops->submit(n->loop, &n->save.work);
}

static void become_member(struct node *n)
{
    n->loop->ops->timer_stop(n->loop, &n->founding_timer);
    struct raft_restored restored = {.first = 1, .tail_first = 1};
    char cluster[UUID_TEXT_SIZE];
    uuid_format(n->identity.roster.cluster, cluster);
    log_info("founded cluster=%s members=%" PRIu32, cluster, n->identity.roster.count);
    founding_destroy(n->founding);
    n->founding = NULL;
    node_start_raft(n, &restored);
    node_update_hello(n);
}

void node_forming_turn(struct node *n)
{
    struct founding_output out;
    founding_output(n->founding, &out);
    if (out.fatal != NULL) {
        node_fail(n, 2, "%s (the directory is %s)", out.fatal, n->options.data_dir);
        return;
    }
    for (uint32_t i = 0; i < out.note_count; i++) {
        const struct founding_note *note = &out.notes[i];
        peers_send_note(n->peers, note->to, note->kind, buf_slice(&note->body));
    }
    if (out.save && !n->save.in_flight) {
        save_identity(n, out.identity);
    }
    if (out.founded) {
        n->identity = *out.identity;
        become_member(n);
    }
}
