"""Rows beside others than etcd. Each says how it differs: none of these is the same thing."""
import csv
import os
import shutil
import subprocess
import sys

from clusters import ROOT, Cluster, Conclave, Trouble, first_line, free_port, wait
from figures import Figure
from one_client import Connection, Http, Zoo, ask_one_by_one
from rows import KEY_BYTES, KEYS, VALUE_BYTES, Row, conns, load

VALUE = b'"' + b"x" * (VALUE_BYTES - 2) + b'"'
ZOO_KEYS = 1000  # made one after the other
WARM_UP_REQUESTS = 5000


# --- Redis ----------------------------------------------------------------------------------------

class Redis(Cluster):
    name, binary = "redis", "redis-server"

    def __init__(self, data):
        super().__init__(1, data)

    def command(self, i):
        return [self.binary, "--port", str(self.ports[i]), "--bind", "127.0.0.1", "--dir", self.dir,
                "--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    @classmethod
    def is_there(cls):
        return bool(shutil.which(cls.binary) and shutil.which("redis-benchmark"))

    @classmethod
    def version(cls):
        return "redis " + first_line(cls.binary, "--version").split("v=")[1].split()[0]

    def leader(self, skip=(), seconds=20):
        def answers():
            c = Connection(self.ports[0])
            try:
                c.socket.sendall(b"PING\r\n")
                return c.receive().startswith(b"+PONG")
            finally:
                c.close()
        wait(answers, "redis answers", seconds)
        return 0


def redis_benchmark(port, clients, requests):
    """{its column: number} of SETs of the size of everybody's keys and values."""
    command = ["redis-benchmark", "-p", str(port), "-c", str(clients), "-n", str(requests), "-r",
               str(KEYS), "-d", str(VALUE_BYTES), "-t", "set", "--csv"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [row for row in csv.DictReader(out.stdout.splitlines()) if row.get("test") == "SET"]
    if not found:
        raise Trouble(f"redis-benchmark said: {(out.stderr or out.stdout).strip()[:200]}")
    return {name: float(value) for name, value in found[0].items() if name != "test"}


def redis_row(clients):
    def measure(system, options):
        if system is Conclave:
            return load(system, options, "put", *conns(clients))
        cluster = Redis(options.data)
        try:
            cluster.leader()
            rate = redis_benchmark(cluster.ports[0], clients, WARM_UP_REQUESTS)["rps"]
            told = redis_benchmark(cluster.ports[0], clients, int(rate * options.seconds) + 1)
            return {"per_second": told["rps"], "p50_us": told["p50_latency_ms"] * 1000,
                    "p99_us": told["p99_latency_ms"] * 1000}
        finally:
            cluster.close()
    figures = [Figure("per second", "per_second", higher=True, unit="/s"),
               Figure("p99", "p99_us", unit="us")]
    return Row(f"redis@{clients}", measure, figures, against=Redis, differs=(
        "one process without replication, against three members of which two sync; every write "
        "synced (appendfsync always); RESP by redis-benchmark, against gRPC by ours"))


# --- ZooKeeper ------------------------------------------------------------------------------------

class ZooKeeper(Cluster):
    name, binary = "zookeeper", "/usr/share/zookeeper/bin/zkServer.sh"

    def __init__(self, data):
        self.election_ports = [free_port() for _ in range(3)]
        super().__init__(3, data)

    def command(self, i):
        home = f"{self.dir}/node-{i + 1}"
        os.makedirs(home, exist_ok=True)
        servers = "".join(f"server.{j + 1}=127.0.0.1:{peer}:{election}\n" for j, (peer, election)
                          in enumerate(zip(self.peer_ports, self.election_ports)))
        with open(f"{home}/myid", "w", encoding="utf-8") as f:
            f.write(f"{i + 1}\n")
        with open(f"{home}/zoo.cfg", "w", encoding="utf-8") as f:
            f.write(f"tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={home}\n"
                    f"clientPort={self.ports[i]}\nclientPortAddress=127.0.0.1\n"
                    f"admin.enableServer=false\n{servers}")
        return ["env", f"ZOO_LOG_DIR={home}", self.binary, "start-foreground", f"{home}/zoo.cfg"]

    @classmethod
    def version(cls):
        query = ["dpkg-query", "--show", "--showformat", "${Version}", "zookeeper"]
        return "zookeeper " + subprocess.run(query, capture_output=True, text=True,
                                             check=False).stdout.strip()

    def leads(self, i):
        c = Connection(self.ports[i])
        try:
            c.socket.sendall(b"srvr")
            return b"Mode: leader" in c.receive()
        finally:
            c.close()

    def leader(self, skip=(), seconds=60):
        found = []

        def somebody_leads():
            for i in range(len(self.ports)):
                try:
                    found.extend([i] if self.leads(i) else [])
                except (OSError, Trouble):
                    pass
            return bool(found)
        wait(somebody_leads, "zookeeper has a leader", seconds, 0.1)
        return found[0]


# --- one client, in Python ------------------------------------------------------------------------

def put_by_http(cluster, options, keys):
    client = Http(cluster.ports[cluster.leader()])
    try:
        return ask_one_by_one(lambda n: client.put(f"key-{n % keys:0{KEY_BYTES - 4}}", VALUE),
                              options.seconds)
    finally:
        client.close()


def put_by_zoo(cluster, options):
    client = Zoo(cluster.ports[cluster.leader()])
    try:
        paths = [f"/key-{n:0{KEY_BYTES - 5}}" for n in range(ZOO_KEYS)]
        for path in paths:
            client.create(path, VALUE)
        return ask_one_by_one(lambda n: client.put(paths[n % ZOO_KEYS], VALUE), options.seconds)
    finally:
        client.close()


def one_client_row(rival, keys, put, differs):
    def measure(system, options):
        cluster = options.start(system) if system is Conclave else rival(options.data)
        try:
            if system is Conclave:
                client = Http(cluster.ports[cluster.leader()])
                for n in range(keys):
                    client.put(f"key-{n:0{KEY_BYTES - 4}}", VALUE)
                client.close()
                return put_by_http(cluster, options, keys)
            return put(cluster, options)
        finally:
            cluster.close()
    figures = [Figure("per second", "per_second", higher=True, unit="/s"),
               Figure("p50", "histogram", of=0.5, unit="us"),
               Figure("p99", "histogram", of=0.99, unit="us")]
    return Row(f"{rival.name}@1", measure, figures, against=rival, differs=differs)


# --- the naive store ------------------------------------------------------------------------------

class Naive(Cluster):
    name, binary = "naive", sys.executable

    def __init__(self, data):
        super().__init__(3, data)

    def command(self, i):
        replicas = [str(port) for port in self.ports[1:]] if i == 0 else []
        return [self.binary, os.path.join(ROOT, "bench", "naive.py"), str(self.ports[i]),
                f"{self.dir}/map-{i}", *replicas, "--keys", str(KEYS if i == 0 else 0),
                "--value-size", str(VALUE_BYTES)]

    @classmethod
    def version(cls):
        return "naive (bench/naive.py)"

    def leader(self, skip=(), seconds=20):
        for port in self.ports:
            wait(lambda p=port: Connection(p).close() is None, "the naive store listens", seconds)
        return 0


PYTHON_CLIENT = "one client in Python on both sides, whose own cost is in each latency"

ROWS = [
    redis_row(1),
    redis_row(64),
    one_client_row(ZooKeeper, ZOO_KEYS, put_by_zoo,
                   f"{PYTHON_CLIENT}; setData of its own protocol, against PUT over HTTP; three "
                   "servers each, and both sync before they acknowledge"),
    one_client_row(Naive, KEYS, lambda cluster, options: put_by_http(cluster, options, KEYS),
                   f"{PYTHON_CLIENT}; PUT over HTTP on both; {KEYS:,} keys, of which the naive "
                   "store sends all to two replicas as JSON with every write, and each syncs them"),
]
