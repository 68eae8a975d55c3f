/* Figures of a machine into verdicts: each bound is met from both sides. */
#include "load/load_judge.h"

#include "base/limits.h"
#include "load/load_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define GIB (1024ull * MIB)

static const struct load_delays none = {0};

static struct load_delays delays(uint64_t p50_us, uint64_t p99_us, uint64_t max_us)
{
    return (struct load_delays){
        .count = 1000, .p50_us = p50_us, .p99_us = p99_us, .max_us = max_us};
}

static void assert_verdict(struct load_finding f, enum load_verdict verdict)
{
    assert_string_equal(load_verdict_name(f.verdict), load_verdict_name(verdict));
    assert_true(f.measured[0] != '\0');
    assert_int_equal(f.advice[0] != '\0', verdict > VERDICT_GOOD);
}

static struct load_finding sync_of(uint64_t p50_us, uint64_t p99_us, uint64_t max_us)
{
    const struct load_delays d = delays(p50_us, p99_us, max_us);
    return load_judge_sync(&d);
}

static void a_sync_is_judged_by_its_tail_and_by_its_worst(void **state)
{
    (void)state;
    assert_verdict(sync_of(100, 10000, 150000), VERDICT_GOOD);
    assert_verdict(sync_of(100, 10001, 10001), VERDICT_ACCEPTABLE);
    assert_verdict(sync_of(100, 300, 150001), VERDICT_ACCEPTABLE);
    assert_verdict(sync_of(100, 50000, 1000000), VERDICT_ACCEPTABLE);
    assert_verdict(sync_of(100, 50001, 60000), VERDICT_POOR);
    assert_verdict(sync_of(100, 300, 1000001), VERDICT_POOR);
    assert_verdict(load_judge_sync(&none), VERDICT_UNKNOWN);
    struct load_finding f = sync_of(110, 270, 4200);
    assert_string_equal(f.measured, "half within 0.11 ms, 99 % within 0.27 ms, the longest 4.20 ms "
                                    "(1000 appends of 4 KiB)");
    assert_int_equal(f.figure_count, 4);
    assert_string_equal(f.figures[2].name, "p99_us");
    assert_true(f.figures[2].value == 270);
}

static void a_sync_that_is_too_fast_to_be_true_is_not_good(void **state)
{
    (void)state;
    assert_verdict(sync_of(4, 8, 100), VERDICT_GOOD);
    struct load_finding f = sync_of(3, 8, 100);
    assert_verdict(f, VERDICT_ACCEPTABLE);
    assert_non_null(strstr(f.advice, "power"));
    assert_verdict(sync_of(3, 8, 1000001), VERDICT_POOR);
}

static void a_disk_is_judged_by_its_rate_and_its_room(void **state)
{
    (void)state;
    assert_verdict(load_judge_write_rate(64u * MIB, 1000000), VERDICT_GOOD);
    assert_verdict(load_judge_write_rate(64u * MIB, 2000000), VERDICT_ACCEPTABLE);
    assert_verdict(load_judge_write_rate(64u * MIB, 7000000), VERDICT_POOR);
    assert_verdict(load_judge_write_rate(64u * MIB, 0), VERDICT_GOOD);
    assert_verdict(load_judge_space(24 * GIB, 8 * GIB), VERDICT_GOOD);
    assert_verdict(load_judge_space(24 * GIB - 1, 8 * GIB), VERDICT_ACCEPTABLE);
    assert_verdict(load_judge_space(GIB, 8 * GIB), VERDICT_ACCEPTABLE);
    struct load_finding f = load_judge_space(GIB - 1, 8 * GIB);
    assert_verdict(f, VERDICT_POOR);
    assert_non_null(strstr(f.advice, "here 8.0 GiB"));
}

