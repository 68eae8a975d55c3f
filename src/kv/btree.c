#include "kv/btree.h"

#include "base/check.h"

#include <endian.h>
#include <string.h>

/* 16 slots to the 12th is far beyond any memory. */
#define LEVELS_MAX    12
/* Two nodes that are merged leave room, so that the next insert does not split them again. */
#define MERGE_MAX     (BTREE_SLOTS * 3 / 4)
/* The part of the shared prefix that a node holds itself: compared without touching a key. */
#define PREFIX_INLINE 40
/* A split moves the heads to a longer shared prefix only when that gains so many bytes: it costs a
 * visit to every key of the node. */
#define SKIP_GAIN_MIN 4

struct btree_node {
    uint16_t count;
    uint16_t skip; /* bytes that all keys here begin with; a lower bound */
    uint8_t level; /* 0 = leaf */
    /* Leaves only: the neighbours in key order. */
    struct btree_node *prev;
    struct btree_node *next;
    uint8_t prefix[PREFIX_INLINE]; /* the first min(skip, PREFIX_INLINE) bytes of every key */
    uint64_t heads[BTREE_SLOTS];   /* the 8 bytes after skip, big-endian, zeros beyond the key */
    struct btree_entry *entries[BTREE_SLOTS];
    struct btree_node *children[]; /* BTREE_SLOTS of them above the leaves */
};
_Static_assert(offsetof(struct btree_node, heads) == 64, "the head of a node is a cache line");

/* The way from the root to a leaf, by level: at[0] is the leaf. */
struct path {
    struct btree_node *nodes[LEVELS_MAX];
    unsigned slots[LEVELS_MAX];
};

/* --- keys and heads --------------------------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct slice btree_entry_key(const struct btree_entry *e)
{
    return slice_of(e->key, e->key_size);
}

size_t btree_entry_size(size_t key_size)
{
    return offsetof(struct btree_entry, key) + key_size;
}

static uint64_t head_of(struct slice key, size_t skip)
{
    uint64_t head = 0;
    size_t left = key.size > skip ? key.size - skip : 0;
    if (left >= sizeof(head)) {
        memcpy(&head, key.data + skip, sizeof(head));
        return be64toh(head);
    }
    if (left > 0 && key.size >= sizeof(head)) {
        memcpy(&head, key.data + key.size - sizeof(head), sizeof(head));
        return be64toh(head) << (8 * (sizeof(head) - left));
    }
    for (size_t i = 0; i < left; i++) {
        head |= (uint64_t)key.data[skip + i] << (8 * (sizeof(head) - 1 - i));
    }
    return head;
}

static size_t shared_prefix(const struct btree_entry *a, const struct btree_entry *b)
{
    size_t most = smaller(a->key_size, b->key_size);
    size_t n = 0;
    while (n < most && a->key[n] == b->key[n]) {
        n++;
    }
    return n;
}

/* Compute every head anew for a shared prefix of `skip` bytes. */
static void rebuild_heads(struct btree_node *n, size_t skip)
{
    CHECK(n->count > 0);
    n->skip = (uint16_t)skip;
    memcpy(n->prefix, n->entries[0]->key, smaller(skip, PREFIX_INLINE));
    for (unsigned i = 0; i < n->count; i++) {
        n->heads[i] = head_of(btree_entry_key(n->entries[i]), skip);
    }
}

/* entries[slot] is new: make its head, and shorten the shared prefix if it does not have it. Only
 * the first and the last can lack it, because what lies between two keys begins as both do. */
static void settle_slot(struct btree_node *n, unsigned slot)
{
    if (n->count == 1) {
        rebuild_heads(n, n->entries[0]->key_size);
        return;
    }
    if (slot == 0 || slot == n->count - 1u) {
        size_t shared = shared_prefix(n->entries[0], n->entries[n->count - 1]);
        if (shared < n->skip) {
            rebuild_heads(n, shared);
            return;
        }
    }
    n->heads[slot] = head_of(btree_entry_key(n->entries[slot]), n->skip);
}

/* --- searching -------------------------------------------------------------------------------- */

/* How `key` compares with the bytes that all keys of the node begin with; 0 when it has them. Also
 * 0 when it ends before them: its head is then zero, which puts it first. */
static int compare_with_prefix(const struct btree_node *n, struct slice key)
{
    size_t shared = smaller(n->skip, key.size);
    size_t near = smaller(shared, PREFIX_INLINE);
    int order = near > 0 ? memcmp(key.data, n->prefix, near) : 0;
    if (order == 0 && shared > near) {
        order = memcmp(key.data + near, n->entries[0]->key + near, shared - near);
    }
    return order;
}

