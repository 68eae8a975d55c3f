#include "kv/watch_index.h"

#include "base/check.h"
#include "base/mem.h"

#define TREAP_SEED 1

struct watch_node {
    struct list watches;
    struct btree_entry *entry; /* of a single key, and what follows is not used; else NULL */
    struct slice key;
    struct slice end;
    bool has_end;
    uint64_t priority; /* not below those of the children */
    struct watch_node *left;
    struct watch_node *right;
    const struct watch_node *farthest; /* of this and all below, the one with the highest end */
    uint8_t bytes[];                   /* of key and end */
};

void watch_index_init(struct watch_index *x)
{
    slab_init(&x->slab);
    btree_init(&x->keys, &x->slab);
    x->root = NULL;
    rng_init(&x->rng, TREAP_SEED);
}

void watch_index_deinit(struct watch_index *x)
{
    CHECK(x->root == NULL && x->keys.count == 0);
    btree_deinit(&x->keys);
    slab_deinit(&x->slab);
}

/* --- the treap of ranges ---------------------------------------------------------------------- */

static int compare_ends(const struct watch_node *a, const struct watch_node *b)
{
    if (!a->has_end || !b->has_end) {
        return a->has_end ? -1 : (b->has_end ? 1 : 0);
    }
    return slice_compare(a->end, b->end);
}

static int compare_nodes(const struct watch_node *a, const struct watch_node *b)
{
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order : compare_ends(a, b);
}

static void update_farthest(struct watch_node *t)
{
    t->farthest = t;
    if (t->left != NULL && compare_ends(t->left->farthest, t->farthest) > 0) {
        t->farthest = t->left->farthest;
    }
    if (t->right != NULL && compare_ends(t->right->farthest, t->farthest) > 0) {
        t->farthest = t->right->farthest;
    }
}

static struct watch_node *rotate_right(struct watch_node *t)
{
    struct watch_node *top = t->left;
    t->left = top->right;
    top->right = t;
    update_farthest(t);
    return top;
}

static struct watch_node *rotate_left(struct watch_node *t)
{
    struct watch_node *top = t->right;
    t->right = top->left;
    top->left = t;
    update_farthest(t);
    return top;
}

static struct watch_node *insert_node(struct watch_node *t, struct watch_node *n)
{
    if (t == NULL) {
        return n;
    }
    if (compare_nodes(n, t) < 0) {
        t->left = insert_node(t->left, n);
        t = t->left->priority > t->priority ? rotate_right(t) : t;
    } else {
        t->right = insert_node(t->right, n);
        t = t->right->priority > t->priority ? rotate_left(t) : t;
    }
    update_farthest(t);
    return t;
}

/* All of `a` is before all of `b`. */
static struct watch_node *join_nodes(struct watch_node *a, struct watch_node *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    struct watch_node *top = a->priority > b->priority ? a : b;
    if (top == a) {
        a->right = join_nodes(a->right, b);
    } else {
        b->left = join_nodes(a, b->left);
    }
    update_farthest(top);
    return top;
}

static struct watch_node *remove_node(struct watch_node *t, const struct watch_node *n)
{
    CHECK(t != NULL);
    if (t == n) {
        return join_nodes(t->left, t->right);
    }
    if (compare_nodes(n, t) < 0) {
        t->left = remove_node(t->left, n);
    } else {
        t->right = remove_node(t->right, n);
    }
    update_farthest(t);
    return t;
}

static struct watch_node *find_node(struct watch_node *t, const struct watch_node *like)
{
    while (t != NULL) {
        int order = compare_nodes(like, t);
        if (order == 0) {
            return t;
        }
        t = order < 0 ? t->left : t->right;
    }
    return NULL;
}

static void tell_watches(const struct watch_node *n, watch_hit *hit, void *context)
{
    for (struct list *at = n->watches.next; at != &n->watches; at = at->next) {
        hit(context, CONTAINER_OF(at, struct kv_watch, node_link));
    }
}

