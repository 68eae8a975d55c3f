"""Who leads when it may be chosen, and reads under a lease: --election-policy, --read-mode."""
import contextlib
import http.client
import time

import pytest

from harness import FAST, in_threads, stays, wait_for

NAMES = ["node-2", "node-10", "node-9"]  # in natural order 2, 9, 10


def chosen(make_cluster, policy, priorities=None):
    c = make_cluster(3, start=False, names=NAMES,
                     arguments=[*FAST, "--election-policy", policy])
    for m in c:
        if priorities:
            m.arguments += ["--priority", str(priorities[m.name])]
    return c.start(), {m.name: m for m in c}


@pytest.mark.parametrize("policy,order,priorities", [
    ("highest-id", ["node-10", "node-9", "node-2"], None),
    ("priority", ["node-9", "node-2", "node-10"], {"node-9": 7, "node-2": 5, "node-10": 1}),
])
def test_leadership_goes_to_the_preferred_member_and_back_to_it(make_cluster, policy, order,
                                                                priorities):
    c, by_name = chosen(make_cluster, policy, priorities)
    best, second = by_name[order[0]], by_name[order[1]]
    wait_for(lambda: c.leader_now() is best, f"{best.name} leads", 15)
    best.kill()
    wait_for(lambda: c.leader_now(c.running()) is second, f"{second.name} leads", 15)
    c.put("meanwhile", 1)
    best.start()
    wait_for(lambda: c.leader_now() is best, f"{best.name} leads again", 15)
    stays(lambda: c.leader_now() is best, f"{best.name} leads", 1)
    assert best.read("meanwhile").json()["value"] == 1
    c.check_one_leader_a_term()


def test_lowest_id_stands_first_and_takes_nothing_from_who_leads(make_cluster):
    c, by_name = chosen(make_cluster, "lowest-id")
    lowest, middle, highest = (by_name[n] for n in ("node-2", "node-9", "node-10"))
    first = c.wait_leader()
    if first is not lowest:
        first.freeze()  # so that the others stand for election by their ranks
        wait_for(lambda: c.leader_now(c.others(first)) is not None, "another leads", 15)
        first.thaw()
        c.wait_leader()
    for m in (middle, highest):
        if c.wait_leader() is m:
            assert m.request("POST", "/step-down", '{"to": "node-2"}').status == 200
    wait_for(lambda: c.leader_now() is lowest, "node-2 leads")
    lowest.kill()
    wait_for(lambda: c.leader_now(c.running()) is middle, "the lowest that is left leads", 15)
    lowest.start()
    c.wait_leader()
    stays(lambda: c.leader_now() in (middle, None), "node-9 goes on", 2)


@pytest.fixture
def leased(make_cluster):
    return make_cluster(3, arguments=[*FAST, "--read-mode", "lease"])


def test_rule_q6_a_lease_serves_reads_while_the_leader_is_heard(leased):
    leader = leased.wait_leader()
    for i in range(200):
        assert leader.put("leased", i).status == 200
        assert leader.read("leased").json()["value"] == i
        assert leased.followers(leader)[0].read("leased").json()["value"] == i
    for m in leased.followers(leader):
        m.kill()
    # Without a majority the lease ends, and reads with it.
    wait_for(lambda: leader.read("leased").status == 503, "reads are refused")
    assert leader.read("leased", "?consistency=stale").json()["value"] == 199


def test_rule_q6_a_leader_that_slept_serves_nothing_stale(leased):
    stale = []
    for round_number in range(4):
        leader = leased.wait_leader()
        assert leader.put("slept", f"old-{round_number}").status == 200
        assert leader.read("slept").status == 200
        leader.freeze()
        others = leased.others(leader)
        after = wait_for(lambda: leased.leader_now(others), "another leads")
        assert after.put("slept", f"new-{round_number}").status == 200

        def read():
            # Sent while it sleeps: answered the moment it wakes, before it has heard anything.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = leader.read("slept", timeout=5)
                if answer.status == 200 and answer.json()["value"] != f"new-{round_number}":
                    stale.append((round_number, answer.body))

        def wake():
            time.sleep(0.2)
            leader.thaw()
        in_threads([wake, *[read] * 8])
        assert not stale, stale
        leased.wait_leader()
        leased.wait_same()
