#include "faults.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "configs.h"
#include "coverage.h"
#include "odd_state.h"
#include "operators.h"
#include "truth.h"
#include "verdict.h"
#include "wal/snapshot_format.h"
#include "wal/wal_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EFFECTS_MAX      64
#define SEGMENTS_MAX     1000
#define SEGMENT_FLAGS_AT 12 /* of a segment's first block */
#define ROT_BLOCK_BYTES  4096u
#define ROT_HEADER_BYTES WAL_RECORD_HEADER_BYTES

/* Something that lasts. Beyond EFFECTS_MAX at a time: left out. */
struct effect {
    uint64_t until_ms;
    enum item_kind kind;
    int a;
    int b;
    bool cut[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX]; /* from, to */
};

struct faults {
    const struct schedule *schedule;
    struct sim_members *members;
    struct effect effects[EFFECTS_MAX];
    uint32_t effect_count;
    bool for_good[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX];
    struct operators *operators;
    uint32_t corrupt_left[SIM_MEMBERS_MAX]; /* pieces that it sends */
    struct rng rng;
    bool has_failed[SIM_MEMBERS_MAX];
    uint32_t no_space[SIM_MEMBERS_MAX]; /* it said so since this start of it; 0 = not */
    int same;                           /* SIM_THE_SAME */
};

static uint64_t now(const struct faults *f)
{
    return fake_world_now(f->members->world);
}

/* --- what lasts ------------------------------------------------------------------------------- */

static void apply_cuts(struct faults *f)
{
    int count = (int)f->members->count;
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            bool cut = f->for_good[from][to];
            for (uint32_t i = 0; i < f->effect_count; i++) {
                cut |= f->effects[i].cut[from][to];
            }
            if (from != to) {
                fake_world_cut_way(f->members->world, sim_hosts[from], sim_hosts[to], cut);
            }
        }
    }
}

static struct effect *add_effect(struct faults *f, const struct item *item, int a, int b)
{
    static struct effect left_out;
    struct effect *e = f->effect_count < EFFECTS_MAX ? &f->effects[f->effect_count++] : &left_out;
    *e = (struct effect){.until_ms = now(f) + item->c, .kind = item->kind, .a = a, .b = b};
    return e;
}

static void end_effect(struct faults *f, const struct effect *e)
{
    struct sim_member *m = &f->members->items[e->a];
    switch (e->kind) {
    case ITEM_slow_link:
        fake_world_slow(f->members->world, sim_hosts[e->a], sim_hosts[e->b], 0);
        break;
    case ITEM_stall:
        if (m->loop != NULL) {
            fake_process_stall(m->loop, false);
        }
        break;
    case ITEM_slow_disk:
        if (m->loop != NULL) {
            fake_process_slow_disk(m->loop, 0);
        }
        break;
    case ITEM_full_disk:
        fake_disk_set_capacity(m->disk, 0);
        truth.members[e->a].is_full = false;
        break;
    default:
        break;
    }
}

/* Rule P12: what the member says of its space. */
static void watch_space(struct faults *f, uint32_t i)
{
    const struct sim_member *m = &f->members->items[i];
    if (m->node == NULL || !truth.members[i].was_full) {
        return;
    }
    struct node_status status;
    node_status_get(m->node, &status);
    bool was_told = f->no_space[i] == m->starts;
    if (status.no_space && !was_told) {
        bool leads = status.role != NULL && strcmp(status.role, "leader") == 0;
        coverage_hit(leads ? MARK_LEADER_OUT_OF_SPACE : MARK_FOLLOWER_OUT_OF_SPACE);
        f->no_space[i] = m->starts;
    } else if (!status.no_space && was_told) {
        coverage_hit(MARK_SPACE_CAME_BACK);
        f->no_space[i] = 0;
    }
}

