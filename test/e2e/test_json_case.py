"""--json-case snake: the snake_case twins of rows A4 to A10."""
import re

import pytest

from harness import FAST, conclave

CAMEL = re.compile(r"[a-z][A-Z]")


@pytest.fixture(scope="module")
def snakes():
    import harness
    with harness.Cluster(3, arguments=[*FAST, "--json-case", "snake"]) as c:
        for m in c:
            m.start(wait=False)

        def agreed():
            statuses = [m.status() for m in c]
            return all(statuses) and len({s["leader_id"] for s in statuses}) == 1 \
                and statuses[0]["leader_id"]
        name = harness.wait_for(agreed, "the members agree on a leader", 30)
        c.led_by = next(m for m in c if m.name == name)
        yield c


def names_of(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from names_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_of(inner)


def test_row_a4_status_in_snake_case(snakes):
    s = snakes.led_by.get("/status").json()
    assert not [n for n in names_of(s) if CAMEL.search(n)]
    assert s["node_id"] == s["leader_id"] == snakes.led_by.name
    assert s["role"] == "leader" and s["leader_url"] == snakes.led_by.url
    assert {"total_keys", "keys_truncated", "commit_index", "applied_index", "uptime_ms",
            "cluster_id"} <= set(s)
    assert {"requests_per_second", "loop_utilisation"} <= set(s["load"])


def test_rows_a5_a7_a8_a10_keys_in_snake_case_and_values_as_they_are(snakes):
    leader, follower = snakes.led_by, snakes.others(snakes.led_by)[0]
    got = leader.put("camelKey", {"innerName": 1}).json()
    assert got["success"] is True and got["leader_id"] == leader.name
    assert got["key"] == "camelKey" and got["value"] == {"innerName": 1}
    read = follower.read("camelKey").json()
    assert read["node_role"] == "follower" and read["value"] == {"innerName": 1}
    assert leader.read("none").json() == {"error": "Key not found", "key": "none"}
    assert leader.delete("camelKey").json()["leader_id"] == leader.name
    assert leader.delete("camelKey").status == 404


def test_row_a9_a_follower_names_the_leader_in_snake_case(snakes):
    leader, follower = snakes.led_by, snakes.others(snakes.led_by)[0]
    got = follower.put("k", 1)
    assert got.status == 503
    assert got.json() == {"error": "Not the leader", "current_role": "follower",
                          "leader_id": leader.name, "leader_url": leader.url}


def test_rows_c3_c4_documents_in_snake_case(snakes):
    leader, follower = snakes.led_by, snakes.others(snakes.led_by)[0]
    body = '{"content":"camelCase"}'
    got = leader.request("POST", "/write", body).json()
    assert got["leader_id"] == leader.name and got["content"] == "camelCase"
    assert follower.get("/read").json() == [
        {"id": got["id"], "content": "camelCase", "created_at": got["created_at"]}]
    assert follower.request("POST", "/write", body).json() == {
        "error": "Only master can write", "current_role": "follower",
        "leader_id": leader.name, "leader_url": leader.url}


def test_what_no_seed_had_keeps_its_names(snakes):
    assert "leaderId" in snakes.led_by.get("/cluster").json()["cluster"][0]
    assert "leaderUrl" in snakes.led_by.get("/leader").json()


def test_the_verbs_follow_a_leader_that_is_named_in_snake_case(snakes):
    follower = snakes.others(snakes.led_by)[0]
    done = conclave("put", "by-verb", "1", "--endpoints", follower.url)
    assert done.returncode == 0, done.stderr
    assert conclave("get", "by-verb", "--endpoints", follower.url).stdout.strip() == "1"


def test_row_c11_verify_compares_documents_in_snake_case(snakes):
    snakes.led_by.request("POST", "/write", '{"content":"a"}')
    done = conclave("verify", "--settle", "--endpoints", snakes.led_by.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_case_is_exit_2(tmp_path):
    done = conclave("server", "--json-case", "kebab", timeout=5, cwd=tmp_path)
    assert done.returncode == 2
    assert "--json-case" in done.stderr and "snake" in done.stderr
