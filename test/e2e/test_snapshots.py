"""Snapshots, a log that stays bounded, and backups: rules S0 to S8 with real processes."""
import json
import os
import re
import shutil
import threading

import pytest

import harness
from growing import join, verb
from harness import FAST, Client, Member, conclave, dump, free_port, in_threads, wait_for

KIB = 1024
SMALL = [*FAST, "--snapshot-bytes", "64KiB"]
REVISION_STEP = 1_000_000_000


def overwrite(member, rounds, keys=8, size=2 * KIB):
    """Put each of a few keys again and again; what they are in the end."""
    client = Client(member.port)
    last = {}
    try:
        for i in range(rounds):
            for k in range(keys):
                value = f"{i}-{k}-" + "x" * size
                answer = client.request("PUT", f"/key/over-{k}", json.dumps(value))
                assert answer.status == 200, answer
                last[f"over-{k}"] = value
    finally:
        client.close()
    return last


def snapshots(member):
    return sorted(n for n in os.listdir(member.data) if n.endswith(".snap"))


def segments(member):
    """Of the log; not those that wait to be used again."""
    return sorted(n for n in os.listdir(member.data) if re.fullmatch(r"\d+\.log", n))


def values(member):
    return {k: v for k, (v, _) in dump(member, "").items()}


@pytest.fixture
def small(make_cluster):
    return make_cluster(3, arguments=SMALL)


def test_rule_s0_the_log_stays_bounded_under_overwrites(small):
    """Segments are 1 MiB, 2 MiB ...: what was written here fills two, and the first must go."""
    leader = small.wait_leader()
    last = overwrite(leader, 240)  # 4 MB of eight keys
    small.wait_same()
    for m in small:
        wait_for(lambda m=m: len(segments(m)) <= 2 and "00000001.log" not in segments(m),
                 f"the log of {m.name} is cut")
        wait_for(lambda m=m: len(snapshots(m)) <= 2, f"old snapshots of {m.name} go")
        assert values(m) == last


def test_a_member_restarts_from_its_snapshot(small):
    leader = small.wait_leader()
    last = overwrite(leader, 40)
    for m in small:
        wait_for(lambda m=m: snapshots(m), f"{m.name} has a snapshot")
    small.wait_same()
    for m in small:
        m.kill()
    for m in small:
        m.start(wait=False)
    dump(small.wait_leader(), consistency="linearizable")  # its first entry is committed
    small.wait_same()
    for m in small:
        recovered = re.findall(r"recovered .* snapshot=(\d+)", m.log())
        assert recovered and int(recovered[-1]) > 0, m.log_tail()
        assert values(m) == last


def test_a_member_that_was_down_for_long_comes_back_by_snapshot(small):
    leader = small.wait_leader()
    away = small.followers(leader)[0]
    away.kill()
    last = overwrite(leader, 120)
    wait_for(lambda: "snapshot taken" in leader.log(), "the leader has a snapshot")
    away.start()
    small.wait_same(timeout=30)
    away.wait_log(r"snapshot taken in index=\d+")
    assert values(away) == last
    small.put("afterwards", 1)
    small.wait_same()


def test_a_newcomer_joins_by_snapshot(small):
    last = overwrite(small.wait_leader(), 60)
    wait_for(lambda: "snapshot taken" in small.wait_leader().log(), "the leader has a snapshot")
    late = join(small, "node-4", arguments=SMALL)
    small.wait_same()
    assert values(late) == last


# --- backups --------------------------------------------------------------------------------------


def restore(backup, directory, *arguments):
    return conclave("snapshot", "restore", backup, "--data", directory, *arguments)


def start_restored(cluster, name, data, port):
    """The member that a restored directory is."""
    member = cluster.add(Member(name, port, cluster.directory, [
        "--name", name, "--listen", f"127.0.0.1:{port}", "--data", data,
        "--cluster-secret-file", os.path.join(cluster.directory, "secret"), *FAST]))
    return member.start()


