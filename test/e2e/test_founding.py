"""One list of peers never becomes two clusters: rules G0-G6, and what each wrong start answers."""
import itertools
import os
import random
import re
import time

import pytest

import data_dir
from harness import FAST, Member, free_port, raw, stays, wait_for


def roster_of(cluster):
    ids = {m.status()["clusterId"] for m in cluster}
    assert len(ids) == 1 and None not in ids
    return ids.pop()


def refuses_writes(member):
    status = member.status()
    if status is None:
        return True
    return status["role"] != "leader" and member.put("x", 1, timeout=10).status == 503


@pytest.mark.parametrize("order", itertools.permutations(range(3)), ids=str)
def test_rule_g2_members_found_one_cluster_in_any_order_with_pauses(make_cluster, order):
    c = make_cluster(3, start=False)
    for i in order[:2]:
        c[i].start()
        time.sleep(0.3)
        assert refuses_writes(c[i])
    c[order[2]].start()
    leader = c.wait_leader()
    roster_of(c)
    assert leader.put("k", 1).status == 200


def test_a_member_that_waits_for_the_others_says_so_and_is_not_ready(make_cluster):
    c = make_cluster(3, start=False)
    c[0].start()
    status = c[0].status()
    assert (status["role"], status["state"], status["leaderId"]) == (None, "FOUNDING", None)
    assert status["totalKeys"] == 0
    assert c[0].get("/livez").status == 200
    wait_for(lambda: c[1].url.encode() in c[0].get("/readyz?verbose").body, "who is missing")
    assert c[0].get("/readyz").status == 503
    put = c[0].put("x", 1)
    assert put.status == 503 and put.json()["leaderId"] == "Unknown"
    assert c[0].get("/leader").status == 503
    assert c[0].get("/cluster", timeout=2).status == 200
    c[0].wait_log(re.escape(c[1].url), timeout=7)
    c[1].start()
    assert refuses_writes(c[0]) and refuses_writes(c[1])
    c[2].start()
    c.wait_leader()


def test_rule_g5_a_majority_suffices_once_founded(make_cluster):
    c = make_cluster(3)
    c.put("k", 1)
    for m in c:
        m.kill()
    c[1].start()
    c[2].start()
    leader = c.wait_leader(among=c.members[1:])
    assert leader.read("k").json()["value"] == 1
    assert leader.put("k", 2).status == 200


def test_rules_g0_to_g4_crashes_while_founding_never_make_two_clusters(make_cluster):
    """kill -9 at random moments while three found; nothing is ever wiped, so all ends well."""
    chance = random.Random(4)
    for _ in range(3):
        c = make_cluster(3, start=False)
        for _ in range(12):
            m = chance.choice(c.members)
            if m.is_running():
                m.kill()
            else:
                m.start(wait=False)
            time.sleep(chance.random() * 0.04)
        for m in c:
            if not m.is_running():
                m.start(wait=False)
        leader = c.wait_leader()
        roster_of(c)
        assert leader.put("k", 1).status == 200
        c.check_one_leader_a_term()
        c.close()


def test_done_when_two_of_three_lose_their_disks_nobody_founds_again(make_cluster):
    """Issue 2: kill all three, wipe two, start only those two: they don't lead and take no write;
    start the third: they exit with the remedy (rule G6)."""
    c = make_cluster(3)
    assert c.wait_leader().put("precious", 1, "?ack=all").status == 200
    # The floor that a lone member may show stands in the writes that came after.
    for later in range(3):
        assert c.wait_leader().put("later", later, "?ack=all").status == 200
    for m in c:
        m.kill()
    wiped, kept = c.members[:2], c[2]
    for m in wiped:
        os.rename(m.data, m.data + ".lost")
        m.start()
    stays(lambda: all(m.status()["role"] is None for m in wiped), "neither of the two leads", 2)
    assert all(refuses_writes(m) for m in wiped)
    kept.start(wait=False)
    for m in wiped:
        assert m.wait_exit(15) == 2
        said = m.log_tail(12)
        assert m.data in said, "the message names the directory that was lost"
    assert kept.is_running() and kept.status()["clusterId"]
    # The remedy that the message names: bring the old directories back.
    for m in wiped:
        m.wipe()
        os.rename(m.data + ".lost", m.data)
        m.start()
    assert c.wait_leader().read("precious").json()["value"] == 1


def test_rule_g6_one_wiped_member_exits_2_and_the_others_go_on(cluster):
    leader = cluster.wait_leader()
    cluster.put("k", 1)
    victim = cluster.followers(leader)[0]
    victim.kill()
    victim.wipe()
    victim.start(wait=False)
    assert victim.wait_exit(15) == 2
    assert victim.data in victim.log_tail(12)
    rest = cluster.others(victim)
    assert cluster.wait_leader(among=rest).put("k", 2).status == 200
    # Also when it tries again and again.
    for _ in range(2):
        victim.start(wait=False)
        assert victim.wait_exit(15) == 2
    assert cluster.wait_leader(among=rest).read("k").json()["value"] == 2


