/* node/fault_control.c - the faults of one member, as an experiment sets and ends them. */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#define TEXT_SIZE 1024

void node_faults_set(struct node *n, const struct fault_set *faults)
{
    bool were_set = n->faults != NULL;
    mem_free(n->faults);
    n->faults = NULL;
    if (!fault_set_is_empty(faults)) {
        n->faults = mem_calloc(1, sizeof(*n->faults));
        *n->faults = *faults;
        char text[TEXT_SIZE];
        fault_set_describe(faults, text, sizeof(text));
        log_warn("faults are set: %s", text);
    } else if (were_set) {
        log_warn("faults are cleared");
    }
    peers_set_faults(n->peers, faults);
    node_write_log_hurry(n);
}

void node_faults_get(const struct node *n, struct fault_set *faults)
{
    *faults = n->faults != NULL ? *n->faults : (struct fault_set){0};
}
