"""Clients that go on through every fault and write down what they asked and what they were told:
registers with all conditions, counters, and lists to which each client appends. Standard library
only."""
import collections
import contextlib
import http.client
import json
import random
import threading
import time

import history as h
from harness import Client, key_path

# Longer than the members' own --request-timeout-ms, so that they answer if they can.
CLIENT_TIMEOUT_S = 1.5
PAUSE_S = 0.004
REFUSED_PAUSE_S = 0.01
OPS_PER_KEY = 120
UNKNOWN_PER_KEY = 6
APPENDS_MAX = 60

REFUSALS = (429, 503, 507)


class Keys:
    """The keys in use: a new one in place of each that has a long past, or many unknown writes,
    because the search for an order gets expensive with both."""

    def __init__(self, prefix, slots):
        self.prefix = prefix
        self._lock = threading.Lock()
        self._slots = [[0, 0, 0] for _ in range(slots)]  # generation, operations, unknown

    def pick(self, rng):
        with self._lock:
            slot = rng.randrange(len(self._slots))
            return slot, f"{self.prefix}/{slot}/{self._slots[slot][0]}"

    def used(self, slot, key, is_unknown, is_full=False):
        with self._lock:
            state = self._slots[slot]
            if key != f"{self.prefix}/{slot}/{state[0]}":
                return
            state[1] += 1
            state[2] += is_unknown
            if state[1] >= OPS_PER_KEY or state[2] >= UNKNOWN_PER_KEY or is_full:
                state[:] = [state[0] + 1, 0, 0]


class Asker:
    """One logical client: it follows the leader by the hints in refusals."""

    def __init__(self, number, members, history, wrong, rng):
        self.number = number
        self.members = members
        self.history = history
        self.wrong = wrong
        self.rng = rng
        self.home = members[number % len(members)]
        self.leader = self.home
        self._connections = {}
        self._values = 0

    def unique(self):
        self._values += 1
        return f"{self.number}.{self._values}"

    def close(self):
        for c in self._connections.values():
            c.close()

    def ask(self, kind, key, value=None, condition=None):
        """One request, no retry: the operation as it went into the history."""
        member = self.leader
        if kind == h.GET and self.rng.random() < 0.5:
            member = self.home  # every member serves linearizable reads
        op = h.Op(self.number, member.name, kind, key, value, condition, time.monotonic())
        try:
            self._send(op, member)
        except (OSError, http.client.HTTPException):
            if member.name in self._connections:
                self._connections.pop(member.name).close()
            self._look_elsewhere(member)
        self.history.add(op)
        return op

    def _send(self, op, member):
        client = self._connections.get(member.name)
        if client is None:
            client = Client(member.port, timeout=CLIENT_TIMEOUT_S)
            op.outcome = h.REFUSED  # until there is a connection, nothing was sent
            client.connection.connect()
            op.outcome = h.UNKNOWN
            self._connections[member.name] = client
            op.began = time.monotonic()
        headers = {}
        if op.condition == h.IF_ABSENT:
            headers["If-None-Match"] = "*"
        elif op.condition is not None:
            headers["If-Match"] = "*" if op.condition == h.IF_EXISTS else f'"{op.condition}"'
        body = json.dumps(op.value) if op.kind == h.PUT else None
        answer = client.request(op.kind.upper(), key_path(op.key), body, headers)
        self._understand(op, member, answer)

    def _understand(self, op, member, answer):
        told = {}
        with contextlib.suppress(ValueError):
            told = json.loads(answer.body)
        ended = time.monotonic()
        if answer.status == 200:
            op.outcome, op.revision = h.DONE, told["revision"]
            if op.kind == h.GET:
                op.value = told["value"]
        elif answer.status == 404 and op.kind != h.PUT:
            op.outcome = h.ABSENT
        elif answer.status == 412 and op.condition is not None:
            op.outcome, op.revision = h.CONFLICT, told["revision"]
        elif answer.status in REFUSALS:
            op.outcome = h.REFUSED
            hint = [m for m in self.members if m.name == told.get("leaderId")]
            if hint and hint[0] is not member:
                self.leader = hint[0]
            else:
                self._look_elsewhere(member)
            time.sleep(REFUSED_PAUSE_S)
        elif answer.status != 504:
            self.wrong.append(f"{op} was answered {answer.status} {answer.body!r}")
        if op.outcome != h.UNKNOWN:
            op.ended = ended

    def _look_elsewhere(self, member):
        if self.leader is member:
            self.leader = self.rng.choice([m for m in self.members if m is not member] or [member])


