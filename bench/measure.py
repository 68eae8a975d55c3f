#!/usr/bin/env python3
"""Rates, tails and CPU of our own HTTP at the leader and at a follower, with wrk as the generator.

    bench/measure.py [--seconds 5] [--binary build/conclave] [--json FILE]

A closed loop, so its p99 understates stalls. Nothing here is a test: it prints what it saw. What is
compared with etcd, and memory, starts and failures, is bench/side.py's."""

import argparse
import json
import os
import re
import statistics
import subprocess
import time

from clusters import Conclave
from machine import cpu_seconds, disk_bytes

HERE = os.path.dirname(os.path.abspath(__file__))


def wrk(script, port, connections, seconds, *args):
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", f"{HERE}/{script}",
         f"http://127.0.0.1:{port}", "--", *map(str, args)],
        capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(\w+)=(\d+)", re.search(r"^result .*$", out, re.M).group(0)))
    return {k: int(v) for k, v in found.items()}


def load(cluster, label, script, target, connections, seconds, *args):
    pids = [cluster.pid(i) for i in range(len(cluster.ports))]
    cpu = [cpu_seconds(p) for p in pids]
    written = disk_bytes(cluster.dir) or 0
    r = wrk(script, cluster.ports[target], connections, seconds, *args)
    cpu = [cpu_seconds(p) - c for p, c in zip(pids, cpu)]
    written = (disk_bytes(cluster.dir) or 0) - written
    n = max(r["requests"], 1)
    leader = cluster.leader()
    others = [i for i in range(len(pids)) if i != leader]
    row = {
        "what": label, "connections": connections,
        "per_second": round(n / (r["duration_us"] / 1e6)),
        "p50_ms": r["p50_us"] / 1000, "p99_ms": r["p99_us"] / 1000,
        "leader_cpu_us": round(cpu[leader] / n * 1e6, 1),
        "follower_cpu_us": round(statistics.mean(cpu[i] for i in others) / n * 1e6, 1),
        "disk_bytes_per_op_and_member": round(written / n / len(pids)),
        "errors": r["status_errors"] + r["socket_errors"],
    }
    print("{what:28} c={connections:<4} {per_second:>7}/s  "
          "p50 {p50_ms:.2f} ms  p99 {p99_ms:.2f} ms  "
          "cpu/op leader {leader_cpu_us} us, follower {follower_cpu_us} us  "
          "disk/op and member {disk_bytes_per_op_and_member} B  errors {errors}".format(**row),
          flush=True)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--binary", default=Conclave.binary)
    parser.add_argument("--json")
    options = parser.parse_args()
    Conclave.binary = options.binary
    rows = []
    cluster = Conclave()
    try:
        leader = cluster.leader()
        follower = (leader + 1) % 3
        time.sleep(1)
        for connections in (1, 64):
            def measure(label, script, target, *args, c=connections):
                rows.append(load(cluster, label, script, target, c, options.seconds, *args))
            measure("put at the leader", "put.lua", leader)
            measure("get at the leader", "get.lua", leader, 1000)
            measure("get at a follower", "get.lua", follower, 1000)
            measure("stale get at a follower", "get.lua", follower, 1000, "?consistency=stale")
    finally:
        cluster.close()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()
