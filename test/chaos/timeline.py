"""What happened when in one run, and the verdict: fault windows, what clients felt, who led.
Standard library only."""
import collections
import contextlib
import dataclasses
import json
import os
import threading
import time

import checker
import harness
import history as h
import workload as w

POLL_S = 0.05
STALL_PROBE_S = 0.01
PROGRESS_TIMEOUT_S = 15.0


@dataclasses.dataclass
class Window:
    """A time with one fault in it."""
    fault: str
    began: float
    ended: float = 0.0
    changes: int = 0   # acknowledged, begun and ended inside
    gap_ms: int = 0    # the longest time without an acknowledged change that touches the window
    unknown: int = 0
    notes: list = dataclasses.field(default_factory=list)


class Observer:
    """Asks every member for its role all the time, and watches how late this machine runs us: an
    expectation about time says nothing when the machine itself stood still."""

    def __init__(self, members):
        self.members = list(members)
        self.leaders = collections.defaultdict(set)  # term -> names
        self.stalls = []  # (when, seconds)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._poll, args=(m,), daemon=True)
                         for m in self.members]
        self._threads.append(threading.Thread(target=self._probe, daemon=True))

    def start(self):
        for t in self._threads:
            t.start()

    def stop(self):
        self._stop.set()
        for t in self._threads:
            if t.is_alive():
                t.join(10)

    def _poll(self, member):
        while not self._stop.wait(POLL_S):
            status = member.status(timeout=1) if member.is_running() else None
            if status is not None and status["role"] == "leader":
                self.leaders[status["term"]].add(member.name)

    def _probe(self):
        while not self._stop.is_set():
            before = time.monotonic()
            time.sleep(STALL_PROBE_S)
            late = time.monotonic() - before - STALL_PROBE_S
            if late > 0.1:
                self.stalls.append((before, late))

    def longest_stall(self, since):
        return max((s for when, s in self.stalls if when >= since), default=0.0)


