"""Who leads, and what happens when it goes: rows A1-A3, A17-A20, B4, B10-B11, D9, F2-F3, F7-F9."""
import contextlib
import http.client
import re
import signal
import socket
import threading
import time

from harness import (LEADER_LINE, Client, Member, conclave, free_port, request, stays,
                     wait_for)


def test_row_a1_three_members_by_the_seeds_environment_alone(make_cluster):
    c = make_cluster(3, start=False, secret=None)
    for i, m in enumerate(c):
        m.arguments = []
        m.env = {"NODE_ID": m.name, "PORT": str(m.port),
                 "PEERS": ",".join(["", *(o.url for o in c.others(m)), "", ""])}
        m.data = f"{m.directory}/{m.name}.conclave"
    c.start()
    leader = c.wait_leader()
    assert leader.put("env", 1).status == 200
    for m in c:
        # Row A2: what a member says when it starts.
        log = m.log()
        assert f"[{m.name}] Store Node listening on port {m.port}" in log
        for o in c.others(m):
            assert re.search(r"\] Peers: .*" + re.escape(o.url), log)
        assert f"[{m.name}] Available endpoints:" in log
        for line in ("GET /status - Node status and role", "GET /key/{key} - Get value"):
            assert line in log
        assert re.search(r"PUT /key/\{key\} .*\(leader only\)", log)
        assert re.search(r"DEL(ETE)? /key/\{key\} .*\(leader only\)", log)


def test_row_a2_a_cluster_of_one_names_no_peers(make_cluster):
    m = make_cluster(1)[0]
    assert re.search(r"\] Peers: none", m.log())
    assert LEADER_LINE.findall(m.log())[0][0] == "node-1"


def test_row_a3_one_leader_line_and_the_others_wait_for_it(cluster):
    leader = cluster.wait_leader()
    terms = cluster.check_one_leader_a_term()
    assert leader.name in terms.values()
    followers = cluster.followers(leader)
    for m in followers:
        m.wait_log(rf"\[{m.name}\] following {leader.name}")
    # Whoever voted for it waits for it; one that campaigned at the same time only follows.
    waiting = rf"\] Waiting for {leader.name} to become leader"
    assert any(re.search(waiting, m.log()) for m in followers)
    leader.freeze()
    c = wait_for(lambda: next((m for m in cluster.others(leader)
                               if "Election timeout! Starting election..." in m.log()), None),
                 "an election timeout is logged")
    assert c is not leader
    leader.thaw()


def test_rows_a17_a18_a19_a20_b11_the_leader_dies_another_leads_the_old_one_returns(cluster):
    first = cluster.wait_leader()
    for key in ("name", "age", "city"):
        cluster.put(key, key)
    first.delete("city")
    term = first.status()["term"]
    first.kill()
    second = cluster.wait_leader(among=cluster.others(first), timeout=8)
    status = second.status()
    assert status["term"] > term and status["leaderId"] == second.name
    third = cluster.others(first, second)[0]
    assert third.status()["role"] == "follower" and third.status()["leaderId"] == second.name

    answer = second.put("newleader", second.name)
    assert answer.status == 200 and answer.json()["leaderId"] == second.name
    for m in (second, third):
        assert m.read("name").json()["value"] == "name"
        assert m.read("age").json()["value"] == "age"
        assert m.read("city").status == 404, "a delete survives the leader"
        assert m.read("newleader").json()["value"] == second.name

    # Row A20, B11: it comes back as a follower, raises no term, and catches up without a new write.
    revision, term = second.status()["revision"], second.status()["term"]
    first.start()
    wait_for(lambda: first.read("newleader", "?consistency=stale").status == 200,
             "the old leader has what was written while it was down")
    status = wait_for(lambda: first.status() if first.status()["leaderId"] else None, "it knows")
    assert (status["role"], status["term"], status["leaderId"]) == ("follower", term, second.name)
    assert cluster.wait_same() == revision
    assert second.status()["role"] == "leader"
    cluster.check_one_leader_a_term()


def test_a_follower_that_restarts_changes_nothing(cluster):
    leader = cluster.wait_leader()
    term = leader.status()["term"]
    for m in cluster.followers(leader):
        m.kill()
        assert leader.put("while", m.name).status == 200
        m.start()
        cluster.wait_leader()
    assert (leader.status()["role"], leader.status()["term"]) == ("leader", term)