void faults_tend(struct faults *f)
{
    bool changed = false;
    operators_tend(f->operators);
    for (uint32_t i = 0; i < f->effect_count;) {
        if (f->effects[i].until_ms <= now(f)) {
            struct effect ended = f->effects[i];
            f->effects[i] = f->effects[--f->effect_count];
            end_effect(f, &ended);
            changed = true;
        } else {
            i++;
        }
    }
    if (changed) {
        apply_cuts(f);
    }
    for (uint32_t i = 0; i < f->members->count; i++) {
        struct sim_member *m = &f->members->items[i];
        bool has_failed = m->node != NULL && fake_disk_has_failed(m->disk);
        if (has_failed && !f->has_failed[i]) {
            coverage_hit(MARK_DISK_CALL_FAILED);
        }
        f->has_failed[i] = has_failed;
        watch_space(f, i);
        odd_state_watch(m, (int)i);
    }
}

void faults_end_all(struct faults *f)
{
    operators_end(f->operators);
    for (uint32_t i = 0; i < f->effect_count; i++) {
        f->effects[i].until_ms = 0;
    }
    faults_tend(f);
    memset(f->corrupt_left, 0, sizeof(f->corrupt_left));
    for (uint32_t i = 0; i < f->members->count; i++) {
        struct sim_member *m = &f->members->items[i];
        if (m->node != NULL) {
            fake_process_clock(m->loop, 1000, 0);
        }
    }
}

void faults_cut_for_good(struct faults *f, int from, int to)
{
    f->for_good[from][to] = true;
    apply_cuts(f);
}

/* --- partitions ------------------------------------------------------------------------------- */

static void cut_members(struct faults *f, const struct item *item, int a, int b)
{
    struct effect *e = add_effect(f, item, a, b);
    int count = (int)f->members->count;
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            bool cut = false;
            int half = count / 2;
            switch (item->kind) {
            case ITEM_cut_way:
                cut = from == a && to == b;
                break;
            case ITEM_isolate:
                cut = from == a || to == a;
                break;
            case ITEM_isolate_way:
                cut = item->b ? to == a : from == a;
                break;
            case ITEM_split:
                cut = (item->a >> from & 1) != (item->a >> to & 1);
                break;
            case ITEM_bridge:
                cut = from != a && to != a && (from < half) != (to < half);
                break;
            default: /* ring: each hears its two neighbours */
                cut = (from + 1) % count != to && (to + 1) % count != from;
                break;
            }
            e->cut[from][to] = cut && from != to;
        }
    }
    coverage_hit(MARK_PARTITIONED);
    apply_cuts(f);
}

/* --- the disk --------------------------------------------------------------------------------- */

static uint32_t intact_members(const struct faults *f)
{
    uint32_t intact = 0;
    for (uint32_t i = 0; i < f->members->count; i++) {
        intact |= truth_is_intact(&truth.members[i]) ? 1u << i : 0;
    }
    return intact;
}

/* Its disk may be lost for good: every committed entry has an intact copy without it, and whatever
 * becomes of the configurations that are under way, a majority. */
static bool may_lose(const struct faults *f, int a)
{
    uint32_t left = intact_members(f) & ~(1u << a);
    return !operators_are_busy(f->operators) && members_are_founded(f->members) &&
           configs_hold(left) && configs_hold_with_learners(left);
}

static void die_in_write(struct faults *f, const struct item *item, int a)
{
    struct sim_member *m = &f->members->items[a];
    fake_disk_halt_at(m->disk, fake_disk_calls(m->disk) + item->b);
    truth.members[a].may_fail = true;
    m->crash_power = item->kind == ITEM_power_in_write;
    m->back_ms = now(f) + item->c;
}

static void fail_disk(struct faults *f, const struct item *item, int a)
{
    struct sim_member *m = &f->members->items[a];
    struct fake_fault fault = {.call = fake_disk_calls(m->disk) + item->b,
                               .status = item->d == 1 ? STATUS_NO_SPACE : STATUS_IO,
                               .shows_lost_pages = item->d == 2};
    if (item->d == 1) {
        coverage_hit(MARK_SPACE_RAN_OUT);
        truth.members[a].was_full = true;
    }
    fake_disk_fail_at(m->disk, fault);
    truth.members[a].may_fail = true;
    m->back_ms = now(f) + item->c;
}