class Run:
    """A cluster under load, with what was done to it."""

    def __init__(self, cluster, seed, retry_s=None):
        """With `retry_s`, more clients repeat each write until it is acknowledged, and it is a
        problem if that takes longer."""
        self.cluster = cluster
        self.seed = seed
        self.workload = w.Workload(cluster.members, seed, retry_s=retry_s)
        self.observer = Observer(cluster.members)
        self.windows = []
        self.problems = []
        self.began = time.monotonic()

    def start(self):
        self.cluster.start()
        self.began = time.monotonic()
        self.observer.start()
        self.workload.start()
        self.wait_progress(self.began)
        return self

    # --- while it runs ---

    def changes_since(self, moment, member=None):
        """Changes that began after `moment` and were acknowledged, newest first."""
        ops = self.workload.history.snapshot()
        found = []
        for op in reversed(ops):
            if op.ended < moment - 5:
                break
            if op.is_change() and op.began >= moment and member in (None, op.member):
                found.append(op)
        return found

    def wait_progress(self, moment, timeout=PROGRESS_TIMEOUT_S):
        harness.wait_for(lambda: self.changes_since(moment), "a write is acknowledged", timeout)

    @contextlib.contextmanager
    def window(self, fault, hold_s, expects_progress=True):
        """The fault is on from before this begins until after it ends; the body looks at it after
        `hold_s`. With a majority connected, something must have succeeded by then."""
        one = Window(fault, time.monotonic())
        self.windows.append(one)
        time.sleep(hold_s)
        try:
            if expects_progress:
                self.wait_progress(one.began)
            yield one
        finally:
            one.ended = time.monotonic()

    def expect(self, is_so, text):
        """A problem of this run, unless `is_so`."""
        if not is_so:
            self.problems.append(f"{self.windows[-1].fault}: {text}")

    def settle(self):
        """No fault any more, everybody runs, and has what the others have."""
        self.cluster.heal()
        for m in self.cluster:
            if m.process is not None and not m.is_running():
                m.start()
        moment = time.monotonic()
        self.cluster.wait_leader(timeout=30)
        self.wait_progress(moment)
        statuses = [s for s in (m.status() for m in self.cluster) if s]
        target = max(s["commitIndex"] for s in statuses)
        for m in self.cluster:
            harness.wait_for(lambda m=m: (m.status() or {}).get("appliedIndex", 0) >= target,
                             f"{m.name} has caught up", 30)

    # --- the end ---

    def tell(self, story):
        """Run story() and judge; (is good, the timeline for a person)."""
        try:
            story()
            self.finish()
        except AssertionError as e:
            logs = "\n".join(f"--- {m.name}\n{m.log_tail(15)}" for m in self.cluster)
            self.problems.append(f"{e}\n{logs}")
            self.measure(self.workload.history.snapshot())
        finally:
            self.stop()
        folder = self.save()
        self.cluster.keep = bool(self.problems or os.environ.get("KEEP"))
        kept = f"\n  kept in {folder}" if self.cluster.keep else ""
        return not self.problems, self.table() + kept

    def stop(self):
        self.workload.stop()
        self.observer.stop()

    def finish(self):
        """Stop the load and judge: everything that is wrong goes to `problems`."""
        self.settle()
        self.stop()
        self.problems += self.workload.wrong[:5]
        ops = self.workload.history.snapshot()
        self.cluster.wait_same(timeout=30)
        stores = {m.name: harness.dump(m) for m in self.cluster.running()}
        names = sorted(stores)
        for name in names[1:]:
            if stores[name] != stores[names[0]]:
                self.problems.append(f"{name} and {names[0]} hold different things")
        began = time.monotonic()
        leader = self.cluster.wait_leader()
        final = harness.dump(leader, consistency="linearizable")
        ops += w.final_reads(ops, final, leader.name, began, time.monotonic())
        self.problems += w.check_counters(ops, final)
        self.problems += w.check_lists(ops, final)
        self.check_leaders()
        self.measure(ops)
        verdict = checker.check(ops)
        if not verdict.is_good:
            self.problems.append(f"{verdict.kind}: {verdict.text}")

    def check_leaders(self):
        for term, names in self.observer.leaders.items():
            if len(names) > 1:
                self.problems.append(f"term {term} was led by {sorted(names)}")
        self.cluster.check_one_leader_a_term()

    def measure(self, ops):
        changes = sorted((op for op in ops if op.is_change()), key=lambda op: op.ended)
        for one in self.windows:
            before = [op.ended for op in changes if op.ended <= one.began]
            inside = [op.ended for op in changes if one.began < op.ended <= one.ended]
            after = [op.ended for op in changes if op.ended > one.ended]
            moments = before[-1:] + inside + after[:1]
            gaps = [b - a for a, b in zip(moments, moments[1:])]
            one.gap_ms = round(max(gaps, default=0) * 1000)
            one.changes = sum(1 for op in changes
                              if op.began >= one.began and op.ended <= one.ended)
            one.unknown = sum(1 for op in ops if op.outcome == h.UNKNOWN and op.kind != h.GET and
                              one.began <= op.began <= one.ended)

    def table(self):
        """The timeline for a person."""
        ops = self.workload.history.snapshot()
        outcomes = collections.Counter(op.outcome for op in ops)
        lines = [f"seed {self.seed}, {len(self.cluster.members)} members, {len(ops)} operations: "
                 + ", ".join(f"{n} {name}" for name, n in sorted(outcomes.items())),
                 f"  {'at s':>6} {'for s':>6} {'changes':>8} {'unknown':>8} {'gap ms':>7}  fault"]
        for one in self.windows:
            lines.append(f"  {one.began - self.began:6.1f} {one.ended - one.began:6.1f} "
                         f"{one.changes:8} {one.unknown:8} {one.gap_ms:7}  "
                         + "; ".join([one.fault, *one.notes]))
        lines += [f"  WRONG: {p}" for p in self.problems]
        lines.append("  verdict: " + ("bad" if self.problems else
                                      "linearizable, nothing lost, all members the same"))
        return "\n".join(lines)

    def save(self):
        """The timeline as JSON and the history, beside the members' logs (KEEP=1)."""
        folder = self.cluster.directory
        with open(os.path.join(folder, "timeline.json"), "w", encoding="utf-8") as f:
            json.dump({"seed": self.seed, "problems": self.problems,
                       "members": len(self.cluster.members),
                       "terms": {t: sorted(n) for t, n in self.observer.leaders.items()},
                       "windows": [dict(dataclasses.asdict(one), began=one.began - self.began,
                                        ended=one.ended - self.began) for one in self.windows]},
                      f, indent=1)
        self.workload.history.save(os.path.join(folder, "history"))
        return folder
