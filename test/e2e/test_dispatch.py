"""Clients are sent to the least loaded member (/dispatch), and a file says who is there."""
import collections
import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.parse

import pytest

from harness import conclave, free_port, in_threads, raw, raw_status, stays, wait_for
from test_live import Page


def state_path(member):
    return os.path.join(member.directory, member.name + ".json")


def state(member):
    """The state file, whole, or None when there is none yet."""
    try:
        with open(state_path(member), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def version(s):
    return s["cluster_info"]["last_version"]


@pytest.fixture
def filed(make_cluster):
    """Three members that keep state files, and know of each other."""
    cluster = make_cluster(start=False)
    for m in cluster:
        m.arguments += ["--state-file", state_path(m)]
    cluster.start()
    wait_settled(cluster)
    return cluster


def wait_settled(cluster):
    """Everyone that runs is in everyone's file, and is sent clients by everyone."""
    def settled():
        running = cluster.running()
        files = [state(m) for m in running]
        if None in files or any(f != files[0] for f in files):
            return False
        there = {n for n, x in files[0]["nodes"].items() if x["status"] != "OFFLINE"}
        return there == {m.name for m in running} and all(
            {target(m) for _ in running} == set(running_urls(cluster)) for m in running)
    wait_for(settled, "all that run know of each other", 20)


def running_urls(cluster):
    return [m.url for m in cluster.running()]


def target(member, path="/live"):
    """Where a client is sent; None for 503."""
    answer = member.get("/dispatch" + path)
    if answer.status == 503:
        return None
    assert answer.status == 307
    location = urllib.parse.urlsplit(answer.headers["Location"])
    assert location.path == path
    return f"http://{location.netloc}"


def follow(cluster, member):
    """The member that a client is sent to."""
    url = target(member)
    return next(m for m in cluster if m.url == url)


@pytest.fixture
def even(filed):
    """Nobody remembers clients that it sent somewhere: after two seconds none does."""
    time.sleep(2.1)
    return filed


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield lambda stream: stack.enter_context(contextlib.closing(stream))


# --- /dispatch ----------------------------------------------------------------------------------


def test_row_e6_thirty_requests_are_ten_each_at_any_member(even):
    for m in even:
        counts = collections.Counter(target(m) for _ in range(30))
        assert set(counts) == set(running_urls(even))
        assert all(8 <= n <= 12 for n in counts.values()), counts


def test_row_e6_so_are_thirty_at_once(even):
    counts, lock = collections.Counter(), threading.Lock()

    def ask():
        url = target(even[0])
        with lock:
            counts[url] += 1
    in_threads([ask] * 30)
    assert sum(counts.values()) == 30 and all(8 <= n <= 12 for n in counts.values()), counts


def test_row_e6_the_answer_is_whole_and_ends_the_connection(filed):
    answer = raw(filed[0].port, b"GET /dispatch/a%20b?x=%2F&y HTTP/1.1\r\nHost: a\r\n\r\n").decode()
    head, _, body = answer.partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 307 Temporary Redirect" and body == ""
    assert "Content-Length: 0" in lines and "Connection: close" in lines
    location = next(x for x in lines if x.startswith("Location: "))
    assert location[10:] in [u + "/a%20b?x=%2F&y" for u in running_urls(filed)]


def test_row_e6_bad_input_is_kept_as_it_is_or_refused(filed):
    m = filed[0]
    for path in ("/dispatch//", "/dispatch/%0d%0aSet-Cookie:a=b", "/dispatch/../status",
                 "/dispatch/%zz?%", "/dispatch/" + "a" * 15000):
        answer = m.get(path)
        assert answer.status == 307 and answer.headers.get("Set-Cookie") is None
        assert answer.headers["Location"].endswith(path[len("/dispatch"):])
    for path, end in (("/dispatch?x=1", "/?x=1"), ("/dispatch", "/")):
        location = m.get(path).headers["Location"]
        assert location in [u + end for u in running_urls(filed)]
    assert m.get("/dispatch/" + "a" * 17000).status == 414
    assert m.get("/dispatching").status == 404
    assert m.request("PUT", "/dispatch/key/a", "1").status == 404
    assert raw_status(m.port, b"GET /dispatch/a\rb HTTP/1.1\r\nHost: a\r\n\r\n") == 400
    assert raw_status(m.port, b"GET /dispatch/a b HTTP/1.1\r\nHost: a\r\n\r\n") == 400
    assert m.status()["role"] is not None


def test_row_e7_streams_held_elsewhere_are_counted(even, closing):
    a, asked = even[0], even[1]
    for _ in range(5):
        closing(Page(a)).id()
    wait_for(lambda: all(state(m)["nodes"][a.name]["load"] == 5 for m in even),
             "all know of the five")
    got = collections.Counter()
    for _ in range(10):
        chosen = follow(even, asked)
        closing(Page(chosen)).id()
        got[chosen.name] += 1
    assert got[a.name] == 0 and all(4 <= n <= 6 for n in got.values()), got
    wait_for(lambda: all(x["load"] == 5 for x in state(asked)["nodes"].values()),
             "all have as many")
    assert {target(asked) for _ in range(3)} == set(running_urls(even))


def test_row_e8_without_anybody_it_is_503(make_cluster):
    founding = make_cluster(start=False)[0]
    founding.start()
    answer = founding.get("/dispatch/live?x=1")
    assert (answer.status, answer.body) == (503, b"No worker nodes available.")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_row_e8_the_last_one_serves_itself(filed):
    last = filed.followers()[0]
    for m in filed.others(last):
        m.kill()
    wait_for(lambda: target(last) == last.url, "the last one sends to itself")
    stays(lambda: target(last) == last.url, "it does", 1)


def test_row_e11_streams_and_dispatch_survive_the_leader(filed, closing):
    pages = {m: closing(Page(m)) for m in filed}
    for page in pages.values():
        page.id()
    old = filed.wait_leader()
    survivors = filed.others(old)
    old.kill()
    for m in survivors:
        wait_for(lambda m=m: target(m) in running_urls(filed), "dispatch answers again")
    stays(lambda: all(target(m) in running_urls(filed) for m in survivors),
          "only the living are chosen", 1)
    leader = filed.wait_leader(among=survivors)
    for m in survivors:
        pages[m].wait_update(lambda _, s: s["leaderId"] == leader.name, "the page goes on")
        assert not pages[m].ended
        wait_for(lambda m=m: state(m)["cluster_info"]["leader"] == leader.name,
                 "the file names the new leader")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_row_e12_a_worker_that_ends_is_not_chosen_and_nobody_else_is_touched(filed, closing,
                                                                            number):
    worker = filed.followers()[0]
    others = filed.others(worker)
    pages = [closing(Page(m)) for m in others]
    for page in pages:
        page.id()
    worker.signal(number)
    worker.wait_exit()
    for m in others:
        wait_for(lambda m=m: target(m) != worker.url, "it is not chosen")
        wait_for(lambda m=m: state(m)["nodes"][worker.name]["status"] == "OFFLINE",
                 "the file says OFFLINE")
    assert all(target(m) in running_urls(filed) for m in others for _ in range(6))
    for page in pages:
        seen = len(page.updates())
        wait_for(lambda page=page, seen=seen: len(page.updates()) > seen, "the page goes on")
        assert not page.ended
    worker.start()
    wait_settled(filed)


def test_row_e12_a_member_that_stops_sends_to_the_others(make_cluster):
    cluster = make_cluster(arguments=["--heartbeat-ms", "20", "--election-timeout-ms", "3000"])
    leader = cluster.wait_leader()
    frozen = cluster.followers()
    wait_for(lambda: {target(leader) for _ in range(3)} == set(running_urls(cluster)),
             "all are known")
    for m in frozen:
        m.freeze()
    leader.signal(signal.SIGTERM)  # nobody takes leadership: it goes on for a while
    with contextlib.suppress(OSError):
        wait_for(lambda: target(leader) != leader.url, "it does not choose itself")
        assert all(target(leader) != leader.url for _ in range(4))
    for m in frozen:
        m.thaw()
    assert leader.wait_exit() == 0


def test_row_e15_idle_sockets_do_not_block_dispatch(even):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(contextlib.closing(
                socket.create_connection(("127.0.0.1", even[0].port), timeout=5)))
        counts = collections.Counter(target(even[0]) for _ in range(30))
        assert all(8 <= counts[u] <= 12 for u in running_urls(even)), counts


# --- the state file -----------------------------------------------------------------------------


def test_row_e5_the_file_says_who_is_there(filed):
    leader = filed.wait_leader()
    s = wait_for(lambda: state(leader), "there is a file")
    assert s["cluster_info"]["leader"] == leader.name
    assert s["cluster_info"]["node number"] == 3
    for m in filed:
        node = s["nodes"][m.name]
        assert (node["id"], node["ip"]) == (m.name, "127.0.0.1")
        assert node["port"] == node["service port"] == m.port
        assert node["status"] == ("LEADER" if m is leader else "ONLINE")
        assert isinstance(node["load"], int)


def test_row_e4_a_frozen_member_is_offline_until_it_goes_on(filed):
    frozen = filed.followers()[0]
    others = filed.others(frozen)
    frozen.freeze()
    for m in others:
        wait_for(lambda m=m: state(m)["nodes"][frozen.name]["status"] == "OFFLINE", "OFFLINE")
        wait_for(lambda m=m: target(m) != frozen.url, "it is not chosen")
    assert all(target(m) != frozen.url for m in others for _ in range(6))
    frozen.thaw()
    wait_settled(filed)


def test_row_e5_no_copy_is_ever_torn_or_goes_back_while_members_die(filed):
    newest = {m.name: 0 for m in filed}
    stop = threading.Event()
    failures = []

    def watch(m):
        while not stop.is_set():
            try:
                now = version(state(m))
            except ValueError as e:
                failures.append(f"{m.name}: {e}")
                return
            if now < newest[m.name]:
                failures.append(f"{m.name}: {newest[m.name]}, then {now}")
            newest[m.name] = now

    watchers = [threading.Thread(target=watch, args=(m,), daemon=True) for m in filed]
    for t in watchers:
        t.start()
    for i in range(4):
        victim = filed.wait_leader() if i % 2 == 0 else filed.followers()[0]
        victim.kill()
        leader = filed.wait_leader(among=filed.others(victim))
        wait_for(lambda leader=leader, victim=victim: all(
            state(m)["cluster_info"]["leader"] == leader.name
            and state(m)["nodes"][victim.name]["status"] == "OFFLINE"
            for m in filed.others(victim)), "the files of the survivors tell")
        victim.start()
        wait_settled(filed)
    stop.set()
    for t in watchers:
        t.join(10)
    assert not failures, failures
    leftovers = [n for n in os.listdir(filed.directory) if n.endswith(".tmp")]
    assert len(leftovers) <= 3  # of a member that was killed while it wrote; its next start's file


def test_row_e5_versions_grow_over_a_restart_of_all(filed):
    before = max(version(state(m)) for m in filed)
    for m in filed:
        m.kill()
    for m in filed:
        m.start(wait=False)
    filed.wait_leader()
    wait_for(lambda: all(version(state(m)) > before for m in filed), "newer versions everywhere")
    wait_settled(filed)


def test_row_e5_a_path_that_can_be_no_file_is_exit_2(tmp_path):
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "no" / "f", "No such file")):
        run = conclave("server", "--listen", f"127.0.0.1:{free_port()}", "--data",
                       tmp_path / "data", "--state-file", path)
        assert run.returncode == 2
        assert "--state-file" in run.stderr and str(path) in run.stderr and why in run.stderr
    assert not (tmp_path / "data").exists()


def test_row_e5_a_file_that_cannot_be_written_later_stops_nobody(make_cluster):
    cluster = make_cluster(1, start=False)
    place = os.path.join(cluster.directory, "place")
    os.mkdir(place)
    m = cluster[0]
    m.arguments += ["--state-file", os.path.join(place, "config.json")]
    cluster.start()
    path = os.path.join(place, "config.json")
    wait_for(lambda: os.path.exists(path), "the file is there")
    os.rename(place, place + "-away")
    with contextlib.closing(Page(m)) as page:
        page.id()
        m.wait_log("the state file cannot be written")
        assert m.put("a", 1).status == 200
        os.rename(place + "-away", place)
        m.wait_log("the state file is written again")
    assert m.log().count("the state file cannot be written") == 1
