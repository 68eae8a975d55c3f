"""The store over HTTP: rows A4-A13, A21-A22, B3, C2, and the contract's table, on three members."""
import json
import time
import urllib.parse

import pytest

from harness import key_path, request, wait_for

CORS = {"Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type"}


@pytest.fixture
def leader(shared):
    return shared.wait_leader()


@pytest.fixture
def follower(shared, leader):
    return shared.followers(leader)[0]


def test_rows_a4_b2_status_has_every_field_and_agrees_on_all_members(shared, leader):
    leader.put("a4", 1)
    shared.wait_same()
    seen = set()
    for m in shared:
        s = m.get("/status").json()
        assert s["nodeId"] == m.name
        assert s["role"] == ("leader" if m is leader else "follower")
        assert s["state"] == s["role"].upper()
        assert s["leaderUrl"] == leader.url
        assert isinstance(s["term"], int) and s["term"] >= 1
        assert isinstance(s["totalKeys"], int) and "a4" in s["keys"]
        assert s["keysTruncated"] is False
        assert s["totalKeys"] == len(s["keys"])
        assert s["revision"] >= 2 and s["appliedIndex"] <= s["commitIndex"]
        assert set(s["load"]) == {"connections", "requestsPerSecond", "loopUtilisation"}
        assert {p["url"] for p in s["peers"]} == {o.url for o in shared.others(m)}
        assert all("id" in p for p in s["peers"])
        assert s["uptimeMs"] >= 0 and s["version"] and s["id"] and s["clusterId"]
        seen.add((s["leaderId"], s["term"], s["clusterId"]))
    assert len(seen) == 1


@pytest.mark.parametrize("key,body", [
    ("name", '"Alice"'), ("age", "30"), ("city", '{"a":[1,2,{"b":null}]}'), ("t", "true"),
    ("z", "null"), ("e", '""'), ("f", "1.50"), ("big", "12345678901234567890"),
    ("exp", "1e5"), ("u", '"\\u00e9\\n"'), ("raw", '"\u00e9 \U0001f451"')])
def test_rows_a5_a7_a_value_comes_back_as_it_went_in_on_every_member(shared, leader, key, body):
    answer = leader.request("PUT", key_path(key), "  " + body + "\r\n")
    assert answer.status == 200
    got = answer.json()
    assert got["success"] is True and got["key"] == key and got["leaderId"] == leader.name
    assert got["value"] == json.loads(body)
    for m in shared:
        read = m.read(key)
        assert read.status == 200
        assert read.json()["key"] == key and read.json()["value"] == json.loads(body)
        assert read.json()["nodeRole"] == ("leader" if m is leader else "follower")
        assert read.json()["revision"] == got["revision"]
        assert read.headers["ETag"] == f'"{got["revision"]}"'
        # Spliced in unchanged: the very bytes, without the outer white space.
        assert b'"value":' + body.encode() in read.body.replace(b'"value": ', b'"value":')


@pytest.mark.parametrize("body", [
    "{bad", "", "   ", "{", "[1,]", "01", "1 2", "nul", "'a'", '{"a":1,}', '"\\ud800"', "1e999",
    "[" * 65 + "]" * 65, '{"a" 1}', "NaN", "\ufeff1", '"\t"'])
def test_row_a6_bad_json_is_400_and_changes_nothing(shared, leader, body):
    before = leader.status()
    answer = leader.request("PUT", key_path("a6"), body)
    assert (answer.status, answer.json()) == (400, {"error": "Invalid JSON"})
    after = leader.status()
    assert (after["totalKeys"], after["revision"]) == (before["totalKeys"], before["revision"])
    assert leader.read("a6").status == 404


def test_row_a6_invalid_utf8_is_400(leader):
    answer = request(leader.port, "PUT", key_path("utf8"), b'"\xff\xfe"')
    assert (answer.status, answer.json()) == (400, {"error": "Invalid JSON"})


def test_json_may_be_64_deep(leader):
    assert leader.request("PUT", key_path("deep"), "[" * 64 + "]" * 64).status == 200


def test_row_a8_a_missing_key_is_404_to_the_letter(shared):
    for m in shared:
        answer = m.read("no such")
        assert answer.status == 404
        assert answer.json() == {"error": "Key not found", "key": "no such"}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_row_a9_a_follower_refuses_writes_and_names_the_leader(shared, leader, follower, method):
    before = leader.status()["revision"]
    answer = follower.request(method, key_path("a9"), "1" if method == "PUT" else None)
    assert answer.status == 503
    got = answer.json()
    assert got["error"] == "Not the leader" and got["currentRole"] == "follower"
    assert got["leaderId"] == leader.name and got["leaderUrl"] == leader.url
    assert leader.status()["revision"] == before


