"""`conclave verify`: equal, away, frozen, behind, differing, quarantined, of another cluster."""
import contextlib
import http.server
import json
import os
import pty
import subprocess
import threading
import time
import urllib.parse

import data_dir
from harness import BINARY, Cluster, conclave, in_threads, wait_for

CONSISTENT = "\u2705 All nodes are consistent!"
UNREACHABLE = "\u274c One or more nodes are unreachable"
INCONSISTENT = "\u274c Inconsistency detected:"
BEHIND = "\u274c One or more nodes are behind"


def verify(cluster, *arguments, via=None):
    """`via`: the member to ask for the list of members; default: all that run."""
    endpoints = ",".join(m.url for m in ([via] if via else cluster.running()))
    return conclave("verify", *arguments, "--endpoints", endpoints, timeout=120)


def verdict(cluster, *arguments, **kw):
    done = verify(cluster, "-o", "json", *arguments, **kw)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["verdict"] == "consistent" else 1), done
    return answer, {m["id"]: m for m in answer["members"]}


def tamper(cluster, victim, changes):
    """Change what the log of a stopped member says, without a trace in its checksums."""
    cluster.wait_same()
    victim.kill()
    data_dir.forge_values(victim.data, changes)
    victim.start()
    cluster.wait_leader()
    cluster.wait_same()


def test_row_c11_equal_members_are_consistent(cluster):
    done = verify(cluster)
    assert (done.returncode, done.stdout, done.stderr) == (0, CONSISTENT + "\n", "")
    keys = {f"k/{n:03}\u00e9\n": {"n": n, "text": "x" * (n * 97 % 3000)} for n in range(300)}
    leader = cluster.wait_leader()
    for key, value in keys.items():
        assert leader.put(key, value).status == 200
    assert leader.delete("k/001\u00e9\n").status == 200
    done = verify(cluster)
    assert (done.returncode, done.stdout) == (0, CONSISTENT + "\n"), done.stderr
    answer, members = verdict(cluster)
    assert answer["keys"] == 299 and answer["revision"] == 302
    assert {m["state"] for m in members.values()} == {"compared"}


def test_row_c11_values_longer_than_a_page_are_compared(cluster):
    for n in range(6):
        assert cluster.wait_leader().put(f"long{n}", "x" * 1_400_000, timeout=20).status == 200
    answer, _ = verdict(cluster, "--settle")
    assert (answer["verdict"], answer["keys"]) == ("consistent", 6)


def test_row_c12_a_member_that_is_down_or_frozen_is_named(cluster):
    cluster.put("a", 1)
    leader = cluster.wait_leader()
    down, frozen = cluster.followers(leader)
    down.kill()
    done = verify(cluster, via=leader)
    assert done.returncode == 1
    first, *rest = done.stdout.splitlines()
    assert first == UNREACHABLE
    assert len(rest) == 1 and down.name in rest[0] and down.url in rest[0]
    down.start()
    cluster.wait_leader()
    frozen.freeze()
    done = verify(cluster, "--timeout", "1s", via=leader)
    frozen.thaw()
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == UNREACHABLE and frozen.name in done.stdout
    assert down.name not in done.stdout


