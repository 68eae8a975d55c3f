"""Members come and go while clients write: rules C1 to C9, rows D2 to D6, by the verbs alone."""
import json
import shutil
import time

from growing import change, join, members, newcomer, remove, verb, voters, wait_voter, wait_voters
from harness import FAST, conclave, free_port_row, wait_for
from load import Load


def test_three_grow_to_five_and_shrink_to_three_under_load(cluster):
    load = Load(cluster, writers=4).start()
    for name in ("node-4", "node-5"):
        join(cluster, name)
    assert voters(cluster) == ["node-1", "node-2", "node-3", "node-4", "node-5"]
    load.wait_ack_since(time.monotonic())
    # Five bear the loss of two, the leader among them.
    victims = [cluster.wait_leader(), cluster.others(cluster.wait_leader())[0]]
    for m in victims:
        m.kill()
    load.wait_ack_since(time.monotonic())
    for m in victims:
        m.start()
    cluster.wait_leader()
    # The leader goes for good: it stops by itself, and another one goes on.
    leader = cluster.wait_leader()
    remove(cluster, leader)
    load.wait_ack_since(time.monotonic())
    remove(cluster, cluster.followers()[0])
    names = sorted(m.name for m in cluster)
    wait_voters(cluster, names)
    load.wait_ack_since(time.monotonic())
    load.stop()
    assert load.check() > 100
    cluster.check_one_leader_a_term()


def test_a_majority_never_refuses_while_members_come_and_go(cluster):
    """A write that is repeated while it is refused, and nothing else, always passes in a second."""
    load = Load(cluster, writers=2).start()
    gaps = []
    for name in ("node-4", "node-5"):
        join(cluster, name)
        gaps.append(load.wait_ack_since(time.monotonic()))
    for name in ("node-4", "node-5"):
        member = next(m for m in cluster if m.name == name)
        if cluster.wait_leader() is not member:
            remove(cluster, member)
            gaps.append(load.wait_ack_since(time.monotonic()))
    load.stop()
    load.check()
    acks = sorted(w.ended for w in load.acked)
    longest = max(b - a for a, b in zip(acks, acks[1:]))
    assert longest < 1.5, f"nobody was served for {longest:.2f} s"
    assert max(gaps) < 1.5


def test_members_are_listed_as_a_table_and_as_json(cluster):
    listed = verb(cluster, "members")
    assert listed.returncode == 0
    for m in cluster:
        assert m.name in listed.stdout and m.url in listed.stdout
    answer = json.loads(verb(cluster, "members", "-o", "json").stdout)
    assert [m["name"] for m in answer["members"]] == ["node-1", "node-2", "node-3"]
    assert [m["role"] for m in answer["members"]].count("leader") == 1
    assert all(m["voter"] for m in answer["members"])


def test_an_invited_learner_stays_one_until_it_is_promoted(cluster):
    late = newcomer(cluster, "node-4")
    change(cluster, "add", "node-4", late.url, "--learner")
    assert members(cluster[0])["node-4"]["role"] == "invited"
    # The name is taken.
    again = verb(cluster, "member", "add", "node-4", late.url)
    assert again.returncode == 4, again.stderr
    cluster.add(late).start()
    wait_for(lambda: (members(cluster[0]) or {}).get("node-4", {}).get("role") == "learner",
             "node-4 is a learner")
    cluster.put("learned", 1)
    wait_for(lambda: late.read("learned", "?consistency=stale").status == 200, "it learns")
    assert voters(cluster) == ["node-1", "node-2", "node-3"]
    assert verb(cluster, "member", "promote", "node-9").returncode != 0
    change(cluster, "promote", "node-4")
    wait_voter(cluster, "node-4")
    cluster.wait_same()


def test_a_removed_member_says_so_and_never_starts_again(cluster):
    leader = cluster.wait_leader()
    gone = cluster.followers(leader)[0]
    change(cluster, "remove", gone.name)
    assert gone.wait_exit() == 2
    assert "was removed from its cluster" in gone.log()
    term = leader.status()["term"]
    gone.start(wait=False)
    assert gone.wait_exit() == 2
    assert "was removed from its cluster" in gone.log_tail(5) and "--join" in gone.log_tail(5)
    assert cluster.wait_leader([m for m in cluster if m is not gone]).status()["term"] == term
    # With an empty directory it is a new member under the old name.
    cluster.members.remove(gone)
    gone.wipe()
    back = join(cluster, gone.name)
    assert back.read("x", "?consistency=linearizable").status == 404


