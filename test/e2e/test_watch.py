"""GET /watch and `conclave watch`: every change once and in order, whatever happens (I15)."""
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import BINARY, clean_environment, conclave, wait_for

SMALL_BUFFER = 4096


class Watch:
    """Events as they come: (type, id or None, data). May come back at the next member."""

    def __init__(self, members, path, last=None, comes_back=False):
        self.members, self.path, self.last = list(members), path, last
        self.comes_back = comes_back
        self.events, self.ends, self.stopped = [], 0, False
        self.connection = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        at = 0
        while not self.stopped:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.ends += self.follow(self.members[at % len(self.members)])
            if not self.comes_back:
                return
            at += 1
            time.sleep(0.02)

    def follow(self, member):
        """True at the end of the stream, false if there is none here."""
        self.connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=15)
        headers = {"Last-Event-ID": self.last} if self.last is not None else {}
        self.connection.request("GET", self.path, headers=headers)
        answer = self.connection.getresponse()
        if answer.status == 503 and self.comes_back:
            return False
        assert answer.status == 200, answer.read()
        event = {}
        for line in answer:
            line = line.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                more = name == "data" and name in event
                event[name] = event[name] + "\n" + value if more else value
            elif "data" in event:
                self.last = event.get("id", self.last)
                self.events.append((event["event"], event.get("id"), json.loads(event["data"])))
                event = {}
        return True

    def changes(self):
        """(revision, [(type, key, value)])."""
        return [(data["revision"], [(e["type"], e["key"], e.get("value")) for e in data["events"]])
                for kind, _, data in list(self.events) if kind == "change"]

    def wait_kind(self, kind):
        return wait_for(lambda: next((e for e in list(self.events) if e[0] == kind), None),
                        f"the watch is told {kind}", 30)

    def stop(self):
        self.stopped = True


def revision_of(answer):
    assert answer.status == 200, answer
    return answer.json()["revision"]


def metric(member, name):
    for line in member.get("/metrics").body.decode().split("\n"):
        if line.startswith(name + " "):
            return int(line.split()[1])
    return None


def put_somewhere(cluster, key, value):
    """At whoever leads, until it is acknowledged."""
    def try_once():
        for m in cluster.running():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = m.put(key, value, timeout=3)
                if answer.status == 200:
                    return answer.json()["revision"]
        return None
    return wait_for(try_once, f"{key} is written", 30)


def test_i15_a_watch_is_told_each_change_once_and_in_order(make_cluster):
    c = make_cluster(1)
    member = c[0]
    first = revision_of(member.put("a/1", {"x": 1}))
    revision_of(member.put("b", 1))
    past = Watch([member], f"/watch?prefix=a/&from={first}")
    one = Watch([member], "/watch?key=a%2F2")
    one.wait_kind("progress")
    second = member.request("PUT", "/key/a/2", '{"lines":\r\n[1,\n2]}')
    third = revision_of(member.put("a/2", "text"))
    gone = member.delete("a/1")
    want = [(first, [("put", "a/1", {"x": 1})]),
            (revision_of(second), [("put", "a/2", {"lines": [1, 2]})]),
            (third, [("put", "a/2", "text")]), (revision_of(gone), [("delete", "a/1", None)])]
    wait_for(lambda: past.changes() == want, f"{past.events} are {want}")
    wait_for(lambda: one.changes() == want[1:3], f"{one.events} are {want[1:3]}")
    event = next(e for e in past.events if e[2]["revision"] == third)
    assert event[:2] == ("change", str(third))
    assert event[2]["events"][0]["createRevision"] == third - 1
    assert event[2]["events"][0]["version"] == 2
    assert metric(member, "conclave_watches") == 2
    assert metric(member, "conclave_watch_events_total") == 6


