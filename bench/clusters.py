"""Clusters to measure: conclave's and etcd's, started, asked and ended the same way.

Both are asked by the JSON gateway of the etcd v3 API, which both speak, so that no helper here
knows whom it talks to."""
import base64
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Trouble(Exception):
    """What was to be measured did not happen."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def request(port, method, path, body=None, timeout=2):
    """(HTTP status, body) of a request on a connection of its own."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body)
        r = c.getresponse()
        return r.status, r.read()
    except http.client.HTTPException as e:
        raise OSError(str(e)) from e
    finally:
        c.close()


def call(port, path, message, timeout=2):
    """A call of the gateway: the answer, or None when it was refused."""
    status, body = request(port, "POST", "/v3/" + path, json.dumps(message), timeout)
    return json.loads(body) if status == 200 else None


def encode(text):
    return base64.b64encode(text.encode()).decode()


def wait(predicate, what, seconds=60, step=0.01):
    """Seconds until it is so; trouble of the network is a no."""
    begun = time.monotonic()
    while True:
        try:
            if predicate():
                return time.monotonic() - begun
        except (OSError, ValueError, KeyError):
            pass
        if time.monotonic() - begun > seconds:
            raise Trouble(f"after {seconds} s still not: {what}")
        time.sleep(step)


def first_line(*command):
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return out.splitlines()[0].strip()