def test_a_wipe_while_founding_fails_closed(make_cluster):
    """Two have met, one of them loses its disk before the third comes: one cluster, or none."""
    c = make_cluster(3, start=False)
    c[0].start()
    c[1].start()
    time.sleep(0.3)
    c[1].kill()
    c[1].wipe()
    c[1].start()
    c[2].start(wait=False)
    time.sleep(2)
    ids = {s["clusterId"] for s in (m.status() for m in c) if s and s["role"] is not None}
    assert len(ids) <= 1
    leaders = [m for m in c if m.status() and m.status()["role"] == "leader"]
    assert len(leaders) <= 1


@pytest.mark.parametrize("secrets", [("one", "one", "other"), ("one", "one", None)],
                         ids=["a wrong secret", "a secret on one side only"])
def test_members_with_different_secrets_never_found_and_say_why(make_cluster, secrets):
    c = make_cluster(3, start=False, secret=None)
    for m, secret in zip(c, secrets):
        if secret is not None:
            m.arguments += ["--cluster-secret-file", c.write_file("s-" + m.name, secret)]
        m.start()
    stays(lambda: all(m.status()["role"] is None for m in c), "nobody leads", 1.5)
    wait_for(lambda: any(re.search(r"(?i)secret", m.log_tail(30)) for m in c),
             "a log says secret", 8)


def test_a_member_with_a_wrong_secret_can_not_rejoin(cluster):
    leader = cluster.wait_leader()
    victim = cluster.followers(leader)[0]
    victim.kill()
    at = victim.arguments.index("--cluster-secret-file") + 1
    right = victim.arguments[at]
    victim.arguments[at] = cluster.write_file("wrong", "not the secret")
    victim.start()
    cluster.put("while", 1)
    stays(lambda: victim.read("while", "?consistency=stale").status == 404, "nothing reaches it", 1)
    assert cluster.wait_leader(among=cluster.others(victim)).put("k", 1).status == 200
    victim.terminate()
    victim.arguments[at] = right
    victim.start()
    wait_for(lambda: victim.read("while", "?consistency=stale").status == 200, "it is back")


def test_a_name_used_twice_never_founds_and_is_told(make_cluster):
    c = make_cluster(3, start=False, names=["node-1", "node-2", "node-2b"])
    c[2].arguments[c[2].arguments.index("--name") + 1] = "node-2"
    for m in c:
        m.start(wait=False)
    wait_for(lambda: any(re.search(r"two members are named node-2", m.log())
                         for m in c), "a log names the name used twice", 8)
    for m in c:
        assert m.is_running() or m.process.returncode == 2
        assert not m.is_running() or m.status() is None or m.status()["role"] is None


def test_peers_that_are_another_cluster_are_refused(make_cluster):
    """A fresh member whose list names the members of a founded cluster that does not know it."""
    founded = make_cluster(3)
    founded.put("k", 1)
    port = free_port()
    m = founded.add(Member("node-7", port, founded.directory, [
        "--name", "node-7", "--listen", f"127.0.0.1:{port}",
        "--data", founded.directory + "/node-7.conclave", *FAST,
        "--cluster-secret-file", founded.directory + "/secret",
        "--peers", ",".join(o.url for o in founded.members[:2])]))
    m.start(wait=False)
    time.sleep(1.5)
    if m.is_running():
        assert m.status()["role"] is None and m.put("x", 1).status == 503
    else:
        assert m.process.returncode == 2
    assert re.search(r"(?i)cluster|founded|member", m.log_tail(10))
    assert founded.wait_leader(among=founded.members[:3]).put("k", 2).status == 200


def test_a_data_directory_of_another_member_is_refused(make_cluster):
    c = make_cluster(1)
    m = c[0]
    m.terminate()
    m.arguments[m.arguments.index("--name") + 1] = "node-5"
    m.start(wait=False)
    assert m.wait_exit() == 2
    said = m.log_tail(5)
    assert "node-1" in said and "node-5" in said


def test_a_data_directory_of_another_cluster_is_refused_by_its_peers(make_cluster):
    """node-2 comes back with the directory of a node-2 of another cluster."""
    a, b = make_cluster(3), make_cluster(3)
    a.put("k", "a")
    b.put("k", "b")
    a[1].kill()
    b[1].kill()
    at = a[1].arguments.index("--data") + 1
    a[1].arguments[at] = b[1].data
    leader = a.wait_leader(among=a.others(a[1]))
    term = leader.status()["term"]
    a[1].start(wait=False)
    time.sleep(1.5)
    assert leader.status()["term"] == term and leader.put("k", "still a").status == 200
    if a[1].is_running():
        assert a[1].status()["role"] != "leader"
        assert a[1].read("k", "?consistency=stale").json().get("value") != "still a"
    else:
        assert a[1].process.returncode == 2
    assert re.search(r"(?i)cluster", a[1].log_tail(10))


