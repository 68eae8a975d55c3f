"""The streamed page and the stream of events: /live and /events."""
import contextlib
import json
import os
import re
import resource
import socket
import time

import pytest

from harness import raw, stays, wait_for

OWN = re.compile(rb'const own = "([0-9a-f]{8})"')
UPDATE = re.compile(rb"<script>update\((\[.*?\]),(\{.*?\})\);</script>\n")


class Stream:
    """A streamed answer as its bytes come."""

    def __init__(self, member, path, headers=""):
        self.socket = socket.create_connection(("127.0.0.1", member.port), timeout=5)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        self.socket.setblocking(False)
        self.bytes, self.ended = b"", False

    def read(self):
        with contextlib.suppress(BlockingIOError):
            while not self.ended:
                part = self.socket.recv(1 << 20)
                self.ended = not part
                self.bytes += part
        return self.bytes

    def wait(self, predicate, what, timeout=15):
        """Until predicate(bytes) is true: its value."""
        return wait_for(lambda: predicate(self.read()), what, timeout)

    def head(self):
        return self.wait(lambda b: b.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in b else None,
                         "the head of the answer")

    def close(self):
        self.socket.close()


class Page(Stream):
    def __init__(self, member):
        super().__init__(member, "/live")

    def id(self):
        found = self.wait(OWN.search, "the page has its session's id")
        return found.group(1).decode()

    def updates(self):
        return [(json.loads(ids), json.loads(state))
                for ids, state in UPDATE.findall(self.read())]

    def wait_update(self, predicate, what):
        """Until predicate(ids, state) holds for the last update."""
        return wait_for(lambda: self.updates() and predicate(*self.updates()[-1]), what, 15)


class Listener(Stream):
    def __init__(self, member, last=None):
        super().__init__(member, "/events",
                         f"Last-Event-ID: {last}\r\n" if last is not None else "")

    def events(self):
        return [(i.decode(), name.decode(), json.loads(data)) for i, name, data in
                re.findall(rb"id: (\S+)\nevent: (\S+)\ndata: (.*)\n\n", self.read())]

    def wait_event(self, predicate, what):
        def found():
            return next((e for e in self.events() if predicate(e[1], e[2])), None)
        return wait_for(found, what, 15)


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield lambda stream: stack.enter_context(contextlib.closing(stream))


def test_row_e9_the_page_streams_updates_with_its_own_id(shared, closing):
    for m in shared:
        page = closing(Page(m))
        head = page.head().decode().lower().split("\r\n")
        assert head[0] == "http/1.1 200 ok"
        for line in ("transfer-encoding: chunked", "connection: keep-alive",
                     "cache-control: no-cache"):
            assert line in head
        assert any(line.startswith("content-type: text/html") for line in head)
        own = page.id()
        wait_for(lambda: len(page.updates()) >= 3, "three updates", 15)
        chunk = page.bytes.rindex(b"<script>update(")
        size = int(page.bytes[:chunk].split(b"\r\n")[-2], 16)
        assert page.bytes[chunk:chunk + size].endswith(b");</script>\n")
        page.wait_update(lambda ids, s: own in ids and s["id"] == m.name and s["sessions"] >= 1
                         and {x["id"] for x in s["members"]} == {x.name for x in shared},
                         "an update has the own id and all members")


def test_row_e10_sessions_appear_on_all_pages_and_vanish(shared, closing):
    m = shared[0]
    first, second = closing(Page(m)), Page(m)
    both = {first.id(), second.id()}
    gone = second.id()
    assert len(both) == 2
    for page in (first, second):
        page.wait_update(lambda ids, _: both <= set(ids), "both are listed")
    second.close()
    first.wait_update(lambda ids, _: gone not in ids, "the closed one is gone")


