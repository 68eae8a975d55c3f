"""`conclave server --registry FILE`: one cluster from a shared file, whatever happens to it
(rows B1, B8, B9, B16, E2; consensus.md A0)."""
import contextlib
import fcntl
import json
import os
import signal
import uuid

import pytest

from harness import FAST, Cluster, Member, conclave, free_port, wait_for

ATTEMPT = r"Leader not found.*Attempt \d+"
PATIENT = 60.0


class Registered(Cluster):
    """Members that know a shared file and nothing else."""

    def __init__(self, names, directory=None, arguments=FAST):
        super().__init__(count=0, names=[], secret=None, directory=directory)
        self.file = os.path.join(self.directory, "cluster.json")
        self.founder = self.file + ".founder"
        self.timings = list(arguments)
        for name in names:
            self.more(name)

    def more(self, name, *extra):
        port = free_port()
        return self.add(Member(name, port, self.directory, [
            "--name", name, "--listen", f"127.0.0.1:{port}", "--registry", "cluster.json",
            *self.timings, *extra]))

    def start_all(self):
        for m in self.members:
            if not m.is_running():
                m.start(wait=False)
        return self

    def listed(self):
        with contextlib.suppress(OSError, ValueError):
            with open(self.file, encoding="utf-8") as f:
                return [e for e in json.load(f) if isinstance(e, dict) and "id" in e]
        return []

    def wait_listed(self):
        """All that run are in the file, with their addresses."""
        def all_there():
            known = {(e["id"], e["port"], e.get("url")) for e in self.listed()}
            return known >= {(m.name, m.port, m.url) for m in self.running()}
        wait_for(all_there, "every member is in the registry", PATIENT)

    def wait_voters(self, count=None):
        """One cluster of all that run, every one a voter: who leads."""
        count = count or len(self.members)

        def voters():
            leader = self.leader_now()
            if leader is None or any(not m.status() or m.status()["role"] == "learner"
                                     for m in self.running()):
                return None
            members = leader.get("/members").json()
            named = {m["name"] for m in members["members"] if m["voter"]}
            return leader if len(named) == count and not members["joint"] else None
        leader = wait_for(voters, f"{count} voters in one cluster", PATIENT, interval=0.1)
        assert len({m.status()["clusterId"] for m in self.running()}) == 1
        return leader


@pytest.fixture
def registered():
    """A factory; what it made ends with the test."""
    made = []

    def make(*names, **options):
        made.append(Registered(names, **options))
        return made[-1]
    yield make
    for c in made:
        c.close()


def claim_of(c):
    with open(c.founder, encoding="utf-8") as f:
        return json.load(f)


def write_claim(c, name, incarnation=None, cluster=None):
    text = json.dumps({"clusterId": str(cluster or uuid.uuid4()), "name": name,
                       "incarnation": str(incarnation or uuid.uuid4())})
    c.write_file("cluster.json.founder", text)


def write_entries(c, *entries):
    c.write_file("cluster.json", json.dumps(list(entries)))


# --- founding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(2))
def test_b8_three_started_at_once_make_one_cluster_twenty_times(registered, batch):
    clusters = [registered("node-1", "node-2", "node-3") for _ in range(10)]
    for c in clusters:
        c.start_all()
    for c in clusters:
        c.wait_voters()
        c.wait_listed()
        assert sorted(e["id"] for e in c.listed()) == ["node-1", "node-2", "node-3"]
        assert all(set(e) >= {"id", "port", "url", "joinedAt"} for e in c.listed())
        founders = [m for m in c if "becoming leader" in m.log()]
        assert [m.name for m in founders] == [claim_of(c)["name"]]
        assert claim_of(c)["clusterId"] == c[0].status()["clusterId"]
        c.check_one_leader_a_term()


def test_b9_b16_e2_the_first_founds_later_ones_join_and_the_majority_adapts(registered):
    c = registered("node-1")
    first = c.start_all().wait_voters()
    first.wait_log("becoming leader")
    first.wait_log("now the leader")
    assert len([x for x in first.log().split("\n") if "Leader not found" in x]) == 3
    assert c.put("a", 1)["success"] is True
    term = first.status()["term"]
    for name in ["node-2", "node-3", "node-4", "node-5"]:
        c.more(name)
        c.start_all()
        leader = c.wait_voters()
        assert leader is first and leader.status()["term"] == term, "joining disturbed the leader"
        assert "becoming leader" not in c.members[-1].log()
    for m in c:
        assert len(m.get("/cluster").json()["cluster"]) == 5
    first.kill()
    c[4].kill()
    assert c.put("two of five are gone", 1, timeout=PATIENT)["success"] is True
    c[3].kill()
    wait_for(lambda: all(m.put("k", 1).status == 503 for m in c.running()),
             "no write without the majority of five", PATIENT)


def test_e2_the_number_of_attempts_is_a_setting(registered):
    c = registered()
    m = c.more("node-1", "--registry-attempts", "5")
    c.start_all().wait_voters()
    assert "Attempt 5 of 5" in m.log() and "Attempt 6" not in m.log()


