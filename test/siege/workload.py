"""What goes on beside the attacks, at a steady rate, and must not suffer: writes that are read
back, a watch that is told all of them in order, and a lock that one client at a time holds.
Standard library only."""
import base64
import collections
import http.client
import json
import threading
import time

from harness import Client, wait_for

TIMEOUT_S = 6
WRITERS = 2
WRITES_PER_S = 10  # of each writer
HOLDERS = 2
LOCK_KEY = "siege/lock"
PREFIX = "siege/w"
PATIENCE_S = 20  # for a watch to be told what was acknowledged


class Asker:
    """One client: it follows the leader, tries again what was refused, and says how long all that
    took. `headers`: of each request; `tls`: an ssl.SSLContext or None."""

    def __init__(self, members, headers, tls):
        self.members, self.headers, self.tls = list(members), headers, tls
        self.connection = None

    def _go_to_next(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.members.append(self.members.pop(0))

    def ask(self, method, path, body=None, headers=None):
        """One request to whom we are with; None: no answer."""
        try:
            if self.connection is None:
                self.connection = Client(self.members[0].port, TIMEOUT_S, self.tls)
            return self.connection.request(method, path, body, {**self.headers, **(headers or {})})
        except (OSError, http.client.HTTPException):
            self._go_to_next()
            return None

    def follow(self, answer):
        """True when it was refused for not leading: the next one is asked."""
        if answer is not None and answer.status == 503:
            self._go_to_next()
            return True
        return False


class Workload:
    def __init__(self, cluster, user=None):
        """`user`: (name, password) or None."""
        self.members = list(cluster)
        self.headers = {}
        if user is not None:
            pair = base64.b64encode(":".join(user).encode()).decode()
            self.headers = {"Authorization": f"Basic {pair}"}
        self.tls = cluster.members[0].tls
        self.latencies = []
        self.outcomes = collections.Counter()
        self.wrong = []
        self.acked = {}  # revision: (key, value)
        self.told = []  # (revision, key, value)
        self.held = 0
        self._begins_at = int(self.members[0].get("/status").headers["Conclave-Revision"])
        self._stop = threading.Event()
        self._lock = threading.Lock()
        jobs = [(self._write, n) for n in range(WRITERS)] + [(self._watch, 0)]
        jobs += [(self._hold, n) for n in range(HOLDERS)]
        self._threads = [threading.Thread(target=self._run, args=job, daemon=True)
                         for job in jobs]
        self._holder = None

    def start(self):
        for t in self._threads:
            t.start()
        return self

    def _run(self, job, number):
        try:
            job(number)
        except Exception as e:  # noqa: B902 - the verdict has it
            self.wrong.append(f"{job.__name__} {number}: {e!r}")

    def _asker(self, number):
        members = self.members[number % len(self.members):] + self.members[:number]
        return Asker(members, self.headers, self.tls)

    def _count(self, outcome, began):
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome == "ok":
                self.latencies.append(time.monotonic() - began)

    # --- writes -----------------------------------------------------------------------------------

    def _write(self, number):
        asker, n, due = self._asker(number), 0, time.monotonic()
        while not self._stop.is_set():
            n += 1
            key, value = f"{PREFIX}{number}-{n % 100}", f"{number}-{n}"
            self._write_one(asker, key, value)
            due = max(due + 1 / WRITES_PER_S, time.monotonic() - 1)
            self._stop.wait(max(0, due - time.monotonic()))

    def _write_one(self, asker, key, value):
        began = time.monotonic()
        for _ in range(len(self.members) + 1):
            answer = asker.ask("PUT", "/key/" + key, json.dumps(value))
            if not asker.follow(answer):
                break
        if answer is None or answer.status != 200:
            self._count("none" if answer is None else str(answer.status), began)
            return
        self._count("ok", began)
        revision = answer.json()["revision"]
        with self._lock:
            self.acked[revision] = (key, value)
        began = time.monotonic()
        answer = asker.ask("GET", "/key/" + key)
        if answer is None or answer.status != 200:
            self._count("read none" if answer is None else f"read {answer.status}", began)
            return
        self._count("ok", began)
        got = answer.json()
        if got["revision"] < revision or (got["revision"] == revision and got["value"] != value):
            self.wrong.append(f"{key} was acknowledged as {value} at {revision}, read {got}")

    # --- the watch --------------------------------------------------------------------------------

    def _watch(self, number):
        asker, at = self._asker(number), self._begins_at
        while not self._stop.is_set():
            headers = {**self.headers, "Last-Event-ID": str(at)}
            try:
                client = Client(asker.members[0].port, TIMEOUT_S * 3, self.tls)
                client.connection.request("GET", f"/watch?prefix={PREFIX}", headers=headers)
                at = self._read_events(client.connection.getresponse(), at)
            except (OSError, http.client.HTTPException, ValueError):
                self.outcomes["watch again"] += 1
            asker._go_to_next()
            self._stop.wait(0.1)

    def _read_events(self, answer, at):
        if answer.status != 200:
            self.outcomes[f"watch {answer.status}"] += 1
            return at
        fields = {}
        for line in answer:
            if self._stop.is_set() and self._has_all():
                return at
            name, _, text = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = text
                continue
            at = int(fields.get("id", at))
            if fields.get("event") == "change":
                self._tell(json.loads(fields["data"]))
            elif fields.get("event", "").startswith("resync"):
                self.outcomes["watch resync"] += 1
            fields = {}
        return at

    def _tell(self, change):
        if self.told and change["revision"] <= self.told[-1][0]:
            self.wrong.append(f"revision {change['revision']} was told after {self.told[-1][0]}")
        for event in change["events"]:
            self.told.append((change["revision"], event["key"], event.get("value")))

    def _has_all(self):
        return not self.acked or (self.told and self.told[-1][0] >= max(self.acked))

    # --- the lock ---------------------------------------------------------------------------------

    def _hold(self, number):
        """The key is there while somebody holds it: who makes it does, and takes it away again."""
        asker = self._asker(number)
        while not self._stop.is_set():
            began = time.monotonic()
            mine = f"holder-{number}-{began}"
            answer = asker.ask("PUT", "/key/" + LOCK_KEY + "?ttl=30s", json.dumps(mine),
                               {"If-None-Match": "*"})
            if answer is not None and answer.status == 200:
                self._count("ok", began)
                self._be_alone(number, answer.json()["revision"], asker)
            elif answer is None or answer.status == 504:
                self._count("lock unknown", began)
                self._stop.wait(1)
                self._give_back_if(asker, mine)
            elif answer.status != 412:
                asker.follow(answer)
                self._count(f"lock {answer.status}", began)
            self._stop.wait(0.3)

    def _be_alone(self, number, revision, asker):
        with self._lock:
            if self._holder is not None:
                self.wrong.append(f"{number} holds the lock that {self._holder} has")
            self._holder = number
            self.held += 1
        self._stop.wait(0.2)
        with self._lock:
            self._holder = None
        for _ in range(60):
            answer = asker.ask("DELETE", "/key/" + LOCK_KEY, None, {"If-Match": f'"{revision}"'})
            if answer is not None and answer.status in (200, 404, 412):
                return
            asker.follow(answer)
            time.sleep(0.2)

    def _give_back_if(self, asker, mine):
        """Its outcome was unknown: if it is there after all, it is given back."""
        answer = asker.ask("GET", "/key/" + LOCK_KEY)
        if answer is not None and answer.status == 200 and answer.json()["value"] == mine:
            asker.ask("DELETE", "/key/" + LOCK_KEY, None,
                      {"If-Match": f'"{answer.json()["revision"]}"'})

    # --- the end ----------------------------------------------------------------------------------

    def stop(self):
        """Ends it, and looks whether all that was acknowledged was told, and is there."""
        self._stop.set()
        for t in self._threads[:WRITERS] + self._threads[WRITERS + 1:]:
            t.join(PATIENCE_S)
        try:
            wait_for(self._has_all, "the watch is told all", PATIENCE_S)
        except AssertionError as e:
            self.wrong.append(str(e))
        told = {(revision, key): value for revision, key, value in self.told}
        if not self.outcomes["watch resync"]:
            for revision, (key, value) in self.acked.items():
                if told.get((revision, key)) != value:
                    self.wrong.append(f"the watch was not told {key} = {value} at {revision}")
        self._check_values()

    def _check_values(self):
        newest = {}
        for revision in sorted(self.acked):
            newest[self.acked[revision][0]] = revision
        asker = self._asker(0)
        for key, revision in newest.items():
            answer = asker.ask("GET", "/key/" + key) or asker.ask("GET", "/key/" + key)
            if answer is None or answer.status != 200 or answer.json()["revision"] < revision:
                self.wrong.append(f"{key} of revision {revision} is lost: {answer}")

    def figures(self):
        """(requests, share that succeeded, p50, p99, longest in seconds)"""
        ok = sorted(self.latencies)
        asked = sum(n for what, n in self.outcomes.items() if not what.startswith("watch"))

        def at(share):
            return ok[min(len(ok) - 1, int(share * len(ok)))] if ok else float("inf")
        return asked, len(ok) / max(asked, 1), at(0.5), at(0.99), at(1)
