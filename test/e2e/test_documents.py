"""Documents: POST /write and GET /read, rows C3, C4, C10, C14 and C15."""
import contextlib
import http.client
import json
import os
import uuid

import pytest

from harness import FAST, Member, conclave, free_port, wait_for


def post(member, content, query="", **kw):
    return member.request("POST", "/write" + query, json.dumps({"content": content}), **kw)


def write(cluster, content, query=""):
    """Once, whatever happens to leadership meanwhile."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}

    def done():
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = post(cluster.wait_leader(cluster.running()), content, query, headers=headers)
            return answer.json() if answer.status == 200 else None
        return None
    return wait_for(done, f"{content} is written", 30)


def read(member, query="?consistency=stale"):
    answer = member.get("/read" + query)
    assert answer.status == 200, answer.body
    return answer.json()


def contents(member, query="?consistency=stale"):
    return [d["content"] for d in read(member, query)]


def wait_read(member, expected):
    wait_for(lambda: read(member) == expected, f"{member.name} has all documents", 30)


# --- what they are ------------------------------------------------------------------------------


def test_row_c3_the_master_writes_and_says_under_which_id(shared):
    leader = shared.wait_leader()
    before = leader.status()["revision"]
    answer = post(leader, "caf\u00e9 \"quoted\"\n")
    assert answer.status == 200, answer.body
    got = answer.json()
    assert set(got) == {"success", "id", "content", "createdAt", "leaderId", "revision"}
    assert (got["success"], got["content"], got["leaderId"]) == (True, "caf\u00e9 \"quoted\"\n",
                                                                 leader.name)
    assert got["revision"] == before + 1
    document = {name: got[name] for name in ("id", "content", "createdAt")}
    assert read(leader, "?limit=1") == [document]
    assert leader.get("/keys").json()["keys"] == []


def test_row_c3_a_slave_refuses_and_names_the_master(shared):
    leader = shared.wait_leader()
    follower = shared.followers(leader)[0]
    answer = post(follower, "not here")
    assert answer.status == 403
    assert answer.json() == {"error": "Only master can write", "currentRole": "follower",
                             "leaderId": leader.name, "leaderUrl": leader.url}
    assert "not here" not in contents(follower, "")


@pytest.mark.parametrize("body", ["", "no JSON", "{}", '"text"', "[]", '{"content":1}',
                                  '{"content":null}', '{"content":["a"]}', '{"contents":"a"}',
                                  '{"content":"a","more":1}', '{"content":"a","content":"b"}',
                                  '{"content":"\\ud800"}'])
def test_row_c3_content_that_is_missing_or_no_string_is_400(shared, body):
    leader = shared.wait_leader()
    before = read(leader, "")
    answer = leader.request("POST", "/write", body)
    assert answer.status == 400 and answer.error in ("Invalid JSON", "Bad request"), answer.body
    assert read(leader, "") == before


def test_row_c4_newest_first_with_the_same_ids_and_times_everywhere(cluster):
    written = [write(cluster, content) for content in "abc"]
    cluster.wait_same()
    lists = [read(m) for m in cluster]
    assert [d["content"] for d in lists[0]] == ["c", "b", "a"]
    assert lists[0] == lists[1] == lists[2]
    assert [d["id"] for d in lists[0]] == [w["id"] for w in reversed(written)]
    assert [d["createdAt"] for d in lists[0]] == [w["createdAt"] for w in reversed(written)]
    # Linearizable unless told otherwise, at any member.
    for m in cluster:
        assert read(m, "") == lists[0]


def test_row_c4_pages_have_every_document_once(shared):
    for n in range(25):
        write(shared, f"page {n}")
    leader = shared.wait_leader()
    everything = read(leader, "")
    pages, query = [], "?limit=7"
    while True:
        answer = leader.get("/read" + query)
        pages += answer.json()
        following = answer.headers["Conclave-Next"]
        if following is None:
            break
        assert len(answer.json()) == 7 and following == answer.json()[-1]["id"]
        query = f"?limit=7&before={following}"
    assert pages == everything
    revision = int(everything[4]["id"], 16)
    assert read(leader, f"?revision={revision}") == everything[4:]
    assert leader.get("/read?revision=99999999").status == 400
    assert leader.get("/read?before=xyz").status == 400


def test_row_c4_an_answer_of_many_megabytes_streams(make_cluster):
    m = make_cluster(1)[0]
    texts = [str(n) + "x" * 300_000 for n in range(60)]
    for text in texts:
        assert post(m, text).status == 200
    answer = m.get("/read", timeout=30)
    assert [d["content"] for d in answer.json()] == texts[::-1]
    peak = int(next(line for line in open(f"/proc/{m.process.pid}/status", encoding="ascii")
                    if line.startswith("VmHWM")).split()[1])
    assert peak < 80_000, f"{peak} kB for 18 MB of documents and an answer of them"


def test_row_a11_web_pages_may_read_and_write(shared):
    leader = shared.wait_leader()
    for answer in (leader.get("/read"), post(leader, "by a page"), post(leader, 1),
                   post(shared.followers(leader)[0], "x")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Content-Type"] == "application/json"
    for path in ("/read", "/write"):
        assert (leader.request("OPTIONS", path).status, leader.request("PUT", path).status) \
            == (200, 404)
        assert path in leader.get("/").body.decode()


# --- acknowledgement, retries, followers --------------------------------------------------------


def test_row_f10_documents_know_the_ladder_of_acknowledgement(cluster):
    leader = cluster.wait_leader()
    assert post(leader, "by all", "?ack=all").json()["id"]
    early = post(leader, "by the leader", "?ack=leader").json()
    assert early["durability"] == "leader" and early["content"] == "by the leader"
    assert not {"id", "createdAt", "revision"} & set(early)
    assert post(leader, "x", "?ack=most").status == 400
    wait_for(lambda: contents(leader) == ["by the leader", "by all"], "both are there")


def test_row_c5_rule_k2b_a_repeated_document_is_there_once_across_a_failover(cluster):
    leader = cluster.wait_leader()
    headers = {"Idempotency-Key": "document-1"}
    first = post(leader, "once", headers=headers).json()
    assert first["success"] and write(cluster, "another")
    leader.kill()
    after = cluster.wait_leader(cluster.running(), not_=leader)
    again = post(after, "once", headers=headers)
    assert again.status == 200 and again.json() == first
    assert post(after, "twice", headers=headers).status == 422
    assert contents(after, "") == ["another", "once"]


def test_rule_r15_a_follower_forwards_or_redirects(make_cluster):
    c = make_cluster(3, arguments=[*FAST, "--on-follower", "forward"])
    leader = c.wait_leader()
    answer = post(c.followers(leader)[0], "forwarded", headers={"Idempotency-Key": "f"})
    assert answer.status == 200 and answer.json()["leaderId"] == leader.name
    got = answer.json()
    assert read(leader, "") == [{n: got[n] for n in ("id", "content", "createdAt")}]
    assert post(c.followers(leader)[1], "forwarded", headers={"Idempotency-Key": "f"}).json() \
        == got
    for m in c:
        m.kill()
        m.arguments[m.arguments.index("forward")] = "redirect"
        m.start()
    leader = c.wait_leader()
    answer = post(c.followers(leader)[0], "redirected", "?ack=all")
    assert answer.status == 307
    assert answer.headers["Location"] == leader.url + "/write?ack=all"


# --- failures -----------------------------------------------------------------------------------


def test_row_c10_a_slave_that_was_down_gets_all_in_order_and_once(cluster):
    write(cluster, "before")
    leader = cluster.wait_leader()
    slave = cluster.followers(leader)[0]
    slave.kill()
    for n in range(5):
        write(cluster, f"while down {n}")
    everything = read(cluster.wait_leader(cluster.running()), "")
    assert [d["content"] for d in everything] == \
        [f"while down {n}" for n in range(4, -1, -1)] + ["before"]
    slave.start()
    wait_read(slave, everything)


def test_row_c14_documents_survive_kill_9_of_all(cluster):
    for n in range(10):
        write(cluster, f"kept {n}")
    before = read(cluster.wait_leader(), "")
    for m in cluster:
        m.kill()
    for m in cluster:
        m.start(wait=False)
    cluster.wait_leader()
    for m in cluster:
        wait_read(m, before)


def test_row_c15_a_new_master_serves_every_acknowledged_document(cluster):
    written = [write(cluster, f"document {n}") for n in range(100)]
    leader = cluster.wait_leader()
    leader.kill()
    after = cluster.wait_leader(cluster.running(), not_=leader)
    expected = [{n: w[n] for n in ("id", "content", "createdAt")} for w in reversed(written)]
    assert read(after, "") == expected
    assert write(cluster, "and goes on")["createdAt"] >= expected[0]["createdAt"]
    leader.start()
    wait_for(lambda: contents(leader)[:1] == ["and goes on"], "the old master has it, too", 30)
    assert read(leader)[1:] == expected


def test_row_c10_a_slave_that_was_away_too_long_gets_the_documents_by_a_snapshot(make_cluster):
    c = make_cluster(3, arguments=[*FAST, "--snapshot-bytes", "64KiB"])
    leader = c.wait_leader()
    slave = c.followers(leader)[0]
    slave.kill()
    first_segment = os.path.join(leader.data, "00000001.log")

    def log_is_cut():
        write(c, "x" * 50_000)
        return not os.path.exists(first_segment)
    wait_for(log_is_cut, "the master's log begins later", 60)
    everything = read(c.wait_leader(c.running()), "")
    slave.start()
    wait_read(slave, everything)
    assert "conclave_snapshots_installed_total 1" in slave.get("/metrics").body.decode()


def test_row_c14_documents_come_with_a_backup(make_cluster):
    c = make_cluster(3)
    for n in range(5):
        write(c, f"early {n}")
    leader = c.wait_leader()
    path = os.path.join(c.directory, "backup.snap")
    assert conclave("snapshot", "save", path, "--endpoints", leader.url).returncode == 0
    data = os.path.join(c.directory, "restored")
    port = free_port()
    done = conclave("snapshot", "restore", path, "--data", data, "--name", "restored",
                    "--advertise", f"http://127.0.0.1:{port}")
    assert done.returncode == 0, done
    assert "restored 0 keys and 5 documents; revision 1000" in done.stdout
    restored = c.add(Member("restored", port, c.directory, [
        "--name", "restored", "--listen", f"127.0.0.1:{port}", "--data", data, *FAST]))
    restored.start()
    wait_for(lambda: restored.status()["role"] == "leader", "the restored member leads")
    expected = read(leader, "")
    assert read(restored, "") == expected
    late = post(restored, "late").json()
    assert late["id"] > expected[0]["id"] and late["revision"] > 1_000_000_000


# --- bounds -------------------------------------------------------------------------------------


def test_bad_input_too_long_a_content_is_413_and_a_full_store_507(make_cluster):
    m = make_cluster(1, arguments=[*FAST, "--max-value-bytes", "100000",
                                   "--quota-bytes", "1MiB"])[0]
    assert post(m, "x" * 99_998).status == 200  # and two quotes
    assert post(m, "x" * 99_999).status == 413
    assert post(m, "x" * 1_000_000).status == 413
    for _ in range(30):
        last = post(m, "y" * 99_998)
        if last.status != 200:
            break
    assert last.status == 507 and last.json() == {"error": "Out of space"}
    assert m.put("k", "z" * 90_000).status == 507
    assert len(contents(m)) == 10
