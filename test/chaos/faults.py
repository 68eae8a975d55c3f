"""The faults of the campaign: each puts one on, looks at what it does to clients, and takes it off.
The letters are those of the table in docs/TESTING.md. Standard library only."""
import functools
import random
import threading
import time

import chaos_cluster
from disk_faults import ALWAYS

E = chaos_cluster.ELECTION_TIMEOUT_S
# How long members have to do what they must without being told.
NOTICE_S = 15.0
SMALL_ROOM = 256 * 1024
FILL_VALUE = "x" * 100000


def pick_follower(run):
    leader = run.cluster.wait_leader()
    return random.Random(f"{run.seed} {len(run.windows)}").choice(run.cluster.followers(leader))


def has_majority_without(run, victims):
    return len(victims) <= (len(run.cluster.members) - 1) // 2


def term_of(member):
    return (member.status() or {}).get("term")


def expect_same_leader(run, window, leader, term):
    """Nobody had a reason to campaign. A machine that stood still for most of an election timeout
    is a reason."""
    now = run.cluster.wait_leader(timeout=30)
    stall = run.observer.longest_stall(window.began)
    if stall > E / 2:
        window.notes.append(f"this machine stood still for {stall * 1000:.0f} ms")
        return
    run.expect(now is leader and term_of(now) == term,
               f"{leader.name} led term {term}, now {now.name} leads {term_of(now)}")


def expect_nothing_served_by(run, window, member):
    """Who is cut off answers no write and no linearizable read, whatever it believes."""
    served = [op for op in run.workload.history.snapshot()
              if op.member == member.name and op.began >= window.began and
              op.outcome in ("done", "absent", "conflict")]
    run.expect(not served, f"{member.name} was cut off and served {served[:1]}")


# --- processes: F1, F2, F3 ----------------------------------------------------------------------


def kill_follower(run):
    """F1: nobody notices."""
    leader = run.cluster.wait_leader()
    term, victim = term_of(leader), pick_follower(run)
    victim.kill()
    with run.window("F1 kill -9 of a follower", 1.0) as window:
        victim.start()
        expect_same_leader(run, window, leader, term)


def kill_leader(run):
    """F2: another leads, and what was acknowledged is there."""
    leader = run.cluster.wait_leader()
    leader.kill()
    with run.window("F2 kill -9 of the leader", 1.0):
        pass


def stop_leader(run, seconds):
    """F3: who wakes up as a leader of the past serves nothing of it."""
    leader = run.cluster.wait_leader()
    leader.freeze()
    try:
        # Shorter than an election timeout nobody replaces it: progress comes with its return.
        if seconds < E:
            time.sleep(seconds)
            leader.thaw()
            with run.window(f"F3 the leader stopped for {seconds:g} s", 0.5):
                return
        with run.window(f"F3 the leader stopped for {seconds:g} s", seconds):
            leader.thaw()
    finally:
        leader.thaw()


# --- wires: F4, F5, F7 --------------------------------------------------------------------------


def isolate_leader(run):
    """F4: the majority elects; the old leader gives up and serves nothing."""
    leader = run.cluster.wait_leader()
    run.cluster.network.isolate(leader.name)
    with run.window("F4 the leader isolated", 3.0) as window:
        expect_nothing_served_by(run, window, leader)
        run.expect((leader.status() or {}).get("role") != "leader",
                   f"{leader.name} still thinks that it leads")


def mute_leader(run):
    """F5: as if it were dead."""
    leader = run.cluster.wait_leader()
    run.cluster.network.mute(leader.name)
    with run.window("F5 the leader mute", 3.0) as window:
        expect_nothing_served_by(run, window, leader)


def deafen_leader(run):
    """F5: it hears no acknowledgement, gives up (check-quorum), and another leads."""
    leader = run.cluster.wait_leader()
    run.cluster.network.deafen(leader.name)
    with run.window("F5 the leader deaf", 3.0) as window:
        expect_nothing_served_by(run, window, leader)
        run.expect((leader.status() or {}).get("role") != "leader",
                   f"{leader.name} still thinks that it leads")


def deafen_follower(run):
    """F5: it campaigns in vain, and disturbs nobody: pre-vote raises no term."""
    leader = run.cluster.wait_leader()
    term, victim = term_of(leader), pick_follower(run)
    run.cluster.network.deafen(victim.name)
    with run.window("F5 a follower deaf", 3.0) as window:
        expect_same_leader_among_others(run, window, leader, term, victim)
        run.cluster.network.heal()
        expect_same_leader(run, window, leader, term)


