"""Rows of what should cost nothing: the latency of one client with many idle ones beside it and
while snapshots are taken, and the rate and the memory of a store that is large or old."""
import resource
import threading
import time
from contextlib import contextmanager

import machine
from clusters import Trouble
from figures import Figure
from idle_watches import Idle, Watch
from rows import Row, conns, fill, generate
from written import settle

IDLE_CLIENTS = 10000
WATCHES_PER_CONNECTION = 100
FILES_BESIDE = 200
SMALL_VALUE = 16
FEW_KEYS = 10000
# Of all members of a cluster together, with room: what a small key takes, and what it may.
BYTES_PER_SMALL_KEY = 3 * 450
MEMORY_SHARE = 0.7
SAMPLES = 120


# --- one client beside many -----------------------------------------------------------------------

def allow_files(count):
    """So many open ones, here; servers see to their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and hard < count:
        raise Trouble(f"a process may have {hard} open files here; this takes {count}: ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def idle_clients(make):
    """Those that make(port) yields."""
    @contextmanager
    def burden(cluster, leader, _):
        allow_files(IDLE_CLIENTS + FILES_BESIDE)
        clients = []
        try:
            for client in make(cluster.ports[leader]):
                clients.append(client)
            yield
        finally:
            for client in clients:
                client.close()
    return burden


def connections(port):
    return (Idle(port) for _ in range(IDLE_CLIENTS))


def watches(port):
    return (Watch(port, first, WATCHES_PER_CONNECTION)
            for first in range(0, IDLE_CLIENTS, WATCHES_PER_CONNECTION))


@contextmanager
def snapshots(cluster, leader, told):
    """One after another, of a store with options.million keys."""
    done = threading.Event()
    taken = told.setdefault("snapshots", [])

    def take():
        while not done.is_set():
            taken.append(cluster.snapshot(leader))
    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if not all(taken):
        raise Trouble("a snapshot was refused")


def burden_row(name, burden, keys=None, alone=False):
    """Puts of one client without the burden, then with it, on the same cluster."""
    def measure(system, options):
        cluster = options.start(system)
        told = {}
        try:
            fill(cluster, options, options.million if keys == "million" else FEW_KEYS)
            leader = cluster.leader()

            def put(seconds=None):
                return generate(options, "put", cluster.url(leader), cluster.pids(), *conns(1),
                                seconds=seconds)
            put(1)
            settle(cluster)
            calm = put()
            with burden(cluster, leader, told):
                loaded = put()
            if not cluster.leads(leader):
                raise Trouble("leadership changed during the round")
            times = {f"{p}_times": loaded["latency_us"][p] / calm["latency_us"][p]
                     for p in ("p50", "p99")}
            return dict(told, **times, histogram=loaded["latency_histogram"],
                        calm=calm["latency_us"], requests=loaded["requests"],
                        errors=loaded["errors"], warnings=loaded.get("warnings", []))
        finally:
            cluster.close()
    figures = [Figure("p50, times as long", "p50_times", is_ratio=False, target=1.1, unit="x"),
               Figure("p99, times as long", "p99_times", is_ratio=False, target=1.5, unit="x"),
               Figure("p99", "histogram", is_ratio=False, of=0.99, unit="us")]
    return Row(name, measure, figures, None, alone, beside=lambda o: 8 + o.seconds + (
        o.million / 40000 if keys == "million" else 0))


# --- a large store, an old store ------------------------------------------------------------------

def affordable(wanted):
    """So many keys fit into what is free."""
    with open("/proc/meminfo", encoding="utf-8") as f:
        free = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    return min(wanted, int(free * MEMORY_SHARE / BYTES_PER_SMALL_KEY))


def measure_many_keys(system, options):
    """Puts of 64 clients with FEW_KEYS small keys in the store, then with as many as are asked for
    and fit."""
    keys = affordable(options.many)
    cluster = options.start(system)
    try:
        told = {"keys": keys}
        for name, count in (("few", FEW_KEYS), ("many", keys)):
            fill(cluster, options, count, SMALL_VALUE)
            leader = cluster.leader()

            def put(seconds=None, keys=count, endpoint=cluster.url(leader)):
                return generate(options, "put", endpoint, cluster.pids(), *conns(64),
                                seconds=seconds, keys=keys, value=SMALL_VALUE)
            put(1)
            settle(cluster)
            told[name] = put()["per_second"]
        memory = max(machine.memory_kib(p)["VmRSS"] for p in cluster.pids()) / 1024
        return dict(told, share=told["many"] / told["few"], memory_mib=memory)
    finally:
        cluster.close()


def slope(points):
    """Of the straight line through (x, y) that is nearest to all."""
    mean_x, mean_y = (sum(v) / len(points) for v in zip(*points))
    return (sum((x - mean_x) * (y - mean_y) for x, y in points) /
            sum((x - mean_x) ** 2 for x, _ in points))


def measure_overwrites(system, options):
    """64 clients overwrite the same keys; the memory of the member that grows most, in the second
    half of the time: in the first, the history and the log fill up to their bounds."""
    cluster = options.start(system)
    told = {}
    try:
        fill(cluster, options, FEW_KEYS)
        leader = cluster.leader()

        def put():
            told.update(generate(options, "put", cluster.url(leader), cluster.pids(), *conns(64),
                                 seconds=options.overwrite_seconds))
        writer = threading.Thread(target=put)
        begun = time.monotonic()
        writer.start()
        samples = []
        while writer.is_alive():
            samples.append((time.monotonic() - begun,
                            [machine.memory_kib(p)["RssAnon"] / 1024 for p in cluster.pids()]))
            writer.join(options.overwrite_seconds / SAMPLES)
        if not told:
            raise Trouble("the generator failed")
        late = [s for s in samples if s[0] >= options.overwrite_seconds / 2]
        hourly = max(slope([(at / 3600, of[i]) for at, of in late])
                     for i in range(len(cluster.ports)))
        return {"mib_an_hour": hourly, "seconds": options.overwrite_seconds, "samples": samples,
                "end_mib": max(samples[-1][1]), "per_second": told["per_second"],
                "errors": told["errors"]}
    finally:
        cluster.close()


ROWS = [
    burden_row("put@1+watchers", idle_clients(watches)),
    burden_row("put@1+connections", idle_clients(connections)),
    burden_row("put@1+snapshots", snapshots, keys="million", alone=True),
    Row("keys", measure_many_keys,
        [Figure("keys", "keys", is_ratio=False),
         Figure("rate, of that with 10,000", "share", is_ratio=False, higher=True, target=0.8,
                unit="x"),
         Figure("per second", "many", is_ratio=False, unit="/s"),
         Figure("memory", "memory_mib", is_ratio=False, unit="MiB")], 3, True,
        beside=lambda o: 5 + o.seconds + o.many / 40000),
    Row("overwrites", measure_overwrites,
        [Figure("growth an hour", "mib_an_hour", is_ratio=False, target=8, unit="MiB"),
         Figure("private memory at the end", "end_mib", is_ratio=False, unit="MiB"),
         Figure("seconds", "seconds", is_ratio=False)], 1, True, on_demand=True,
        beside=lambda o: o.overwrite_seconds),
]
