/* model_lease.c - the model's leases: a list, and whose keys they have is asked of the keys. */
#include "base/codec.h"
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "model_state.h"

/* As etcd's clients can name them. */
#define LEASE_ID_MAX INT64_MAX

const struct model_lease *model_lease(const struct model *m, uint32_t number)
{
    return number < m->lease_count ? &m->leases[number] : NULL;
}

const struct model_lease *model_lease_of(const struct model *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->lease_count; i++) {
        if (m->leases[i].id == id) {
            return &m->leases[i];
        }
    }
    return NULL;
}

uint64_t model_grants(const struct model *m)
{
    return m->grants;
}

uint64_t model_free_lease(const struct model *m, uint64_t id)
{
    while (id == 0 || model_lease_of(m, id) != NULL) {
        id = id < LEASE_ID_MAX ? id + 1 : 1;
    }
    return id;
}

void model_grant(struct model *m, uint64_t id, uint64_t ttl_s, bool is_private)
{
    if (m->lease_count == m->lease_capacity) {
        m->lease_capacity = m->lease_capacity * 2 + 8;
        m->leases = mem_realloc(m->leases, m->lease_capacity * sizeof(*m->leases));
    }
    m->leases[m->lease_count++] = (struct model_lease){
        .id = id, .grant = ++m->grants, .ttl_s = ttl_s, .is_private = is_private};
}

static void forget(struct model *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->lease_count; i++) {
        if (m->leases[i].id == id) {
            m->leases[i] = m->leases[--m->lease_count];
            return;
        }
    }
}

static uint64_t keys_of(const struct model *m, uint64_t id)
{
    uint64_t count = 0;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *now = model_now(m, key);
        count += now != NULL && now->lease == id;
    }
    return count;
}

/* Its keys in one revision, in their order. */
static void end_lease(struct model *m, uint64_t id)
{
    uint64_t revision = m->revision + 1;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *now = model_now(m, key);
        if (now != NULL && now->lease == id) {
            model_delete(m, key, revision);
        }
    }
    forget(m, id);
}

void model_sweep(struct model *m)
{
    for (uint32_t i = m->lease_count; i > 0; i--) {
        if (m->leases[i - 1].is_private && keys_of(m, m->leases[i - 1].id) == 0) {
            forget(m, m->leases[i - 1].id);
        }
    }
}

void model_lease_command(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    const struct model_lease *found = model_lease_of(m, c->lease);
    if (c->op == KV_LEASE_GRANT && found != NULL) {
        result->status = STATUS_CONFLICT;
    } else if (c->op == KV_LEASE_GRANT) {
        model_grant(m, c->lease, c->ttl_s, false);
        result->lease = c->lease;
    } else if (c->op == KV_LEASE_REVOKE && found == NULL) {
        result->status = STATUS_NO_LEASE;
    } else if (c->op == KV_LEASE_REVOKE) {
        end_lease(m, c->lease);
    } else {
        struct reader r = reader_of(c->expiry);
        while (reader_left(&r) > 0) {
            uint64_t id = get_u64(&r);
            uint64_t grant = get_u64(&r);
            const struct model_lease *named = model_lease_of(m, id);
            if (named != NULL && named->grant == grant) { /* rule T3 */
                end_lease(m, id);
            }
        }
    }
}

/* Without an order. */
static uint64_t hash_lease(uint64_t id, uint64_t grant, uint64_t ttl_s, bool is_private,
                           uint64_t keys)
{
    uint64_t h = id * 0x9e3779b97f4a7c15u ^ grant * 0xbf58476d1ce4e5b9u ^ ttl_s << 40 ^ keys << 20;
    h = (h ^ (h >> 31) ^ (is_private ? 1 : 0)) * 0x94d049bb133111ebu;
    return h ^ (h >> 29);
}

uint64_t model_lease_hash(const struct model *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->lease_count; i++) {
        const struct model_lease *l = &m->leases[i];
        sum += hash_lease(l->id, l->grant, l->ttl_s, l->is_private, keys_of(m, l->id));
    }
    return sum;
}

uint64_t model_lease_hash_of(const struct kv *kv)
{
    uint64_t sum = 0;
    struct kv_lease l = {0};
    while (kv_lease_next(kv, l.id, &l)) {
        sum += hash_lease(l.id, l.grant, l.ttl_s, l.is_private, l.keys);
    }
    return sum;
}