class Cluster:
    """Members in directories of their own below one that goes with the cluster."""
    name = binary = None

    def __init__(self, size=3, data=None, extra=()):
        self.dir = tempfile.mkdtemp(prefix=f"{self.name}-", dir=data)
        self.extra = list(extra)
        self.processes = []
        self.ports = [free_port() for _ in range(size)]
        self.peer_ports = [free_port() for _ in range(size)]
        self.processes = [None] * size
        for i in range(size):
            self.start(i)

    def command(self, i):
        raise NotImplementedError

    def url(self, i):
        return f"http://127.0.0.1:{self.ports[i]}"

    def start(self, i):
        with open(f"{self.dir}/node-{i + 1}.log", "ab") as log:
            self.processes[i] = subprocess.Popen(self.command(i), stdout=log, stderr=log)

    def kill(self, i):
        self.processes[i].kill()
        self.processes[i].wait()

    def log(self, i):
        with open(f"{self.dir}/node-{i + 1}.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def pid(self, i):
        return self.processes[i].pid

    def pids(self):
        return [p.pid for p in self.processes]

    def leads(self, i):
        status = call(self.ports[i], "maintenance/status", {}, timeout=1)
        return bool(status) and status.get("leader", "0") == status["header"]["member_id"]

    def term(self, i):
        return int(call(self.ports[i], "maintenance/status", {})["raftTerm"])

    def leader(self, skip=(), seconds=20):
        """Who leads, and takes writes."""
        found = []

        def somebody_leads():
            for i in range(len(self.ports)):
                if i not in skip and self.leads(i) and self.put(i, "bench-leader", "1"):
                    found.append(i)
                    return True
            return False
        wait(somebody_leads, f"{self.name} has a leader", seconds)
        return found[0]

    def put(self, i, key, value, timeout=2):
        return call(self.ports[i], "kv/put", {"key": encode(key), "value": encode(value)}, timeout)

    def has(self, i, key):
        """By this member's own state."""
        answer = call(self.ports[i], "kv/range", {"key": encode(key), "serializable": True})
        return bool(answer) and bool(answer.get("kvs"))

    def compact(self):
        """Forget what was overwritten."""
        leader = self.leader()
        revision = self.put(leader, "bench-compact", "1")["header"]["revision"]
        call(self.ports[leader], "kv/compaction", {"revision": revision, "physical": True},
             timeout=60)

    def hand_over(self, leader, to):
        target = call(self.ports[to], "maintenance/status", {})["header"]["member_id"]
        call(self.ports[leader], "maintenance/transfer-leadership", {"targetID": target})

    def home(self, i):
        return f"{self.dir}/node-{i + 1}"

    def log_is_steady(self):
        """Each member's log takes its room as it will in the long run."""
        raise NotImplementedError

    def log_written(self):
        """Bytes of all members' logs since they started; None: not told."""
        return None

    def snapshots_of_log(self):
        """[(bytes of a snapshot, entries since the one before)]; none: not told."""
        return []

    def cut_log(self):
        """What a snapshot makes needless goes now, where that can be asked for."""

    @classmethod
    def is_there(cls):
        return bool(shutil.which(cls.binary))

    @classmethod
    def version(cls):
        return f"{cls.name} {first_line(cls.binary, '--version').split()[-1]}"

    def close(self):
        for p in self.processes:
            if p is not None:
                p.send_signal(signal.SIGCONT)
                p.kill()
                p.wait()
        shutil.rmtree(self.dir)


def is_recycled(segment):
    """docs/DATA_DIR.md: the flag in the header of a segment."""
    with open(segment, "rb") as f:
        return int.from_bytes(f.read(16)[12:], "little") == 1


class Conclave(Cluster):
    name = "conclave"
    binary = os.path.join(ROOT, "build", "conclave")

    def command(self, i):
        urls = ",".join(self.url(j) for j in range(len(self.ports)))
        return [self.binary, "server", "--name", f"node-{i + 1}", "--listen",
                f"127.0.0.1:{self.ports[i]}", "--peers", urls, "--data", self.home(i), *self.extra]

    def snapshot(self, i):
        """Take one; its bytes, 0 when it was refused."""
        status, body = request(self.ports[i], "GET", "/snapshot", timeout=120)
        return len(body) if status == 200 else 0

    def log_is_steady(self):
        """Every segment was used before, and there are more of these: none is filled with zeros."""
        try:
            return all(glob.glob(f"{self.home(i)}/*.free") and
                       all(map(is_recycled, glob.glob(f"{self.home(i)}/*.log")))
                       for i in range(len(self.ports)))
        except OSError:
            return False  # one was renamed just now

    def log_written(self):
        told = [request(port, "GET", "/metrics")[1].decode() for port in self.ports]
        return sum(int(re.search(r"^conclave_log_written_bytes_total (\d+)", t, re.M)[1])
                   for t in told)

    def snapshots_of_log(self):
        found = []
        for i in range(len(self.ports)):
            files = {int(re.search(r"snapshot-(\d+)\.snap$", path)[1]): path
                     for path in glob.glob(f"{self.home(i)}/snapshot-*.snap")}
            older, newer = ([0, 0] + sorted(files))[-2:]
            found += [(os.path.getsize(files[newer]), newer - older)] if older else []
        return found

    def cut_log(self):
        for i in range(len(self.ports)):
            self.snapshot(i)

    @classmethod
    def version(cls):
        return f"{cls.name} {first_line(cls.binary, 'version').split()[-1]}"


class Etcd(Cluster):
    name = "etcd"
    binary = "etcd"

    def command(self, i):
        peers = [f"http://127.0.0.1:{p}" for p in self.peer_ports]
        members = ",".join(f"node-{j + 1}={url}" for j, url in enumerate(peers))
        return [self.binary, "--name", f"node-{i + 1}", "--data-dir", self.home(i),
                "--listen-client-urls", self.url(i), "--advertise-client-urls", self.url(i),
                "--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
                "--initial-cluster", members, "--initial-cluster-state", "new",
                "--initial-cluster-token", os.path.basename(self.dir),
                "--logger", "zap", "--log-level", "error", *self.extra]

    def log_is_steady(self):
        """A snapshot was taken, and the log went on in a file that was allocated ahead."""
        return all(len(glob.glob(f"{self.home(i)}/member/wal/*.wal")) > 1 and
                   glob.glob(f"{self.home(i)}/member/snap/*.snap")
                   for i in range(len(self.ports)))
