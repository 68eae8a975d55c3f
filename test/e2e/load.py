"""Concurrent clients that remember what they were told, and the check of it afterwards.

Every write goes to a key of its own that is never used again, so each answer can be checked alone:
acknowledged = there, with that value and revision; refused (503, 429) = not there; unknown (504, a
broken connection) = either. Across writes: revisions are unique, and a write that was acknowledged
before another began has the smaller one.
"""
import collections
import contextlib
import http.client
import json
import threading
import time

from harness import Client, dump, in_threads, wait_for

Write = collections.namedtuple("Write", "key value began ended revision")


class Load:
    """`writers` threads that write to whoever leads, without a pause, until stop(). After every
    eighth write a thread deletes what it wrote."""

    def __init__(self, cluster, writers=4, prefix="w"):
        self.cluster = cluster
        self.prefix = prefix
        self.acked, self.deleted, self.refused, self.unknown, self.wrong = [], [], [], [], []
        self.last_ack = 0.0
        self._stop = threading.Event()
        self._leader_hint = cluster.members[0].port
        self._threads = [threading.Thread(target=self._write, args=(i,), daemon=True)
                         for i in range(writers)]

    def start(self):
        for t in self._threads:
            t.start()
        return self

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(20)
            assert not t.is_alive(), "a writer hangs"

    def _ports(self):
        """The leader as last heard of first, then the others."""
        ports = [m.port for m in self.cluster]
        return sorted(ports, key=lambda p: p != self._leader_hint)

    def _write(self, number):
        clients = {}
        n = 0
        while not self._stop.is_set():
            for port in self._ports():
                if self._stop.is_set():
                    break
                n += 1
                key, value = f"{self.prefix}{number}-{n}", f"{self.prefix}-{number}-{n}"
                if not self._one(clients, port, "PUT", key, value):
                    time.sleep(0.001)
                    continue
                self._leader_hint = port
                if n % 8 == 0:
                    self._one(clients, port, "DELETE", key, None)
                break
        for c in clients.values():
            c.close()

    def _one(self, clients, port, method, key, value):
        """One request; True when it was acknowledged."""
        began = time.monotonic()
        try:
            client = clients.get(port)
            if client is None:
                client = clients[port] = Client(port, timeout=6)
                client.connection.connect()
        except OSError:
            clients.pop(port, None)
            return False  # never sent
        try:
            body = None if value is None else json.dumps(value)
            answer = client.request(method, "/key/" + key, body)
        except (OSError, http.client.HTTPException):
            clients.pop(port).close()
            self.unknown.append(key)
            return False
        ended = time.monotonic()
        if answer.status == 200:
            write = Write(key, value, began, ended, answer.json()["revision"])
            (self.acked if method == "PUT" else self.deleted).append(write)
            self.last_ack = max(self.last_ack, began)
            return True
        if answer.status in (503, 429):
            if method == "PUT":
                self.refused.append(key)
            hint = self._hint(answer)
            if hint:
                self._leader_hint = hint
        elif answer.status == 504:
            self.unknown.append(key)
        else:  # a 404 to a DELETE too: the key was acknowledged just before
            self.wrong.append((method, key, answer.status, answer.body))
        return False

    def _hint(self, answer):
        with contextlib.suppress(ValueError, AttributeError):
            url = answer.json().get("leaderUrl")
            return int(url.rpartition(":")[2]) if url else None

    def wait_ack_since(self, moment, timeout=10.0):
        """Wait for an acknowledged write that began after `moment`; seconds until its end."""
        def found():
            for w in reversed(self.acked[-200:]):
                if w.began >= moment:
                    break
            else:
                return None
            return min(w.ended for w in self.acked[-400:] if w.began >= moment) - moment
        return wait_for(found, "a write is acknowledged again", timeout, 0.001)

    def check(self):
        """All that was told is so, on every member that runs; how many writes were acknowledged."""
        assert not self.wrong, self.wrong[:5]
        # Confirmed by a majority: what was acknowledged is applied there, and soon everywhere.
        dump(self.cluster.wait_leader(), "no key begins so", consistency="linearizable")
        self.cluster.wait_same(timeout=30)
        members = self.cluster.running()
        stores = {}

        def fetch(m):
            stores[m.name] = dump(m, self.prefix)
        in_threads([lambda m=m: fetch(m) for m in members])
        first = stores[members[0].name]
        for m in members[1:]:
            assert stores[m.name] == first, f"{m.name} differs from {members[0].name}"
        unknown = set(self.unknown)
        deleted = {w.key for w in self.deleted}
        for w in self.acked:
            if w.key in deleted:
                assert w.key not in first, f"{w.key} was deleted and is back"
            elif w.key not in first:
                assert w.key in unknown, f"{w.key} was acknowledged and is lost"
            else:
                assert first[w.key] == (w.value, w.revision), (w, first[w.key])
        for key in self.refused:
            assert key not in first, f"{key} was refused and is there"
        self.check_order()
        return len(self.acked)

    def check_order(self):
        """Revisions are unique, and follow real time."""
        writes = self.acked + self.deleted
        revisions = collections.Counter(w.revision for w in writes)
        assert all(n == 1 for n in revisions.values()), "a revision was given twice"
        ended = sorted(writes, key=lambda w: w.ended)
        newest, at = 0, 0
        for w in sorted(writes, key=lambda w: w.began):
            while at < len(ended) and ended[at].ended < w.began:
                newest = max(newest, ended[at].revision)
                at += 1
            assert w.revision > newest, f"{w} was acknowledged after revision {newest} began"
