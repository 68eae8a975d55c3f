/* members.h - the processes of a story: whole members (links, log, store, HTTP upgrade and all)
 * that start, die, freeze and come back. */
#pragma once

#include "fake_disk.h"
#include "fake_world.h"
#include "node/node.h"
#include "schedule.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_member {
    struct fake_disk *disk;
    struct loop *loop;
    struct http_server *http;
    struct node *node; /* NULL = does not run */
    bool is_fatal;     /* it said that it cannot go on: it exits at the next occasion */
    int fatal_code;
    char fatal_why[512];
    uint64_t back_ms;   /* when somebody starts it again; 0 = nobody does */
    uint64_t thawed_ms; /* 0 = not frozen */
    uint32_t starts;    /* so far */
    bool joins;         /* by --join */
    bool lost_for_good; /* exits at its start, or is a stranger */
    bool shutting_down;
    uint32_t crash_calls; /* the next start dies at this call to the disk */
    bool crash_power;
    bool has_crash_point; /* this run of it ends at KNOB_crash_call */
};

struct sim_members {
    const struct schedule *schedule;
    struct fake_world *world;
    struct sim_member items[SIM_MEMBERS_MAX];
    uint32_t count;    /* founders, and those who may join later */
    uint32_t founders; /* the first ones */
    /* A member ends: what was asked of it is never answered. */
    void (*on_stop)(void *context, int member);
    void *context;
    uint32_t leaks;   /* deaths that lose memory by the nature of a simulated kill */
    bool has_crashed; /* at the crash point */
    size_t unsynced;  /* what that could lose */
};

extern const char *const sim_hosts[SIM_MEMBERS_MAX];

void members_open(struct sim_members *m, const struct schedule *s, struct fake_world *world);
void members_close(struct sim_members *m);
void members_start(struct sim_members *m, int i);
enum sim_death {
    DEATH_KILL,
    DEATH_POWER,
    DEATH_POWER_DESTROYS,
    DEATH_CRASH_POINT, /* a power loss as KNOB_crash_loss says */
    DEATH_ORDERLY
};
void members_stop(struct sim_members *m, int i, enum sim_death death);
void members_freeze(struct sim_members *m, int i, bool frozen);
void members_wipe(struct sim_members *m, int i);
/* Whoever was there is gone; a new one comes with an empty disk and --join. */
void members_admit(struct sim_members *m, int i);
/* There is a data directory with something in it, or ought to be. */
bool members_is_born(const struct sim_members *m, int i);
/* Those that said that they cannot go on exit; those whose time has come start. */
void members_tend(struct sim_members *m);
/* The leader of the highest term, or -1. */
int members_leader(const struct sim_members *m);
bool members_are_founded(const struct sim_members *m);