/* For a time its files cannot grow by more than some room. Whoever is no member yet has nothing to
 * go on with. */
static void fill_disk(struct faults *f, const struct item *item, int a)
{
    struct sim_member *m = &f->members->items[a];
    if (truth.members[a].id == 0 || truth.members[a].is_stranger) {
        return;
    }
    uint64_t bytes = fake_disk_used_bytes(m->disk) + item->b * 1024ull;
    fake_disk_set_capacity(m->disk, bytes);
    truth.members[a].is_full = true;
    truth.members[a].was_full = true;
    add_effect(f, item, a, a);
}

static void fill_disks(struct faults *f, const struct item *item, int a)
{
    for (int i = 0; i < (int)f->members->count; i++) {
        if (i == a || item->d != 0) {
            fill_disk(f, item, i);
        }
    }
}

/* Blocks of the file up to the last one that begins with something. */
static uint64_t used_blocks(struct fake_disk *disk, const char *name)
{
    uint64_t used = 1;
    uint64_t size = fake_disk_file_size(disk, name);
    for (uint64_t at = 0; at + ROT_BLOCK_BYTES <= size; at += ROT_BLOCK_BYTES) {
        used = fake_disk_byte(disk, name, at) != 0 ? at / ROT_BLOCK_BYTES + 1 : used;
    }
    return used;
}

static bool is_recycled(struct fake_disk *disk, const char *name)
{
    return fake_disk_byte(disk, name, SEGMENT_FLAGS_AT) != 0;
}

/* A bit flips, or a block was never written, or is all wrong. Rule P6 answers for one copy of term
 * and vote, or for none. */
static void rot_file(struct fake_disk *disk, const char *name, uint32_t place)
{
    uint64_t size = fake_disk_file_size(disk, name);
    uint64_t used = used_blocks(disk, name);
    bool is_log = strstr(name, ".log") != NULL;
    uint8_t type = is_log ? fake_disk_byte(disk, name, (used - 1) * ROT_BLOCK_BYTES + 24) : 0;
    if (is_log && type != WAL_RECORD_SEAL && type != WAL_RECORD_END) {
        return; /* rule P3's limit: rot in the last record of an unsealed log looks torn */
    }
    uint64_t block = place / 64 % 64 % used * ROT_BLOCK_BYTES;
    uint64_t within = place / 4096 % (place % 4 == 1 ? ROT_HEADER_BYTES : ROT_BLOCK_BYTES);
    bool is_hard_state = strcmp(name, "hardstate") == 0;
    verdict_trace("%s rots in block %" PRIu64 ", byte %" PRIu64, name, block / ROT_BLOCK_BYTES,
                  within);
    if (place % 4 == 3 && is_hard_state) {
        fake_disk_fill(disk, name, 0, (size_t)size, 0x5a);
    } else if (place % 4 == 3 && block + ROT_BLOCK_BYTES <= size) {
        fake_disk_fill(disk, name, block, ROT_BLOCK_BYTES, 0);
    } else if (block + within < size) {
        fake_disk_flip(disk, name, block + within, (uint8_t)(1u << place / 8 % 8));
    }
}

/* Made ahead of time, and not begun. */
static bool is_spare(struct fake_disk *disk, const char *name)
{
    return !is_recycled(disk, name) && used_blocks(disk, name) == 1;
}

/* One of its log segments; of the newest that is used only what was never another one before, where
 * rot and old records can be told apart here (rot_file). Empty: none. */
