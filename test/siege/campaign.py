#!/usr/bin/env python3
"""`make siege`: a normal workload beside attacks and overloads, in an order of chance, on three
members as users run them: first plain, then with TLS, client certificates and users.

    SIEGE_MINUTES=10 SIEGE_SEED=42 python3 test/siege/campaign.py [WORD ...]

With words, only attacks whose names have one of them. An attack is a module in attacks/ with NAME
and attack(host, port, stop, log): it runs in a process of its own, with the lowest priority, and
against one member, until the threading.Event `stop` is set, and returns a dict of counts. At each
moment there are up to ATTACKS_AT_A_TIME. In the end it is checked that the workload saw its
results, that nobody else became leader, that the members' memory stayed flat, that their logs have
no errors, and that what they refused was counted; exit code 1 if not. A disk that neighbours keep
busy costs a leader its term: TMPDIR=/dev/shm leaves it out. Standard library only.
"""
import base64
import collections
import contextlib
import glob
import http.client
import importlib.util
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ATTACKS = os.path.join(HERE, "attacks")
sys.path[:0] = [HERE, ATTACKS, os.path.join(HERE, "..", "e2e")]
import harness  # noqa: E402
import tls_members  # noqa: E402
from workload import Workload  # noqa: E402

ATTACKS_AT_A_TIME = 2
ATTACK_S = (8, 20)
CALM_S = 5  # before the first attack and after the last one
SAMPLE_S = 2
# The verdict.
SUCCESS_LEAST = 0.99
P99_MOST_S = 1.0
GROWTH_MOST_MIB = 150  # from the second quarter of a siege to its last, in the median
GROWTH_LEAST_S = 1200  # a shorter one says nothing: each member has not met each overload yet
# Bounds on bodies, answers, proposals, history and what is being made come to 700; malloc keeps
# some of it.
MEMORY_MOST_MIB = 1500
PRIORITY = -10  # of members and workload, where that is permitted: of neighbours nothing is learned
ROOT_PASSWORD, WORK, FLOOD = "root-of-the-siege", ("work", "work-works"), ("flood", "flood-floods")
REFUSALS = re.compile(r"^conclave_(?:proposals_refused|http_refused|peers_refused|tls_handshakes)"
                      r"_total(?:\{([^}]*)\})? (\d+)", re.M)


# --- attacks --------------------------------------------------------------------------------------


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_attacks(words):
    """{name: path}"""
    found = {}
    for path in sorted(glob.glob(os.path.join(ATTACKS, "*.py"))):
        name = getattr(load(path), "NAME", None)
        if name is not None and (not words or any(word in name for word in words)):
            found[name] = path
    return found


def run_attack(path, port):
    """In a process of its own: until SIGTERM, then its counts on stdout."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    counts = load(path).attack("127.0.0.1", port, stop, lambda text: None)
    print(json.dumps({str(k): v for k, v in counts.items()}))


class Attacker:
    def __init__(self, name, path, member, environment):
        self.name, self.member = name, member
        self.until = None
        # 39 on top of whatever we have: the lowest there is.
        self.process = subprocess.Popen(
            ["nice", "-n", "39", sys.executable, os.path.abspath(__file__), "--attack", path,
             str(member.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**harness.clean_environment(), **environment},
            preexec_fn=harness._die_with_parent(None))

    def end(self):
        """Its counts."""
        self.process.terminate()
        try:
            out, errors = self.process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return {"did not end": 1}
        try:
            return json.loads(out)
        except ValueError:
            return {errors.strip().split("\n")[-1][:100] or "no counts": 1}


# --- members --------------------------------------------------------------------------------------


class Samples(threading.Thread):
    """Memory and leadership of the members, every SAMPLE_S, and probes on connections of their
    own."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.rss = collections.defaultdict(list)  # MiB
        self.probes = collections.Counter()
        self.slowest_probe = 0.0
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(SAMPLE_S):
            for m in self.cluster:
                with contextlib.suppress(OSError):
                    self.rss[m.name].append(memory_mib(m))
                began = time.monotonic()
                try:
                    self.probes[m.get("/health", timeout=5).status] += 1
                except (OSError, http.client.HTTPException) as e:
                    self.probes[type(e).__name__] += 1
                self.slowest_probe = max(self.slowest_probe, time.monotonic() - began)


