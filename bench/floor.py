#!/usr/bin/env python3
"""Measure what of a request's CPU nobody can take away: the kernel's part, and that of HTTP/2.

    bench/floor.py [--rows range@64,put@64] [--rounds 5] [--seconds 2] [--build build]

Beside the leader of three members stand two servers that know their answers beforehand
(bench/floor/): `kernel` reads and writes, and looks at nothing but the heads of frames; `HTTP/2`
has nghttp2 on top of that. `conclave bench` asks all three the same, in turns. The table has the
medians of CPU for each request, as the system keeps it, and what is left for ours. Nothing in it
is a test."""

import argparse
import os
import subprocess
import sys
from types import SimpleNamespace

import machine
from clusters import ROOT, Conclave, Trouble, free_port, wait
from figures import median
from rows import conns, generate

PATIENCE_S = 20
DOORS = {"kernel": "frames", "HTTP/2": "grpc"}
# Row: (operation, flags, the target of the leader's CPU in us).
ROWS = {
    "put@1": ("put", conns(1), None),
    "put@64": ("put", conns(64), 12),
    "put@1000": ("put", conns(100, 10), 12),
    "put@1000c": ("put", conns(1000), None),
    "range@64": ("range", conns(64), 8),
    "serializable@64": ("serializable", conns(64), None),
    "keepalive@64": ("keepalive", (*conns(64), "--leases", 1000), 8),
}


class Floor:
    """One of the servers that have nothing behind them."""

    def __init__(self, binary, door, operation):
        port = free_port()
        answer = "range" if operation == "serializable" else operation
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([binary, door, answer, str(port)])
        try:
            wait(self.listens, "the floor listens", 5)
        except Trouble:
            self.close()
            raise

    def listens(self):
        if self.process.poll() is not None:
            raise Trouble(f"the floor ended with {self.process.returncode}")
        with open("/proc/net/tcp", encoding="ascii") as f:
            return f":{int(self.url.rsplit(':', 1)[1]):04X} 00000000:0000 0A" in f.read()

    def close(self):
        self.process.kill()
        self.process.wait()


def ask(options, url, pid, row, keys):
    """CPU of the process for each request, in us, after a moment of the same."""
    operation, flags, _ = ROWS[row]
    generate(options, operation, url, [pid], *flags, seconds=0.5, keys=keys)
    told = generate(options, operation, url, [pid], *flags, keys=keys)
    if told["errors"]:
        raise Trouble(f"{told['errors']} errors: {told['errors_by_kind']}")
    return told["servers"][0]["cpu_us_per_operation"]


def measure_floor(options, row, door):
    server = Floor(options.floor, DOORS[door], ROWS[row][0])
    try:
        return ask(options, server.url, server.process.pid, row, 1)
    finally:
        server.close()


def measure_ours(options, row):
    cluster = Conclave(3)
    try:
        leader = cluster.leader()
        url, pid = cluster.url(leader), cluster.pid(leader)
        generate(options, "range", url, [pid], "--prefill", seconds=0.5)
        return ask(options, url, pid, row, 10000)
    finally:
        cluster.close()


def measure(options, row):
    """{who: CPU of each round}."""
    seen = {"kernel": [], "HTTP/2": [], "conclave": []}
    for number in range(options.rounds):
        for who in sorted(seen, reverse=number % 2 == 1):
            if not machine.wait_idle(PATIENCE_S):
                print(f"{row}: the machine is not idle", file=sys.stderr)
            seen[who].append(measure_ours(options, row) if who == "conclave" else
                             measure_floor(options, row, who))
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--rows", default=",".join(ROWS), help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    o = parser.parse_args()
    Conclave.binary = os.path.join(o.build, "conclave")
    options = SimpleNamespace(floor=os.path.join(o.build, "bench/floor/floor"), rounds=o.rounds,
                              seconds=o.seconds, generator=[Conclave.binary, "bench"])
    print("CPU a request (us)    kernel  + HTTP/2   leader     ours  target")
    for row in o.rows.split(","):
        if row not in ROWS:
            sys.exit(f"floor: there is no row {row}; there are {', '.join(ROWS)}")
        seen = {who: median(values) for who, values in measure(options, row).items()}
        target = ROWS[row][2]
        print(f"{row:<18}{seen['kernel']:>10.2f}{seen['HTTP/2']:>10.2f}{seen['conclave']:>9.2f}"
              f"{seen['conclave'] - seen['HTTP/2']:>9.2f}  {f'<= {target}' if target else ''}",
              flush=True)


if __name__ == "__main__":
    try:
        main()
    except Trouble as e:
        sys.exit(f"floor: {e}")
