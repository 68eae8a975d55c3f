"""GET /log, GET /replication, `conclave log` and the shell's `logs`: rows C10, D6, D7, D9."""
import json
import re
import time

import pytest

import harness
from harness import conclave, wait_for
from test_shell import shell
from test_snapshots import SMALL, overwrite

# A leader that changes puts an entry of its own into the log: these stay, also on a busy machine.
CALM = ["--heartbeat-ms", "50", "--election-timeout-ms", "1500"]
FIELDS = {"id", "term", "time", "type", "key", "value"}


def log_of(member, query=""):
    """One page; while the leader changes, as it may on a busy machine, it is asked again."""
    answer = wait_for(lambda: next((a for a in [member.get("/log?limit=1000" + query)]
                                    if a.status != 503), None), f"{member.name} tells its log")
    assert answer.status == 200, answer
    return answer.json()


def whole_log(member):
    """Every entry of one member, page by page; the pages fit together."""
    entries, start = [], 1
    while True:
        page = log_of(member, f"&from={start}")
        assert [e["id"] for e in page["entries"]] == list(range(start, page["next"]))
        entries += page["entries"]
        start = page["next"]
        if not page["more"]:
            assert start == page["newest"] + 1
            return entries


def writes(entries):
    return [(e["key"], e["value"]) for e in entries if e["type"] == "write"]


def replica(leader, name):
    answer = leader.get("/replication")
    assert answer.status == 200, answer
    return {m["name"]: m for m in answer.json()["members"]}[name]


@pytest.fixture(scope="module")
def calm():
    with harness.Cluster(3, arguments=CALM) as cluster:
        yield cluster.start()


@pytest.fixture
def run(calm):
    endpoints = ",".join(m.url for m in calm)

    def verb(*arguments, **kw):
        return conclave("log", *arguments, "--endpoints", endpoints, **kw)
    return verb


# --- GET /log -----------------------------------------------------------------------------------


def test_row_d7_the_log_is_equal_on_every_member_and_its_ids_go_up_by_one(calm):
    leader = calm.wait_leader()
    before = int(time.time() * 1000)
    for n in range(3):
        calm.put("d7", {"n": n})
    assert leader.delete("d7").status == 200
    # Nobody waits: a linearizable look at any member has everything that was acknowledged.
    logs = [whole_log(m) for m in calm]
    assert logs[0] == logs[1] == logs[2]
    assert [e["id"] for e in logs[0]] == list(range(1, len(logs[0]) + 1))
    assert all(FIELDS <= set(e) for e in logs[0])
    *three, last = logs[0][-4:]
    assert [(e["type"], e["key"], e["value"]) for e in three] \
        == [("write", "d7", {"n": n}) for n in range(3)]
    assert (last["type"], last["key"], last["value"]) == ("delete", "d7", None)
    assert before - 1000 <= three[0]["time"] <= last["time"] <= int(time.time() * 1000) + 1000
    noops = [e for e in logs[0] if e["type"] == "noop"]
    assert noops and all(e["key"] is None and e["time"] is None for e in noops)


def test_row_d7_a_write_that_changed_nothing_is_in_the_log_with_its_condition(calm):
    leader = calm.wait_leader()
    calm.put("if", 1)
    refused = leader.put("if", 2, headers={"If-None-Match": "*", "Idempotency-Key": "K"})
    assert refused.status == 412
    entry = log_of(leader)["entries"][-1]
    assert (entry["condition"], entry["idempotencyKey"], entry["value"]) == ("absent", "K", 2)


def test_row_d7_bad_queries_of_the_log_are_refused_and_named(calm):
    member = calm.wait_leader()
    for query, name in (("from=abc", "from"), ("from=0", "from"), ("from=-1", "from"),
                        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=", "limit"),
                        ("form=1", "form"), ("from=1&from=2", "from"), ("revision=1", "revision"),
                        ("consistency=weak", "consistency")):
        answer = member.get("/log?" + query)
        assert (answer.status, answer.error) == (400, "Bad query parameter"), query
        assert answer.json()["parameter"] == name
    newest = log_of(member)["newest"]
    answer = member.get(f"/log?from={newest + 1}").json()
    assert (answer["entries"], answer["more"], answer["next"]) == ([], False, newest + 1)
    answer = member.get(f"/log?from={newest + 2}")
    assert answer.status == 400 and answer.json()["newest"] == newest
    assert member.get("/replication?x=1").status == 400
    assert member.request("POST", "/log").status == 404
    assert member.get("/log", headers={"Origin": "http://evil.example"}).status == 403