def expect_same_leader_among_others(run, window, leader, term, victim):
    if run.observer.longest_stall(window.began) <= E / 2:
        now = run.cluster.leader_now(among=run.cluster.others(victim))
        run.expect(now in (leader, None) and term_of(leader) == term,
                   f"{victim.name} was deaf, and the term went from {term} to {term_of(leader)}")
        run.expect(term_of(victim) == term,
                   f"{victim.name} raised its own term from {term} to {term_of(victim)}")


def delay_everything(run):
    """F7: slow, and nothing else."""
    leader = run.cluster.wait_leader()
    term = term_of(leader)
    run.cluster.network.rule_all(delay_s=0.05)
    with run.window("F7 50 ms on every wire", 2.0) as window:
        expect_same_leader(run, window, leader, term)


def reset_leader(run):
    """F7: links end in the middle of frames, again and again; whoever is still there is told so."""
    leader = run.cluster.wait_leader()
    with run.window("F7 the leader's links reset ten times", 0.0) as window:
        for _ in range(10):
            run.cluster.network.cut(leader.name)
            time.sleep(0.1)
        run.wait_progress(time.monotonic())
        window.notes.append(f"{run.cluster.wait_leader(timeout=30).name} leads after")


def half_close_leader(run):
    """F7: the leader's links end in one direction only."""
    leader = run.cluster.wait_leader()
    run.cluster.network.half_close(leader.name)
    with run.window("F7 the leader's links half closed", 1.0):
        pass


def drip_leader(run):
    """F7: 200 kB/s from the leader to each."""
    leader = run.cluster.wait_leader()
    for other in run.cluster.others(leader):
        run.cluster.network.rule(leader.name, other.name, bytes_per_second=200000)
    with run.window("F7 the leader's words at 200 kB/s", 2.0):
        pass


# --- disks: F9, F10, F11, F12 -------------------------------------------------------------------


def stall_disk_of_leader(run, seconds):
    """F9: a leader that cannot sync hands over; the cluster goes on while its disk hangs."""
    leader = run.cluster.wait_leader()
    leader.disk.set("stall_sync", 1)
    with run.window(f"F9 the leader's disk hangs for {seconds:g} s", seconds):
        run.expect((leader.status() or {}).get("role") != "leader",
                   f"{leader.name} leads on with a disk that hangs")


def stall_disk_of_follower(run, seconds):
    """F9: its acknowledgements are missing, and nothing else."""
    leader = run.cluster.wait_leader()
    term, victim = term_of(leader), pick_follower(run)
    victim.disk.set("stall_sync", 1)
    with run.window(f"F9 a follower's disk hangs for {seconds:g} s", seconds) as window:
        victim.disk.heal()
        expect_same_leader(run, window, leader, term)


def lose_power(run, who, torn=False):
    """F10: kill -9, and what was not synced never was. `who` picks the members."""
    victims = who(run)
    seed = f"{run.seed} {len(run.windows)}" if torn else None
    for v in victims:
        v.signal(9)
    at_risk = [v.lose_power(seed) for v in victims]
    name = f"F10 power loss of {len(victims)}" + (", torn" if torn else "")
    with run.window(name, 0.5, has_majority_without(run, victims)) as window:
        window.notes.append(f"unsynced changes undone: {at_risk}")
    restart(run, victims)


def lose_power_after_restart(run):
    """F10: a kill leaves bytes in the page cache that nobody synced; the next process reads them,
    and a power loss takes them back if it did not sync them itself."""
    victim = run.cluster.wait_leader()
    victim.kill()
    victim.start()
    time.sleep(0.2)
    victim.signal(9)
    undone = victim.lose_power()
    with run.window("F10 power loss right after a restart", 0.5,
                    has_majority_without(run, [victim])) as window:
        window.notes.append(f"unsynced changes undone: {undone}")
    restart(run, [victim])


def restart(run, victims):
    """All that was lost for a moment must start without a word about damage."""
    for v in victims:
        v.start(wait=False)
    for v in victims:
        v.wait_answers(timeout=20)


def the_leader(run):
    return [run.cluster.wait_leader()]


def a_follower(run):
    return [pick_follower(run)]


