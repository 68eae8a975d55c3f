"""Faults on request, with real members: /faults, rows F4 (lag), B15 (partition), F10 (ladder)."""
import time

import pytest

from harness import SECRET, wait_for

FAULTS = ["--heartbeat-ms", "50", "--election-timeout-ms", "1000", "--enable-faults"]
# Nobody loses patience while messages are late.
PATIENT = ["--heartbeat-ms", "100", "--election-timeout-ms", "15000", "--request-timeout-ms",
           "20000", "--enable-faults"]
NONE = {"delayMs": 0, "drop": 0, "partition": [], "links": {}, "diskDelayMs": 0}


def play(member, text):
    answer = member.request("POST", "/faults", text)
    assert answer.status == 200, answer.body
    return answer.json()


def heal(*members):
    for m in members:
        assert m.request("DELETE", "/faults").json() == NONE


def cut_off(member, others):
    names = ",".join(f'"{m.name}"' for m in others)
    return play(member, '{"partition":[%s]}' % names)


def counter(member, name):
    for line in member.get("/metrics").body.decode().split("\n"):
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(f"no {name} in /metrics")


def patient_cluster(make_cluster):
    """Three members that take silence for long: no election gets in between."""
    c = make_cluster(3, start=False, arguments=PATIENT)
    for m in c:
        m.start()
    return c, c.wait_leader(timeout=60)


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(3, arguments=FAULTS)


def test_row_f4_the_replication_lag_experiment(make_cluster):
    """Right after the acknowledgement a follower does not show the write; later it does."""
    c, leader = patient_cluster(make_cluster)
    assert leader.put("city", "old").status == 200
    c.wait_same()
    follower = c.followers(leader)[0]
    play(leader, '{"delayMs":3000}')
    # An acknowledgement says that a majority has it; that this is so is on its way for three more
    # seconds to the followers.
    assert leader.put("city", "new", timeout=25).status == 200
    assert follower.read("city", "?consistency=stale").json()["value"] == "old"
    assert leader.put("fresh", 1, timeout=25).status == 200
    assert follower.read("fresh", "?consistency=stale").status == 404
    assert leader.read("city", timeout=25).json()["value"] == "new", "the leader reads what is"
    assert leader.read("fresh", "?consistency=stale").json()["value"] == 1
    for key, value in (("city", "new"), ("fresh", 1)):
        wait_for(lambda: follower.read(key, "?consistency=stale").json().get("value") == value,
                 f"{key} arrives", timeout=20)
    heal(leader)
    c.wait_same()
    c.check_one_leader_a_term()


def test_row_f10_the_ladder_with_one_follower_cut_off(make_cluster):
    c = make_cluster(3, arguments=[*FAULTS, "--request-timeout-ms", "600"])
    leader = c.wait_leader()
    assert leader.put("k", 0, "?ack=all").status == 200
    cut, other = c.followers(leader)
    cut_off(cut, c.others(cut))
    got = leader.put("k", 1, "?ack=leader").json()
    assert got["durability"] == "leader" and "revision" not in got
    assert leader.put("k", 2, "?ack=quorum").json()["revision"] > 1
    answer = leader.put("k", 3, "?ack=all")
    assert answer.status == 504
    got = answer.json()
    assert got["error"] == "Not confirmed by all" and got["missing"] == [cut.name]
    assert got["durability"] == "quorum" and got["revision"] > 1
    # The ladder of reads: of the two that see each other everything is linearizable.
    token = leader.read("k").headers["Conclave-Session"]
    assert leader.read("k").json()["value"] == 3 and other.read("k").json()["value"] == 3
    assert other.read("k", "?consistency=session&token=" + token).json()["value"] == 3
    # The one that is cut off says so, knows that it is behind, and has an old copy.
    assert cut.read("k").status == 503
    behind = cut.read("k", "?consistency=session&token=" + token)
    assert (behind.status, behind.error) == (503, "Behind")
    assert cut.read("k", "?consistency=stale").json()["value"] == 0
    heal(cut)
    wait_for(lambda: c.leader_now() and c.leader_now().put("k", 4, "?ack=all").status == 200,
             "all again")


def test_row_f10_ack_leader_does_not_wait_for_anybody_and_quorum_does(make_cluster):
    """Messages to the followers are 3 s late: the leader's own word comes before they are asked."""
    c, leader = patient_cluster(make_cluster)
    assert leader.put("warm", 1).status == 200
    play(leader, '{"delayMs":3000}')
    took = {}
    for ack in ("leader", "quorum", "all"):
        started = time.monotonic()
        assert leader.put("k", ack, "?ack=" + ack, timeout=25).status == 200
        took[ack] = time.monotonic() - started
    assert took["leader"] < took["quorum"] and took["quorum"] >= 3 and took["all"] >= 3, took
    heal(leader)