def test_row_d7_what_a_snapshot_has_taken_the_place_of_is_gone(make_cluster):
    c = make_cluster(3, arguments=SMALL)
    leader = c.wait_leader()
    overwrite(leader, 240)
    for m in c:
        answer = wait_for(lambda m=m: next((a for a in [m.get("/log?from=1")]
                                            if a.status == 410), None), f"{m.name} cuts its log")
        assert answer.error == "Compacted"
    answer = leader.get("/log?from=1&consistency=stale").json()
    told = leader.get(f"/log?from={answer['oldest']}&limit=2&consistency=stale")
    # It may have been cut again meanwhile, and then says so again.
    assert told.status == 410 or told.json()["entries"][0]["id"] == answer["oldest"]
    page = log_of(leader)
    assert page["oldest"] > 1 and page["entries"]
    done = conclave("log", "--from", "1", "--endpoints", leader.url)
    assert done.returncode == 4 and done.stdout == ""
    assert re.search(r"the log begins at entry \d+", done.stderr), done.stderr
    told = shell([leader], "logs")
    assert told[0] == "(earlier entries are not shown)" and told[1].startswith("Log #")


def test_row_d7_the_log_is_readable_on_a_minority_when_it_may_be_stale(make_cluster):
    c = make_cluster(3)
    c.put("k", 1)
    leader = c.wait_leader()
    c.wait_same()
    for m in c.followers(leader):
        m.kill()
    wait_for(lambda: leader.status()["leaderId"] is None, "the quorum is gone")
    answer = leader.get("/log")
    assert answer.status == 503 and "stale" in answer.body.decode()
    assert ("k", 1) in writes(log_of(leader, "&consistency=stale")["entries"])
    done = conclave("log", "--consistency", "stale", "-o", "json", "--endpoints", leader.url)
    assert ("k", 1) in writes(json.loads(done.stdout)["entries"])


def test_row_d7_large_entries_are_told_over_several_pages(make_cluster):
    c = make_cluster(1)
    for n in range(5):
        c.put(f"large-{n}", str(n) * (200 << 10))
    page = log_of(c[0], "&from=1")
    assert page["more"] and 0 < len(page["entries"]) < 5
    assert [k for k, _ in writes(whole_log(c[0]))] == [f"large-{n}" for n in range(5)]
    done = conclave("log", "-o", "json", "--endpoints", c[0].url)
    assert [k for k, _ in writes(json.loads(done.stdout)["entries"])] \
        == [f"large-{n}" for n in range(5)]


# --- the retry queue ----------------------------------------------------------------------------


def test_row_c10_a_member_that_was_down_has_everything_in_order_once(make_cluster):
    """Also when its leader was started anew meanwhile, and has forgotten whom it had asked."""
    c = make_cluster(3, arguments=CALM)
    leader = c.wait_leader()
    c.put("before", 0)
    c.wait_same()
    away = c.followers(leader)[0]
    away.kill()
    expected = [("before", 0)]
    for n in range(7):
        c.put(f"c10-{n % 3}", n)
        expected.append((f"c10-{n % 3}", n))
    assert replica(leader, away.name)["backlogEntries"] == 7
    for m in c.running():
        m.kill()
    for m in c.others(away):
        m.start(wait=False)
    leader = c.wait_leader(among=c.others(away))
    wait_for(lambda: (r := replica(leader, away.name))["attempts"] > 2
             and r["lastError"] == "cannot connect", "it is tried again and again")
    assert replica(leader, away.name)["backlogEntries"] >= 7
    away.start()
    c.wait_same()
    logs = [whole_log(m) for m in c]
    assert logs[0] == logs[1] == logs[2]
    assert writes(logs[0]) == expected
    wait_for(lambda: (r := replica(leader, away.name))["backlogEntries"] == 0
             and r["attempts"] == 0 and r["lastError"] is None, "nothing is owed to it")
    # At least the seven, and what a new leader begins its term with.
    told = leader.wait_log(rf"Replicated (\d+) entries to {away.name}: it has everything")
    assert 7 <= int(told.group(1)) <= 10
    told = away.wait_log(rf"Replicated (\d+) entries from {leader.name} index=\d+")
    assert 7 <= int(told.group(1)) <= 10