def test_row_c12_without_any_member_nothing_is_said_of_consistency():
    done = conclave("verify", "--endpoints", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (8, "") and "cannot connect" in done.stderr


def test_row_c13_what_differs_is_told_of_each_member(cluster):
    leader = cluster.wait_leader()
    for key, value in (("same", 1), ("aaa-gone", 2), ("changed", "right"), ("zzz", 3)):
        assert leader.put(key, value).status == 200
    victim, other = cluster.followers(leader)
    tamper(cluster, victim, {b"aaa-gone": b"new-keyx", b'"right"': b'"wrong"'})
    assert victim.read("changed", "?consistency=stale").json()["value"] == "wrong"
    done = verify(cluster)
    assert done.returncode == 1, done
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert done.stdout.splitlines()[0] == INCONSISTENT
    assert lines[victim.name] == 'missing 1 ["aaa-gone"], extra 1 ["new-keyx"], ' \
                                 'different 1 ["changed"]'
    assert "missing" not in lines[leader.name] + lines[other.name]
    answer, members = verdict(cluster)
    assert answer["verdict"] == "inconsistent" and answer["keys"] == 5
    assert members[victim.name]["missing"] == {"count": 1, "keys": ["aaa-gone"]}
    assert members[other.name]["different"]["count"] == 0


def test_row_c13_many_differences_are_counted_and_a_few_named(cluster):
    leader = cluster.wait_leader()
    for n in range(30):
        assert leader.put(f"key-{n:02}", "right").status == 200
    victim = cluster.followers(leader)[0]
    tamper(cluster, victim, {b'"right"': b'"wrong"'})
    _, members = verdict(cluster)
    different = members[victim.name]["different"]
    assert different == {"count": 30, "keys": [f"key-{n:02}" for n in range(10)]}
    assert '"key-09", ... and 20 more]' in verify(cluster).stdout


def test_row_c13_of_two_members_the_leader_is_believed(make_cluster):
    c = make_cluster(2)
    leader = c.wait_leader()
    assert leader.put("k", "right").status == 200
    victim = c.followers(leader)[0]
    tamper(c, victim, {b'"right"': b'"wrong"'})
    leader = c.wait_leader()
    answer, members = verdict(c)
    assert answer["verdict"] == "inconsistent"
    assert members[leader.name]["different"]["count"] == 0
    assert members[c.others(leader)[0].name]["different"]["count"] == 1


def test_row_c13_a_quarantined_member_is_named(cluster):
    leader = cluster.wait_leader()
    assert leader.put("k", "right").status == 200
    victim = cluster.followers(leader)[0]
    tamper(cluster, victim, {b'"right"': b'"wrong"'})

    def is_quarantined():
        cluster.put("fill", 1)
        return victim.status()["role"] == "quarantined"
    wait_for(is_quarantined, "the digests tell that it is odd", timeout=60)
    done = verify(cluster)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == INCONSISTENT
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert "quarantined" in lines[victim.name] and "quarantined" not in lines[leader.name]


def test_row_c13_a_member_of_another_cluster_is_no_equal(cluster):
    victim = cluster.followers()[0]
    victim.kill()
    with Cluster(1, names=[victim.name]) as other:
        stranger = other.start()[0]
        stranger.terminate()
        stranger.port, stranger.url = victim.port, victim.url
        stranger.arguments[stranger.arguments.index("--listen") + 1] = f"127.0.0.1:{victim.port}"
        stranger.start()
        other.wait_leader()
        done = verify(cluster)
        assert done.returncode == 1 and done.stdout.splitlines()[0] == INCONSISTENT
        assert f"{victim.name}: not compared: is of another cluster" in done.stdout


# --- what real members do too seldom, played by stand-ins ---------------------------------------


class StandIn:
    """Members that answer what a test says. `revision_of(name)`, and `keys(name, after, revision)`
    and `documents(name, before, limit)`, which return (status, answer)."""

    def __init__(self, names, revision_of, keys, documents=lambda *_: (200, [])):
        self.servers = {}
        for name in names:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler(name))
            self.servers[name] = server
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.revision_of, self.keys, self.asked = revision_of, keys, []
        self.documents, self.read = documents, []

    def url(self, name):
        return f"http://127.0.0.1:{self.servers[name].server_address[1]}"

    def handler(self, name):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                status, body = outer.answer(name, urllib.parse.urlsplit(self.path))
                body = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Conclave-Revision", str(outer.revision_of(name)))
                self.end_headers()
                self.wfile.write(body)
        return Handler

    def answer(self, name, url):
        if url.path == "/cluster":
            return 200, {"cluster": [{"id": n, "url": self.url(n)} for n in self.servers]}
        if url.path == "/status":
            return 200, {"nodeId": name, "clusterId": "c", "role": "follower", "totalKeys": 2}
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/read":
            self.read.append((name, query.get("before", ""), int(query["revision"])))
            return self.documents(name, query.get("before", ""), int(query["limit"]))
        self.asked.append((name, query.get("after", ""), int(query["revision"])))
        return self.keys(*self.asked[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


def page(*keys, next_=None):
    return 200, {"keys": [{"key": k, "revision": 2, "value": 1} for k in keys],
                 "more": next_ is not None, "next": next_}


def verify_stand_in(members, *arguments):
    return conclave("verify", *arguments, "--endpoints", members.url("a"), timeout=120)


def test_row_c11_a_member_behind_is_waited_for_and_never_inconsistent():
    begin = time.monotonic()

    def revision_of(name):
        return 7 if name == "a" or time.monotonic() - begin > late else 5

    late = 1000
    with StandIn(["a", "b"], revision_of, lambda *_: page("k")) as members:
        done = verify_stand_in(members)
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        assert first.startswith(BEHIND) and "at revision 5 of 7" in second
        assert second.startswith("b (")
        late = time.monotonic() - begin + 4
        done = verify_stand_in(members, "--settle")
        assert (done.returncode, done.stdout) == (0, CONSISTENT + "\n")
        assert {r for _, _, r in members.asked[1:]} == {7}


def test_row_c11_a_revision_that_is_compacted_is_chosen_anew_behind_what_is_done():
    newest = 10

    def keys(name, after, revision):
        nonlocal newest
        if after == "":
            return page("a", "b", next_="b")
        if name == "b" and newest == 10:
            newest = 20
        if revision < newest:
            return 410, {"error": "Compacted", "oldest": newest}
        return page("c", "d")
    with StandIn(["a", "b"], lambda _: newest, keys) as members:
        done = verify_stand_in(members, "-o", "json")
        assert done.returncode == 0, done
        answer = json.loads(done.stdout)
        assert (answer["keys"], answer["revision"]) == (4, 20)
        assert ("a", "b", 20) in members.asked and ("b", "", 20) not in members.asked


def test_row_c11_compaction_without_end_is_outrun_a_page_at_a_time():
    newest = 10
    pages = [f"{n:03}" for n in range(50)]

    def keys(name, after, revision):
        nonlocal newest
        if revision < newest:
            return 410, {"error": "Compacted", "oldest": newest}
        at = pages.index(after) + 1 if after else 0
        if name == "b":
            newest += 1  # each revision lasts for one page
        return page(pages[at], next_=pages[at] if at + 1 < len(pages) else None)
    with StandIn(["a", "b"], lambda _: newest, keys) as members:
        done = verify_stand_in(members, "-o", "json")
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["keys"] == 50


def all_of(terminal):
    """What is left in it; nobody writes any more. It may come in pieces."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the end, on Linux
        while piece := os.read(terminal, 65536):
            shown += piece
    os.close(terminal)
    return shown.decode()


def test_row_c11_what_takes_long_shows_its_progress_on_a_terminal():
    def keys(_, after, revision):
        time.sleep(0.7 if after else 0)
        return page(after + "x", next_=after + "x" if len(after) < 3 else None)
    with StandIn(["a"], lambda _: 5, keys) as members:
        ours, theirs = pty.openpty()
        done = subprocess.run([BINARY, "verify", "--endpoints", members.url("a")], stderr=theirs,
                              stdout=subprocess.PIPE, text=True, timeout=60)
        os.close(theirs)
        shown = all_of(ours)
        assert (done.returncode, done.stdout) == (0, CONSISTENT + "\n")
        assert "2 of about 2 keys compared" in shown and shown.endswith("\r\x1b[K")
        assert verify_stand_in(members).stderr == ""


def test_row_c11_history_that_never_lasts_is_no_verdict():
    with StandIn(["a"], lambda _: 5, lambda *_: (410, {"error": "Compacted"})) as members:
        done = verify_stand_in(members)
        assert (done.returncode, done.stdout) == (6, "") and "--history" in done.stderr


def test_row_c12_an_answer_that_is_none_is_told_of_its_member():
    answers = {"a": page("k"), "b": (200, {"keys": [{"key": "z"}], "more": False}),
               "c": (200, [1]), "d": (500, {"error": "no"}), "e": page("k", "j")}
    with StandIn(list(answers), lambda _: 5, lambda name, *_: answers[name]) as members:
        done = verify_stand_in(members)
        assert done.returncode == 1
        first, *rest = done.stdout.splitlines()
        assert first == UNREACHABLE and [line[0] for line in rest] == ["b", "c", "d", "e"]


# --- documents ----------------------------------------------------------------------------------


def add_document(member, content):
    answer = member.request("POST", "/write", json.dumps({"content": content}))
    assert answer.status == 200, answer.body


def test_row_c11_documents_are_compared_at_the_same_revision(cluster):
    leader = cluster.wait_leader()
    for n in range(150):
        add_document(leader, f"document {n} " + "x" * (n * 53 % 2000))
    leader.put("k", 1)
    answer, members = verdict(cluster, "--settle")
    assert (answer["verdict"], answer["keys"], answer["documents"]) == ("consistent", 1, 150)
    assert members[leader.name]["documents"]["missing"] == {"count": 0, "contents": []}


def test_row_c13_documents_that_differ_are_told_by_their_contents_in_order(cluster):
    leader = cluster.wait_leader()
    for content in ("same", "zebra right", "apple right", "\u00e9t\u00e9 right"):
        add_document(leader, content)
    assert leader.put("changed", "right").status == 200
    victim, other = cluster.followers(leader)
    tamper(cluster, victim, {b'right"': b'wrong"'})
    done = verify(cluster)
    assert done.returncode == 1, done
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert lines[victim.name] == 'different 1 ["changed"], documents different 3 ' \
        '["apple wrong", "zebra wrong", "\u00e9t\u00e9 wrong"]'
    assert "different" not in lines[leader.name] + lines[other.name]
    answer, members = verdict(cluster)
    assert (answer["verdict"], answer["documents"]) == ("inconsistent", 4)
    assert members[victim.name]["documents"]["different"]["count"] == 3
    assert members[other.name]["documents"]["different"]["count"] == 0


def document(number, content="d"):
    return {"id": f"{number:016x}", "content": content, "createdAt": 1}


def documents_of(numbers):
    def answer(before, limit):
        older = [n for n in sorted(numbers, reverse=True)
                 if not before or n < int(before, 16)]
        return 200, [document(n, f"content {n:03}") for n in older[:limit]]
    return answer


def test_row_c13_missing_and_extra_documents_are_named_of_each_member():
    have = {"a": documents_of(range(2, 90)), "b": documents_of(set(range(2, 90)) - {2, 50, 89}),
            "c": documents_of([*range(2, 90), 95])}
    with StandIn(list(have), lambda _: 99, lambda *_: page("k"),
                 lambda name, before, limit: have[name](before, limit)) as members:
        done = verify_stand_in(members)
        assert done.returncode == 1 and done.stdout.splitlines() == [
            INCONSISTENT, "a: as most members have it",
            'b: documents missing 3 ["content 002", "content 050", "content 089"]',
            'c: documents extra 1 ["content 095"]']
        assert {r for _, _, r in members.read} == {99}
        told = json.loads(verify_stand_in(members, "-o", "json").stdout)
        assert (told["documents"], told["keys"]) == (89, 1)


def test_row_c13_many_and_long_documents_are_counted_and_cut():
    have = {"a": [document(n, "\u00e9" * 90) for n in range(30, 1, -1)], "b": [],
            "c": [document(n, "\u00e9" * 90) for n in range(30, 1, -1)]}
    with StandIn(list(have), lambda _: 99, lambda *_: page(),
                 lambda name, before, limit: (200, [] if before else have[name])) as members:
        line = verify_stand_in(members).stdout.splitlines()[2]
        assert line.startswith('b: documents missing 29 ["' + "\u00e9" * 50 + '..."')
        assert line.endswith(', ... and 19 more]')


def test_an_older_member_that_knows_no_documents_has_none():
    def documents(name, *_):
        return (404, {"error": "Not found"}) if name == "a" else (200, [])
    with StandIn(["a", "b"], lambda _: 5, lambda *_: page("k"), documents) as members:
        assert verify_stand_in(members).stdout == CONSISTENT + "\n"


def test_row_c12_a_list_of_documents_that_is_none_is_told_of_its_member():
    answers = {"a": (200, [document(3), document(2)]), "b": (200, {"documents": []}),
               "c": (200, [document(2), document(3)]), "d": (200, [{"id": "x"}]), "e": (500, {}),
               "f": (200, [document(3), document(2)])}
    with StandIn(list(answers), lambda _: 5, lambda *_: page("k"),
                 lambda name, before, limit: (200, []) if before else answers[name]) as members:
        done = verify_stand_in(members)
        assert done.returncode == 1
        told = {line.split(" ")[0].strip(":") for line in done.stdout.splitlines()
                if "(http" in line}
        assert told == {"b", "c", "d", "e"}, done.stdout


# --- while the members write --------------------------------------------------------------------


def test_row_c11_lag_alone_is_no_inconsistency(cluster):
    """Writes go on at full speed: no two members are ever asked at the same moment."""
    leader = cluster.wait_leader()
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            assert leader.put(f"moving/{n % 50}", n).status == 200

    def look():
        try:
            for _ in range(5):
                answer, _ = verdict(cluster, "--settle")
                assert answer["verdict"] == "consistent", answer
        finally:
            stop.set()
    in_threads([write, write, look], timeout=120)


def test_row_c11_compaction_while_it_runs_is_no_inconsistency(make_cluster):
    c = make_cluster(3, arguments=["--heartbeat-ms", "20", "--election-timeout-ms", "400",
                                   "--history-bytes", "4096"])
    leader = c.wait_leader()
    for n in range(60):
        assert leader.put(f"fixed/{n}", "x" * 500).status == 200
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            assert leader.put(f"moving/{n % 3}", "y" * 1000).status == 200

    def look():
        try:
            for _ in range(5):
                done = verify(c, "--settle", "-o", "json")
                if done.returncode == 6:  # the history is really short: said so, and no more
                    assert "compacted" in done.stderr and done.stdout == ""
                    continue
                assert json.loads(done.stdout)["verdict"] == "consistent", done.stdout
        finally:
            stop.set()
    in_threads([write, look], timeout=120)
    assert verdict(c, "--settle")[0]["verdict"] == "consistent"