def test_row_a10_a_delete_is_seen_on_all_members(shared, leader):
    leader.put("a10", 1)
    answer = leader.delete("a10")
    assert answer.status == 200
    got = answer.json()
    assert got["success"] is True and got["key"] == "a10" and got["leaderId"] == leader.name
    for m in shared:
        assert m.read("a10").status == 404
    again = leader.delete("a10")
    assert (again.status, again.json()) == (404, {"error": "Key not found", "key": "a10"})
    # A refused write takes no revision.
    assert leader.put("a10b", 1).json()["revision"] == got["revision"] + 1


def test_row_a11_cors_and_content_type_are_on_every_answer(leader, follower):
    leader.put("a11", 1)
    answers = [leader.read("a11"), leader.request("PUT", key_path("a11"), "{bad"),
               leader.read("a11-missing"), follower.put("a11", 2), leader.get("/status"),
               leader.get("/cluster"), leader.get("/keys"), leader.get("/key/x?what=1")]
    assert [a.status for a in answers] == [200, 400, 404, 503, 200, 200, 200, 400]
    for a in answers:
        assert a.headers["Content-Type"].startswith("application/json")
        for name, value in CORS.items():
            assert a.headers[name] == value, (a.status, name)


def test_every_answer_carries_revision_term_node_and_session(shared, leader):
    for m in shared:
        for path in ("/key/x", "/status", "/no-such", "/ping", "/livez"):
            headers = m.get(path).headers
            assert headers["Conclave-Node"] == m.name, path
            assert int(headers["Conclave-Term"]) == leader.status()["term"], path
            assert int(headers["Conclave-Revision"]) >= 1, path
            assert headers["Conclave-Session"], path