static void a_file_system_is_judged_by_where_its_bytes_are(void **state)
{
    (void)state;
    static const struct {
        uint64_t type;
        const char *name;
        enum load_verdict verdict;
    } cases[] = {
        {0xEF53, "ext4, ", VERDICT_GOOD},
        {0x58465342, "xfs, ", VERDICT_GOOD},
        {0x794C7630, "overlay, ", VERDICT_ACCEPTABLE},
        {0x65735546, "fuse, ", VERDICT_ACCEPTABLE},
        {0x4D44, "vfat, ", VERDICT_ACCEPTABLE},
        {0x6969, "nfs, ", VERDICT_POOR},
        {0xFE534D42, "smb, ", VERDICT_POOR},
        {0x01021994, "tmpfs, ", VERDICT_POOR},
        {0x12345, "of the type 0x12345", VERDICT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct load_file_system fs = load_file_system_of(cases[i].type);
        struct load_finding f = load_judge_file_system(&fs);
        assert_verdict(f, cases[i].verdict);
        assert_memory_equal(f.measured, cases[i].name, strlen(cases[i].name));
    }
}

static struct load_finding wake_up_of(uint64_t p99_us, uint64_t max_us, double stolen)
{
    const struct load_clock c = {.late = delays(60, p99_us, max_us), .stolen = stolen};
    return load_judge_wake_up(&c);
}

static void late_wake_ups_and_stolen_time_count(void **state)
{
    (void)state;
    assert_verdict(wake_up_of(5000, 50000, 0.02), VERDICT_GOOD);
    assert_verdict(wake_up_of(5000, 50000, -1), VERDICT_GOOD);
    assert_verdict(wake_up_of(5001, 50000, 0), VERDICT_ACCEPTABLE);
    assert_verdict(wake_up_of(5000, 50001, 0), VERDICT_ACCEPTABLE);
    assert_verdict(wake_up_of(25001, 50000, 0), VERDICT_POOR);
    assert_verdict(wake_up_of(5000, 250001, 0), VERDICT_POOR);
    struct load_finding f = wake_up_of(100, 200, 0.05);
    assert_verdict(f, VERDICT_ACCEPTABLE);
    assert_non_null(strstr(f.advice, "the host"));
    assert_verdict(wake_up_of(100, 200, 0.2), VERDICT_POOR);
    const struct load_clock ended = {.stolen = -1};
    assert_verdict(load_judge_wake_up(&ended), VERDICT_UNKNOWN);
}

static void a_clock_must_not_go_back_and_should_be_set(void **state)
{
    (void)state;
    struct load_clock c = {.is_wall_known = true, .is_wall_synced = true, .wall_jump_us = -100000};
    assert_verdict(load_judge_clock(&c), VERDICT_GOOD);
    c.wall_jump_us = -100001;
    assert_verdict(load_judge_clock(&c), VERDICT_ACCEPTABLE);
    c.wall_jump_us = 0;
    c.is_wall_synced = false;
    assert_verdict(load_judge_clock(&c), VERDICT_ACCEPTABLE);
    c.is_wall_known = false;
    assert_verdict(load_judge_clock(&c), VERDICT_GOOD);
    c.wall_jump_us = 100001; /* was measured, whoever may be asked */
    struct load_finding f = load_judge_clock(&c);
    assert_verdict(f, VERDICT_ACCEPTABLE);
    assert_non_null(strstr(f.measured, "jumped"));
    c.backwards = 1;
    assert_verdict(load_judge_clock(&c), VERDICT_POOR);
}

static struct load_finding memory_of(uint64_t limit, uint64_t available)
{
    const struct load_memory m = {.limit_bytes = limit, .available_bytes = available};
    return load_judge_memory(&m);
}

static void limits_of_a_process_are_judged(void **state)
{
    (void)state;
    assert_verdict(memory_of(512u * MIB, 256u * MIB), VERDICT_GOOD);
    assert_verdict(memory_of(512u * MIB, UINT64_MAX), VERDICT_GOOD);
    assert_verdict(memory_of(512u * MIB - 1, 256u * MIB), VERDICT_ACCEPTABLE);
    assert_verdict(memory_of(512u * MIB, 256u * MIB - 1), VERDICT_ACCEPTABLE);
    assert_verdict(memory_of(128u * MIB - 1, 128u * MIB - 1), VERDICT_POOR);
    assert_verdict(memory_of(8 * GIB, 64u * MIB - 1), VERDICT_POOR);
    assert_verdict(load_judge_open_files(4096), VERDICT_GOOD);
    assert_verdict(load_judge_open_files(1024), VERDICT_ACCEPTABLE);
    struct load_finding f = load_judge_open_files(511);
    assert_verdict(f, VERDICT_POOR);
    assert_non_null(strstr(f.advice, "ulimit -n 17408"));
}

static struct load_finding network_of(uint64_t p99_us, uint64_t max_us)
{
    const struct load_network n = {.trips = delays(200, p99_us, max_us)};
    return load_judge_network("http://10.0.0.2:4000", &n);
}

static void a_far_member_is_said_to_be_far(void **state)
{
    (void)state;
    assert_verdict(network_of(25000, 100000), VERDICT_GOOD);
    assert_verdict(network_of(25001, 100000), VERDICT_ACCEPTABLE);
    assert_verdict(network_of(25000, 100001), VERDICT_ACCEPTABLE);
    assert_verdict(network_of(150001, 160000), VERDICT_POOR);
    assert_verdict(network_of(25000, 500001), VERDICT_POOR);
    assert_non_null(strstr(network_of(1, 1).measured, "http://10.0.0.2:4000"));
    assert_null(strstr(network_of(1, 1).measured, "connecting"));
    struct load_network n = {.trips = delays(200, 1, 1), .is_connecting = true};
    assert_non_null(strstr(load_judge_network("http://10.0.0.2:4000", &n).measured,
                           " round trips with connecting"));
    n.trips.count = 0;
    assert_verdict(load_judge_network("http://10.0.0.2:4000", &n), VERDICT_UNKNOWN);
    assert_verdict(load_judge_failed("network", "cannot connect", "is it up?"), VERDICT_POOR);
}

static uint32_t heartbeat_for(struct load_delays syncs, struct load_delays late,
                              struct load_delays trips)
{
    struct load_timeouts t = load_fitting_timeouts(&syncs, &late, &trips);
    assert_int_equal(t.election_timeout_ms, 10 * t.heartbeat_ms);
    return t.heartbeat_ms;
}

static void timeouts_leave_room_for_the_worst_that_was_seen(void **state)
{
    (void)state;
    struct load_delays calm = delays(100, 200, 1000);
    assert_int_equal(heartbeat_for(calm, calm, none), 15);
    assert_int_equal(heartbeat_for(calm, calm, calm), 15);
    /* Three times 49 + 1 ms are 150 ms; a little more is too much for that. */
    assert_int_equal(heartbeat_for(delays(100, 200, 49000), calm, none), 15);
    assert_int_equal(heartbeat_for(delays(100, 200, 49001), calm, none), 20);
    assert_int_equal(heartbeat_for(calm, delays(100, 200, 200000), none), 75);
    assert_int_equal(heartbeat_for(calm, delays(100, 25001, 30000), none), 75); /* twice the p99 */
    assert_int_equal(heartbeat_for(calm, calm, delays(80000, 90000, 95000)), 100);
    assert_int_equal(heartbeat_for(delays(100, 200, 5000000), calm, none), 0);
}

static void the_defaults_are_advised_where_they_fit(void **state)
{
    (void)state;
    const struct load_timeouts steps[] = {{15, 150},   {50, 500},   {75, 750},
                                          {200, 2000}, {300, 3000}, {0, 0}};
    static const enum load_verdict verdicts[] = {VERDICT_GOOD,       VERDICT_GOOD,
                                                 VERDICT_ACCEPTABLE, VERDICT_ACCEPTABLE,
                                                 VERDICT_POOR,       VERDICT_POOR};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_verdict(load_judge_timeouts(&steps[i], true), verdicts[i]);
    }
    assert_string_equal(load_judge_timeouts(&steps[2], true).measured,
                        "--heartbeat-ms 75 --election-timeout-ms 750");
    assert_non_null(strstr(load_judge_timeouts(&steps[2], false).measured, "--endpoints"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_is_judged_by_its_tail_and_by_its_worst),
        cmocka_unit_test(a_sync_that_is_too_fast_to_be_true_is_not_good),
        cmocka_unit_test(a_disk_is_judged_by_its_rate_and_its_room),
        cmocka_unit_test(a_file_system_is_judged_by_where_its_bytes_are),
        cmocka_unit_test(late_wake_ups_and_stolen_time_count),
        cmocka_unit_test(a_clock_must_not_go_back_and_should_be_set),
        cmocka_unit_test(limits_of_a_process_are_judged),
        cmocka_unit_test(a_far_member_is_said_to_be_far),
        cmocka_unit_test(timeouts_leave_room_for_the_worst_that_was_seen),
        cmocka_unit_test(the_defaults_are_advised_where_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
