"""A minute of chaos: real faults on wires, processes and disks, with the history of concurrent
clients checked for linearizability. `make chaos` is the long one."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import campaign  # noqa: E402
import chaos_cluster  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
import rolling  # noqa: E402

SEED = os.environ.get("CHAOS_SEED", "1")


def passes(outcome):
    is_good, table = outcome
    print("\n" + table)
    assert is_good, table


def test_row_f2_to_f5_faults_of_processes_and_wires_keep_the_history_linearizable():
    passes(campaign.run_faults(3, SEED, [
        faults.kill_leader, faults.bind(faults.stop_leader, seconds=3), faults.isolate_leader,
        faults.deafen_leader]))


def test_row_f9_to_f12_faults_of_disks_keep_the_history_linearizable():
    if chaos_cluster.find_shim(harness.BINARY) is None:
        pytest.skip("libdisk_shim.so is not built: ninja -C build")
    passes(campaign.run_faults(3, SEED, [
        faults.bind(faults.stall_disk_of_leader, seconds=2),
        faults.bind(faults.lose_power, who=faults.everybody),
        faults.bind(faults.lose_power, who=faults.the_leader, torn=True),
        faults.bind(faults.fail_disk, who=faults.the_leader, field="sync_errors")]))


def test_row_f17_a_rolling_restart_fails_no_write_that_is_retried():
    passes(rolling.run_restart(SEED))