def test_row_b4_step_down_answers_when_another_leads(cluster):
    leader = cluster.wait_leader()
    follower = cluster.followers(leader)[0]
    refused = follower.request("POST", "/step-down")
    assert refused.status == 400
    assert refused.json()["error"] == "Not currently leader"
    assert refused.json()["leaderId"] == leader.name and refused.json()["leaderUrl"] == leader.url
    term = leader.status()["term"]
    answer = leader.request("POST", "/step-down")
    assert (answer.status, answer.json()) == (200, {"message": "Stepped down successfully"})
    assert leader.status()["role"] == "follower" and leader.status()["term"] > term
    new = cluster.wait_leader(not_=leader)
    # To a member by name.
    target = cluster.others(new)[0]
    assert new.request("POST", "/step-down", '{"to":"%s"}' % target.name).status == 200
    assert cluster.wait_leader() is target
    assert target.request("POST", "/step-down", '{"to":"nobody"}').status in (400, 404)
    cluster.check_one_leader_a_term()


def test_row_b4_a_lone_member_leads_a_new_term(make_cluster):
    m = make_cluster(1)[0]
    term = m.status()["term"]
    assert m.request("POST", "/step-down").status == 200
    wait_for(lambda: m.status()["role"] == "leader" and m.status()["term"] > term, "a new term")
    assert m.put("again", 1).status == 200


def test_step_down_without_anybody_caught_up_is_503_and_it_still_leads(cluster):
    leader = cluster.wait_leader()
    for m in cluster.followers(leader):
        m.freeze()
    answer = leader.request("POST", "/step-down")
    for m in cluster.others(leader):
        m.thaw()
    assert answer.status == 503 and answer.error
    cluster.wait_leader()


def test_row_b10_sigterm_hands_leadership_over_before_it_exits(make_cluster):
    """With an election timeout of 2 s, only a hand-over can be this quick."""
    c = make_cluster(3, arguments=["--heartbeat-ms", "100", "--election-timeout-ms", "2000"])
    leader = c.wait_leader()
    started = time.monotonic()
    assert leader.terminate() == 0
    others = c.others(leader)
    new = c.wait_leader(among=others, timeout=1)
    assert new.put("after", 1).status == 200
    assert time.monotonic() - started < 1.9