def memory_mib(member):
    with open(f"/proc/{member.process.pid}/status", encoding="ascii", errors="replace") as f:
        return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1)) / 1024


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def refusals(cluster):
    total = 0
    for m in cluster:
        for labels, count in REFUSALS.findall(m.get("/metrics").body.decode()):
            total += int(count) if 'result="done"' not in labels else 0
    return total


def prefer(pid):
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, PRIORITY)


def leadership(cluster):
    status = cluster.wait_leader().status()
    return status["leaderId"], status["term"]


def error_lines(cluster):
    return [f"{m.name}: {line[:150]}" for m in cluster for line in m.log().split("\n")
            if "] error: " in line]


# --- kinds of clusters ----------------------------------------------------------------------------


def post(member, path, body, token=None):
    answer = member.request("POST", "/v3/auth/" + path, json.dumps(body),
                            headers={"Authorization": token} if token else None)
    assert answer.status == 200, (path, answer.body)
    return answer.json()


def key64(text):
    return base64.b64encode(text.encode()).decode()


def add_users(member):
    """root, and two who may write what is theirs."""
    post(member, "user/add", {"name": "root", "password": ROOT_PASSWORD})
    post(member, "user/grant", {"user": "root", "role": "root"})
    for name, password in (WORK, FLOOD):
        prefix = "siege/" if name == WORK[0] else "flood/"
        post(member, "user/add", {"name": name, "password": password})
        post(member, "role/add", {"name": name})
        post(member, "role/grant", {"name": name, "perm": {
            "permType": "READWRITE", "key": key64(prefix), "range_end": key64(prefix[:-1] + "0")}})
        post(member, "user/grant", {"user": name, "role": name})
    post(member, "enable", {})


def plain():
    return harness.Cluster(3, arguments=["--on-follower", "forward"]), None, {}


def guarded():
    cluster = tls_members.TlsCluster(3, arguments=["--on-follower", "forward"], timings=())
    pair = base64.b64encode(":".join(FLOOD).encode()).decode()
    return cluster, WORK, {"SIEGE_CA": cluster.certs.ca, "SIEGE_USER": FLOOD[0],
                           "SIEGE_PASSWORD": FLOOD[1], "SIEGE_AUTHORIZATION": f"Basic {pair}"}


KINDS = {"plain": plain, "TLS and users": guarded}


# --- a siege --------------------------------------------------------------------------------------


