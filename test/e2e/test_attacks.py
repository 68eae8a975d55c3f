"""Hostile clients at a real member (docs/SECURITY.md, HTTP and Peers): the attacks of
test/siege/attacks, each for a moment, at a member with small bounds."""
import collections
import os
import sys
import threading

import pytest

import harness
from harness import FAST, request, wait_for

ATTACKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "siege", "attacks")
sys.path.insert(0, ATTACKS)

import bombs  # noqa: E402
import cross_site  # noqa: E402
import h2_floods  # noqa: E402
import h2_streams  # noqa: E402
import h2_windows  # noqa: E402
import paths  # noqa: E402
import peer_strangers  # noqa: E402
import slow_bodies  # noqa: E402
import slow_heads  # noqa: E402
import slow_readers  # noqa: E402
import smuggling  # noqa: E402
import wire  # noqa: E402

BOUNDS = [*FAST, "--max-client-bytes", "32MiB", "--receive-timeout", "1s"]


@pytest.fixture(scope="module")
def small():
    with harness.Cluster(1, arguments=BOUNDS) as cluster:
        yield cluster.start()[0]


@pytest.fixture(scope="module")
def narrow():
    with harness.Cluster(1, arguments=[*FAST, "--max-connections", "64"]) as cluster:
        yield cluster.start()[0]


@pytest.fixture(autouse=True)
def member_lives_on(small):
    yield
    assert small.is_running()
    wait_for(lambda: small.put("alive", 1).status == 200, "it serves")
    assert memory_of(small) < 150 << 20


def memory_of(member):
    with open(f"/proc/{member.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) << 10


def figure(member, name):
    text = request(member.port, "GET", "/metrics").body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


class Under:
    """An attack that goes on meanwhile; `counts` is what it saw."""

    def __init__(self, attack, member):
        self.stop = threading.Event()
        self.counts = {}
        self.thread = threading.Thread(target=self.run, args=(attack, member.port))

    def run(self, attack, port):
        self.counts = attack("127.0.0.1", port, self.stop, lambda text: None)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("kind", [smuggling, bombs, paths, cross_site])
def test_what_must_be_refused_is(small, kind):
    counts = collections.Counter()
    complaints = []
    assert kind.try_all("127.0.0.1", small.port, counts, complaints.append), complaints
    assert counts["not connected"] == 0


@pytest.mark.parametrize("name", h2_floods.FLOODS)
def test_a_flood_of_frames_ends_its_connection(small, name):
    counts = collections.Counter()
    stop = threading.Event()
    timer = threading.Timer(10, stop.set)
    timer.start()
    h2_floods.flood_once("127.0.0.1", small.port, stop, name, counts)
    timer.cancel()
    assert not stop.is_set() and counts["ended by the server"] == 1


def test_idle_connections_keep_nobody_out(narrow):
    idle = wire.Crowd("127.0.0.1", narrow.port, 500, b"", reads=False)
    with Under(lambda host, port, stop, log: idle.run(stop, 0.1), narrow):
        wait_for(lambda: idle.counts["connected"] >= 500, "they came")
        for n in range(20):
            assert narrow.put("k", n).status == 200
    assert figure(narrow, "conclave_connections_closed_for_room_total") > 400


def test_probes_are_answered_when_all_others_wait(narrow):
    stream = b"GET /watch?prefix=a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    busy = wire.Crowd("127.0.0.1", narrow.port, 65, stream)
    with Under(lambda host, port, stop, log: busy.run(stop, 0.1), narrow):
        wait_for(lambda: busy.counts["status 503"] > 0, "all places are taken")
        for path in ("/livez", "/readyz", "/health"):
            assert request(narrow.port, "GET", path).status == 200
        assert request(narrow.port, "GET", "/version").status == 503


@pytest.mark.parametrize("attack", [slow_heads, slow_bodies])
def test_who_is_slow_has_a_second(small, attack):
    with Under(attack.attack, small) as under:
        wait_for(lambda: small.put("k", 1).status == 200, "others are served")
        threading.Event().wait(1.5)
    assert under.counts["status 408"] > 0


@pytest.mark.parametrize("attack, size", [(slow_readers, 150), (h2_streams, 40), (h2_windows, 50)])
def test_what_clients_make_a_member_keep_is_bounded(small, monkeypatch, attack, size):
    """Without the bound each would take 250 MB or more."""
    monkeypatch.setattr(attack, "SIZE", size)
    with Under(attack.attack, small):
        for n in range(5):
            wait_for(lambda: small.put("k", n).status == 200, "others are served")
            assert memory_of(small) < 150 << 20
            threading.Event().wait(0.1)


def test_strangers_keep_no_member_out(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    follower = c.others(leader)[0]
    follower.kill()
    with Under(peer_strangers.attack, leader) as one, Under(peer_strangers.attack, follower):
        follower.start()
        wait_for(lambda: (follower.status() or {}).get("leaderId"), "it follows")
        leader = c.wait_leader()
        assert leader.put("k", 1).status == 200
    assert one.counts["connected"] > 64
    c.wait_same()