static void pick_segment(struct fake_disk *disk, uint32_t which, char name[32])
{
    char names[SEGMENTS_MAX][32];
    uint32_t count = 0;
    for (uint32_t i = 1; i < SEGMENTS_MAX; i++) {
        snprintf(names[count], sizeof(names[count]), "%08" PRIu32 ".log", i);
        count += fake_disk_has_file(disk, names[count]);
    }
    while (count > 0 && (is_recycled(disk, names[count - 1]) || is_spare(disk, names[count - 1]))) {
        count--;
    }
    snprintf(name, 32, "%s", count > 0 ? names[which % count] : "");
}

static void rot(struct faults *f, const struct item *item, int a)
{
    struct sim_member *m = &f->members->items[a];
    if (!may_lose(f, a) || truth.members[a].id == 0 || m->is_fatal || truth.members[a].may_fail) {
        return;
    }
    members_stop(f->members, a, DEATH_ORDERLY);
    fake_disk_power_loss(m->disk, (struct fake_loss){.kind = FAKE_LOSS_NONE});
    char name[32];
    pick_segment(m->disk, item->b > 4 ? item->b % 3 : 0, name);
    if (item->b == 0) {
        snprintf(name, sizeof(name), "hardstate");
    } else if (item->b == 1) {
        snprintf(name, sizeof(name), "identity");
    }
    if (name[0] != '\0' && fake_disk_has_file(m->disk, name)) {
        rot_file(m->disk, name, item->d);
        truth.members[a].is_damaged = true;
        truth.members[a].may_refuse = true;
        truth.members[a].is_repaired = false;
    }
    m->back_ms = now(f) + item->c;
}

struct rotting {
    struct fake_disk *disk;
    uint64_t from; /* the oldest that rots */
    uint32_t place;
};

static void note_newest(void *context, const char *name)
{
    uint64_t *newest = context;
    uint64_t index = 0;
    if (snapshot_name_parse(name, SNAPSHOT_SUFFIX, &index)) {
        *newest = index > *newest ? index : *newest;
    }
}

static void flip_snapshot(void *context, const char *name)
{
    const struct rotting *r = context;
    uint64_t index = 0;
    if (snapshot_name_parse(name, SNAPSHOT_SUFFIX, &index) && index >= r->from) {
        uint64_t at = r->place / 8 % fake_disk_file_size(r->disk, name);
        verdict_trace("%s rots in byte %" PRIu64, name, at);
        fake_disk_flip(r->disk, name, at, (uint8_t)(1u << r->place % 8));
        coverage_hit(MARK_SNAPSHOT_ROTTED);
    }
}

/* Anywhere in the newest snapshot of one member, or in each that it has. */
static void rot_snapshot(struct faults *f, const struct item *item, int a)
{
    struct sim_member *m = &f->members->items[a];
    struct truth_member *t = &truth.members[a];
    if (!may_lose(f, a) || t->id == 0 || m->is_fatal || t->may_fail) {
        return;
    }
    if ((item->b & ROT_AT_REST) == 0) {
        members_stop(f->members, a, DEATH_ORDERLY);
        fake_disk_power_loss(m->disk, (struct fake_loss){.kind = FAKE_LOSS_NONE});
        m->back_ms = now(f) + item->c;
    }
    if (fake_disk_pending(m->disk) > 0) {
        return; /* bytes rot that are at rest */
    }
    struct disk *disk = fake_disk_as_disk(m->disk);
    uint64_t newest = 0;
    if (disk->ops->list(disk, note_newest, &newest) == STATUS_OK && newest > 0) {
        struct rotting r = {.disk = m->disk,
                            .from = (item->b & ROT_ALL_SNAPSHOTS) != 0 ? 0 : newest,
                            .place = item->d};
        (void)disk->ops->list(disk, flip_snapshot, &r);
        t->is_damaged = true;
        t->is_repaired = false;
        t->has_hidden_rot = t->raft != NULL;
    }
}

/* --- the table -------------------------------------------------------------------------------- */

