/* kv/kv_swap.c - two stores change places (kv_image.h). */
#include "base/check.h"
#include "kv/kv_image.h"
#include "kv/kv_state.h"

static void point_at_own_slab(struct kv *kv)
{
    kv->tree.slab = &kv->slab;
    kv->history.slab = &kv->slab;
    kv->documents.slab = &kv->slab;
    leases_move(&kv->leases, &kv->slab);
    kv->retries.slab = &kv->slab;
    kv->retries.index.slab = &kv->slab;
}

void kv_swap(struct kv *a, struct kv *b)
{
    CHECK(a != b && !a->is_held && !b->is_held);
    slab_swap(&a->slab, &b->slab); /* the heads of its lists stay where they are */
    const struct slab slab_a = a->slab;
    const struct slab slab_b = b->slab;
    const struct kv other = *a;
    *a = *b;
    *b = other;
    a->slab = slab_a;
    b->slab = slab_b;
    point_at_own_slab(a);
    point_at_own_slab(b);
    /* A cursor on either has to find its place again, and a scan or a watch to begin anew. */
    uint64_t changes = a->tree.changes > b->tree.changes ? a->tree.changes : b->tree.changes;
    uint64_t applied = a->applied > b->applied ? a->applied : b->applied;
    /* And who remembers leases has to look again. */
    uint64_t leases = a->leases.changes > b->leases.changes ? a->leases.changes : b->leases.changes;
    a->leases.changes = leases + 1;
    b->leases.changes = leases + 1;
    a->tree.changes = changes + 1;
    b->tree.changes = changes + 1;
    a->applied = applied + 1;
    b->applied = applied + 1;
    uint64_t replaced = a->replaced > b->replaced ? a->replaced : b->replaced;
    a->replaced = replaced + 1;
    b->replaced = replaced + 1;
}