static bool ends_after(const struct watch_node *n, struct slice key)
{
    return !n->has_end || slice_compare(key, n->end) < 0;
}

static void find_ranges(const struct watch_node *t, struct slice key, watch_hit *hit, void *context)
{
    while (t != NULL && ends_after(t->farthest, key)) {
        find_ranges(t->left, key, hit, context);
        if (slice_compare(t->key, key) > 0) {
            return;
        }
        if (ends_after(t, key)) {
            tell_watches(t, hit, context);
        }
        t = t->right;
    }
}

/* --- both ------------------------------------------------------------------------------------- */

static struct watch_node *node_create(size_t bytes)
{
    struct watch_node *n = mem_calloc(1, sizeof(*n) + bytes);
    list_init(&n->watches);
    return n;
}

static struct watch_node *node_of_key(struct watch_index *x, struct slice key)
{
    struct btree_entry *e = btree_insert(&x->keys, key);
    if (e->payload == NULL) {
        struct watch_node *n = node_create(0);
        n->entry = e;
        e->payload = n;
    }
    return e->payload;
}

static struct watch_node *node_of_range(struct watch_index *x, const struct kv_span *span)
{
    const struct watch_node like = {
        .key = span->key, .end = span->end, .has_end = span->kind == KV_SPAN_RANGE};
    struct watch_node *n = find_node(x->root, &like);
    if (n != NULL) {
        return n;
    }
    size_t end_size = like.has_end ? span->end.size : 0;
    n = node_create(span->key.size + end_size);
    n->has_end = like.has_end;
    n->key = slice_of(n->bytes, span->key.size);
    n->end = slice_of(n->bytes + span->key.size, end_size);
    if (span->key.size > 0) {
        memcpy(n->bytes, span->key.data, span->key.size);
    }
    if (end_size > 0) {
        memcpy(n->bytes + span->key.size, span->end.data, end_size);
    }
    n->priority = rng_next(&x->rng);
    n->farthest = n;
    x->root = insert_node(x->root, n);
    return n;
}

void watch_index_add(struct watch_index *x, struct kv_watch *w)
{
    bool is_key = w->span.kind == KV_SPAN_KEY;
    w->node = is_key ? node_of_key(x, w->span.key) : node_of_range(x, &w->span);
    list_push_back(&w->node->watches, &w->node_link);
}

void watch_index_remove(struct watch_index *x, struct kv_watch *w)
{
    struct watch_node *n = w->node;
    w->node = NULL;
    list_remove(&w->node_link);
    if (!list_is_empty(&n->watches)) {
        return;
    }
    if (n->entry != NULL) {
        btree_remove(&x->keys, n->entry);
    } else {
        x->root = remove_node(x->root, n);
    }
    mem_free(n);
}

void watch_index_find(const struct watch_index *x, struct slice key, watch_hit *hit, void *context)
{
    const struct btree_entry *e = btree_find(&x->keys, key);
    if (e != NULL) {
        tell_watches(e->payload, hit, context);
    }
    find_ranges(x->root, key, hit, context);
}

static void check_node(const struct watch_node *t)
{
    CHECK(!list_is_empty(&t->watches));
    const struct watch_node *farthest = t;
    const struct watch_node *children[] = {t->left, t->right};
    for (int i = 0; i < 2; i++) {
        const struct watch_node *c = children[i];
        if (c == NULL) {
            continue;
        }
        CHECK(c->priority <= t->priority);
        CHECK(i == 0 ? compare_nodes(c, t) < 0 : compare_nodes(c, t) > 0);
        check_node(c);
        farthest = compare_ends(c->farthest, farthest) > 0 ? c->farthest : farthest;
    }
    CHECK(compare_ends(t->farthest, farthest) == 0);
}

void watch_index_check(const struct watch_index *x)
{
    btree_check(&x->keys);
    if (x->root != NULL) {
        check_node(x->root);
    }
}