def a_majority(run):
    leader = run.cluster.wait_leader()
    return [leader] + run.cluster.others(leader)[:len(run.cluster.members) // 2]


def everybody(run):
    return list(run.cluster.members)


def write_until(run, is_done):
    """Fill disks with values that nobody checks, until `is_done()` or for NOTICE_S: whether it was
    done."""
    stop = threading.Event()

    def fill():
        n = 0
        while not stop.is_set():
            for m in run.cluster.running():
                n += 1
                try:
                    m.put(f"filling/{n % 8}", FILL_VALUE, timeout=2)
                except Exception:  # noqa: B902 - a member that ends is the point
                    time.sleep(0.01)
    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    deadline = time.monotonic() + NOTICE_S
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(30)
    return is_done()


def fill_disk(run, who):
    """F11: a full disk loses nothing that was acknowledged, and is over when there is room again.
    A member may stop with 1, or stay and refuse writes; after room is made it is started if it
    stopped."""
    victims = who(run)
    before = {v.name: v.disk.get("faults") for v in victims}
    for v in victims:
        v.disk.set("free_bytes", SMALL_ROOM)
    # Once a majority of all is full, nothing grows any more.
    enough = min(len(victims), len(run.cluster.members) // 2 + 1)

    def is_full():
        full = [v for v in victims if v.disk.get("faults") > before[v.name] or not v.is_running()]
        return len(full) >= enough
    was_full = write_until(run, is_full)
    with run.window(f"F11 the disks of {len(victims)} full", 2.0,
                    has_majority_without(run, victims)) as window:
        for v in victims:
            code = None if v.is_running() else v.process.returncode
            window.notes.append(f"{v.name} " + ("runs on" if code is None else f"exited {code}"))
            if not was_full:
                window.notes.append(f"{v.disk.get('free_bytes')} bytes that it does not take")
            run.expect(code in (None, 1), f"{v.name} ended with {code}")
            v.disk.heal()
    restart(run, [v for v in victims if not v.is_running()])


def fail_disk(run, who, field):
    """F12: a failed sync or write stops the member (exit 1). What its disk held of it afterwards is
    only what was synced before; it starts from that and loses nothing acknowledged."""
    victim = who(run)[0]
    victim.disk.set(field, 1)
    with run.window(f"F12 {field.replace('_', ' ')} at {victim.name}", 0.5,
                    has_majority_without(run, [victim])) as window:
        code = victim.wait_exit(timeout=NOTICE_S)
        run.expect(code == 1, f"{victim.name} ended with {code}")
        window.notes.append(f"unsynced changes undone: {victim.lose_power()}")
    victim.disk.heal()
    restart(run, [victim])


def fail_reads_at_start(run):
    """F12: a disk that cannot be read: the member says so and stops, and never starts empty."""
    victim = pick_follower(run)
    victim.kill()
    victim.disk.set("read_errors", ALWAYS)
    with run.window(f"F12 read errors at {victim.name}", 0.0):
        victim.start(wait=False)
        code = victim.wait_exit(timeout=NOTICE_S)
        run.expect(code == 1, f"{victim.name} ended with {code}")
        run.expect("error" in victim.log_tail(5).lower(), f"{victim.name} does not say why")
    victim.disk.heal()
    restart(run, [victim])


def bind(function, *arguments, **options):
    return functools.partial(function, *arguments, **options)


WITHOUT_SHIM = [
    kill_follower, kill_leader,
    bind(stop_leader, seconds=E / 2), bind(stop_leader, seconds=3 * E),
    isolate_leader, mute_leader, deafen_leader, deafen_follower,
    delay_everything, reset_leader, half_close_leader, drip_leader,
]
WITH_SHIM = [
    bind(stall_disk_of_leader, seconds=5), bind(stall_disk_of_follower, seconds=5),
    bind(lose_power, who=the_leader), bind(lose_power, who=a_follower),
    bind(lose_power, who=a_majority), bind(lose_power, who=everybody),
    bind(lose_power, who=everybody, torn=True), lose_power_after_restart,
    bind(fill_disk, who=the_leader), bind(fill_disk, who=everybody),
    *(bind(fail_disk, who=who, field=field)
      for who in (the_leader, a_follower) for field in ("sync_errors", "write_errors")),
    fail_reads_at_start,
]
# For a cluster of one: nobody else has what it lost.
ALONE = [
    bind(lose_power, who=everybody), bind(lose_power, who=everybody, torn=True),
    lose_power_after_restart, bind(fill_disk, who=everybody),
    bind(fail_disk, who=the_leader, field="sync_errors"),
    bind(fail_disk, who=the_leader, field="write_errors"),
]
LONG_STOP = bind(stop_leader, seconds=30)
EVERY_FAULT = WITHOUT_SHIM + WITH_SHIM + [LONG_STOP]
