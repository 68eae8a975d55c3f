/* cmd/bench_check.h - `conclave bench --check`: says what it will write, runs load_check.h, and
 * prints the findings. */
#pragma once

#include "cmd/verb.h"

struct bench_check_options {
    const char *directory;
    const char *const *endpoints;
    uint32_t endpoint_count; /* 0: the network is not looked at */
    uint32_t run_ms;         /* how long disk and clock are measured */
    bool is_json;
    bool is_quiet; /* nothing on stderr but errors */
};

/* The exit code: done when good or acceptable, a verdict when poor or ended early, usage when
 * the directory cannot be used. `o` is for messages. */
int bench_check_run(const struct options *o, const struct bench_check_options *options);
