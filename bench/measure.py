#!/usr/bin/env python3
"""Measure three members on this machine: rates, tails, CPU per operation, memory, failover, size.

    bench/measure.py [--seconds 5] [--kills 20] [--binary build/conclave] [--json FILE]

Uses wrk (closed loop, so its p99 understates stalls). Nothing here is a test: it prints
what it saw."""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_kib(pid):
    found = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(("VmRSS", "RssAnon")):
                found[line.split(":")[0]] = int(line.split()[1])
    return found


def disk_bytes(path):
    """Bytes that reached the device below `path`, of all processes: the kernel's counter by process
    counts whole pages as dirty, of which a file system writes only a part."""
    device = os.stat(path).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") as f:
        return int(f.read().split()[6]) * 512


def request(port, method, path, body=None, timeout=2):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body)
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


class Cluster:
    def __init__(self, binary, size, extra=()):
        self.dir = tempfile.mkdtemp(prefix="conclave-measure-")
        self.ports = [free_port() for _ in range(size)]
        self.binary = binary
        self.extra = list(extra)
        self.processes = [None] * size
        for i in range(size):
            self.start(i)

    def start(self, i):
        urls = ",".join(f"http://127.0.0.1:{p}" for p in self.ports)
        log = open(f"{self.dir}/node-{i + 1}.log", "ab")
        self.processes[i] = subprocess.Popen(
            [self.binary, "server", "--name", f"node-{i + 1}", "--listen",
             f"127.0.0.1:{self.ports[i]}",
             "--peers", urls, "--data", f"{self.dir}/node-{i + 1}", *self.extra],
            stdout=log, stderr=log)

    def leader(self, skip=(), deadline=20):
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            for i, port in enumerate(self.ports):
                if i in skip:
                    continue
                try:
                    if request(port, "GET", "/leader", timeout=1)[0] == 200:
                        return i
                except OSError:
                    pass
            time.sleep(0.01)
        sys.exit("measure: no leader")

    def pid(self, i):
        return self.processes[i].pid

    def close(self):
        for p in self.processes:
            p.kill()
            p.wait()
        shutil.rmtree(self.dir)


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
    written = disk_bytes(cluster.dir)
    r = wrk(script, cluster.ports[target], connections, seconds, *args)
    cpu = [cpu_seconds(p) - c for p, c in zip(pids, cpu)]
    written = disk_bytes(cluster.dir) - written
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


def failover_ms(cluster, victim):
    """kill -9 to the next acknowledged write, one prober over the survivors."""
    others = [i for i in range(len(cluster.ports)) if i != victim]
    os.kill(cluster.pid(victim), signal.SIGKILL)
    begun = time.monotonic()
    attempt = 0
    while time.monotonic() - begun < 20:
        for i in others:
            attempt += 1
            try:
                status, _ = request(cluster.ports[i], "PUT", f"/key/failover/{attempt}", "1",
                                    timeout=1)
            except OSError:
                continue
            if status == 200:
                took = (time.monotonic() - begun) * 1000
                cluster.processes[victim].wait()
                return took
        time.sleep(0.001)
    sys.exit("measure: no write succeeded within 20 s of a kill")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--binary", default=os.path.join(HERE, "..", "build", "conclave"))
    parser.add_argument("--json")
    options = parser.parse_args()
    results = {"rows": []}

    stripped = tempfile.mktemp()
    subprocess.run(["strip", "-o", stripped, options.binary], check=True)
    results["stripped_bytes"] = os.path.getsize(stripped)
    os.unlink(stripped)
    print(f"stripped binary: {results['stripped_bytes'] / 1e6:.2f} MB")

    cluster = Cluster(options.binary, 3)
    try:
        leader = cluster.leader()
        follower = (leader + 1) % 3
        time.sleep(1)
        results["idle_memory_kib"] = memory_kib(cluster.pid(leader))
        print(f"idle memory of the leader: {results['idle_memory_kib']}")
        idle = [cpu_seconds(cluster.pid(i)) for i in range(3)]
        time.sleep(5)
        results["idle_cpu_percent"] = [
            round((cpu_seconds(cluster.pid(i)) - idle[i]) / 5 * 100, 2) for i in range(3)]
        print(f"idle CPU, % of a core, each member: {results['idle_cpu_percent']}")
        s = options.seconds
        rows = results["rows"]
        for connections in (1, 64):
            rows.append(load(cluster, "put at the leader", "put.lua", leader, connections, s))
        for connections in (1, 64):
            rows.append(load(cluster, "get at the leader", "get.lua", leader, connections, s, 1000))
            rows.append(load(cluster, "get at a follower", "get.lua", follower, connections, s,
                             1000))
            rows.append(load(cluster, "stale get at a follower", "get.lua", follower,
                             connections, s, 1000,
                             "?consistency=stale"))
    finally:
        cluster.close()

    cluster = Cluster(options.binary, 3)
    try:
        leader = cluster.leader()
        value = '"' + "v" * 254 + '"'
        c = http.client.HTTPConnection("127.0.0.1", cluster.ports[leader])
        begun = time.monotonic()
        s = socket.create_connection(("127.0.0.1", cluster.ports[leader]))
        keys, window = 100000, 64
        pending = 0
        reader = s.makefile("rb")

        def take():
            length = 0
            status = reader.readline()
            assert b" 200 " in status, status
            while True:
                line = reader.readline().strip()
                if not line:
                    break
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)

        for k in range(keys):
            s.sendall((f"PUT /key/fill/{k:06} HTTP/1.1\r\nHost: x\r\n"
                       f"Content-Length: {len(value)}\r\n\r\n{value}").encode())
            pending += 1
            if pending == window:
                take()
                pending -= 1
        for _ in range(pending):
            take()
        print(f"filled {keys} keys of 256 bytes in {time.monotonic() - begun:.1f} s "
              f"over one pipelined connection")
        results["memory_100k_kib"] = [memory_kib(cluster.pid(i)) for i in range(3)]
        print(f"memory with {keys} keys: {results['memory_100k_kib']}")
        c.close()

        took = []
        for _ in range(options.kills):
            victim = cluster.leader()
            took.append(failover_ms(cluster, victim))
            cluster.start(victim)
            cluster.leader()
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    if request(cluster.ports[victim], "GET", "/key/fill/000000")[0] == 200:
                        break
                except OSError:
                    pass
                time.sleep(0.05)
            time.sleep(0.3)
        if took:
            took.sort()
            results["failover_ms"] = took
            print(f"kill -9 to the next acknowledged write, {len(took)} kills: "
                  f"median {statistics.median(took):.1f} ms, "
                  f"p90 {took[int(len(took) * 0.9)]:.1f} ms, max {took[-1]:.1f} ms")
    finally:
        cluster.close()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