def test_a_backup_becomes_a_new_cluster_with_a_raised_revision(make_cluster):
    old = make_cluster(3)
    leader = old.wait_leader()
    for i in range(50):
        old.put(f"kept-{i}", {"n": i, "text": "\u00e9" * 40})
    leader.delete("kept-0")
    backup = os.path.join(old.directory, "monday.snap")
    saved = verb(old, "snapshot", "save", backup, "-o", "json")
    assert saved.returncode == 0, saved.stderr
    told = json.loads(saved.stdout)
    assert not os.path.exists(backup + ".tmp")
    old.put("too-late", 1)
    before = dump(leader, "kept-")
    identity = leader.status()["clusterId"]
    assert told["clusterId"] == identity
    new = make_cluster(1, start=False)
    new.members.clear()
    data = os.path.join(new.directory, "restored")
    port = free_port()
    done = restore(backup, data, "--name", "first", "--advertise", f"http://127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    assert "restored 49 keys" in done.stdout
    first = start_restored(new, "first", data, port)
    new.wait_leader()
    assert dump(first, "kept-") == before  # values, and the revisions of their last changes
    assert first.read("too-late").status == 404
    status = first.status()
    assert status["clusterId"] != identity
    assert status["revision"] == told["revision"] + REVISION_STEP
    assert first.read("kept-1", f"?revision={told['revision']}").status == 410
    token = leader.read("kept-1").headers["Conclave-Session"]
    assert first.read("kept-1", f"?consistency=session&token={token}").status == 409
    # Others join it, and it bears a loss.
    join(new, "second")
    join(new, "third")
    assert new.put("goes-on", 1)["revision"] > status["revision"]
    first.kill()
    new.wait_leader(new.running())
    new.put("goes-on", 2)
    assert dump(new.running()[0], "kept-") == before


def test_a_backup_goes_through_a_pipe_and_while_clients_write(small):
    overwrite(small.wait_leader(), 20)
    backup = os.path.join(small.directory, "piped.snap")
    ends = threading.Event()

    def write():
        while not ends.is_set():
            overwrite(small.wait_leader(), 1)

    def save():
        try:
            with open(backup, "wb") as out:
                done = harness.subprocess.run(
                    [harness.BINARY, "snapshot", "save", "-", "--endpoints", small[0].url],
                    stdout=out, stderr=harness.subprocess.PIPE, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
        finally:
            ends.set()
    in_threads([write, save])
    done = restore(backup, os.path.join(small.directory, "r"))
    assert done.returncode == 0 and "restored 8 keys" in done.stdout, done


def test_a_backup_that_is_damaged_or_in_the_way_is_refused(single):
    for i in range(20):
        assert single.put(f"d-{i}", "x" * 500).status == 200
    backup = os.path.join(single.directory, "b.snap")
    assert conclave("snapshot", "save", backup, "--endpoints", single.url).returncode == 0
    good = open(backup, "rb").read()
    data = os.path.join(single.directory, "target")
    for at in (0, len(good) // 3, len(good) // 2, len(good) - 1):
        with open(backup, "wb") as f:
            f.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        refused = restore(backup, data)
        assert refused.returncode in (1, 2) and refused.stderr, (at, refused)
        assert refused.stdout == ""
    with open(backup, "wb") as f:
        f.write(good[:-7])
    assert restore(backup, data).returncode == 1
    with open(backup, "wb") as f:
        f.write(good)
    assert restore(backup, single.data).returncode == 2  # in use
    assert restore(backup, data).returncode == 0  # what was refused before left nothing
    again = restore(backup, data)
    assert again.returncode == 2 and "not empty" in again.stderr
    assert restore(backup + ".none", data + "2").returncode == 2


def test_a_save_that_cannot_finish_leaves_the_older_backup_alone(single):
    single.put("s", 1)
    backup = os.path.join(single.directory, "old.snap")
    assert conclave("snapshot", "save", backup, "--endpoints", single.url).returncode == 0
    good = open(backup, "rb").read()
    nobody = f"http://127.0.0.1:{free_port()}"
    assert conclave("snapshot", "save", backup, "--endpoints", nobody).returncode == 8
    assert open(backup, "rb").read() == good
    assert [n for n in os.listdir(single.directory) if n.startswith("old.snap")] == ["old.snap"]
    missing = os.path.join(single.directory, "no", "such", "b.snap")
    assert conclave("snapshot", "save", missing, "--endpoints", single.url).returncode == 2


def test_a_restoring_that_was_broken_off_never_starts(single, tmp_path):
    single.put("b", 1)
    backup = os.path.join(single.directory, "c.snap")
    assert conclave("snapshot", "save", backup, "--endpoints", single.url).returncode == 0
    whole = str(tmp_path / "whole")
    assert restore(backup, whole).returncode == 0
    for name in os.listdir(whole):
        if name in ("LOCK", "identity"):
            continue
        part = str(tmp_path / "part")
        shutil.copytree(whole, part)
        os.remove(os.path.join(part, name))
        done = conclave("server", "--data", part, "--listen", f"127.0.0.1:{free_port()}",
                        timeout=10)
        assert done.returncode in (1, 2), (name, done)
        shutil.rmtree(part)