def test_b9_members_come_back_from_their_own_directories_and_not_from_the_file(registered):
    c = registered("node-1", "node-2", "node-3")
    c.start_all().wait_voters()
    c.put("k", 1)
    cluster = c[0].status()["clusterId"]
    for m in c:
        m.terminate()
    os.remove(c.file)
    os.remove(c.founder)
    c.start_all().wait_voters()
    assert c[0].status()["clusterId"] == cluster
    c.wait_listed()
    wait_for(lambda: os.path.exists(c.founder), "the claim is back", PATIENT)
    assert claim_of(c)["clusterId"] == cluster


def test_a0_a_claim_whose_founder_died_before_founding_is_taken_up_by_it_alone(registered):
    c = registered("node-1", "node-2")
    first, second = c
    first.start(wait=False)
    first.wait_log(ATTEMPT)
    first.kill()
    with open(os.path.join(first.data, "identity"), "rb") as f:
        record = f.read()
    at = record.index(b"node-1") + len("node-1")
    cluster = uuid.uuid4()
    write_claim(c, "node-1", uuid.UUID(bytes=record[at:at + 16]), cluster)
    second.start()
    second.wait_log("waiting for a member of the cluster .*which node-1 founds")
    assert second.status()["role"] is None
    first.start(wait=False)
    c.wait_voters()
    assert first.status()["clusterId"] == str(cluster)
    assert "becoming leader" not in second.log()


def test_a0_a_claim_whose_founder_never_comes_back_is_waited_for_and_never_doubled(registered):
    c = registered("node-2")
    write_claim(c, "node-1")
    c[0].start()
    c[0].wait_log("(?s)(waiting for a member of the cluster.*){2}", PATIENT)
    status = c[0].status()
    assert status["role"] is None and status["leaderId"] is None
    assert c[0].put("k", 1).status == 503
    assert c[0].terminate() == 0


def test_a0_a_founder_that_lost_its_directory_is_told_so(registered):
    c = registered("node-1", "node-2")
    c.start_all().wait_voters()
    c.wait_listed()
    founder = next(m for m in c if m.name == claim_of(c)["name"])
    founder.kill()
    founder.wipe()
    founder.start(wait=False)
    assert founder.wait_exit(PATIENT) == 2
    assert f"member replace {founder.name}" in founder.log()


def test_a0_members_that_do_not_answer_and_a_lost_claim_found_nothing(registered):
    c = registered("node-9")
    dead = str(uuid.uuid4())
    write_entries(c, {"id": "node-1", "port": free_port(), "clusterId": dead})
    c[0].start()
    c[0].wait_log(f"not founding: .*{dead}", PATIENT)
    assert c[0].status()["role"] is None
    assert not os.path.exists(c.founder)


def test_b8_entries_of_the_seeds_do_not_stop_a_node(registered):
    c = registered("node-7")
    write_entries(c, {"id": 1, "port": free_port(), "joinedAt": "2024-01-01T00:00:00Z"}, 7, "x", {})
    c.start_all().wait_voters()
    c.wait_listed()
    assert {"node-1", "node-7"} == {e["id"] for e in c.listed()}


def test_a0_a_listed_member_of_another_cluster_is_not_joined(registered):
    other, c = registered("node-1"), registered("node-2", "node-3")
    other.start_all().wait_voters()
    c[0].start(wait=False)
    c.wait_voters(1)
    c.wait_listed()
    write_entries(c, {"id": "node-1", "port": other[0].port, "url": other[0].url}, *c.listed())
    c[1].start(wait=False)
    c.wait_voters(2)
    assert c[1].status()["clusterId"] != other[0].status()["clusterId"]
    assert len(other[0].get("/members").json()["members"]) == 1


def test_a0_who_cannot_open_its_port_claims_nothing(registered):
    c = registered("node-1")
    c.start_all().wait_voters()
    done = conclave("server", "--name", "x", "--listen", f"127.0.0.1:{c[0].port}", "--registry",
                    os.path.join(c.directory, "other.json"), cwd=c.directory)
    assert done.returncode == 2 and "in use" in done.stderr
    assert not os.path.exists(os.path.join(c.directory, "other.json.founder"))


# --- a bad registry -------------------------------------------------------------------------------


def start_fails(c, words, *extra):
    m = c.more("node-8", *extra)
    m.start(wait=False)
    assert m.wait_exit(PATIENT) == 2, m.log_tail()
    for word in words:
        assert word in m.log()


def test_b8_a_registry_that_is_a_directory_is_refused_at_the_start(registered):
    c = registered()
    os.mkdir(c.file)
    start_fails(c, ["cluster.json", "is a directory"])


def test_b8_a_registry_in_no_directory_is_refused_at_the_start(registered):
    c = registered()
    m = c.add(Member("node-8", free_port(), c.directory))
    m.arguments = ["--listen", f"127.0.0.1:{m.port}", "--name", "node-8",
                   "--registry", "no/such/place.json"]
    m.start(wait=False)
    assert m.wait_exit(PATIENT) == 2
    assert "no/such/place.json" in m.log()


