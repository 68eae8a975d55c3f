/* member_moves.c - see the header. */
#include "member_moves.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct node_status member_status(const struct cluster *c, int i)
{
    struct node_status status;
    node_status_get(c->members[i].node, &status);
    return status;
}

struct node_membership *member_list(const struct cluster *c, int i)
{
    static struct node_membership m;
    node_membership_get(c->members[i].node, &m);
    return &m;
}

const struct node_membership_item *member_item(const struct node_membership *m, int i)
{
    const struct node_membership_item *found = NULL;
    for (uint32_t k = 0; k < m->count; k++) {
        if (strcmp(m->items[k].member.name, member_names[i]) == 0) {
            found = &m->items[k]; /* the later of two: the one that stays */
        }
    }
    return found;
}

/* As the leader has it, committed. */
uint32_t cluster_voters(const struct cluster *c)
{
    int leader = cluster_find_leader(c);
    uint32_t count = 0;
    if (leader < 0) {
        return 0;
    }
    const struct node_membership *m = member_list(c, leader);
    for (uint32_t k = 0; k < m->count; k++) {
        count += m->items[k].voter;
    }
    return m->committed && !m->joint ? count : 0;
}

bool member_votes(const struct cluster *c, int i)
{
    int leader = cluster_find_leader(c);
    if (leader < 0) {
        return false;
    }
    const struct node_membership *m = member_list(c, leader);
    const struct node_membership_item *item = member_item(m, i);
    return item != NULL && item->voter && m->committed && !m->joint;
}

void cluster_wait_for_voters(struct cluster *c, uint32_t count)
{
    for (int waited = 0; waited < PATIENCE_MS && cluster_voters(c) != count; waited += 10) {
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
    assert_int_equal(cluster_voters(c), count);
}

void member_wait_for_end(struct cluster *c, int i, int exit_code)
{
    for (int waited = 0; waited < PATIENCE_MS && c->members[i].fatal == NULL; waited += 10) {
        fake_world_run(c->world, 10);
    }
    assert_non_null(c->members[i].fatal);
    assert_int_equal(c->members[i].fatal_code, exit_code);
    c->members[i].is_gone = true;
}

/* --- changes ---------------------------------------------------------------------------------- */

static void on_changed(struct node_change *c)
{
    struct moved *t = c->context;
    t->answers++;
}

enum status member_start_change(struct cluster *c, struct moved *t, enum node_change_kind kind,
                                int i)
{
    *t = (struct moved){.change = {.kind = kind, .done = on_changed, .context = t}};
    snprintf(t->change.name, sizeof(t->change.name), "%s", member_names[i]);
    if (kind == NODE_CHANGE_ADD) {
        snprintf(t->change.url, sizeof(t->change.url), "http://%s:4000", member_hosts[i]);
    }
    return node_change_start(c->members[cluster_find_leader(c)].node, &t->change);
}

enum status member_change(struct cluster *c, enum node_change_kind kind, int i)
{
    struct moved t;
    assert_int_equal(member_start_change(c, &t, kind, i), STATUS_OK);
    assert_int_equal(t.answers, 0); /* never inside */
    for (int waited = 0; waited < 2 * REQUEST_TIMEOUT_MS && t.answers == 0; waited++) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.answers, 1);
    assert_true((t.change.status == STATUS_OK) == (t.change.why[0] == '\0'));
    return t.change.status;
}

int member_join(struct cluster *c)
{
    int i = cluster_add(c, MEMBER_JOINS);
    member_start(c, i);
    return i;
}

/* --- writes that go on meanwhile -------------------------------------------------------------- */

static void on_written(struct node_write *w)
{
    struct writing *t = CONTAINER_OF(w, struct writing, write);
    struct writer *all = w->context;
    t->pending = false;
    if (w->status == STATUS_OK) {
        t->acknowledged = true;
        t->revision = w->result.revision;
        all->acknowledged++;
    }
}

void writer_forget(void *context, const struct node *n)
{
    struct writer *w = context;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->writes[i].pending && w->writes[i].write.node == n) {
            node_write_cancel(&w->writes[i].write);
            w->writes[i].pending = false;
        }
    }
}

struct writer *writer_create(struct cluster *c)
{
    struct writer *w = mem_calloc(1, sizeof(*w));
    w->c = c;
    c->on_stop = writer_forget;
    c->context = w;
    return w;
}

static void writer_put(struct writer *w)
{
    int leader = cluster_find_leader(w->c);
    if (leader < 0 || w->count == WRITER_WRITES || w->c->members[leader].fatal != NULL) {
        return;
    }
    struct writing *t = &w->writes[w->count++];
    snprintf(t->key, sizeof(t->key), "key-%u", w->count);
    t->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = w};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(t->key), .value = slice_str(t->key)};
    t->pending = node_write_start(w->c->members[leader].node, &t->write, &command) == STATUS_OK;
}

void writer_run(struct writer *w, int ms)
{
    for (int i = 0; i < ms; i += 5) {
        writer_put(w);
        fake_world_run(w->c->world, 5);
    }
}

/* Everything acknowledged is on every member that is left. */
void writer_expect(const struct writer *w)
{
    assert_true(w->acknowledged > 0);
    for (int i = 0; i < w->c->count; i++) {
        if (w->c->members[i].is_gone) {
            continue;
        }
        for (uint32_t k = 0; k < w->count; k++) {
            const struct writing *t = &w->writes[k];
            struct kv_item item;
            if (t->acknowledged) {
                assert_int_equal(
                    kv_get(node_kv(w->c->members[i].node), slice_str(t->key), 0, &item), STATUS_OK);
                assert_int_equal(item.revision, t->revision);
            }
        }
    }
}

void writer_end(struct writer *w)
{
    w->c->on_stop = NULL;
    writer_forget(w, NULL);
    for (int i = 0; i < w->c->count; i++) {
        if (w->c->members[i].node != NULL) {
            writer_forget(w, w->c->members[i].node);
        }
    }
    mem_free(w);
}