class Workload:
    """Threads of askers until stop(); everything is in `history` then."""

    def __init__(self, members, seed, registers=4, counters=2, lists=2, retry_s=None):
        self.members = list(members)
        self.retry_s = retry_s
        self.history = h.History()
        self.wrong = []
        self.registers = Keys("register", 4)
        self.counters = Keys("counter", 1)
        self.lists = Keys("list", 1)
        self.retried = Keys("retried", 2)
        self._stop = threading.Event()
        kinds = [self._register] * registers + [self._counter] * counters + [self._append] * lists
        if retry_s is not None:
            kinds += [self._retry] * 2
        self._askers = [Asker(i, self.members, self.history, self.wrong,
                              random.Random(f"{seed} {i}")) for i in range(len(kinds))]
        self._threads = [threading.Thread(target=self._run, args=(kind, asker), daemon=True)
                         for kind, asker in zip(kinds, self._askers)]

    def start(self):
        for t in self._threads:
            t.start()
        return self

    def stop(self):
        self._stop.set()
        for t in self._threads:
            if t.is_alive():
                t.join(30)
            assert not t.is_alive(), "a client hangs"

    def _run(self, kind, asker):
        try:
            while not self._stop.is_set():
                kind(asker)
                time.sleep(PAUSE_S)
        except Exception as e:  # noqa: B902 - the verdict shows it
            self.wrong.append(f"client {asker.number} ended: {e!r}")
            raise
        finally:
            asker.close()

    def _register(self, asker):
        slot, key = self.registers.pick(asker.rng)
        op = asker.ask(h.GET, key)
        at = op.revision if op.outcome == h.DONE else asker.rng.randint(1, 50)
        kind, condition = asker.rng.choice([
            (h.PUT, None), (h.PUT, None), (h.PUT, at), (h.PUT, at), (h.PUT, h.IF_EXISTS),
            (h.PUT, h.IF_ABSENT), (h.DELETE, None), (h.DELETE, at), (h.GET, None), (h.GET, None)])
        value = asker.unique() if kind == h.PUT else None
        op = asker.ask(kind, key, value, condition)
        self.registers.used(slot, key, op.outcome == h.UNKNOWN and kind != h.GET)

    def _counter(self, asker):
        slot, key = self.counters.pick(asker.rng)
        read = asker.ask(h.GET, key)
        if read.outcome in (h.DONE, h.ABSENT):
            count = int(read.value.split()[0]) if read.outcome == h.DONE else 0
            condition = read.revision if read.outcome == h.DONE else h.IF_ABSENT
            op = asker.ask(h.PUT, key, f"{count + 1} by {asker.unique()}", condition)
            self.counters.used(slot, key, op.outcome == h.UNKNOWN)

    def _append(self, asker):
        slot, key = self.lists.pick(asker.rng)
        read = asker.ask(h.GET, key)
        if read.outcome in (h.DONE, h.ABSENT):
            so_far = read.value.split() if read.outcome == h.DONE else []
            condition = read.revision if read.outcome == h.DONE else h.IF_ABSENT
            op = asker.ask(h.PUT, key, " ".join(so_far + [asker.unique()]), condition)
            self.lists.used(slot, key, op.outcome == h.UNKNOWN, len(so_far) >= APPENDS_MAX)

    def _retry(self, asker):
        """A write that is repeated until it is acknowledged, as a patient client does."""
        slot, key = self.retried.pick(asker.rng)
        began = time.monotonic()
        while asker.ask(h.PUT, key, asker.unique()).outcome != h.DONE:
            if time.monotonic() > began + self.retry_s:
                self.wrong.append(f"a write of {key} failed for {self.retry_s} s")
                return
        self.retried.used(slot, key, False)


# --- what must be so at the end -----------------------------------------------------------------


def final_reads(ops, store, member, began, ended):
    """What is in `store` {key: (value, revision)} as reads of every key that was ever touched."""
    for key in sorted({op.key for op in ops}):
        value, revision = store.get(key, (None, None))
        outcome = h.ABSENT if value is None else h.DONE
        yield h.Op(-1, member, h.GET, key, value, None, began, ended, outcome, revision)


def check_counters(ops, store):
    """A counter has counted every acknowledged step, and no more than may have been."""
    steps = collections.defaultdict(lambda: [0, 0])
    for op in ops:
        if op.key.startswith("counter/") and op.kind == h.PUT:
            steps[op.key][0] += op.outcome == h.DONE
            steps[op.key][1] += op.outcome == h.UNKNOWN
    for key, (done, unknown) in steps.items():
        value = store.get(key, ("0", None))[0]
        count = int(value.split()[0])
        if not done <= count <= done + unknown:
            yield f"{key} stands at {count}; {done} steps acknowledged, {unknown} unknown"


def check_lists(ops, store):
    """A list has every acknowledged element once, and none that was refused."""
    for op in ops:
        if not op.key.startswith("list/") or op.kind != h.PUT:
            continue
        element = op.value.split()[-1]
        times = store.get(op.key, ("", None))[0].split().count(element)
        if times > 1 or (op.outcome == h.DONE and times != 1) or \
                (op.outcome in (h.REFUSED, h.CONFLICT) and times != 0):
            yield f"{element} is {times} times in the list: {op}"
