#!/usr/bin/env python3
"""Measure what a big store costs: three members with a million keys of 16 + 256 bytes.

    bench/million.py [--keys 1000000] [--seconds 5] [--binary build/conclave]

Prints the tail of puts with and without a snapshot being taken at the leader, the time of a
restart, and the time from the start of a fresh member until it votes. Uses wrk. Nothing here is a
test."""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time

from clusters import Conclave, free_port, request, wait
from machine import memory_kib
from measure import load

WINDOW = 256
# More of them than fit a chunk of a snapshot, so that it compresses as text does, not to nothing.
VALUES = ['"' + random.randbytes(127).hex() + '"' for _ in range(4096)]


def fill(port, first, count):
    """Keys of 16 bytes over one pipelined connection."""
    s = socket.create_connection(("127.0.0.1", port))
    reader = s.makefile("rb")

    def take():
        status = reader.readline()
        if b" 200 " not in status:
            sys.exit(f"million: {status}")
        length = 0
        while True:
            line = reader.readline().strip()
            if not line:
                break
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        reader.read(length)
    for begin in range(first, first + count, WINDOW):
        end = min(begin + WINDOW, first + count)
        s.sendall("".join(f"PUT /key/key-{k:012} HTTP/1.1\r\nHost: x\r\nContent-Length: 256\r\n\r\n"
                          f"{VALUES[k % len(VALUES)]}" for k in range(begin, end)).encode())
        for _ in range(begin, end):
            take()
    s.close()


def puts_during_backups(cluster, leader, seconds):
    """The same load while one backup after another is taken at the leader."""
    done = threading.Event()
    taken = []

    def back_up():
        while not done.is_set():
            begun = time.monotonic()
            status, body = request(cluster.ports[leader], "GET", "/snapshot", timeout=60)
            if status == 200:
                taken.append((round(time.monotonic() - begun, 2), len(body)))
            time.sleep(0.1)
    t = threading.Thread(target=back_up)
    t.start()
    row = load(cluster, "put, snapshots being taken", "put.lua", leader, 64, seconds)
    done.set()
    t.join()
    print(f"backups meanwhile (seconds, bytes): {taken}", flush=True)
    return row


def restart(cluster, i):
    cluster.kill(i)
    cluster.start(i)
    took = wait(lambda: request(cluster.ports[i], "GET", "/readyz")[0] == 200, "ready again", 120)
    told = re.findall(r"recovered .*", cluster.log(i))
    print(f"restart of a follower: ready after {took:.2f} s ({told[-1] if told else 'no line'})",
          flush=True)


def join(cluster, leader):
    port = free_port()
    name = f"node-{len(cluster.ports) + 1}"
    urls = ",".join(f"http://127.0.0.1:{p}" for p in cluster.ports)
    log = open(f"{cluster.dir}/{name}.log", "ab")
    process = subprocess.Popen(
        [cluster.binary, "server", "--name", name, "--listen", f"127.0.0.1:{port}", "--join", urls,
         "--data", f"{cluster.dir}/{name}"], stdout=log, stderr=log)

    def votes():
        answer = json.loads(request(cluster.ports[leader], "GET", "/members")[1])
        return any(m["name"] == name and m["voter"] for m in answer["members"]) \
            and not answer["joint"]
    took = wait(votes, f"{name} votes", 120)
    cluster.ports.append(port)
    cluster.processes.append(process)
    by_snapshot = "snapshot taken in" in cluster.log(len(cluster.ports) - 1)
    print(f"a fresh member votes after {took:.2f} s"
          f" ({'by snapshot' if by_snapshot else 'by the log'})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--binary", default=Conclave.binary)
    options = parser.parse_args()
    Conclave.binary = options.binary
    cluster = Conclave()
    try:
        leader = cluster.leader()
        begun = time.monotonic()
        fill(cluster.ports[leader], 0, options.keys)
        print(f"filled in {time.monotonic() - begun:.1f} s; memory "
              f"{[memory_kib(cluster.pid(i))['VmRSS'] // 1024 for i in range(3)]} MiB", flush=True)
        leader = cluster.leader()
        request(cluster.ports[leader], "GET", "/snapshot", timeout=60)
        load(cluster, "put, nothing else", "put.lua", leader, 64, options.seconds)
        puts_during_backups(cluster, leader, options.seconds)
        load(cluster, "put, nothing else", "put.lua", leader, 64, options.seconds)
        restart(cluster, (leader + 1) % 3)
        join(cluster, cluster.leader())
        print(f"load of the machine: {os.getloadavg()}")
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