def test_row_c10_the_backlog_of_a_stopped_member_grows_and_then_goes(make_cluster):
    c = make_cluster(3, arguments=CALM)
    leader = c.wait_leader()
    away, other = c.followers(leader)
    assert {m["name"] for m in leader.get("/replication").json()["members"]} \
        == {away.name, other.name}
    c.wait_same()
    wait_for(lambda: replica(leader, away.name)["backlogEntries"] == 0, "nothing is owed to it")
    away.kill()
    for n in range(1, 6):
        c.put("k", n)
        assert replica(leader, away.name)["backlogEntries"] == n
    wait_for(lambda: (r := replica(leader, away.name))["attempts"] > 10
             and r["state"] == "probe", "more than ten attempts", timeout=60)
    shown = replica(leader, away.name)
    assert shown["backlogEntries"] == 5 and shown["next"] == shown["match"] + 1
    away.start()
    wait_for(lambda: (r := replica(leader, away.name))["backlogEntries"] == 0
             and r["attempts"] == 0 and r["state"] == "replicate", "it has everything")
    wait_for(lambda: away.read("k", "?consistency=stale").json()["value"] == 5, "it is applied")
    refused = other.get("/replication")
    assert refused.status == 503 and refused.error == "Not the leader"
    assert refused.json()["leaderUrl"] == leader.url


def test_row_c10_a_paused_member_is_told_as_one_that_does_not_answer(make_cluster):
    c = make_cluster(3, arguments=CALM)
    leader = c.wait_leader()
    paused = c.followers(leader)[0]
    c.wait_same()
    paused.freeze()
    try:
        c.put("k", 1)
        wait_for(lambda: (r := replica(leader, paused.name))["attempts"] > 0
                 and r["lastError"] == "no answer" and r["backlogEntries"] == 1,
                 "it does not answer", timeout=60)
    finally:
        paused.thaw()
    wait_for(lambda: (r := replica(leader, paused.name))["backlogEntries"] == 0
             and r["lastError"] is None, "it has everything", timeout=60)


# --- the verb and the shell ---------------------------------------------------------------------


def test_row_d7_conclave_log_shows_the_last_entries(run, calm):
    for n in range(30):
        calm.put(f"verb/{n}", n)
    calm.put("verb/esc\x1b[2J", "a\nb")
    leader = calm.wait_leader()
    head, *lines = run().stdout.splitlines()
    assert head.split() == ["ID", "TERM", "TIME", "TYPE", "KEY", "=", "VALUE"]
    assert len(lines) == 20
    assert re.fullmatch(r"\d+ +\d+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  write    verb/29 = 29",
                        lines[-2]), lines[-2]
    assert lines[-1].endswith(r'verb/esc\x1b[2J = "a\nb"')
    told = json.loads(run("-o", "json", "--limit", "1500").stdout)["entries"]
    assert told == whole_log(leader)
    first = json.loads(run("-o", "json", "--from", "1", "--limit", "3").stdout)["entries"]
    assert first == told[:3]
    raw = run("-o", "raw", "--limit", "2").stdout.splitlines()[0].split("\t")
    assert raw[3:] == ["write", "verb/29", "29"] and raw[2] == str(told[-2]["time"])


def test_row_d7_conclave_log_says_what_is_wrong(run):
    for wrong in (["--from", "x"], ["--from", "0"], ["--limit", "0"], ["--nope"], ["more"],
                  ["--consistency", "weak"], ["-o", "xml"]):
        done = run(*wrong)
        assert done.returncode == 2 and done.stdout == "" and done.stderr, wrong
    done = run("--from", "1000000")
    assert done.returncode == 2 and re.search(r"the log ends at entry \d+", done.stderr)
    for answer in ("no JSON", "[]", "{}", '{"entries": 7}'):
        with harness.answering(answer) as url:
            done = conclave("log", "--endpoints", url)
            assert done.returncode == 1 and "no log" in done.stderr, answer
    with harness.answering('{"entries": [7, {}, {"id": [], "time": "x"}], "more": true}') as url:
        assert conclave("log", "--endpoints", url).returncode == 0
        assert shell([url], "logs")[1:] == ["Log #: ", "Log #: ", "Log #[]: "]


def test_row_d6_logs_in_the_shell(make_cluster):
    c = make_cluster(3)
    told = shell(c, "write a b", "write n 30", "delete a", "logs", "logs 3")
    told = told[3:]
    when = r"\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\)"
    assert re.fullmatch(r"Log #1: NOOP", told[0])
    kept = [re.sub(r"#\d+", "#", line) for line in told if "NOOP" not in line]
    for line, expected in zip(kept, (r"Log #: WRITE key='a' value='b' " + when,
                                     r"Log #: WRITE key='n' value='30' " + when,
                                     r"Log #: DELETE key='a' " + when, "Usage: logs")):
        assert re.fullmatch(expected, line), line
    assert len(kept) == 4


def test_row_d6_logs_of_a_cluster_that_is_gone_says_so(make_cluster):
    c = make_cluster(1)
    c[0].kill()
    assert shell(c, "logs", "help")[0] == "Logs failed (no member takes connections)"
