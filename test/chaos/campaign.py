#!/usr/bin/env python3
"""`make chaos`: every fault, in an order of chance, on clusters of three and of five under load,
and those of disks on a lone member.

    CHAOS_ROUNDS=2 CHAOS_SEED=42 python3 test/chaos/campaign.py [WORD ...]

With words, only faults whose names have one of them. A round is a cluster of three, one of five and
one of one; its timeline is printed, and with KEEP=1 (or when something is wrong) kept with the
history and the members' logs. Standard library only.
"""
import os
import random
import sys
import time

import chaos_cluster
import faults
import rolling
from timeline import Run

BREATH_S = 0.3


def name_of(fault):
    function = getattr(fault, "func", fault)
    options = [*getattr(fault, "args", ()), *getattr(fault, "keywords", {}).values()]
    return " ".join([function.__name__, *(getattr(o, "__name__", str(o)) for o in options)])


def run_faults(count, seed, chosen):
    """One cluster through all of `chosen`; (is good, the timeline)."""
    with chaos_cluster.ChaosCluster(count) as cluster:
        run = Run(cluster, seed)

        def story():
            run.start()
            for fault in chosen:
                time.sleep(BREATH_S)  # so that there is something to lose
                fault(run)
                run.settle()
        return run.tell(story)


def main():
    rounds = int(os.environ.get("CHAOS_ROUNDS", "1"))
    seed = int(os.environ.get("CHAOS_SEED", str(int(time.time()))))
    has_shim = chaos_cluster.find_shim(chaos_cluster.harness.BINARY) is not None
    possible = faults.EVERY_FAULT if has_shim else faults.WITHOUT_SHIM + [faults.LONG_STOP]
    alone = faults.ALONE if has_shim else []
    if not has_shim:
        print("chaos: libdisk_shim.so is not built, the disk faults are left out")
    words = sys.argv[1:]
    good = bad = 0
    for number in range(rounds):
        for count, those in ((3, possible), (5, possible), (1, alone)):
            chosen = [f for f in those if not words or any(word in name_of(f) for word in words)]
            if not chosen:
                continue
            this = f"{seed}.{number}.{count}"
            order = random.Random(this).sample(chosen, len(chosen))
            is_good, table = run_faults(count, this, order)
            print(table, flush=True)
            good, bad = good + is_good, bad + (not is_good)
    if not words or "rolling" in words:
        for is_good, table in rolling.run_all(seed):
            print(table, flush=True)
            good, bad = good + is_good, bad + (not is_good)
    print(f"{good} runs good, {bad} bad; again with CHAOS_SEED={seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
