"""What is measured of one system in one round, row by row; each takes a fresh cluster.

A row is a function of (Cluster class, Options) to a dictionary of numbers, plus the figures that
the table shows of it. `target` must be reached, `aim` is what is hoped for. What does not grow with
the store or its clients is in burdens.py, who else there is beside etcd in rivals.py."""
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import namedtuple

import machine
from clusters import Conclave, Etcd, Trouble, wait
from figures import Figure
from idle_watches import Watch
from prober import longest_gap_ms, outage_ms
from written import Counted, reach_steady_state

KEY_BYTES = 16
VALUE_BYTES = 256
KEYS = 10000
FILLERS = (100, 10)  # connections, streams: what fills a log soonest
IDLE_WATCHES = 800  # within the usual limit of open files, here and there
TUNED = {Conclave: ["--heartbeat-ms", "15", "--election-timeout-ms", "150"],
         Etcd: ["--heartbeat-interval", "10", "--election-timeout", "100"]}

# alone: conclave without a pair; against: the other one of a pair, and how the two differ in words;
# on_demand: measured only when it is named; beside: about how many seconds a round takes beside its
# start and options.seconds, or a function of the options that says so: for the progress only.
Row = namedtuple("Row", "name measure figures rounds_max alone against differs on_demand beside",
                 defaults=(None, False, Etcd, "", False, 2))


class Options:
    """Of a run: how long, how much, where. `rates` are what open loops ask for."""

    def __init__(self, seconds, kills, million, generator, data, idle_seconds, steady_seconds,
                 many=1000, overwrite_seconds=1):
        self.seconds, self.kills, self.million = seconds, kills, million
        self.generator, self.data = generator, data
        self.idle_seconds, self.steady_seconds = idle_seconds, steady_seconds
        self.many, self.overwrite_seconds = many, overwrite_seconds
        self.maxima = {}  # {system's name: puts a second that it can do}

    def start(self, system, size=3, extra=()):
        return system(size, self.data, extra)


