"""Writes answer only what is true: ack=leader|quorum|all, the ways to read, row F10."""
import pytest

from harness import FAST, wait_for

# A short request timeout, so that what can't be confirmed is told soon.
PATIENCE = [*FAST, "--request-timeout-ms", "600"]


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(3, arguments=PATIENCE)


def test_row_f10_ack_all_says_200_when_every_member_has_it(cluster):
    leader = cluster.wait_leader()
    answer = leader.put("k", 1, "?ack=all")
    assert answer.status == 200 and answer.json()["revision"] > 1
    assert leader.delete("k", "?ack=all").status == 200


def test_row_f10_ack_leader_says_so_and_gives_a_place_in_the_log_instead_of_a_revision(cluster):
    leader = cluster.wait_leader()
    got = leader.put("k", "v", "?ack=leader").json()
    assert got["durability"] == "leader" and "revision" not in got
    assert got["success"] is True and got["key"] == "k" and got["value"] == "v"
    assert got["leaderId"] == leader.name and got["index"] > 0 and got["term"] >= 1
    for m in cluster:
        wait_for(lambda: m.read("k", "?consistency=stale").status == 200, "it arrives")
    # DELETE does not say whether the key was there; conditions need to be applied first.
    assert leader.delete("not there", "?ack=leader").status == 200
    assert leader.put("k", 1, "?ack=leader", headers={"If-None-Match": "*"}).status == 400


def test_row_f10_with_one_frozen_quorum_is_fast_and_all_names_who_is_missing(cluster):
    leader = cluster.wait_leader()
    frozen, other = cluster.followers(leader)
    frozen.freeze()
    assert leader.put("k", 1, "?ack=leader").status == 200
    assert leader.put("k", 2, "?ack=quorum").status == 200
    answer = leader.put("k", 3, "?ack=all")
    assert answer.status == 504
    got = answer.json()
    assert got["error"] == "Not confirmed by all" and got["durability"] == "quorum"
    assert got["missing"] == [frozen.name] and got["revision"] > 1
    # It is what it says: written on a quorum.
    assert leader.read("k").json() == {"key": "k", "value": 3, "nodeRole": "leader",
                                       "revision": got["revision"]}
    frozen.thaw()
    wait_for(lambda: leader.put("k", 4, "?ack=all").status == 200, "all again")
    assert other.read("k").json()["value"] == 4


def test_row_f10_with_both_followers_frozen_nothing_is_called_durable(cluster):
    leader = cluster.wait_leader()
    cluster.put("k", "before")
    cluster.wait_same()
    followers = cluster.followers(leader)
    for m in followers:
        m.freeze()
    answer = leader.put("k", "after")
    assert answer.status in (503, 504)
    if answer.status == 504:
        assert answer.error == "Outcome unknown"
    # A linearizable read can't be confirmed; a stale one answers on the minority.
    assert leader.read("k").status == 503
    stale = leader.read("k", "?consistency=stale")
    assert stale.status == 200 and stale.json()["value"] in ("before", "after")
    wait_for(lambda: leader.put("k", "no").status == 503, "the cut-off leader says no")
    wait_for(lambda: leader.read("k", "?consistency=stale&max-lag=100").status == 503,
             "its data is older than 100 ms")
    for m in followers:
        m.thaw()
    cluster.wait_leader()
    value = cluster.members[0].read("k").json()["value"]
    assert value in ("before", "after")
    if answer.status == 503:
        assert value == "before"
    cluster.wait_same()


def test_row_f10_a_session_waits_for_its_revision_and_says_behind_when_it_does_not_come(cluster):
    leader = cluster.wait_leader()
    follower, other = cluster.followers(leader)
    cluster.wait_same()
    follower.freeze()
    token = leader.put("k", 1).headers["Conclave-Session"]
    for m in (leader, other):
        m.kill()
    follower.thaw()
    answer = follower.read("k", "?consistency=session&token=" + token)
    # Either it had been sent the write before its members died, or it says that it is behind.
    assert (answer.status, answer.error) == (503, "Behind") or answer.json()["value"] == 1
    leader.start()
    other.start()
    cluster.wait_leader()
    wait_for(lambda: follower.read("k", "?consistency=session&token=" + token).status == 200,
             "it has caught up")


def test_row_f10_the_default_ack_is_a_setting(make_cluster):
    c = make_cluster(3, arguments=[*PATIENCE, "--ack", "all"])
    leader = c.wait_leader()
    assert leader.put("k", 1).status == 200
    frozen = c.followers(leader)[0]
    frozen.freeze()
    assert leader.put("k", 2).status == 504
    assert leader.put("k", 3, "?ack=quorum").status == 200
    frozen.thaw()


def test_a_quota_refuses_writes_with_507_lets_deletes_pass_and_clears_by_itself(make_cluster):
    m = make_cluster(1, arguments=["--quota-bytes", "1200000", "--history", "1s"])[0]
    statuses = []
    for n in range(20):
        statuses.append(m.put(f"big{n}", "x" * 100000).status)
    assert 200 in statuses and statuses[-1] == 507
    answer = m.put("more", "x" * 100000)
    assert (answer.status, answer.json()["error"]) == (507, "Out of space")
    for n in range(statuses.count(200)):
        assert m.delete(f"big{n}").status == 200
    wait_for(lambda: m.put("more", "x" * 1000).status == 200, "the quota clears")