def test_a_newcomer_under_the_url_of_another_member_is_refused(cluster):
    other = cluster.followers()[0]
    twin = newcomer(cluster, "node-4", arguments=[*FAST, "--advertise", other.url])
    twin.start(wait=False)
    assert twin.wait_exit() != 0
    assert "another member has the URL" in twin.log() and "--advertise" in twin.log()
    assert sorted(members(cluster.wait_leader())) == ["node-1", "node-2", "node-3"]


def test_a_lost_disk_is_replaced_under_load(cluster):
    load = Load(cluster, writers=2).start()
    lost = cluster.followers()[0]
    lost.kill()
    lost.wipe()
    lost.start(wait=False)
    assert lost.wait_exit() == 2
    assert "member replace" in lost.log()
    replaced = change(cluster, "replace", lost.name)
    assert replaced["success"] is True
    cluster.members.remove(lost)
    join(cluster, lost.name, via=cluster.running())
    wait_voters(cluster, ["node-1", "node-2", "node-3"])
    load.wait_ack_since(time.monotonic())
    load.stop()
    load.check()


def test_rule_c7_a_directory_put_back_from_an_older_copy_is_refused(cluster):
    old = cluster.followers()[0]
    old.terminate()
    shutil.copytree(old.data, old.data + ".old")
    old.start()
    cluster.put("after-the-copy", 1)
    cluster.wait_same()
    old.kill()
    shutil.rmtree(old.data)
    shutil.move(old.data + ".old", old.data)
    old.start(wait=False)
    assert old.wait_exit() == 1
    assert "older copy" in old.log() and "member replace" in old.log()
    cluster.put("others-go-on", 1)


def test_a_change_without_a_majority_is_refused_and_changes_nothing(cluster):
    leader = cluster.wait_leader()
    for m in cluster.followers(leader):
        m.kill()
    refused = conclave("member", "add", "node-9", "http://127.0.0.1:1", "--timeout", "2s",
                       "--endpoints", leader.url)
    assert refused.returncode in (5, 6), refused
    for m in cluster.others(leader):
        m.start()
    cluster.wait_leader()
    if refused.returncode == 5:
        assert "node-9" not in members(cluster.wait_leader())


def test_a_bad_name_or_url_is_refused_with_its_reason(single):
    for method, path, body, word in [
            ("POST", "/members", {"name": "../x", "url": "http://h:1"}, "name"),
            ("POST", "/members", {"name": "a", "url": "ftp://h:1"}, "URL"),
            ("POST", "/members", {"name": "a", "url": "http://h:99999"}, "URL"),
            ("DELETE", "/members/.hidden", None, "name")]:
        answer = single.request(method, path, None if body is None else json.dumps(body))
        assert (answer.status, answer.error) == (400, "Bad request"), answer.body
        assert word in answer.json()["reason"], answer.body


def test_the_last_voter_stays(single):
    kept = conclave("member", "remove", single.name, "--endpoints", single.url)
    assert kept.returncode == 2, kept
    assert single.put("still", 1).status == 200


def test_cluster_add_and_remove_on_this_machine(tmp_path):
    base = free_port_row(5)
    where = ["--dir", str(tmp_path / "c")]

    def cluster(*arguments, **kw):
        return conclave("cluster", *arguments, *where, timeout=60, **kw)
    started = cluster("start", "--base-port", base, "--nodes", "3")
    assert started.returncode == 0, started.stderr
    try:
        endpoints = ["--endpoints", f"http://127.0.0.1:{base}"]
        assert conclave("put", "kept", "1", *endpoints).returncode == 0
        added = cluster("add")
        assert added.returncode == 0, added.stderr
        listed = json.loads(conclave("members", "-o", "json", *endpoints).stdout)
        assert [m["name"] for m in listed["members"]] == ["node-1", "node-2", "node-3", "node-4"]
        at_four = ["--endpoints", f"http://127.0.0.1:{base + 3}"]
        wait_for(lambda: conclave("get", "kept", *at_four).stdout.strip() == "1", "node-4 serves")
        removed = cluster("remove", "node-4")
        assert removed.returncode == 0, removed.stderr
        listed = json.loads(conclave("members", "-o", "json", *endpoints).stdout)
        assert [m["name"] for m in listed["members"]] == ["node-1", "node-2", "node-3"]
        assert cluster("status").returncode == 0
    finally:
        assert cluster("stop").returncode == 0