static int resolve(const struct faults *f, uint32_t member, uint32_t turn)
{
    int count = (int)f->members->count;
    int leader = members_leader(f->members);
    leader = leader < 0 ? 0 : leader;
    if (member == SIM_THE_LEADER) {
        return leader;
    }
    if (member == SIM_THE_SAME) {
        return f->same;
    }
    if (member == SIM_A_FOLLOWER) {
        int first = count == 1 ? 0 : (leader + 1 + (int)(turn % (uint32_t)(count - 1))) % count;
        for (int i = 0; i < count; i++) {
            int one = (first + i) % count;
            if (one != leader && f->members->items[one].node != NULL) {
                return one;
            }
        }
        return first;
    }
    return (int)(member % (uint32_t)count);
}

static void stop_for(struct faults *f, int a, enum sim_death death, uint32_t down_ms)
{
    members_stop(f->members, a, death);
    f->members->items[a].back_ms = now(f) + down_ms + 1;
}

static void kill_all(struct faults *f, const struct item *item)
{
    enum sim_death power = item->d ? DEATH_POWER_DESTROYS : DEATH_POWER;
    for (int i = 0; i < (int)f->members->count; i++) {
        if (members_is_born(f->members, i)) {
            stop_for(f, i, item->a ? power : DEATH_KILL, item->c);
        }
    }
}

/* Founders whose disks are all empty know nothing of the cluster, and would found another one. */
static bool has_witness(const struct faults *f, int a)
{
    for (int i = 0; i < (int)f->members->founders; i++) {
        const struct truth_member *t = &truth.members[i];
        if (i != a && t->id != 0 && !t->is_stranger && !configs_is_removed(t)) {
            return true;
        }
    }
    return false;
}

static void wipe(struct faults *f, const struct item *item, int a)
{
    if (may_lose(f, a) && has_witness(f, a) && truth.members[a].id != 0) {
        members_stop(f->members, a, DEATH_KILL);
        members_wipe(f->members, a);
        f->members->items[a].back_ms = now(f) + item->c;
    }
}

/* Who lost a disk, or loses it now, comes back as somebody else. */
static void replace(struct faults *f, const struct item *item, int a)
{
    for (int i = 0; i < (int)f->members->count; i++) {
        if (truth.members[i].is_stranger && !f->members->items[i].joins) {
            a = i;
        }
    }
    if (!truth.members[a].is_stranger && may_lose(f, a) && has_witness(f, a) &&
        truth.members[a].id != 0) {
        members_stop(f->members, a, DEATH_KILL);
        members_wipe(f->members, a);
    }
    if (truth.members[a].is_stranger) {
        operators_change(f->operators, item, a, intact_members(f));
    }
}

/* Leases rest on rates within one percent, and on clocks that do not jump while a process runs
 * (rule Q6); nothing else does. */
static void change_clock(const struct faults *f, const struct item *item, struct sim_member *m)
{
    bool leases = f->schedule->knobs[KNOB_lease_reads] != 0;
    uint32_t permille = item->b > 0 ? item->b : 1000;
    if (leases) {
        permille = permille < 1000 ? 990 : permille > 1000 ? 1010 : 1000;
    }
    coverage_hit(MARK_CLOCK_CHANGED);
    fake_process_clock(m->loop, permille, leases ? 0 : item->c);
}