def generate(options, operation, endpoint, pids, *flags, seconds=None, keys=KEYS,
             value=VALUE_BYTES):
    """One run of the generator: what it prints as JSON."""
    command = [*options.generator, operation, "--endpoints", endpoint, "--seconds",
               str(seconds or options.seconds), "--warmup", "0", "--keys", str(keys),
               "--key-size", str(KEY_BYTES), "--value-size", str(value), "--pid",
               ",".join(map(str, pids)), "--json", "--quiet", *map(str, flags)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        said = (out.stderr or out.stdout).strip().split("\n")[0]
        raise Trouble(f"the generator ended with {out.returncode}: {said}")
    return json.loads(out.stdout)


def load(system, options, operation, *flags, protocol="grpc", payload=0):
    """The generator at the leader, after a second of the same that fills the store and warms up.
    Operations are the events of watches, else the requests. With `payload`, the bytes of one that
    are to reach the disk, what does is counted."""
    cluster = options.start(system)
    try:
        leader = cluster.leader()
        flags = ("--protocol", protocol, *flags)

        def ask(what, *how, seconds=1):
            return generate(options, what, cluster.url(leader), cluster.pids(), *how,
                            seconds=seconds)
        ask("range", "--prefill")
        told_of_disk = {}
        if payload:
            told_of_disk = reach_steady_state(
                cluster, lambda: ask("put", *conns(*FILLERS), seconds=2), payload)
        ask(operation, *flags)
        counted = Counted(cluster) if payload else None
        cpu = [machine.cpu_seconds(p) for p in cluster.pids()]
        around = machine.Surroundings(cluster.pids())
        told = ask(operation, *flags, seconds=options.seconds)
        around = around.end()
        operations = max(told.get("events") or told["requests"], 1)
        cpu = [(machine.cpu_seconds(p) - c) / operations * 1e6
               for p, c in zip(cluster.pids(), cpu)]
        if not cluster.leads(leader):
            raise Trouble("leadership changed during the round")
        latency = told.get("delivery_us") or told["latency_us"]
        result = {
            "per_second": told.get("events_per_second") or told["per_second"],
            "p50_us": latency["p50"], "p99_us": latency["p99"],
            "histogram": told.get("delivery_histogram") or told["latency_histogram"],
            "leader_cpu_us": cpu[leader],
            "follower_cpu_us": (sum(cpu) - cpu[leader]) / (len(cpu) - 1),
            "servers_cpu_us": sum(cpu),
            "generator_cpu_us": told["generator"]["cpu_us_per_operation"],
            "generator_share": told["generator"]["cpu_share"],
            "requests": told["requests"], "errors": told["errors"],
            "late_sends": told.get("late_sends"), "warnings": told.get("warnings", []),
            "surroundings": around}
        if payload:
            result.update(told_of_disk, **counted.end(operations * payload))
        return result
    finally:
        cluster.close()


def load_row(name, operation, flags, figures, alone=False, protocol="grpc", payload=0):
    def measure(system, options):
        return load(system, options, operation, *flags, protocol=protocol, payload=payload)
    return Row(name, measure, figures, None, alone, beside=25 if payload else 3)


def rate(target, aim):
    return Figure("per second", "per_second", higher=True, target=target, aim=aim, unit="/s")


def p99(target, aim):
    return Figure("p99", "histogram", target=target, aim=aim, of=0.99, unit="us")


def cpu(role, bound=None):
    return Figure(f"CPU, {role}", f"{role}_cpu_us", is_ratio=bound is None, target=bound,
                  unit="us")


def conns(connections, streams=1):
    return ("--connections", connections, "--streams", streams)


PAYLOAD = KEY_BYTES + VALUE_BYTES


def write_costs(target, log_target=None):
    def cost(label, key, target=None):
        return Figure(label, key, is_ratio=False, target=target, unit="x")
    return [cost("written per payload byte", "device_per_payload", target),
            cost("by the log", "log_per_payload", log_target),
            cost("by snapshots, in the long run", "snapshots_per_payload")]


GENERATOR = Figure("CPU, generator", "generator_cpu_us", is_ratio=False, unit="us")


def open_row(name, share, common=False):
    """At a share of each one's own maximum, or of the lower one's: 100 connections, 10 streams."""
    def measure(system, options):
        for s in (Conclave, Etcd) if common else (system,):
            if s.name not in options.maxima:
                found = load(s, options, "put", *conns(100, 10))
                options.maxima[s.name] = found["per_second"]
        most = min(options.maxima.values()) if common else options.maxima[system.name]
        asked = max(int(most * share), 1)
        result = load(system, options, "put", "--rate", asked, "--arrivals", "poisson",
                      *conns(100, 10))
        return dict(result, rate_asked=asked)
    return Row(name, measure, [Figure("asked per second", "rate_asked", is_ratio=False, unit="/s"),
                               Figure("p50", "histogram", of=0.5, unit="us"), p99(None, None),
                               rate(None, None)], beside=5)


# --- memory, starts -------------------------------------------------------------------------------

def memory_of_members(cluster):
    found = [machine.memory_kib(p) for p in cluster.pids()]
    return {name: max(m.get(name, 0) for m in found) / 1024 for name in found[0]}


def measure_idle(system, options):
    cluster = options.start(system)
    try:
        cluster.leader()
        time.sleep(2)
        before = [machine.cpu_seconds(p) for p in cluster.pids()]
        time.sleep(options.idle_seconds)
        used = [machine.cpu_seconds(p) - c for p, c in zip(cluster.pids(), before)]
        return dict(memory_of_members(cluster),
                    cpu_percent=max(used) / options.idle_seconds * 100)
    finally:
        cluster.close()


def measure_idle_watches(system, options):
    """What the leader keeps of a connection with one watch, KiB each."""
    cluster = options.start(system)
    watches = []
    try:
        leader = cluster.leader()
        watches.append(Watch(cluster.ports[leader], 0))  # the first takes more than the others
        time.sleep(2)
        before = machine.memory_kib(cluster.pid(leader))
        for number in range(IDLE_WATCHES):
            watches.append(Watch(cluster.ports[leader], number + 1))
        time.sleep(2)
        after = machine.memory_kib(cluster.pid(leader))
        return {name: (after[name] - before[name]) / IDLE_WATCHES for name in after}
    finally:
        for w in watches:
            w.close()
        cluster.close()


def fill(cluster, options, keys, value=VALUE_BYTES):
    leader = cluster.leader()
    generate(options, "range", cluster.url(leader), cluster.pids(), "--prefill", seconds=1,
             keys=keys, value=value)


def measure_million(system, options):
    """Memory with so many keys and no history, and how long a follower that was killed takes until
    it answers a read of its own again."""
    cluster = options.start(system)
    try:
        fill(cluster, options, options.million)
        cluster.compact()
        time.sleep(5)
        memory = memory_of_members(cluster)
        follower = (cluster.leader() + 1) % len(cluster.ports)
        cluster.kill(follower)
        cluster.start(follower)
        took = wait(lambda: cluster.has(follower, "bench-leader"), "it answers again", 120, 0.002)
        return dict(memory, restart_seconds=took, restarted=memory_of_members(cluster),
                    keys=options.million)
    finally:
        cluster.close()


def cold_start(size):
    def measure(system, options):
        times = []
        for _ in range(3):
            begun = time.monotonic()
            cluster = options.start(system, size)
            try:
                wait(lambda: cluster.put(0, "first", "1", timeout=1), "a first write", 30, 0.001)
                times.append((time.monotonic() - begun) * 1000)
            finally:
                cluster.close()
        return {"times_ms": times}
    return measure


def measure_size(system, options):
    """Of the program as it would be packaged."""
    path = subprocess.run(["which", system.binary], capture_output=True, text=True,
                          check=True).stdout.strip()
    stripped = os.path.join(options.data, f"stripped-{os.getpid()}")
    subprocess.run(["strip", "-o", stripped, path], check=True)
    size = os.path.getsize(stripped)
    os.unlink(stripped)
    return {"megabytes": size / 1e6}


# --- failures -------------------------------------------------------------------------------------

def failures(kill_signal, tuned=False):
    def measure(system, options):
        cluster = options.start(system, 3, TUNED[system] if tuned else ())
        times = []
        try:
            for _ in range(options.kills):
                victim = cluster.leader()
                others = [p for i, p in enumerate(cluster.ports) if i != victim]
                times.append(outage_ms(others, lambda: os.kill(cluster.pid(victim), kill_signal)))
                if kill_signal == signal.SIGKILL:
                    cluster.processes[victim].wait()
                    cluster.start(victim)
                else:
                    os.kill(cluster.pid(victim), signal.SIGCONT)
                wait(lambda: cluster.has(victim, "bench-leader"), "it is back", 60)
                time.sleep(0.5)
            return {"times_ms": times}
        finally:
            cluster.close()
    return measure


def measure_hand_over(system, options):
    cluster = options.start(system)
    times = []
    try:
        for _ in range(options.kills):
            leader = cluster.leader()
            asks = threading.Thread(target=cluster.hand_over,
                                    args=(leader, (leader + 1) % len(cluster.ports)))
            times.append(longest_gap_ms(cluster.ports, asks.start))
            asks.join()
        return {"times_ms": times}
    finally:
        cluster.close()


def measure_steady(system, options):
    """Full load with the shortest timeouts: elections that nobody asked for."""
    cluster = options.start(system, 3, TUNED[system])
    try:
        leader = cluster.leader()
        before = cluster.term(leader)
        told = generate(options, "put", cluster.url(leader), cluster.pids(), *conns(64),
                        seconds=options.steady_seconds)
        return {"elections": cluster.term(leader) - before, "errors": told["errors"],
                "per_second": told["per_second"], "seconds": options.steady_seconds}
    finally:
        cluster.close()


# --- durability -----------------------------------------------------------------------------------

SYNC_CALLS = "fsync,fdatasync,pwritev2,sync_file_range,msync,io_uring_enter"


def count_syncs(report):
    """Calls of a table of `strace -c` that make data durable."""
    return sum(int(m.group(1)) for m in
               re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?"
                           r"(?:fsync|fdatasync|pwritev2)$", report, re.MULTILINE))