@pytest.mark.parametrize("path", ["/key/x", "/keys", "/status", "/cluster", "/no-such"])
def test_row_a12_options_is_200_and_empty_with_cors(leader, path):
    answer = leader.request("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    if path != "/no-such":
        for name, value in CORS.items():
            assert answer.headers[name] == value


@pytest.mark.parametrize("method,path", [
    ("POST", "/key/x"), ("GET", "/no-such"), ("PATCH", "/key/x"), ("GET", "/statusx"),
    ("PUT", "/status"), ("POST", "/internal/heartbeat"), ("POST", "/internal/replicate"),
    ("POST", "/vote-request"), ("POST", "/heartbeat"), ("POST", "/replicate"),
    ("POST", "/new-master")])
def test_row_a13_what_is_not_there_is_404(leader, method, path):
    before = leader.status()["term"]
    answer = leader.request(method, path, '{"term":99}' if method in ("POST", "PUT") else None)
    assert (answer.status, answer.json()) == (404, {"error": "Not found"})
    assert leader.status()["term"] == before


def test_row_a21_reads_are_linearizable_on_every_member(shared, leader):
    """Each write is seen at once by a read at any member that starts after it was acknowledged."""
    for n in range(20):
        assert leader.put("a21", n).status == 200
        for m in shared:
            assert m.read("a21").json()["value"] == n


@pytest.mark.parametrize("path,key", [
    ("/key/a%20b", "a b"), ("/key/a+b", "a+b"), ("/key/a/b/c", "a/b/c"), ("/key/a%2Fb", "a/b"),
    ("/key/__proto__", "__proto__"), ("/key//", "/"), ("/key//a//", "/a//"), ("/key/%25", "%"),
    ("/key/..", ".."), ("/key/../x", "../x"), ("/key/./x", "./x"), ("/key/%C3%A9", "\u00e9"),
    ("/key/%F0%9F%91%91", "\U0001f451"), ("/key/a%00b", "a\0b"), ("/key/a%3Fb", "a?b"),
    ("/key/a%23b", "a#b"), ("/key/%22quote%5C", '"quote\\'),
    ("/key/k" + "x" * 4095, "k" + "x" * 4095)], ids=lambda v: v[:20])
def test_row_a22_a_key_is_decoded_once_and_never_normalised(leader, path, key):
    put = leader.request("PUT", path, "1")
    assert put.status == 200 and put.json()["key"] == key
    for same in (path, "/key/" + urllib.parse.quote(key, safe="")):
        assert leader.get(same).json()["key"] == key
    assert leader.request("DELETE", path).status == 200
    assert leader.get(path).status == 404


@pytest.mark.parametrize("path", [
    "/key/", "/key/%", "/key/%2", "/key/%zz", "/key/%ff", "/key/%C3", "/key/%ED%A0%80",
    "/key/" + "x" * 4097])
def test_row_a22_an_odd_key_is_400_and_nothing_is_stored(leader, path):
    before = leader.status()["revision"]
    answer = leader.request("PUT", path, "1")
    assert answer.status == 400 and answer.error
    assert leader.status()["revision"] == before


def test_row_a22_the_query_is_no_part_of_the_key_and_unknown_ones_are_refused(leader):
    assert leader.request("PUT", "/key/q?ack=quorum", "1").json()["key"] == "q"
    for bad in ("?nope=1", "?ack=some", "?ack=", "?consistency=odd", "?revision=x", "?max-lag=5"):
        assert leader.get("/key/q" + bad).status == 400, bad


def test_row_b3_cluster_lists_every_member_wherever_it_is_asked(shared, leader):
    for m in shared:
        got = m.get("/cluster").json()
        assert got["cluster"][0]["id"] == m.name, "self comes first"
        assert {e["id"] for e in got["cluster"]} == {o.name for o in shared}
        for e in got["cluster"]:
            owner = next(o for o in shared if o.name == e["id"])
            assert (e["url"], e["port"], e["online"]) == (owner.url, owner.port, True)
            assert e["state"] == ("LEADER" if owner is leader else "FOLLOWER")
            assert e["role"] == e["state"].lower() and e["leaderId"] == leader.name
            assert e["term"] == got["term"]
        assert got["leader"]["id"] == leader.name
        assert got["leader"] == next(e for e in got["cluster"] if e["id"] == leader.name)


def test_row_c2_ping(shared):
    for m in shared:
        answer = m.get("/ping")
        assert (answer.status, answer.body) == (200, b"pong")
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_probes_say_who_leads_and_what_is_ready(shared, leader):
    for m in shared:
        answer = m.get("/leader")
        assert answer.status == (200 if m is leader else 503)
        assert answer.json()["leaderId"] == leader.name
        assert answer.json()["leaderUrl"] == leader.url
        assert answer.json()["term"] == leader.status()["term"]
        assert m.get("/livez").status == 200
        assert m.get("/readyz").status == 200
        assert m.get("/health").status == 200
        verbose = m.get("/readyz?verbose")
        assert verbose.status == 200 and b"ok" in verbose.body
        assert m.get("/version").status == 200


def test_the_front_page_is_a_text_list_for_curl_and_html_for_a_browser(leader):
    text = leader.request("GET", "/", headers={"Accept": "*/*"})
    assert text.status == 200 and text.headers["Content-Type"].startswith("text/plain")
    assert b"/key/" in text.body and b"/status" in text.body
    page = leader.request("GET", "/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")


def test_head_is_get_without_the_body(leader):
    leader.put("head", [1, 2, 3])
    get, head = leader.read("head"), leader.request("HEAD", key_path("head"))
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))
    assert head.headers["ETag"] == get.headers["ETag"]
    assert leader.request("HEAD", key_path("head-missing")).status == 404


def test_conditions_compare_and_change_nothing_when_they_fail(leader):
    first = leader.put("cond", 1, headers={"If-None-Match": "*"})
    assert first.status == 200
    revision = first.json()["revision"]
    assert leader.put("cond", 2, headers={"If-None-Match": "*"}).status == 412
    assert leader.put("cond", 2, headers={"If-Match": f'"{revision + 1}"'}).status == 412
    assert leader.put("cond-none", 2, headers={"If-Match": "*"}).status == 412
    assert leader.read("cond").json() == {"key": "cond", "value": 1, "nodeRole": "leader",
                                          "revision": revision}
    second = leader.put("cond", 2, headers={"If-Match": f'"{revision}"'})
    assert second.status == 200 and second.json()["revision"] == revision + 1
    assert leader.put("cond", 3, headers={"If-Match": "*"}).status == 200
    assert leader.delete("cond", headers={"If-Match": f'"{revision}"'}).status == 412
    assert leader.delete("cond", headers={"If-Match": f'"{revision + 2}"'}).status == 200
    assert leader.put("cond", 1, headers={"If-Match": "nonsense"}).status == 400


def test_reads_at_a_revision_see_the_past(shared, leader):
    one = leader.put("past", "one").json()["revision"]
    two = leader.put("past", "two").json()["revision"]
    gone = leader.delete("past").json()["revision"]
    assert two == one + 1 and gone == two + 1
    for m in shared:
        assert m.read("past", f"?revision={one}").json()["value"] == "one"
        assert m.read("past", f"?revision={two}").json()["value"] == "two"
        assert m.read("past", f"?revision={two}").json()["revision"] == two
        assert m.read("past", f"?revision={gone}").status == 404
        assert m.read("past", f"?revision={one - 1}").status == 404
        assert m.read("past", f"?revision={gone + 1000}").status == 400


