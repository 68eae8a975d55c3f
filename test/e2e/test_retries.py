"""Writes that are sent again, or to the wrong member: Idempotency-Key and --on-follower."""
import contextlib
import http.client
import json
import threading
import time

from harness import FAST, Client, key_path, wait_for


def keyed_put(member, key, value, retry_key, **kw):
    return member.put(key, value, headers={"Idempotency-Key": retry_key}, **kw)


def test_rule_k2b_a_keyed_write_is_applied_once_across_a_failover(cluster):
    leader = cluster.wait_leader()
    first = keyed_put(leader, "once", 1, "order-17").json()
    assert keyed_put(leader, "once", 1, "order-17").json() == first
    # Another write in between: a second application would undo it.
    leader.put("once", "changed since")
    leader.kill()
    after = cluster.wait_leader(cluster.running(), not_=leader)
    again = keyed_put(after, "once", 1, "order-17")
    assert again.status == 200
    assert again.json()["revision"] == first["revision"]
    assert after.read("once").json()["value"] == "changed since"
    # The key belongs to that request.
    other = keyed_put(after, "once", 2, "order-17")
    assert other.status == 422, other.body
    leader.start()
    cluster.wait_leader()
    cluster.wait_same()
    again = keyed_put(cluster.wait_leader(), "once", 1, "order-17")
    assert again.json()["revision"] == first["revision"]


def test_rule_k2b_writes_of_unknown_outcome_are_repeated_and_happen_once(cluster):
    """Each write makes a key that must not be there: the second time would be refused with 412."""
    done = threading.Event()
    revisions = {}
    wrong = []

    def write(number):
        n = 0
        while not done.is_set():
            n += 1
            name = f"r{number}-{n}"
            body = json.dumps(name)
            while name not in revisions:
                for m in cluster.members:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        answer = m.request("PUT", key_path(name), body, timeout=2, headers={
                            "Idempotency-Key": name, "If-None-Match": "*"})
                        if answer.status == 200:
                            revisions[name] = answer.json()["revision"]
                            break
                        if answer.status not in (503, 504, 429):
                            wrong.append((name, answer.status, answer.body))
                            return
    threads = [threading.Thread(target=write, args=(i,), daemon=True) for i in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        time.sleep(0.3)
        leader = cluster.wait_leader()
        leader.kill()
        cluster.wait_leader(cluster.running(), not_=leader)
        time.sleep(0.2)
        leader.start()
        cluster.wait_leader()
    done.set()
    for t in threads:
        t.join(20)
        assert not t.is_alive()
    assert not wrong, wrong[:3]
    assert len(revisions) > 50
    assert len(set(revisions.values())) == len(revisions)
    client = Client(cluster.wait_leader().port)
    for name, revision in revisions.items():
        assert client.request("GET", key_path(name)).json()["revision"] == revision
    client.close()


def test_on_follower_forward_hands_a_write_to_the_leader(make_cluster):
    c = make_cluster(3, arguments=[*FAST, "--on-follower", "forward"])
    leader = c.wait_leader()
    for i, m in enumerate(c.followers(leader)):
        answer = m.put("forwarded", i)
        assert answer.status == 200 and answer.json()["leaderId"] == leader.name
        # Read what was written, there.
        assert m.read("forwarded").json()["value"] == i
        assert m.delete("forwarded").status == 200
        assert m.delete("forwarded").status == 404
        conditional = m.put("forwarded", i, headers={"If-Match": '"1"'})
        assert conditional.status == 412
    # Without a leader it is refused, and nothing happens.
    follower = c.followers(leader)[0]
    for m in c.others(follower):
        m.kill()
    refused = follower.put("nobody", 1)
    assert refused.status in (503, 504), refused


def test_rule_q7_the_session_of_a_forwarded_write_covers_it(make_cluster):
    c = make_cluster(3, arguments=[*FAST, "--on-follower", "forward"])
    leader = c.wait_leader()
    writer, reader = c.followers(leader)
    for i in range(20):
        answer = writer.put("forwarded", i)
        token = answer.headers["Conclave-Session"]
        assert int(token.split(".")[1]) >= answer.json()["revision"]
        for m in (writer, reader):
            got = m.read("forwarded", "?consistency=session&token=" + token)
            assert got.status == 200 and got.json()["value"] == i


def test_on_follower_redirect_names_the_place(make_cluster):
    c = make_cluster(3, arguments=[*FAST, "--on-follower", "redirect"])
    leader = c.wait_leader()
    follower = c.followers(leader)[0]
    answer = follower.put("a b/c", 1, "?ack=all")
    assert answer.status == 307
    assert answer.headers["Location"].startswith(leader.url + "/key/")
    path = answer.headers["Location"][len(leader.url):]
    assert leader.request("PUT", path, "1").status == 200
    # Also one who names the host in the request line.
    answer = follower.request("PUT", "http://somewhere/key/a?ack=all", "1")
    assert answer.status == 307
    assert answer.headers["Location"] == leader.url + "/key/a?ack=all"
    assert leader.read("a b/c").json()["value"] == 1
    for m in c.others(follower):
        m.kill()
    wait_for(lambda: follower.put("x", 1).status == 503, "nobody is named when nobody leads")