/* Faults of one process that runs. */
static void take_process(struct faults *f, const struct item *item, int a, int b)
{
    struct sim_member *m = &f->members->items[a];
    switch (item->kind) {
    case ITEM_kill:
        stop_for(f, a, DEATH_KILL, item->c);
        break;
    case ITEM_power:
        stop_for(f, a, item->d ? DEATH_POWER_DESTROYS : DEATH_POWER, item->c);
        break;
    case ITEM_kill_in_write:
    case ITEM_power_in_write:
        die_in_write(f, item, a);
        break;
    case ITEM_crash_start:
        m->crash_calls = item->b;
        m->crash_power = item->d;
        stop_for(f, a, item->d ? DEATH_POWER : DEATH_KILL, item->c / 4);
        break;
    case ITEM_freeze:
        members_freeze(f->members, a, true);
        m->thawed_ms = now(f) + item->c;
        break;
    case ITEM_stall:
        add_effect(f, item, a, b);
        fake_process_stall(m->loop, true);
        break;
    case ITEM_slow_disk:
        add_effect(f, item, a, b);
        fake_process_slow_disk(m->loop, item->d);
        break;
    case ITEM_fail_disk:
        fail_disk(f, item, a);
        break;
    case ITEM_clock:
        change_clock(f, item, m);
        break;
    case ITEM_wall:
        fake_process_wall(m->loop, item->b ? -(int64_t)item->c : (int64_t)item->c);
        break;
    case ITEM_odd_state:
        odd_state_make(m, a, item);
        break;
    case ITEM_rot:
        rot(f, item, a);
        break;
    case ITEM_rot_snapshot:
        rot_snapshot(f, item, a);
        break;
    default:
        operators_order(f->operators, item, a, b);
        break;
    }
}

void faults_take(struct faults *f, const struct item *item)
{
    int a = resolve(f, item->a, item->d);
    int b = resolve(f, item->b, item->d);
    f->same = item->a == SIM_THE_LEADER || item->a == SIM_A_FOLLOWER ? a : f->same;
    if (verdict_is_traced()) {
        char text[128];
        item_format(item, text, sizeof(text));
        verdict_trace("--- %s (member %d)", text, a);
    }
    switch (item->kind) {
    case ITEM_kill_all:
        kill_all(f, item);
        return;
    case ITEM_cut_way:
    case ITEM_isolate:
    case ITEM_isolate_way:
    case ITEM_split:
    case ITEM_bridge:
    case ITEM_ring:
        cut_members(f, item, a, b);
        return;
    case ITEM_reset:
        fake_world_reset(f->members->world, sim_hosts[a], sim_hosts[b]);
        return;
    case ITEM_half_open:
        fake_world_forget(f->members->world, sim_hosts[a], sim_hosts[b]);
        return;
    case ITEM_slow_link:
        add_effect(f, item, a, b);
        fake_world_slow(f->members->world, sim_hosts[a], sim_hosts[b], item->d);
        return;
    case ITEM_corrupt:
        f->corrupt_left[a] += item->b;
        return;
    case ITEM_full_disk:
        fill_disks(f, item, a);
        return;
    case ITEM_wipe:
        wipe(f, item, a);
        return;
    case ITEM_add:
    case ITEM_remove:
    case ITEM_promote:
        operators_change(f->operators, item, a, intact_members(f));
        return;
    case ITEM_replace:
        replace(f, item, a);
        return;
    default:
        if (f->members->items[a].node != NULL) {
            take_process(f, item, a, b);
        }
        return;
    }
}

/* A byte changes under way: the frames' checks must see it. */
static void tamper(void *context, struct loop *from, struct buf *piece)
{
    struct faults *f = context;
    for (uint32_t i = 0; i < f->members->count; i++) {
        if (f->corrupt_left[i] > 0 && f->members->items[i].loop == from && piece->size > 0) {
            f->corrupt_left[i]--;
            piece->data[rng_below(&f->rng, piece->size)] ^= (uint8_t)(1u << rng_below(&f->rng, 8));
            coverage_hit(MARK_BYTE_CHANGED_UNDER_WAY);
            verdict_trace("a byte from member %" PRIu32 " changes under way", i);
        }
    }
}

struct faults *faults_create(const struct schedule *s, struct sim_members *members)
{
    struct faults *f = mem_calloc(1, sizeof(*f));
    f->schedule = s;
    f->members = members;
    f->operators = operators_create(members);
    rng_init(&f->rng, s->seed ^ 0x74616d706572);
    fake_world_tamper(members->world, tamper, f);
    return f;
}

void faults_destroy(struct faults *f)
{
    operators_destroy(f->operators);
    mem_free(f);
}