def measure_syncs(system, options):
    """Puts one after the other, so that each is a batch of its own, with every call traced."""
    cluster = options.start(system)
    tracers = []
    try:
        leader = cluster.leader()
        reports = [f"{cluster.dir}/syncs-{i}" for i in range(len(cluster.ports))]
        for pid, report in zip(cluster.pids(), reports):
            tracers.append(subprocess.Popen(
                ["strace", "-f", "-c", "-e", f"trace={SYNC_CALLS}", "-o", report, "-p", str(pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        time.sleep(1)
        failed = [t for t in tracers if t.poll() is not None]
        if failed:
            raise Trouble(f"strace may not look: {failed[0].stderr.read().strip()}")
        told = generate(options, "put", cluster.url(leader), cluster.pids(), *conns(1))
        for t in tracers:
            t.send_signal(signal.SIGINT)
            t.wait()
        counts = []
        for report in reports:
            with open(report, encoding="utf-8") as f:
                counts.append(count_syncs(f.read()) / told["requests"])
        return {"syncs_leader": counts[leader], "syncs_majority": sorted(counts)[-2],
                "syncs": counts, "requests": told["requests"]}
    except FileNotFoundError as e:
        raise Trouble("there is no strace; ./setup --bench installs it") from e
    finally:
        for t in tracers:
            if t.poll() is None:
                t.kill()
                t.wait()
        cluster.close()


# --- the table ------------------------------------------------------------------------------------

def times(label, target, aim, of=0.5):
    return Figure(label, "times_ms", is_ratio=False, target=target, aim=aim, of=of, unit="ms")


def memory(label, key, target=None, aim=None, is_ratio=False):
    return Figure(label, key, is_ratio=is_ratio, target=target, aim=aim, unit="MiB")


def syncs(label, key, target=None):
    return Figure(label, key, is_ratio=False, higher=True, target=target, unit="x")


ROWS = [
    load_row("put@1", "put", conns(1), [rate(2.5, 3), p99(0.5, 0.35), *write_costs(16)],
             payload=PAYLOAD),
    load_row("put@64", "put", conns(64),
             [rate(4.5, 6), p99(0.3, 0.15), cpu("leader", 12), cpu("follower", 3), GENERATOR,
              *write_costs(1.5)], payload=PAYLOAD),
    load_row("put@1000", "put", conns(100, 10),
             [rate(3, 3.5), p99(0.35, 0.2), cpu("leader", 12), cpu("follower", 3), GENERATOR,
              *write_costs(1.2, 1.2)], payload=PAYLOAD),
    load_row("put@1000c", "put", conns(1000), [rate(5, 7), p99(None, None)]),
    load_row("range@64", "range", conns(64), [rate(3, 4), p99(0.4, None), cpu("leader", 8)]),
    load_row("serializable@64", "serializable", conns(64), [rate(2.2, 3.5), p99(0.4, None)]),
    load_row("txn@64", "txn", conns(64), [rate(None, None), p99(None, None), cpu("leader")]),
    load_row("watch", "watch", (*conns(100, 10), "--watchers", 1000),
             [Figure("CPU, servers, an event", "servers_cpu_us", target=0.4, aim=0.25, unit="us"),
              Figure("p99 of delivery", "histogram", target=0.5, of=0.99, unit="us"),
              rate(None, None)]),
    load_row("keepalive@64", "keepalive", (*conns(64), "--leases", 1000),
             [rate(3, 4), cpu("leader", 8)]),
    load_row("http-get@64", "range", conns(64),
             [Figure("per second", "per_second", is_ratio=False, higher=True, target=100000,
                     aim=150000, unit="/s"), cpu("leader", 5)], alone=True, protocol="http"),
    open_row("open-50", 0.5),
    open_row("open-75", 0.75),
    open_row("open-90", 0.9),
    open_row("open-common", 0.5, common=True),
    Row("idle", measure_idle,
        [memory("private memory", "RssAnon", 4, 4), memory("resident", "VmRSS"),
         Figure("CPU, % of a core", "cpu_percent", is_ratio=False, target=0.1, unit="%")], 1,
        beside=lambda o: o.idle_seconds),
    Row("idle-watch", measure_idle_watches,
        [Figure("memory of one", "RssAnon", is_ratio=False, target=20, aim=6, unit="KiB")], 3),
    Row("million", measure_million,
        [memory("memory to etcd's", "VmRSS", 0.37, is_ratio=True),
         memory("memory", "VmRSS", 400 * 1e6 / 2**20, 340), memory("proportional", "Pss"),
         Figure("restart", "restart_seconds", is_ratio=False, target=1.1, aim=1.1, unit="s")], 3,
        beside=lambda o: 5 + o.million / 30000),
    Row("cold@1", cold_start(1), [times("first write", 20, 10)], 3),
    Row("cold@3", cold_start(3), [times("first write", 200, 100)], 3),
    Row("failover-kill", failures(signal.SIGKILL),
        [times("median", 30, 10), times("p99", 150, 50, 0.99)], 1, beside=lambda o: 1.5 * o.kills),
    Row("failover-kill-tuned", failures(signal.SIGKILL, tuned=True),
        [times("median", 30, 10), times("p99", 150, 50, 0.99)], 1, beside=lambda o: 1.5 * o.kills),
    Row("failover-stop-tuned", failures(signal.SIGSTOP, tuned=True),
        [times("median", 350, 350), times("p99", None, None, 0.99)], 1,
        beside=lambda o: 1.5 * o.kills),
    Row("steady-tuned", measure_steady,
        [Figure("elections", "elections", is_ratio=False, target=0, unit="x"),
         Figure("writes that failed", "errors", is_ratio=False, target=0, unit="x")], 1,
        beside=lambda o: o.steady_seconds),
    Row("hand-over", measure_hand_over, [times("median", 10, 10)], 1,
        beside=lambda o: 1.5 * o.kills),
    Row("syncs@1", measure_syncs,
        [syncs("of the majority, a put", "syncs_majority", 1),
         syncs("of the leader, a put", "syncs_leader")], 1),
    Row("size", measure_size,
        [Figure("stripped", "megabytes", is_ratio=False, target=1.5, aim=0.8, unit="MB")], 1),
]