/* The first slot whose head is >= `head`, or count. */
static unsigned find_head(const struct btree_node *n, uint64_t head)
{
    unsigned base = 0;
    unsigned left = n->count;
    while (left > 1) {
        unsigned half = left / 2;
        base = n->heads[base + half - 1] < head ? base + half : base;
        left -= half;
    }
    return base + (left == 1 && n->heads[base] < head ? 1 : 0);
}

/* The first slot whose key is >= `key`, or count; *is_equal says whether it is `key` itself. */
static unsigned lower_bound(const struct btree_node *n, struct slice key, bool *is_equal)
{
    *is_equal = false;
    int order = compare_with_prefix(n, key);
    if (order != 0) {
        return order < 0 ? 0 : n->count;
    }
    uint64_t head = head_of(key, n->skip);
    unsigned low = find_head(n, head);
    unsigned high = low;
    while (high < n->count && n->heads[high] == head) {
        high++;
    }
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        order = slice_compare(btree_entry_key(n->entries[middle]), key);
        if (order == 0) {
            *is_equal = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The child to look for `key` in: the last whose first key is <= `key`, else the first. */
static unsigned choose_child(const struct btree_node *n, struct slice key)
{
    bool is_equal;
    unsigned slot = lower_bound(n, key, &is_equal);
    return is_equal || slot == 0 ? slot : slot - 1;
}

/* A search jumps about in the heads: ask for all their cache lines at once. */
static void prefetch_heads(const struct btree_node *n)
{
    for (size_t at = 0; at < offsetof(struct btree_node, entries); at += 64) {
        __builtin_prefetch((const char *)n + at);
    }
}

struct btree_entry *btree_find(const struct btree *t, struct slice key)
{
    const struct btree_node *n = t->root;
    while (n->level > 0) {
        n = n->children[choose_child(n, key)];
        prefetch_heads(n);
    }
    bool is_equal;
    unsigned slot = lower_bound(n, key, &is_equal);
    return is_equal ? n->entries[slot] : NULL;
}

/* Fill `path` down to the leaf where `key` is or belongs; true when it is there. */
static bool descend(const struct btree *t, struct slice key, struct path *path)
{
    struct btree_node *n = t->root;
    while (n->level > 0) {
        unsigned slot = choose_child(n, key);
        path->nodes[n->level] = n;
        path->slots[n->level] = slot;
        n = n->children[slot];
        prefetch_heads(n);
    }
    bool is_equal;
    path->nodes[0] = n;
    path->slots[0] = lower_bound(n, key, &is_equal);
    return is_equal;
}

/* --- places ----------------------------------------------------------------------------------- */

static struct btree_place normalise(const struct btree_node *leaf, unsigned slot)
{
    if (slot == leaf->count) {
        return (struct btree_place){.leaf = leaf->next, .slot = 0};
    }
    return (struct btree_place){.leaf = leaf, .slot = slot};
}

struct btree_place btree_seek(const struct btree *t, struct slice key)
{
    struct path path;
    descend(t, key, &path);
    return normalise(path.nodes[0], path.slots[0]);
}

struct btree_place btree_last(const struct btree *t)
{
    const struct btree_node *n = t->root;
    while (n->level > 0) {
        n = n->children[n->count - 1];
    }
    if (n->count == 0) {
        return (struct btree_place){0};
    }
    return (struct btree_place){.leaf = n, .slot = n->count - 1u};
}

struct btree_place btree_next(struct btree_place at)
{
    CHECK(at.leaf != NULL);
    return normalise(at.leaf, at.slot + 1);
}

struct btree_place btree_prev(struct btree_place at)
{
    CHECK(at.leaf != NULL);
    if (at.slot > 0) {
        return (struct btree_place){.leaf = at.leaf, .slot = at.slot - 1};
    }
    const struct btree_node *prev = at.leaf->prev;
    return (struct btree_place){.leaf = prev, .slot = prev != NULL ? prev->count - 1u : 0};
}

struct btree_entry *btree_at(struct btree_place at)
{
    return at.leaf != NULL ? at.leaf->entries[at.slot] : NULL;
}

struct btree_entry *btree_peek(struct btree_place at, unsigned ahead)
{
    bool is_here = at.leaf != NULL && at.slot + ahead < at.leaf->count;
    return is_here ? at.leaf->entries[at.slot + ahead] : NULL;
}

/* --- nodes ------------------------------------------------------------------------------------ */

static size_t node_size(unsigned level)
{
    return sizeof(struct btree_node) + (level > 0 ? BTREE_SLOTS * sizeof(struct btree_node *) : 0);
}

static struct btree_node *create_node(struct btree *t, unsigned level)
{
    CHECK_CMP(level, <, LEVELS_MAX);
    size_t size = node_size(level);
    struct btree_node *n = slab_alloc(t->slab, size);
    memset(n, 0, offsetof(struct btree_node, heads));
    n->level = (uint8_t)level;
    t->node_bytes += size;
    return n;
}

static void free_node(struct btree *t, struct btree_node *n)
{
    size_t size = node_size(n->level);
    t->node_bytes -= size;
    slab_free(t->slab, n, size);
}

void btree_init(struct btree *t, struct slab *slab)
{
    *t = (struct btree){.slab = slab};
    t->root = create_node(t, 0);
}

void btree_deinit(struct btree *t)
{
    *t = (struct btree){0};
}

static void link_leaf_after(struct btree_node *n, struct btree_node *right)
{
    right->prev = n;
    right->next = n->next;
    if (right->next != NULL) {
        right->next->prev = right;
    }
    n->next = right;
}

static void unlink_leaf(struct btree_node *n)
{
    if (n->prev != NULL) {
        n->prev->next = n->next;
    }
    if (n->next != NULL) {
        n->next->prev = n->prev;
    }
}

/* Open (by 1) or close (by -1) a gap: slots from `from` move to from + by. */
static void shift_slots(struct btree_node *n, unsigned from, int by)
{
    size_t moved = n->count - from;
    memmove(&n->heads[from + by], &n->heads[from], moved * sizeof(n->heads[0]));
    memmove(&n->entries[from + by], &n->entries[from], moved * sizeof(n->entries[0]));
    if (n->level > 0) {
        memmove(&n->children[from + by], &n->children[from], moved * sizeof(n->children[0]));
    }
    n->count = (uint16_t)(n->count + by);
}

static void insert_slot(struct btree_node *n, unsigned slot, struct btree_entry *e,
                        struct btree_node *child)
{
    CHECK_CMP(n->count, <, BTREE_SLOTS);
    shift_slots(n, slot, 1);
    n->entries[slot] = e;
    if (n->level > 0) {
        n->children[slot] = child;
    }
    settle_slot(n, slot);
}

static void remove_slot(struct btree_node *n, unsigned slot)
{
    CHECK_CMP(slot, <, n->count);
    shift_slots(n, slot + 1, -1);
}

/* The first entry of the node at `level` has changed: tell the nodes above it. */
static void refresh_first(struct path *path, unsigned level, unsigned root_level)
{
    struct btree_entry *first = path->nodes[level]->entries[0];
    while (level < root_level) {
        level++;
        unsigned slot = path->slots[level];
        path->nodes[level]->entries[slot] = first;
        settle_slot(path->nodes[level], slot);
        if (slot > 0) {
            return;
        }
    }
}

/* --- inserting -------------------------------------------------------------------------------- */

/* Where to cut a full node whose next key goes to `slot`. Keys that come in order, at the end of
 * the tree or of a part of it, leave full nodes behind. */
static unsigned choose_cut(const struct btree_node *n, unsigned slot)
{
    if (slot < BTREE_SLOTS) {
        return BTREE_SLOTS / 2;
    }
    return n->level == 0 && n->next == NULL ? BTREE_SLOTS : BTREE_SLOTS - BTREE_SLOTS_MIN;
}

/* After a split: take a longer shared prefix if it is worth it. */
static void maybe_lengthen_skip(struct btree_node *n)
{
    size_t shared = shared_prefix(n->entries[0], n->entries[n->count - 1]);
    if (shared >= (size_t)n->skip + SKIP_GAIN_MIN) {
        rebuild_heads(n, shared);
    }
}

/* Move the slots from `cut` on to a new node on the right, which may stay empty for now. */
static struct btree_node *split_node(struct btree *t, struct btree_node *n, unsigned cut)
{
    struct btree_node *right = create_node(t, n->level);
    unsigned moved = n->count - cut;
    memcpy(right->heads, &n->heads[cut], moved * sizeof(n->heads[0]));
    memcpy(right->entries, &n->entries[cut], moved * sizeof(n->entries[0]));
    if (n->level > 0) {
        memcpy(right->children, &n->children[cut], moved * sizeof(n->children[0]));
    } else {
        link_leaf_after(n, right);
    }
    memcpy(right->prefix, n->prefix, sizeof(n->prefix));
    right->skip = n->skip;
    right->count = (uint16_t)moved;
    n->count = (uint16_t)cut;
    maybe_lengthen_skip(n);
    if (moved > 0) {
        maybe_lengthen_skip(right);
    }
    return right;
}

static void grow_root(struct btree *t, struct btree_node *left, struct btree_node *right)
{
    struct btree_node *root = create_node(t, left->level + 1u);
    root->count = 2;
    root->entries[0] = left->entries[0];
    root->entries[1] = right->entries[0];
    root->children[0] = left;
    root->children[1] = right;
    rebuild_heads(root, shared_prefix(root->entries[0], root->entries[1]));
    t->root = root;
}

/* Put `e` (and above the leaves `child`) at path->slots[level], splitting upwards as needed. */
static void insert_along(struct btree *t, struct path *path, struct btree_entry *e)
{
    unsigned root_level = t->root->level;
    struct btree_node *child = NULL;
    for (unsigned level = 0;; level++) {
        struct btree_node *n = path->nodes[level];
        unsigned slot = path->slots[level] + (level > 0 ? 1u : 0u);
        if (n->count < BTREE_SLOTS) {
            insert_slot(n, slot, e, child);
            if (slot == 0) {
                refresh_first(path, level, root_level);
            }
            return;
        }
        unsigned cut = choose_cut(n, slot);
        struct btree_node *right = split_node(t, n, cut);
        bool goes_right = slot > cut || cut == BTREE_SLOTS;
        insert_slot(goes_right ? right : n, goes_right ? slot - cut : slot, e, child);
        if (slot == 0) {
            refresh_first(path, level, root_level);
        }
        if (level == root_level) {
            grow_root(t, n, right);
            return;
        }
        e = right->entries[0];
        child = right;
    }
}

/* A new entry where `path` leads. */
static struct btree_entry *insert_at(struct btree *t, struct path *path, struct slice key)
{
    CHECK_CMP(key.size, <=, UINT16_MAX);
    struct btree_entry *e = slab_alloc(t->slab, btree_entry_size(key.size));
    e->payload = NULL;
    e->key_size = (uint16_t)key.size;
    if (key.size > 0) {
        memcpy(e->key, key.data, key.size);
    }
    insert_along(t, path, e);
    t->count++;
    t->changes++;
    return e;
}

struct btree_entry *btree_insert(struct btree *t, struct slice key)
{
    struct path path;
    if (descend(t, key, &path)) {
        return path.nodes[0]->entries[path.slots[0]];
    }
    return insert_at(t, &path, key);
}

struct btree_entry *btree_append(struct btree *t, struct slice key)
{
    struct path path;
    struct btree_node *n = t->root;
    for (; n->level > 0; n = n->children[n->count - 1]) {
        path.nodes[n->level] = n;
        path.slots[n->level] = n->count - 1u;
    }
    if (n->count > 0 && slice_compare(btree_entry_key(n->entries[n->count - 1]), key) >= 0) {
        return NULL;
    }
    path.nodes[0] = n;
    path.slots[0] = n->count;
    return insert_at(t, &path, key);
}

/* --- removing --------------------------------------------------------------------------------- */

/* Slots of two neighbours, on their way into one or both of them. */
struct pool {
    unsigned count;
    struct btree_entry *entries[2 * BTREE_SLOTS];
    struct btree_node *children[2 * BTREE_SLOTS];
};

static void pour_out(struct pool *pool, const struct btree_node *n)
{
    memcpy(&pool->entries[pool->count], n->entries, n->count * sizeof(n->entries[0]));
    if (n->level > 0) {
        memcpy(&pool->children[pool->count], n->children, n->count * sizeof(n->children[0]));
    }
    pool->count += n->count;
}

static void fill_node(struct btree_node *n, const struct pool *pool, unsigned from, unsigned count)
{
    n->count = (uint16_t)count;
    memcpy(n->entries, &pool->entries[from], count * sizeof(n->entries[0]));
    if (n->level > 0) {
        memcpy(n->children, &pool->children[from], count * sizeof(n->children[0]));
    }
    rebuild_heads(n, shared_prefix(n->entries[0], n->entries[count - 1]));
}

/* The child at `slot` has too few slots: merge it with a neighbour, or share evenly. True when
 * `parent` lost a slot. The left one of the two keeps its first entry: it is the child itself,
 * whose first entry is up to date, or its neighbour; and only the last leaf can be empty. */
static bool mend_child(struct btree *t, struct btree_node *parent, unsigned slot)
{
    CHECK(parent->count > 1);
    unsigned left_slot = slot == parent->count - 1u ? slot - 1 : slot;
    struct btree_node *left = parent->children[left_slot];
    struct btree_node *right = parent->children[left_slot + 1];
    struct pool pool = {.count = 0};
    pour_out(&pool, left);
    pour_out(&pool, right);
    if (pool.count > MERGE_MAX) {
        unsigned kept = pool.count / 2;
        fill_node(left, &pool, 0, kept);
        fill_node(right, &pool, kept, pool.count - kept);
        parent->entries[left_slot + 1] = right->entries[0];
        settle_slot(parent, left_slot + 1);
        return false;
    }
    fill_node(left, &pool, 0, pool.count);
    if (right->level == 0) {
        unlink_leaf(right);
    }
    free_node(t, right);
    remove_slot(parent, left_slot + 1);
    return true;
}

static void mend_along(struct btree *t, const struct path *path)
{
    unsigned root_level = t->root->level;
    unsigned level = 0;
    while (level < root_level && path->nodes[level]->count < BTREE_SLOTS_MIN &&
           mend_child(t, path->nodes[level + 1], path->slots[level + 1])) {
        level++;
    }
    if (t->root->level > 0 && t->root->count == 1) {
        struct btree_node *old = t->root;
        t->root = old->children[0];
        free_node(t, old);
    }
}

void btree_remove(struct btree *t, struct btree_entry *e)
{
    struct path path;
    bool found = descend(t, btree_entry_key(e), &path);
    struct btree_node *leaf = path.nodes[0];
    CHECK(found && leaf->entries[path.slots[0]] == e);
    remove_slot(leaf, path.slots[0]);
    if (path.slots[0] == 0 && leaf->count > 0) {
        refresh_first(&path, 0, t->root->level);
    }
    if (leaf->count == 0) {
        leaf->skip = 0;
    }
    mend_along(t, &path);
    slab_free(t->slab, e, btree_entry_size(e->key_size));
    t->count--;
    t->changes++;
}

/* --- checking --------------------------------------------------------------------------------- */

struct walk {
    const struct btree_entry *last_entry;
    const struct btree_node *last_leaf;
    uint64_t entries;
    uint64_t node_bytes;
};

static void check_slot(const struct btree_node *n, unsigned i)
{
    struct slice key = btree_entry_key(n->entries[i]);
    CHECK_CMP(key.size, >=, n->skip);
    CHECK(memcmp(key.data, n->prefix, smaller(n->skip, PREFIX_INLINE)) == 0);
    CHECK_CMP(shared_prefix(n->entries[0], n->entries[i]), >=, n->skip);
    CHECK_CMP(n->heads[i], ==, head_of(key, n->skip));
}

static void check_leaf(const struct btree_node *n, struct walk *walk)
{
    CHECK(n->prev == walk->last_leaf);
    CHECK(walk->last_leaf == NULL || walk->last_leaf->next == n);
    walk->last_leaf = n;
    for (unsigned i = 0; i < n->count; i++) {
        const struct btree_entry *e = n->entries[i];
        CHECK(walk->last_entry == NULL ||
              slice_compare(btree_entry_key(walk->last_entry), btree_entry_key(e)) < 0);
        walk->last_entry = e;
        walk->entries++;
    }
}

static void check_node(const struct btree *t, const struct btree_node *n, struct walk *walk)
{
    walk->node_bytes += node_size(n->level);
    CHECK_CMP(n->count, <=, BTREE_SLOTS);
    if (n == t->root) {
        CHECK(n->level == 0 || n->count >= 2);
    } else if (n->level == 0 && n->next == NULL) {
        CHECK(n->count >= 1);
    } else {
        CHECK_CMP(n->count, >=, BTREE_SLOTS_MIN);
    }
    for (unsigned i = 0; i < n->count; i++) {
        check_slot(n, i);
    }
    if (n->level == 0) {
        check_leaf(n, walk);
        return;
    }
    for (unsigned i = 0; i < n->count; i++) {
        CHECK_CMP(n->children[i]->level + 1, ==, n->level);
        CHECK(n->children[i]->entries[0] == n->entries[i]);
        check_node(t, n->children[i], walk);
    }
}

void btree_check(const struct btree *t)
{
    struct walk walk = {0};
    check_node(t, t->root, &walk);
    CHECK(walk.last_leaf != NULL && walk.last_leaf->next == NULL);
    CHECK_CMP(walk.entries, ==, t->count);
    CHECK_CMP(walk.node_bytes, ==, t->node_bytes);
}
