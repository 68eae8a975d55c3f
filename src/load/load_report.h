/* load/load_report.h - what a load has shown: for people a table with a small chart, for programs
 * one JSON object (docs/API.md), and in both what there is to distrust. */
#pragma once

#include "load/load_plan.h"
#include "load/load_run.h"

#include <stdio.h>

/* More than this of all processors for the generator: what was measured is partly the generator. */
#define LOAD_GENERATOR_SHARE_MAX 0.45
/* More errors than this, or more time without a connection, and it was no measurement. */
#define LOAD_ERROR_SHARE_MAX     0.01

void load_report_print(const struct load_plan *plan, const struct load_result *result, FILE *out);
void load_report_print_json(const struct load_plan *plan, const struct load_result *result,
                            FILE *out);
/* Enough was answered, and rightly. */
bool load_report_is_sound(const struct load_result *result);