def test_i15_no_gap_and_no_double_through_kill_9_of_the_leader(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    watches = [Watch([m, *c.others(m)], "/watch?prefix=k", comes_back=True) for m in c]
    for w in watches:
        w.wait_kind("progress")
    told = []
    for n in range(60):
        if n == 20:
            leader.kill()
        told.append((put_somewhere(c, f"k{n % 7}", n), n))
    acked = dict(told)
    for w in watches:
        wait_for(lambda w=w: w.changes() and w.changes()[-1][0] >= told[-1][0],
                 f"the last change is told: {w.events[-2:]}", 30)
        revisions = [revision for revision, _ in w.changes()]
        assert revisions == sorted(set(revisions))
        seen = {revision: events[0][2] for revision, events in w.changes()}
        assert {r: seen.get(r) for r in acked} == acked
        w.stop()
    first, second = (dict(w.changes()) for w in watches[:2])
    assert first.keys() == second.keys()


def test_i15_beyond_the_history_all_there_is_is_told_and_then_what_comes(make_cluster):
    c = make_cluster(1, arguments=[*harness.FAST, "--history", "1s"])
    member = c[0]
    for n in range(1500):
        assert member.put(f"a/{n:04}", n).status == 200
    member.delete("a/0000")
    last = revision_of(member.put("b", 1))

    def compacted():
        return member.read("b", "?revision=2").status == 410
    wait_for(compacted, "the history of the first writes is gone", 30)
    w = Watch([member], "/watch?prefix=a/&from=2")
    end = w.wait_kind("resync-end")
    revision = end[2]["revision"]
    assert revision >= last and end[1] == str(revision)
    kinds = [kind for kind, _, _ in w.events]
    assert (kinds[0], set(kinds[1:-1]), kinds[-1]) == ("resync-begin", {"resync"}, "resync-end")
    assert all(number is None for _, number, _ in w.events[:-1])
    pieces = [data for kind, _, data in w.events if kind == "resync"]
    assert all(len(p["keys"]) <= 1000 for p in pieces) and len(pieces) > 1
    keys = {k["key"]: k["value"] for p in pieces for k in p["keys"]}
    assert keys == {f"a/{n:04}": n for n in range(1, 1500)}
    after = revision_of(member.put("a/0001", "new"))
    want = [(after, [("put", "a/0001", "new")])]
    wait_for(lambda: w.changes() == want, f"{w.events[-1]} is next")
    back = Watch([member], "/watch?prefix=a/&from=1", last=str(after - 1))
    wait_for(lambda: back.changes() == want, f"{back.events} is next")


def test_o4_a_slow_reader_is_paused_and_misses_nothing(make_cluster):
    c = make_cluster(1)
    member = c[0]
    with contextlib.closing(socket.socket()) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        s.connect(("127.0.0.1", member.port))
        s.sendall(b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: metric(member, "conclave_watches") == 1, "the watch is there")
        value = "v" * 100000
        revisions = [revision_of(member.put("k", value + str(n))) for n in range(120)]
        wait_for(lambda: metric(member, "conclave_watches_slow") == 1, "the watch is slow")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        s.settimeout(10)
        got = b""
        while b'"revision":%d,' % revisions[-1] not in got[-300000:]:
            part = s.recv(1 << 20)
            assert part, "the stream ended"
            got += part
        at = [got.find(b"\nevent: change\ndata: {\"revision\":%d," % r) for r in revisions]
        assert at == sorted(at) and at[0] > 0
        assert got.count(b"event: change") == len(revisions)
        wait_for(lambda: metric(member, "conclave_watches_slow") == 0, "the watch is in step again")

    def has_gone():
        return member.put("k", 0) and metric(member, "conclave_watches") == 0
    wait_for(has_gone, "the watch has gone with its client", 30)


def test_a_member_that_stops_ends_its_streams_properly(make_cluster):
    c = make_cluster(1)
    w = Watch([c[0]], "/watch")
    w.wait_kind("progress")
    assert c[0].terminate() == 0
    wait_for(lambda: w.ends == 1, "the stream has its end")


def test_who_has_lost_the_others_strands_nobody(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    left, other = c.others(leader)
    w = Watch([left, leader, other], "/watch", comes_back=True)
    w.wait_kind("progress")
    leader.kill()
    other.kill()
    wait_for(lambda: w.ends == 1, "the stream has its end")
    wait_for(lambda: left.get("/watch").error == "No leader", "no other is taken")
    leader.start()
    revision = put_somewhere(c, "k", 1)
    wait_for(lambda: revision in [r for r, _ in w.changes()], "it goes on elsewhere", 30)
    w.stop()


def test_bad_parameters_are_refused(make_cluster):
    member = make_cluster(1)[0]
    long_one = "prefix=" + "p" * 4097
    for query in ("from=0", "from=x", "key=", "key=a&prefix=b", "prefixx=a", long_one):
        answer = member.get("/watch?" + query)
        assert answer.status == 400 and answer.error == "Bad query parameter", query
    assert member.request("HEAD", "/watch").status == 200
    assert metric(member, "conclave_watches") == 0


@contextlib.contextmanager
def watching(cluster, *arguments):
    urls = ",".join(m.url for m in cluster)
    p = subprocess.Popen([BINARY, "watch", "--endpoints", urls, *arguments],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                         env=clean_environment(), preexec_fn=harness._die_with_parent(None))
    p.lines = []
    def read_all():
        p.lines.extend(iter(p.stdout.readline, ""))

    threading.Thread(target=read_all, daemon=True).start()
    try:
        yield p
    finally:
        p.kill()
        p.wait(10)


def test_the_verb_follows_through_kill_9_and_ends_with_0(make_cluster):
    c = make_cluster(3)
    first = put_somewhere(c, "v/0", 0)
    with watching(c, "v/", "-o", "raw", "--from", str(first)) as raw, \
            watching(c, "v/", "-o", "json", "--from", str(first)) as as_json, \
            watching(c, "v/", "--from", str(first)) as table:
        wait_for(lambda: raw.lines and as_json.lines and len(table.lines) == 2,
                 "the first is shown", 20)
        want = [f"{first}\tput\tv/0\t0\n"]
        for n in range(1, 12):
            if n in (3, 7):
                victim = c[0] if n == 3 else c[1]
                victim.kill()
                victim.start()
            want.append(f"{put_somewhere(c, f'v/{n}', n)}\tput\tv/{n}\t{n}\n")
        wait_for(lambda: raw.lines == want, "every change is shown once", 30)
        wait_for(lambda: len(as_json.lines) == len(want) and len(table.lines) == len(want) + 1,
                 "in each form", 30)
        assert [json.loads(line)["events"][0]["value"] for line in as_json.lines] == list(range(12))
        assert table.lines[0].split() == ["REVISION", "TYPE", "KEY", "=", "VALUE"]
        assert table.lines[1].split() == [str(first), "put", "v/0", "=", "0"]
        for p in (raw, as_json):
            p.send_signal(signal.SIGINT)
            assert p.wait(10) == 0


@pytest.mark.parametrize("arguments", [["--from", "0"], ["a", "b"], ["-o", "xml"]])
def test_the_verb_refuses_wrong_usage(arguments):
    assert conclave("watch", *arguments).returncode == 2


def test_the_verb_says_that_nobody_is_there():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{s.getsockname()[1]}"
    assert conclave("watch", "--endpoints", gone, "--timeout", "1s").returncode == 8
