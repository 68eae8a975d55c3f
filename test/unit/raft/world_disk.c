/* The disk of a member of the world: what survives its process. */
#include "world.h"

#include "world_check.h"

#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

raft_index world_disk_last(const struct world_disk *disk)
{
    return disk->base.index + disk->count;
}

const struct world_entry *world_disk_entry(const struct world_disk *disk, raft_index index)
{
    return index > disk->base.index && index <= world_disk_last(disk)
               ? &disk->entries[index - disk->base.index - 1]
               : NULL;
}

uint64_t world_disk_chain(const struct world_disk *disk, raft_index index)
{
    if (index == disk->base.index) {
        return disk->base_chain;
    }
    const struct world_entry *e = world_disk_entry(disk, index);
    CHECK(e != NULL);
    return e->chain;
}

static bool has(const struct world_disk *disk, struct entry_id id)
{
    const struct world_entry *e = world_disk_entry(disk, id.index);
    return e != NULL && e->entry.term == id.term;
}

bool world_disk_had(const struct world_disk *disk, struct entry_id id)
{
    return has(disk, id) || (disk->recovering && id.index >= disk->lost_from &&
                             id.index < disk->lost_from + disk->lost_count &&
                             disk->lost_terms[id.index - disk->lost_from] == id.term);
}

void world_disk_add(struct world_disk *disk, const struct raft_entry *entry)
{
    if (disk->count == disk->capacity) {
        disk->capacity = disk->capacity == 0 ? 64 : disk->capacity * 2;
        disk->entries = mem_realloc(disk->entries, disk->capacity * sizeof(*disk->entries));
    }
    uint64_t before = world_disk_chain(disk, world_disk_last(disk));
    struct world_entry *slot = &disk->entries[disk->count++];
    slot->entry = *entry;
    slot->chain = checker_chain(before, entry);
    if (entry->payload != NULL) {
        blob_ref(entry->payload);
    }
}

void world_disk_cut(struct world_disk *disk, raft_index from)
{
    while (disk->count > 0 && world_disk_last(disk) >= from) {
        blob_unref(disk->entries[--disk->count].entry.payload);
    }
}

void world_disk_compact(struct world_disk *disk, raft_index first)
{
    if (first <= disk->base.index + 1) {
        return;
    }
    CHECK_CMP(first, <=, world_disk_last(disk) + 1);
    const struct world_entry *base = world_disk_entry(disk, first - 1);
    uint32_t dropped = (uint32_t)(first - 1 - disk->base.index);
    disk->base = (struct entry_id){.term = base->entry.term, .index = first - 1};
    disk->base_chain = base->chain;
    for (uint32_t i = 0; i < dropped; i++) {
        blob_unref(disk->entries[i].entry.payload);
    }
    disk->count -= dropped;
    memmove(disk->entries, disk->entries + dropped, disk->count * sizeof(*disk->entries));
}

void world_disk_install(struct world_disk *disk, const struct world_snapshot *s, bool discard)
{
    if (s->id.index <= disk->snapshot.id.index) {
        return;
    }
    disk->snapshot = *s;
    if (discard) {
        world_disk_cut(disk, 1);
        disk->base = s->id;
        disk->base_chain = s->chain;
    }
}

void world_disk_lose(struct world_disk *disk, raft_index from)
{
    CHECK(!disk->recovering);
    CHECK_CMP(from, >, disk->base.index);
    CHECK_CMP(from, <=, world_disk_last(disk));
    disk->recovering = true;
    disk->lost_from = from;
    disk->lost_count = (uint32_t)(world_disk_last(disk) + 1 - from);
    disk->lost_terms = mem_calloc(disk->lost_count, sizeof(*disk->lost_terms));
    for (uint32_t i = 0; i < disk->lost_count; i++) {
        disk->lost_terms[i] = world_disk_entry(disk, from + i)->entry.term;
    }
    world_disk_cut(disk, from);
    disk->commit = disk->commit < from - 1 ? disk->commit : from - 1;
}

void world_disk_deinit(struct world_disk *disk)
{
    world_disk_cut(disk, 1);
    mem_free(disk->entries);
    mem_free(disk->lost_terms);
}

static void write_hard_state(struct world *w, node_id id)
{
    struct world_disk *disk = &w->nodes[id].disk;
    const struct raft_persist *p = &w->nodes[id].persist;
    if (p->hard_state) {
        if (p->term == disk->term && disk->vote != 0 && p->vote != disk->vote) {
            world_fail(w, "E1: n%" PRIu64 " writes another vote for term %" PRIu64, id, p->term);
        }
        if (p->lease_promise_ms < disk->lease_promise_ms) {
            world_fail(w, "Q6b: n%" PRIu64 " takes back a promise", id);
        }
        disk->term = p->term;
        disk->vote = p->vote;
        disk->lease_promise_ms = p->lease_promise_ms;
    }
    if (p->commit > disk->commit) {
        disk->commit = p->commit; /* the floor comes first, so it may not speak of what follows */
    }
}

static void write_install(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    const struct raft_persist *p = &n->persist;
    if (n->staged.id.index != p->install.index || n->staged.id.term != p->install.term) {
        world_fail(w, "S3: n%" PRIu64 " installs %" PRIu64 ", which it was not given", id,
                   p->install.index);
    }
    if (p->install.index <= n->applied) {
        world_fail(w, "S3: n%" PRIu64 " installs %" PRIu64 ", it applied more", id,
                   p->install.index);
    }
    world_disk_install(&n->disk, &n->staged, p->discard);
}

/* The truncation, or a snapshot in place of the log, comes before the entries. A log that is kept
 * reaches its snapshot first. */
void world_disk_write(struct world *w, node_id id, struct world_write what)
{
    struct world_node *n = &w->nodes[id];
    const struct raft_persist *p = &n->persist;
    bool installs = p->install.index != 0 && what.install;
    if (what.hard_state) {
        write_hard_state(w, id);
    }
    if (p->discard && !installs) {
        what.count = 0;
    }
    if (installs && p->discard) {
        write_install(w, id);
    }
    if (what.count > 0) {
        if (p->truncate_from != 0) {
            world_disk_cut(&n->disk, p->truncate_from);
        }
        if (p->first != world_disk_last(&n->disk) + 1) {
            world_fail(w, "n%" PRIu64 " writes index %" PRIu64 " after %" PRIu64, id, p->first,
                       world_disk_last(&n->disk));
        }
        for (uint32_t i = 0; i < what.count; i++) {
            world_disk_add(&n->disk, &p->entries[i]);
        }
        checker_on_written(w, id, p->first);
    }
    if (installs && !p->discard && what.count == p->count) {
        if (!has(&n->disk, p->install)) {
            world_fail(w, "S3: n%" PRIu64 " keeps a log that has no entry %" PRIu64, id,
                       p->install.index);
        }
        write_install(w, id);
    }
    if (p->recovered && what.recovered) {
        checker_on_recovered(w, id);
        n->disk.recovering = false;
        n->disk.lost_count = 0;
        mem_free(n->disk.lost_terms);
        n->disk.lost_terms = NULL;
    }
}