def test_b8_a_torn_list_without_a_claim_is_refused_and_not_guessed(registered):
    c = registered()
    c.write_file("cluster.json", '[{"id": "node-1", "po')
    start_fails(c, ["cluster.json", "Mend"])
    assert not os.path.exists(c.founder)


def test_b8_a_torn_claim_is_refused_and_not_guessed(registered):
    c = registered()
    c.write_file("cluster.json.founder", '{"name": "nod')
    start_fails(c, ["cluster.json.founder"])


def test_b8_an_empty_file_is_an_empty_list(registered):
    c = registered("node-1")
    c.write_file("cluster.json", "")
    c.start_all().wait_voters()


@pytest.mark.parametrize("harm", ["deleted", "torn", "emptied"])
def test_b8_running_members_go_on_and_mend_the_registry(registered, harm):
    c = registered("node-1", "node-2", "node-3")
    leader = c.start_all().wait_voters()
    c.wait_listed()
    if harm == "deleted":
        os.remove(c.file)
        os.remove(c.founder)
    else:
        with open(c.file, "r+b") as f:
            f.truncate(0 if harm == "emptied" else os.path.getsize(c.file) // 2)
    assert c.put("k", harm)["success"] is True
    c.wait_listed()
    wait_for(lambda: os.path.exists(c.founder), "the claim is back", PATIENT)
    assert c.leader_now() is leader
    c.more("node-4")
    c.start_all().wait_voters(4)


def test_b8_running_members_go_on_without_a_registry_that_is_a_directory(registered):
    c = registered("node-1", "node-2", "node-3")
    leader = c.start_all().wait_voters()
    c.wait_listed()
    os.remove(c.file)
    os.mkdir(c.file)
    c[0].wait_log("goes on without: .*is a directory")
    assert c.put("k", 1)["success"] is True
    assert c.leader_now() is leader
    os.rmdir(c.file)
    c.wait_listed()


def test_b8_a_locked_registry_stops_nobody(registered):
    c = registered("node-1")
    with open(c.file + ".lock", "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        c.start_all().wait_voters()
        c[0].wait_log("goes on without: .*locked")
        assert c.put("k", 1)["success"] is True
        assert c.listed() == []
    c.wait_listed()


def test_b8_a_running_member_leaves_a_foreign_claim_alone(registered):
    c = registered("node-1")
    c.start_all().wait_voters()
    c.wait_listed()
    write_claim(c, "stranger")
    c[0].wait_log("of another cluster, which stranger founds")
    assert claim_of(c)["name"] == "stranger"
    assert c.put("k", 1)["success"] is True


def test_b8_sigterm_while_looking_for_others_is_exit_0(registered):
    c = registered("node-1")
    c[0].start()
    c[0].wait_log(ATTEMPT)
    c[0].signal(signal.SIGTERM)
    assert c[0].wait_exit() == 0


# --- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ["--registry", "r.json", "--peers", "http://127.0.0.1:1"],
    ["--registry", "r.json", "--join", "http://127.0.0.1:1"],
    ["--registry", "r.json", "--registry-attempts", "0"],
    ["two"], ["2", "99999"], ["2", "x"], ["99999"], ["2", "4002", "x"],
    ["2", "--name", "n"], ["2", "4002", "--listen", "127.0.0.1:1"],
], ids=" ".join)
def test_b8_b1_what_excludes_each_other_or_makes_no_sense_is_exit_2(arguments, tmp_path):
    done = conclave("server", *arguments, timeout=5, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr, done.stderr
    assert os.listdir(tmp_path) == []


def test_b1_a_number_and_a_port_as_in_the_lesson(registered):
    c = registered()
    port = free_port()
    with_port = c.add(Member("node-1", port, c.directory, ["1", port, *FAST]))
    with_port.arguments = [str(a) for a in with_port.arguments]
    number = free_port() - 3000
    alone = c.add(Member(f"node-{number}", 3000 + number, c.directory, [str(number), *FAST]))
    c.start_all().wait_voters()
    c.wait_listed()
    for m, words in (with_port, f"Node 1 listening on port {port}"), (
            alone, f"Node {number} listening on port {3000 + number}"):
        assert words in m.log()
        for text in ["Cluster file: ./cluster.json", "GET /status", "GET /cluster",
                     "POST /step-down", "Ctrl+C"]:
            assert text in m.log()
        assert m.log().count("listening on port") == 1
    assert os.path.isdir(with_port.data)


def test_b1_a_number_with_peers_or_another_registry_takes_those(registered):
    c = registered()
    ports = [free_port(), free_port()]
    for i in (0, 1):
        c.add(Member(f"node-{i + 1}", ports[i], c.directory, [
            str(i + 1), str(ports[i]), "--peers", f"http://127.0.0.1:{ports[1 - i]}", *FAST]))
    c.start_all().wait_leader()
    assert "Cluster file: none" in c[0].log()
    assert not os.path.exists(c.file)
    port = free_port()
    other = c.add(Member("node-5", port, c.directory, ["5", str(port), "--registry", "other.json"]))
    other.start()
    assert "Cluster file: other.json" in other.log()