def test_row_e9_head_and_http_1_0(shared):
    m = shared[0]
    answer = raw(m.port, b"HEAD /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
    old = raw(m.port, b"GET /live HTTP/1.0\r\n\r\n", timeout=1)
    assert b"<!doctype html>" in old and b"chunked" not in old
    assert m.get("/live?x=1").status == 400
    assert b"\nGET /live " in m.get("/").body


def test_row_e11_streams_on_survivors_go_on_when_the_leader_dies(cluster, closing):
    leader = cluster.wait_leader()
    survivors = cluster.followers(leader)
    pages = [closing(Page(m)) for m in survivors]
    listener = closing(Listener(survivors[0]))
    listener.wait_event(lambda name, _: name == "state", "the state")
    for page in pages:
        page.wait_update(lambda _, s: s["leaderId"] == leader.name, "the leader is shown")
    leader.kill()
    new = cluster.wait_leader(among=survivors)
    for page in pages:
        page.wait_update(lambda _, s: s["leaderId"] == new.name, "the new leader is shown")
        page.wait_update(lambda _, s: any(x["id"] == leader.name and not x["online"]
                                          for x in s["members"]), "the old one is offline")
        assert not page.ended
    listener.wait_event(lambda name, e: name == "leader" and e["leaderId"] == new.name,
                        "the new leader is told")
    listener.wait_event(lambda name, e: name == "member" and e["id"] == leader.name
                        and e["change"] == "offline", "that the old one is away is told")


def test_events_tell_roles_and_sessions_and_go_on_where_they_were(cluster, closing):
    leader = cluster.wait_leader()
    keeper, listener = closing(Listener(leader)), Listener(leader)
    at, _, state = listener.wait_event(lambda name, _: name == "state", "the state")
    assert state["id"] == leader.name and len(state["members"]) == 3
    listener.close()
    own = closing(Page(leader)).id()
    keeper.wait_event(lambda name, e: name == "sessions" and own in e["beganIds"], "the session")
    assert leader.request("POST", "/step-down").status == 200
    keeper.wait_event(lambda name, e: name == "role" and e["id"] == leader.name
                      and (e["role"], e["was"]) == ("follower", "leader"), "the step-down")
    again = closing(Listener(leader, last=at))
    again.wait_event(lambda name, e: name == "role" and e["id"] == leader.name, "it was missed")
    again.wait_event(lambda name, e: name == "sessions" and own in e["beganIds"], "this, too")
    assert not any(name == "state" for _, name, _ in again.events())


def test_row_e15_many_open_pages_are_no_threads_and_block_nobody(cluster, closing):
    """As many as the limit of open files lets this process and a member have, at most 2000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(2000, (hard if hard != resource.RLIM_INFINITY else 1 << 20) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    leader = cluster.wait_leader()
    threads = f"/proc/{leader.process.pid}/task"
    before = len(os.listdir(threads))
    try:
        pages = [closing(Page(leader)) for _ in range(count)]
        wait_for(lambda: all(OWN.search(p.read()) for p in pages), "every page has come", 60)
        assert len({p.id() for p in pages}) == count
        pages[-1].wait_update(lambda _, s: s["sessions"] == count, "all are counted")
        assert len(pages[-1].updates()[-1][0]) == 200
        cluster.put("k", 1)
        assert len(os.listdir(threads)) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_row_e15_one_that_reads_nothing_holds_up_no_other(cluster, closing):
    m = cluster.followers()[0]
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", m.port))
    stuck.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
    page = closing(Page(m))
    own = page.id()
    page.wait_update(lambda ids, s: s["sessions"] == 2 and own in ids, "both are there")
    stays(lambda: not page.read() is None and not page.ended, "the other page goes on", 2)
    stuck.close()
    page.wait_update(lambda _, s: s["sessions"] == 1, "the stuck one is gone")


def test_row_e9_a_member_that_stops_ends_its_streams(cluster, closing):
    m = cluster.followers()[0]
    streams = [closing(Page(m)), closing(Listener(m))]
    for s in streams:
        s.head()
    begin = time.monotonic()
    assert m.terminate() == 0 and time.monotonic() - begin < 5
    for s in streams:
        s.wait(lambda b, s=s: s.ended and b.endswith(b"\r\n0\r\n\r\n"), "a proper end")