def test_keys_are_listed_in_order_by_prefix_page_and_delimiter(leader, follower):
    names = ["l/a", "l/b/1", "l/b/2", "l/c", "l/d/x/y", "m"]
    for n in names:
        assert leader.put(n, n).status == 200
    for m in (leader, follower):
        all_ = m.get("/keys?prefix=l/").json()
        assert [k["key"] for k in all_["keys"]] == names[:5] and all_["more"] is False
        assert all("value" not in k and k["revision"] > 1 for k in all_["keys"])
        page = m.get("/keys?prefix=l/&limit=2&values=true").json()
        assert [k["key"] for k in page["keys"]] == [k["value"] for k in page["keys"]] == names[:2]
        assert page["more"] is True
        rest = m.get("/keys?prefix=l/&after=" + urllib.parse.quote(page["next"])).json()
        assert [k["key"] for k in rest["keys"]] == names[2:5]
        folded = m.get("/keys?prefix=l/&delimiter=/").json()
        assert [k.get("key") or {"prefix": k["prefix"]} for k in folded["keys"]] == [
            "l/a", {"prefix": "l/b/"}, "l/c", {"prefix": "l/d/"}]
        assert m.get("/keys?prefix=none").json()["keys"] == []
        assert m.get("/keys?limit=x").status == 400


def test_a_session_reads_its_own_writes_on_any_member(shared, leader, follower):
    for n in range(10):
        token = leader.put("session", n).headers["Conclave-Session"]
        query = "?consistency=session&token=" + urllib.parse.quote(token, safe="")
        for m in shared:
            assert m.read("session", query).json()["value"] >= n
    assert leader.read("session", "?consistency=session").status == 400
    assert leader.read("session", "?consistency=session&token=garbage").status in (400, 409)


def test_a_token_of_another_cluster_is_409(shared, single, leader):
    token = urllib.parse.quote(single.get("/ping").headers["Conclave-Session"], safe="")
    assert leader.read("x", "?consistency=session&token=" + token).status == 409


def test_stale_reads_answer_on_every_member(shared, leader):
    leader.put("stale", 7)
    for m in shared:
        wait_for(lambda: m.read("stale", "?consistency=stale").status == 200, "it arrived")
        assert m.read("stale", "?consistency=stale&max-lag=5000").json()["value"] == 7


def test_an_administering_request_of_a_foreign_page_is_403(follower):
    for path in ("/step-down", "/election"):
        answer = follower.request("POST", path, "", headers={"Origin": "https://evil.example"})
        assert answer.status == 403 and answer.error, path


def test_a_value_of_a_megabyte_comes_back_whole_on_every_member(shared, leader):
    value = "x" * (1 << 20)
    assert leader.put("megabyte", value).status == 200
    for m in shared:
        assert m.read("megabyte", timeout=10).json()["value"] == value
    assert leader.delete("megabyte").status == 200


def test_a_cluster_of_one_starts_at_revision_1_and_counts_changes(make_cluster):
    m = make_cluster(1)[0]
    assert m.status()["revision"] == 1
    assert m.status()["totalKeys"] == 0 and m.status()["keys"] == []
    assert m.put("a", 1).json()["revision"] == 2
    assert m.delete("none").status == 404
    assert m.put("a", 1).json()["revision"] == 3


def test_row_history_beyond_its_bounds_is_compacted_and_answers_410(make_cluster):
    c = make_cluster(3, arguments=["--heartbeat-ms", "20", "--election-timeout-ms", "200",
                                   "--history", "1s", "--history-bytes", "65536"])
    leader = c.wait_leader()
    old = leader.put("h", "old").json()["revision"]
    new = leader.put("h", "new").json()["revision"]
    deadline = time.monotonic() + 10

    def compacted():
        leader.put("tick", time.monotonic())
        return leader.read("h", f"?revision={old}").status == 410
    wait_for(compacted, "the old revision is compacted", deadline - time.monotonic(), 0.2)
    answer = leader.read("h", f"?revision={old}")
    assert answer.error == "Compacted" and answer.json()["oldest"] > old
    c.wait_same()
    for m in c:
        # Compaction is an entry of the log: the same answer everywhere.
        assert m.read("h", f"?revision={old}").status == 410
        assert m.read("h").json()["value"] == "new" and m.read("h").json()["revision"] == new