class Siege:
    def __init__(self, kind, seed, seconds, attacks, is_whole):
        self.kind, self.seconds, self.attacks, self.is_whole = kind, seconds, attacks, is_whole
        self.rng = random.Random(f"{seed}.{kind}")
        self.counts = collections.defaultdict(collections.Counter)
        self.runs = collections.Counter()
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.spent_s = spent.ru_utime + spent.ru_stime

    def run(self):
        """True when everything was as it must be; prints the table."""
        cluster, user, environment = KINDS[self.kind]()
        environment["CONCLAVE"] = harness.BINARY
        with cluster:
            cluster.start()
            for m in cluster:
                prefer(m.process.pid)
            if user is not None:
                add_users(cluster.wait_leader())
            before = leadership(cluster)
            counted = refusals(cluster)
            samples = Samples(cluster)
            samples.start()
            workload = Workload(cluster, user).start()
            began = time.monotonic()
            self._attack_all(cluster, environment, began + self.seconds)
            workload.stop()
            samples.done.set()
            samples.join()
            taken_s = time.monotonic() - began
            findings = self._judge(cluster, workload, samples, before,
                                   refusals(cluster) - counted)
            self._print(cluster, workload, samples, taken_s)
            cluster.keep = cluster.keep or bool(findings)
            if findings:
                print(f"logs: {cluster.directory}")
        for finding in findings:
            print(f"WRONG ({self.kind}): {finding}")
        return not findings

    def _attack_all(self, cluster, environment, until):
        time.sleep(CALM_S)
        running = []
        while time.monotonic() < until - CALM_S:
            now = time.monotonic()
            for a in [a for a in running if a.until <= now or a.process.poll() is not None]:
                self._end(running, a)
            if len(running) < ATTACKS_AT_A_TIME:
                name = self.rng.choice(sorted(self.attacks))
                a = Attacker(name, self.attacks[name], self.rng.choice(cluster.members),
                             environment)
                a.until = min(now + self.rng.uniform(*ATTACK_S), until - CALM_S)
                running.append(a)
                self.runs[name] += 1
            time.sleep(0.2)
        for a in list(running):
            self._end(running, a)
        time.sleep(max(0, until - time.monotonic()))

    def _end(self, running, attacker):
        running.remove(attacker)
        self.counts[attacker.name].update(attacker.end())

    # --- the verdict ------------------------------------------------------------------------------

    def _judge(self, cluster, workload, samples, before, refused):
        findings = workload.wrong[:20]
        asked, share, _, p99, _ = workload.figures()
        if share < SUCCESS_LEAST:
            findings.append(f"{share:.2%} of {asked} requests succeeded: {dict(workload.outcomes)}")
        if p99 > P99_MOST_S:
            findings.append(f"the 99th percentile is {p99:.2f} s")
        if not workload.held or not workload.told:
            findings.append("nobody held the lock, or the watch was told nothing")
        after = leadership(cluster)
        if after != before:
            findings.append(f"the leader changed: {before} -> {after}")
        good = samples.probes[200]
        if good < SUCCESS_LEAST * sum(samples.probes.values()):
            findings.append(f"probes: {dict(samples.probes)}")
        for name, rss in samples.rss.items():
            growth = growth_mib(rss)
            grows = growth > GROWTH_MOST_MIB and self.seconds >= GROWTH_LEAST_S
            if grows or max(rss) > MEMORY_MOST_MIB:
                findings.append(f"{name} grows: {growth:.0f} MiB, at most {max(rss):.0f} MiB")
        if refused == 0 and self.is_whole:
            findings.append("nothing that was refused was counted")
        return findings + error_lines(cluster)[:10] + \
            [f"{m.name} is gone" for m in cluster if not m.is_running()]

    def _print(self, cluster, workload, samples, taken_s):
        asked, share, p50, p99, longest = workload.figures()
        print(f"\n{self.kind}: {taken_s:.0f} s, {sum(self.runs.values())} attacks; load of the "
              f"machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"  workload   {asked} requests, {share:.3%} succeeded, p50 {p50 * 1000:.0f} ms, "
              f"p99 {p99 * 1000:.0f} ms, longest {longest * 1000:.0f} ms; {len(workload.told)} "
              f"events told, the lock was held {workload.held} times")
        others = {k: n for k, n in workload.outcomes.items() if k != "ok"}
        print(f"  otherwise  {others}")
        print(f"  probes     {dict(samples.probes)}, slowest {samples.slowest_probe * 1000:.0f} ms")
        for m in cluster:
            rss = samples.rss[m.name]
            print(f"  {m.name}     {rss[-1]:.0f} MiB, at most {max(rss):.0f}, grew by "
                  f"{growth_mib(rss):.0f}; {cpu_s(m.process.pid) / taken_s:.0%} of a processor")
        for name in sorted(self.runs):
            print(f"  {self.runs[name]:3} {name}: {dict(self.counts[name])}")
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        attackers_s = spent.ru_utime + spent.ru_stime - self.spent_s
        print(f"  attackers  {attackers_s / taken_s:.0%} of a processor", flush=True)


def growth_mib(rss):
    """From the second quarter to the last one: what was filled at the beginning does not count."""
    quarter = max(1, len(rss) // 4)

    def median(values):
        return sorted(values)[len(values) // 2]
    return median(rss[-quarter:]) - median(rss[quarter:2 * quarter] or rss)


def main():
    minutes = float(os.environ.get("SIEGE_MINUTES", "60"))
    seed = int(os.environ.get("SIEGE_SEED", str(int(time.time()))))
    attacks = find_attacks(sys.argv[1:])
    if not attacks:
        print("siege: no attack has such a name")
        return 2
    bad = 0
    prefer(os.getpid())
    for kind in KINDS:
        bad += not Siege(kind, seed, 60 * minutes / len(KINDS), attacks, not sys.argv[1:]).run()
    print(f"{'bad' if bad else 'good'}; again with SIEGE_SEED={seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--attack"]:
        sys.exit(run_attack(sys.argv[2], int(sys.argv[3])))
    sys.exit(main())