def test_a_data_directory_in_use_is_refused(make_cluster):
    c = make_cluster(1)
    port = free_port()
    second = c.add(Member("node-1b", port, c.directory, [
        "--name", "node-1", "--listen", f"127.0.0.1:{port}", "--data", c[0].data]))
    second.start(wait=False)
    assert second.wait_exit() == 2
    assert c[0].data in second.log() and "in use" in second.log()
    assert c[0].put("k", 1).status == 200


def test_a_port_taken_is_exit_2_and_names_the_flag(make_cluster):
    c = make_cluster(1)
    second = c.add(Member("node-2", c[0].port, c.directory, [
        "--name", "node-2", "--listen", f"127.0.0.1:{c[0].port}", "--data", c.directory + "/d2"]))
    second.start(wait=False)
    assert second.wait_exit() == 2
    assert "--listen" in second.log() and str(c[0].port) in second.log()


def test_peers_that_differ_once_founded_are_ignored_with_a_warning(make_cluster):
    c = make_cluster(3)
    c.put("k", 1)
    m = c.followers()[0]
    m.terminate()
    at = m.arguments.index("--peers") + 1
    m.arguments[at] = "http://127.0.0.1:1"
    m.start()
    m.wait_log(r"(?i)warning: .*peers")
    wait_for(lambda: m.read("k", "?consistency=stale").status == 200, "it takes part as before")
    c.wait_leader()


def test_own_url_among_the_peers_is_dropped(make_cluster):
    c = make_cluster(3, start=False)
    for m in c:
        at = m.arguments.index("--peers") + 1
        m.arguments[at] = ",".join(o.url for o in c)
    c.start()
    assert all(len(m.get("/cluster").json()["cluster"]) == 3 for m in c)


def test_rule_e11_two_clusters_that_swap_ports_do_not_mix(make_cluster):
    """A member of cluster a appears where a member of b is expected, with the same secret."""
    a, b = make_cluster(3), make_cluster(3)
    a.put("k", "a")
    b.put("k", "b")
    terms = {c.wait_leader().status()["term"] for c in (a, b)}
    x, y = a.followers()[0], b.followers()[0]
    x.kill()
    y.kill()
    for m, other in ((x, y), (y, x)):
        m.arguments[m.arguments.index("--listen") + 1] = f"127.0.0.1:{other.port}"
    x.port, y.port = y.port, x.port
    x.start(wait=False)
    y.start(wait=False)
    time.sleep(1.0)
    for c, mine in ((a, "a"), (b, "b")):
        rest = [m for m in c if m not in (x, y)]
        leader = c.wait_leader(among=rest)
        assert leader.read("k").json()["value"] == mine
        assert leader.status()["term"] <= max(terms) + 1
        assert leader.put("k2", mine).status == 200


GARBAGE = [b"", b"\0" * 64, b"\xff" * 4096, b"GET / HTTP/1.1\r\n\r\n",
           bytes(range(256)) * 300, b"\xff\xff\xff\xff" + b"x" * 100, b"\x01\0\0\0" * 1000]
UPGRADE = (b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
           b"Upgrade: conclave-peer/1\r\n\r\n")


@pytest.mark.parametrize("secret", ["a-secret", None], ids=["secret", "no secret"])
def test_garbage_and_truncated_peer_frames_are_cut_and_harm_nobody(make_cluster, secret):
    c = make_cluster(3, secret=secret)
    leader = c.wait_leader()
    term = leader.status()["term"]
    chance = random.Random(7)
    for m in c:
        greeting = raw(m.port, UPGRADE, timeout=0.3)
        assert greeting.startswith(b"HTTP/1.1 101 ")
        hello = greeting.partition(b"\r\n\r\n")[2]
        for junk in GARBAGE:
            raw(m.port, UPGRADE + junk, timeout=0.1, shut=True)
        # What the member itself says, sent back to it: whole, cut, and with one bit turned.
        for n in [len(hello), *(chance.randrange(len(hello) + 1) for _ in range(5))]:
            raw(m.port, UPGRADE + hello[:n], timeout=0.1, shut=True)
        for _ in range(10):
            if hello:
                bent = bytearray(hello)
                bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
                raw(m.port, UPGRADE + bytes(bent), timeout=0.1, shut=True)
    assert all(m.is_running() for m in c)
    assert c.wait_leader() is leader and leader.status()["term"] == term
    assert leader.put("k", 1).status == 200


def test_an_upgrade_to_another_version_is_refused(single):
    data = UPGRADE.replace(b"conclave-peer/1", b"conclave-peer/99")
    assert not raw(single.port, data, timeout=1).startswith(b"HTTP/1.1 101 ")


def test_a_newer_format_of_the_data_directory_is_refused_by_name(make_cluster):
    m = make_cluster(1)[0]
    m.put("k", 1)
    m.terminate()
    data_dir.raise_record_version(m.data, "identity")
    m.start(wait=False)
    assert m.wait_exit() == 2
    assert re.search(r"(?i)identity.*(newer|format|version)", m.log_tail(5))
