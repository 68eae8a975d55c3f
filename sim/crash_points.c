#include "crash_points.h"

#include "campaign.h"

/* A number of the campaign is a call, that of a verdict both. */
#define LOSS_BITS 20

void crash_points_set(struct schedule *s, uint32_t member, uint32_t call, uint32_t loss)
{
    s->knobs[KNOB_crash_member] = member;
    s->knobs[KNOB_crash_call] = call;
    s->knobs[KNOB_crash_loss] = loss;
}

/* Its items are only read. */
static uint64_t play(const struct schedule *original, uint64_t call, uint32_t loss,
                     struct verdict *v)
{
    struct schedule s = *original;
    crash_points_set(&s, original->knobs[KNOB_crash_member], (uint32_t)call, loss);
    return campaign_play(&s, call << LOSS_BITS | loss, v);
}

/* What there is to lose is known when all of it was lost. One write less than one is none. A call
 * of a process that was killed meanwhile is none. */
static uint64_t play_call(const void *context, uint64_t call, struct verdict *v, uint64_t *stories)
{
    uint64_t hash = play(context, call, CRASH_LOSES_ALL, v);
    uint32_t unsynced = (uint32_t)v->unsynced;
    if (!v->has_crashed) {
        return 0;
    }
    *stories += 1;
    if (unsynced > 0) {
        hash = hash * 31 + play(context, call, CRASH_LOSES_NONE, v);
        *stories += 1;
    }
    for (uint32_t i = 0; unsynced > 1 && i < unsynced; i++) {
        hash = hash * 31 + play(context, call, CRASH_LOSES_ONE + i, v);
        *stories += 1;
    }
    return hash;
}

void crash_points_run(const struct schedule *s, uint32_t member, uint32_t jobs, bool quiet,
                      struct crash_points_result *result)
{
    *result = (struct crash_points_result){.member = member};
    struct schedule of_member = *s;
    crash_points_set(&of_member, member, 0, 0);
    campaign_run_one(&of_member, false, &result->failure);
    if (result->failure.failed) {
        return;
    }
    result->calls = result->failure.disk_calls[member];
    const struct campaign_options options = {.first_seed = 1,
                                             .seeds = result->calls,
                                             .jobs = jobs,
                                             .quiet = quiet,
                                             .play = play_call,
                                             .context = &of_member};
    struct campaign_result all;
    campaign_run(&options, &all);
    result->states = all.stories;
    result->failure = all.failure;
    result->call = (uint32_t)(all.failure.seed >> LOSS_BITS);
    result->loss = (uint32_t)(all.failure.seed & ((1u << LOSS_BITS) - 1));
}
