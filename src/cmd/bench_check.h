/* cmd/bench_check.h - `conclave bench --check`: says what it will write, runs load_check.h, and
 * prints the findings. */
#pragma once

#include "cmd/verb.h"

struct bench_check_options {
    const char *directory;
    const char *const *endpoints;
    uint32_t endpoint_count; /* 0: the network is not looked at */
    const char *seconds;     /* how long disk and clock are measured, as text: "5", "0.5" */
    bool is_json;
    bool is_quiet; /* nothing on stderr but errors */
};

/* The exit code: done when good or acceptable, a verdict when poor or ended early, usage when
 * `seconds` is no time or the directory cannot be used. `o` is for messages. */
int bench_check_run(const struct options *o, const struct bench_check_options *options);
