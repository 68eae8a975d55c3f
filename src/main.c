/* main.c - the table of verbs. */
#include "cmd/verbs.h"

int main(int argc, char **argv)
{
    const struct verb verbs[] = {
        verb_server,  verb_cluster, verb_put,    verb_get,      verb_del,     verb_ls,
        verb_log,     verb_watch,   verb_lock,   verb_elect,    verb_status,  verb_shell,
        verb_monitor, verb_members, verb_member, verb_snapshot, verb_cert,    verb_step_down,
        verb_verify,  verb_chaos,   verb_bench,  verb_health,   verb_version,
    };
    const struct verb root = {
        .name = "conclave",
        .summary = "a replicated key-value store with leader election",
        .examples =
            "  conclave cluster run                 # three members, here, in the foreground\n"
            "  conclave put name Alice\n"
            "  conclave get name\n",
        .children = verbs,
        .child_count = sizeof(verbs) / sizeof(verbs[0]),
    };
    return verb_main(&root, argc, argv);
}
