"""Who may do what at real members, what is told of it, and the way back in: docs/SECURITY.md."""
import json
import os
import signal

import pytest

import harness
from harness import wait_for
from test_etcd_auth import basic, gateway


def audit_path(member):
    return os.path.join(member.directory, member.name + ".audit")


@pytest.fixture(name="members", scope="module")
def members_with_users():
    """Three members that keep audit logs: root, olga with conclave:admin, bert with
    conclave:backup."""
    with harness.Cluster(3) as cluster:
        for member in cluster:
            member.arguments += ["--audit-log", audit_path(member)]
        cluster.start()
        leader = cluster.wait_leader()
        users = {"root": "root", "olga": "conclave:admin", "bert": "conclave:backup"}
        for name, role in users.items():
            assert gateway(leader, "/auth/user/add", {"name": name, "password": "pw"})[0] == 200
            assert gateway(leader, "/auth/role/add", {"name": role})[0] == 200
            assert gateway(leader, "/auth/user/grant", {"user": name, "role": role})[0] == 200
        assert gateway(leader, "/auth/enable", {})[0] == 200
        cluster.wait_same()
        yield cluster


def told(member, **fields):
    """Lines of a member's audit log that say so."""
    with open(audit_path(member), encoding="utf-8") as lines:
        return [line for line in map(json.loads, lines) if fields.items() <= line.items()]


def wait_told(member, **fields):
    return wait_for(lambda: told(member, **fields), f"{member.name} tells of {fields}")


def test_operators_need_not_be_root(members):
    leader = members.wait_leader()
    olga, bert = basic("olga", "pw"), basic("bert", "pw")
    assert leader.request("GET", "/members", headers=olga).status == 200
    assert leader.request("GET", "/snapshot", headers=olga).status == 403
    assert leader.request("GET", "/snapshot", headers=bert).status == 200
    assert leader.request("GET", "/members", headers=bert).status == 403
    for who in (olga, bert):
        assert leader.request("GET", "/key/a", headers=who).status == 403
    assert leader.request("POST", "/step-down", "{}", headers=olga).status == 200
    wait_told(leader, user="olga", request="POST /step-down", outcome="done")
    wait_told(leader, user="olga", request="GET /snapshot", outcome="denied")
    wait_told(leader, user="bert", request="GET /snapshot", outcome="done")


def test_a_member_tells_what_it_was_asked_itself(members):
    leader = members.wait_leader()
    follower = members.others(leader)[0]
    status, answer = gateway(follower, "/auth/authenticate", {"name": "root", "password": "pw"})
    assert status == 200
    put = {"key": "Zm9sbG93ZWQ=", "value": "dW50b2xk"}
    assert gateway(follower, "/kv/put", put, answer["token"])[0] == 200
    line, = wait_told(follower, request="/etcdserverpb.KV/Put")
    assert line["targets"] == [{"key": "followed"}] and line["user"] == "root"
    assert line["from"].startswith("127.0.0.1:") and line["door"] == "gateway"
    assert not told(leader, request="/etcdserverpb.KV/Put")
    with open(audit_path(follower), encoding="utf-8") as file:
        text = file.read()
    assert answer["token"] not in text and "untold" not in text and "dW50b2xk" not in text


def test_guessing_is_slow_and_the_right_password_waits_with_it(members):
    member = members[0]
    statuses = [member.request("GET", "/members", headers=basic("olga", f"guess-{i}")).status
                for i in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    refused = member.request("GET", "/members", headers=basic("olga", "pw"))
    assert refused.status == 429 and refused.headers["Retry-After"] == "1"
    assert member.request("GET", "/members", headers=basic("root", "pw")).status == 200
    assert wait_told(member, user=None, claims="olga", code=429)


def test_who_lost_root_s_password_sets_it_at_one_member(members):
    member = members.others(members.wait_leader())[0]
    password = members.write_file("new-password", "found again\n")
    member.terminate()
    member.start(extra=["--reset-root-password-file", password])
    member.wait_log("THE PASSWORD OF root WAS RESET")
    wait_told(member, door="start", outcome="done")
    for other in members:
        wait_for(lambda m=other: m.request(
            "GET", "/members", headers=basic("root", "found again")).status == 200,
            f"{other.name} knows the new password")
        assert other.request("GET", "/members", headers=basic("root", "pw")).status == 401


def test_a_reload_ends_nobody_who_has_nothing_to_read_again(members):
    member = members.wait_leader()
    member.signal(signal.SIGHUP)
    assert member.get("/ping").status == 200
    member.signal(signal.SIGTERM)
    assert member.wait_exit() == 0
    assert "stopping signal=SIGTERM" in member.log_tail()
    member.start()


@pytest.mark.parametrize("flag,value,words", [
    ("--audit-log", "/", "is a directory"),
    ("--reset-root-password-file", "/nowhere", "cannot be read"),
])
def test_wrong_files_are_named_at_the_start(tmp_path, flag, value, words):
    run = harness.conclave("server", "--listen", f"127.0.0.1:{harness.free_port()}", "--data",
                           tmp_path / "data", flag, value)
    assert run.returncode == 2 and flag in run.stderr and words in run.stderr, run
