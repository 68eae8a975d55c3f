#include "load/load_plan.h"

#include <stdio.h>
#include <string.h>

static const char *const names[LOAD_OPERATIONS] = {
    [LOAD_PUT] = "put", [LOAD_RANGE] = "range", [LOAD_SERIALIZABLE] = "serializable",
    [LOAD_TXN] = "txn", [LOAD_WATCH] = "watch", [LOAD_KEEPALIVE] = "keepalive",
    [LOAD_MIX] = "mix",
};

const char *load_operation_name(enum load_operation operation)
{
    return names[operation];
}

static bool find_name(const char *name, size_t size, enum load_operation *operation)
{
    for (int i = 0; i < LOAD_OPERATIONS; i++) {
        if (strlen(names[i]) == size && strncmp(names[i], name, size) == 0) {
            *operation = (enum load_operation)i;
            return true;
        }
    }
    return false;
}

bool load_operation_find(const char *name, enum load_operation *operation)
{
    return find_name(name, strlen(name), operation);
}

/* Digits, to the next comma or the end; UINT32_MAX: it is no weight. */
static uint32_t parse_weight(const char **at)
{
    uint32_t weight = 0;
    size_t digits = strspn(*at, "0123456789");
    for (size_t i = 0; i < digits && weight <= LOAD_WEIGHT_MAX; i++) {
        weight = weight * 10 + (uint32_t)((*at)[i] - '0');
    }
    *at += digits;
    bool is_right = digits > 0 && weight <= LOAD_WEIGHT_MAX && (**at == ',' || **at == '\0');
    return is_right ? weight : UINT32_MAX;
}

const char *load_mix_parse(const char *text, uint32_t mix[LOAD_SIMPLE])
{
    static char why[160];
    memset(mix, 0, LOAD_SIMPLE * sizeof(*mix));
    uint64_t sum = 0;
    for (const char *at = text; *at != '\0'; at += *at == ',' ? 1 : 0) {
        size_t size = strcspn(at, "=,");
        enum load_operation operation;
        if (!find_name(at, size, &operation) || operation >= LOAD_SIMPLE) {
            snprintf(why, sizeof(why),
                     "names \"%.*s\", which is none of put, range, serializable, txn",
                     (int)(size < 40 ? size : 40), at);
            return why;
        }
        at += size + (at[size] == '=' ? 1 : 0);
        uint32_t weight = parse_weight(&at);
        if (weight == UINT32_MAX || mix[operation] != 0) {
            snprintf(why, sizeof(why), "needs one weight up to %d of %s; write it as put=1,range=9",
                     LOAD_WEIGHT_MAX, names[operation]);
            return why;
        }
        mix[operation] = weight;
        sum += weight;
    }
    return sum > 0 ? NULL : "has no weight above 0; write it as put=1,range=9";
}

bool load_plan_writes(const struct load_plan *plan)
{
    return plan->prefill || plan->mix[LOAD_PUT] > 0 || plan->mix[LOAD_TXN] > 0;
}

uint32_t load_plan_clients(const struct load_plan *plan)
{
    return plan->connections * plan->streams;
}