def test_row_b15_a_leader_cut_off_stops_acknowledging_and_returns_as_a_follower(cluster):
    old = cluster.wait_leader()
    rest = cluster.others(old)
    cluster.put("kept", "before")
    cluster.wait_same()
    term = old.status()["term"]
    cut_off(old, rest)
    # What it takes from now on, it takes in vain, and says so.
    tail = old.put("tail", 1)
    assert tail.status in (503, 504), tail
    new = cluster.wait_leader(among=rest)
    assert new.status()["term"] > term
    wait_for(lambda: old.status()["role"] != "leader", "it steps down")
    refused = old.put("tail", 2)
    assert refused.status == 503 and refused.json()["leaderId"] == "Unknown"
    assert old.read("kept").status == 503
    assert old.read("kept", "?consistency=stale").json()["value"] == "before"
    seen = {e["id"]: e["state"] for e in old.get("/cluster").json()["cluster"]}
    assert [seen[m.name] for m in rest] == ["OFFLINE", "OFFLINE"]
    for n in range(20):
        assert new.put("kept", n).status == 200
    new_term = new.status()["term"]
    heal(old)
    cluster.wait_leader()
    cluster.wait_same()
    assert old.status()["role"] == "follower" and new.status()["term"] == new_term
    for m in cluster:
        assert m.read("kept").json()["value"] == 19
        assert m.read("tail").status == 404, "the tail was discarded"
    cluster.check_one_leader_a_term()


def test_row_b15_one_link_cut_and_a_delay_one_way_leave_a_majority_that_works(cluster):
    leader = cluster.wait_leader()
    a, b = cluster.followers(leader)
    shown = play(a, '{"links":{"%s":{"partition":true}}}' % b.name)
    assert shown == {**NONE, "links": {b.name: {"partition": True}}}
    for n in range(20):
        assert leader.put("k", n).status == 200
    for m in (a, b):
        wait_for(lambda: m.read("k", "?consistency=stale").json().get("value") == 19, "it has it")
    # One way late: this follower hears the leader and is heard late; the other one confirms.
    play(a, '{"links":{"%s":{"delayMs":400}}}' % leader.name)
    for n in range(20, 40):
        assert leader.put("k", n).status == 200
    # One way lost.
    play(a, '{"links":{"%s":{"drop":1}}}' % leader.name)
    assert leader.put("k", 40).status == 200
    assert counter(a, "conclave_fault_drops_total") > 0
    heal(a)
    cluster.wait_leader()
    cluster.wait_same()
    assert a.read("k").json()["value"] == 40
    cluster.check_one_leader_a_term()


def test_row_f5_losses_everywhere_cost_no_acknowledged_write(cluster):
    for m in cluster:
        play(m, '{"drop":0.1,"delayMs":2}')
    for n in range(60):
        cluster.put(f"lossy-{n}", n, timeout=60)
    heal(*cluster)
    cluster.wait_leader()
    cluster.wait_same()
    for n in range(60):
        assert cluster[0].read(f"lossy-{n}").json()["value"] == n
    cluster.check_one_leader_a_term()


def test_faults_are_visible_end_with_a_restart_and_slow_the_disk(cluster):
    leader = cluster.wait_leader()
    m = cluster.followers(leader)[0]
    assert "faults" not in m.status() and counter(m, "conclave_faults_set") == 0
    play(m, '{"diskDelayMs":300,"links":{"%s":{"drop":0.5}}}' % leader.name)
    m.wait_log(rf"faults are set: diskDelayMs=300 {leader.name}: drop=0.5")
    assert m.status()["faults"] is True and counter(m, "conclave_faults_set") == 1
    heal(m)
    m.wait_log("faults are cleared")
    assert "faults" not in m.status()
    play(m, '{"diskDelayMs":300}')
    started = time.monotonic()
    assert leader.put("k", 1, "?ack=all").status == 200
    assert time.monotonic() - started >= 0.3
    m.kill()
    m.start()
    assert m.get("/faults").json() == NONE and "faults" not in m.status()


def test_a_slow_disk_does_not_keep_a_member_from_ending(make_cluster):
    m = make_cluster(1, arguments=FAULTS)[0]
    play(m, '{"diskDelayMs":60000}')
    assert m.put("k", 1, timeout=20).status == 504
    assert m.terminate(timeout=8) == 0
    m.start()
    wait_for(lambda: m.put("k", 2).status == 200, "it works again")


def test_faults_need_the_flag_the_own_origin_and_a_known_member(make_cluster):
    closed = make_cluster(1)[0]
    for method in ("GET", "POST", "DELETE"):
        answer = closed.request(method, "/faults", '{"delayMs":1}' if method == "POST" else None)
        assert answer.status == 403 and "--enable-faults" in answer.json()["reason"]
    c = make_cluster(2, arguments=FAULTS, secret=SECRET)
    m, other = c[0], c[1]
    m.wait_log("/faults is open")
    foreign = m.request("POST", "/faults", '{"drop":1}', headers={"Origin": "http://evil.example"})
    assert (foreign.status, foreign.error) == (403, "Foreign origin")
    for body in ('{"partition":["node-9"]}', '{"partition":["node-1"]}', '{"delayMs":-1}',
                 '{"drop":2}', '{"nonsense":1}', '{"delayMs":"1"}', '', '[]', '{bad',
                 '{"links":{"node-9":{}}}'):
        answer = m.request("POST", "/faults", body)
        assert answer.status == 400 and answer.error, body
    assert m.get("/faults").json() == NONE
    assert play(m, '{"partition":["node-2"]}') == {**NONE, "partition": ["node-2"]}
    assert "GET /faults" in m.get("/").body.decode()
    heal(m)
    assert other.get("/faults").status == 200