def test_row_f8_a_graceful_stop_with_clients_exits_0_and_frees_the_port(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    idle = [socket.create_connection(("127.0.0.1", leader.port)) for _ in range(50)]
    half = socket.create_connection(("127.0.0.1", leader.port))
    half.sendall(b"PUT /key/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    keep = Client(leader.port)
    assert keep.request("GET", "/ping").status == 200
    started = time.monotonic()
    leader.signal(signal.SIGTERM)
    leader.signal(signal.SIGTERM)
    assert leader.wait_exit(5.0) == 0
    assert time.monotonic() - started < 5
    # With connections of the old process still around, the port is free at once.
    leader.start()
    assert leader.get("/ping").status == 200
    for s in [*idle, half]:
        s.close()
    keep.close()


def test_row_f8_sigint_too(make_cluster):
    m = make_cluster(1)[0]
    m.put("k", 1)
    m.signal(signal.SIGINT)
    assert m.wait_exit(5.0) == 0
    m.start()
    wait_for(lambda: m.read("k").status == 200, "it has what it had")


def test_requests_under_way_at_sigterm_get_a_true_answer(make_cluster):
    """Writes go on from several threads while the leader stops: 200 is kept, 503 is not there."""
    c = make_cluster(3)
    leader = c.wait_leader()
    acked, refused, stop = [], [], threading.Event()

    def write(name):
        client = Client(leader.port)
        n = 0
        while not stop.is_set():
            n += 1
            key = f"t{name}-{n}"
            try:
                answer = client.request("PUT", "/key/" + key, str(n))
            except (OSError, http.client.HTTPException):
                return
            {200: acked, 503: refused}.get(answer.status, []).append(key)
    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    assert leader.terminate() == 0
    stop.set()
    for t in threads:
        t.join(10)
    new = c.wait_leader(among=c.others(leader))
    assert len(acked) > 10
    assert all(new.read(k).status == 200 for k in acked)
    assert all(new.read(k).status == 404 for k in refused)


def test_row_f2_any_one_of_three_may_be_down(cluster):
    for m in list(cluster):
        m.kill()
        rest = cluster.others(m)
        cluster.wait_leader(among=rest)
        cluster.put("f2", m.name)
        for r in rest:
            assert r.read("f2").json()["value"] == m.name
        m.start()
        cluster.wait_leader()
        cluster.wait_same()


def test_row_f3_without_a_quorum_writes_are_refused_reads_may_be_stale_and_it_heals(cluster):
    leader = cluster.wait_leader()
    cluster.put("f3", "before")
    cluster.wait_same()
    a, b = cluster.followers(leader)
    a.kill()
    b.kill()
    # Nothing is acknowledged by a lone leader: refused, or honestly unknown.
    statuses = {leader.put("f3", n, timeout=10).status for n in range(3)}
    assert statuses <= {503, 504}, statuses
    wait_for(lambda: leader.put("f3", "no").status == 503, "a clear refusal")
    assert leader.put("f3", "no").error in ("No quorum", "Not the leader")
    assert leader.read("f3", timeout=10).status == 503, "a linearizable read can't be confirmed"
    stale = leader.read("f3", "?consistency=stale")
    assert stale.status == 200 and stale.json()["value"] == "before"
    assert leader.status()["leaderId"] is None
    assert leader.get("/livez").status == 200 and leader.get("/readyz").status == 503
    offline = leader.get("/cluster", timeout=2).json()
    assert {e["id"] for e in offline["cluster"] if e["state"] == "OFFLINE"} == {a.name, b.name}
    assert offline["leader"] is None

    a.start()
    cluster.wait_leader(among=[leader, a])
    assert cluster.put("f3", "after")["success"] is True
    cluster.check_one_leader_a_term()


def test_row_f7_a_frozen_leader_answers_nothing_stale_when_it_wakes(cluster):
    """Freeze the leader, write elsewhere, queue a read and a write to the frozen one, thaw it."""
    old = cluster.wait_leader()
    cluster.put("f7", "old")
    old.freeze()
    new = cluster.wait_leader(among=cluster.others(old))
    assert new.put("f7", "new").status == 200
    answers = {}

    def ask(what, method, path, body=None):
        with contextlib.suppress(OSError, http.client.HTTPException):
            answers[what] = request(old.port, method, path, body, timeout=10)
    threads = [threading.Thread(target=ask, args=a) for a in (
        ("read", "GET", "/key/f7"), ("write", "PUT", "/key/f7-woken", "1"),
        ("leader", "GET", "/leader"))]
    for t in threads:
        t.start()
    time.sleep(0.2)
    old.thaw()
    for t in threads:
        t.join(12)
    if answers["read"].status == 200:
        assert answers["read"].json()["value"] == "new", "a stale linearizable read"
    wait_for(lambda: old.status()["role"] == "follower", "the woken one follows")
    written = new.read("f7-woken").status == 200
    if answers["write"].status == 200:
        assert written, "acknowledged and not there"
    if answers["write"].status == 503:
        assert not written, "refused and there"
    assert old.read("f7").json()["value"] == "new"
    cluster.check_one_leader_a_term()


def test_row_f7_a_frozen_follower_catches_up_and_disturbs_nobody(cluster):
    leader = cluster.wait_leader()
    follower = cluster.followers(leader)[0]
    follower.freeze()
    for n in range(200):
        assert leader.put(f"f7-{n}", n).status == 200
    time.sleep(0.6)
    term = leader.status()["term"]
    follower.thaw()
    # A linearizable read shows all that was acknowledged, also here.
    assert follower.read("f7-199", timeout=10).json()["value"] == 199
    cluster.wait_same()
    assert (leader.status()["role"], leader.status()["term"]) == ("leader", term)


def test_row_b3_cluster_answers_within_a_second_with_members_frozen(cluster):
    leader = cluster.wait_leader()
    a, b = cluster.followers(leader)
    a.freeze()
    b.freeze()
    started = time.monotonic()
    got = leader.get("/cluster", timeout=5)
    status = leader.get("/status", timeout=5)
    took = time.monotonic() - started
    a.thaw()
    b.thaw()
    assert got.status == 200 and status.status == 200 and took < 2
    assert len(got.json()["cluster"]) == 3
    states = {e["id"]: e["online"] for e in got.json()["cluster"]}
    assert states[a.name] is False and states[b.name] is False


def test_row_d9_a_member_that_was_down_gets_only_what_it_lacks(cluster):
    leader = cluster.wait_leader()
    cluster.put("d9", 0)
    cluster.wait_same()
    follower = cluster.followers(leader)[0]
    follower.kill()
    for n in range(7):
        cluster.put(f"d9-{n}", n)
    follower.start()
    wait_for(lambda: follower.read("d9-6", "?consistency=stale").status == 200, "it caught up")
    assert cluster.wait_same() == leader.status()["revision"]
    leader.wait_log(rf"{follower.name} is back: sending 7 entries after index=\d+")
    leader.wait_log(rf"Replicated 7 entries to {follower.name}: it has everything index=\d+")
    follower.wait_log(rf"Replicated 7 entries from {leader.name} index=\d+")


def test_row_f9_loopback_unless_told_and_other_hosts_only_with_a_secret(make_cluster):
    c = make_cluster(1, start=False)
    m = c[0]
    m.arguments = ["--name", "node-1", "--listen", f"0.0.0.0:{m.port}", "--data", m.data]
    m.start(wait=False)
    assert m.wait_exit() == 2
    for word in ("--cluster-secret-file", "--insecure"):
        assert word in m.log()
    secret = c.write_file("other-secret", "s3cret")
    m.start(extra=["--cluster-secret-file", secret])
    m.kill()
    m.start(extra=["--insecure"])
    assert "insecure" in m.log().lower()
    c.wait_leader()
    assert m.status()["insecure"] is True
    done = conclave("status", "--endpoints", m.url)
    assert done.returncode == 0 and "--insecure" in done.stderr
    m.kill()
    m.arguments[m.arguments.index("--listen") + 1] = f"127.0.0.1:{m.port}"
    m.start(extra=["--insecure"])  # which opens nothing here
    assert "insecure" not in m.status()


def test_linearizable_reads_never_go_back_through_a_change_of_leader(cluster):
    """One writer counts up; readers at every member never see less than was acknowledged before."""
    acked, stop, trouble = [0], threading.Event(), []

    def write():
        n = 0
        while not stop.is_set():
            for m in cluster.running():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if m.put("count", n + 1, timeout=3).status == 200:
                        n += 1
                        acked[0] = n
                        break

    def read(m):
        while not stop.is_set():
            floor = acked[0]
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = m.read("count", timeout=3)
                if answer.status == 200 and answer.json()["value"] < floor:
                    trouble.append((m.name, answer.json()["value"], floor))
                if answer.status == 404 and floor > 0:
                    trouble.append((m.name, None, floor))
    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=read, args=(m,)) for m in cluster]
    for t in threads:
        t.start()
    for _ in range(3):
        time.sleep(0.5)
        leader = cluster.wait_leader()
        leader.freeze()
        time.sleep(0.7)
        leader.thaw()
        cluster.wait_leader()
        cluster.leader_now() and cluster.leader_now().request("POST", "/step-down")
    stop.set()
    for t in threads:
        t.join(15)
    assert not trouble, trouble[:5]
    assert acked[0] > 20
    cluster.check_one_leader_a_term()


def test_a_stranger_that_dials_a_cluster_changes_nothing(cluster):
    """A third party that lists two of the members as its peers neither joins nor disturbs."""
    leader = cluster.wait_leader()
    cluster.put("mine", 1)
    term = leader.status()["term"]
    port = free_port()
    stranger = cluster.add(Member("node-9", port, cluster.directory, [
        "--name", "node-9", "--listen", f"127.0.0.1:{port}", "--data", cluster.directory + "/n9",
        "--cluster-secret-file", cluster.directory + "/secret", "--peers",
        ",".join(m.url for m in cluster.members[:2])]))
    stranger.start(wait=False)
    stays(lambda: leader.status()["term"] == term and leader.status()["role"] == "leader",
          "the leader leads its term", 1.5)
    if stranger.is_running():
        assert stranger.status()["role"] is None
        assert stranger.put("x", 1).status == 503
