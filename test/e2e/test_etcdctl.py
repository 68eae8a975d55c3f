"""Debian's etcdctl (package etcd-client: 3.4 on Debian 12, 3.5 on 13) as it is."""
import base64
import hashlib
import json
import re
import subprocess

import pytest

from harness import clean_environment, wait_for
from programs import Running, need_command, version
from real_etcd import endpoints

ENVIRONMENT = {"ETCDCTL_API": "3"}


@pytest.fixture(scope="module")
def etcdctl(store):
    need_command("etcdctl", "etcd-client")
    print(f"etcdctl {version('etcdctl', 'version')}")
    return Etcdctl(endpoints(store))


def text(encoded):
    return base64.b64decode(encoded).decode()


class Etcdctl:
    def __init__(self, where):
        self.where = where

    def command(self, *arguments):
        return ["etcdctl", "--endpoints", self.where, *map(str, arguments)]

    def try_(self, *arguments, stdin=""):
        return subprocess.run(self.command(*arguments), input=stdin, capture_output=True, text=True,
                              timeout=30, env=clean_environment(ENVIRONMENT))

    def __call__(self, *arguments, **options):
        """What it prints, as lines."""
        done = self.try_(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip("\n").split("\n") if done.stdout.strip("\n") else []

    def json(self, *arguments):
        return json.loads("".join(self(*arguments, "-w", "json")))

    def refuses(self, *arguments, **options):
        """The error that it tells."""
        done = self.try_(*arguments, **options)
        assert done.returncode != 0, done.stdout
        return done.stderr.strip().split("\n")[-1]

    def running(self, *arguments):
        return Running(self.command(*arguments), ENVIRONMENT)

    def on(self, *members):
        return Etcdctl(endpoints(members))


@pytest.fixture(scope="module")
def range_keys(etcdctl):
    """r/a to r/e, so that each way to sort has an order of its own; the revision of the first."""
    first = etcdctl.json("put", "r/d", "5")["header"]["revision"]
    for key, value in [("r/b", "1"), ("r/a", "2"), ("r/c", "4"), ("r/e", "3"), ("r/b", "9"),
                       ("r/d", "6"), ("r/d", "7")]:
        etcdctl("put", key, value)
    return first


def names(answer):
    return "".join(text(kv["key"])[2:] for kv in answer.get("kvs", []))


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by, ascending, descending", [
    ("KEY", "abcde", "edcba"), ("CREATE", "dbace", "ecabd"), ("MODIFY", "acebd", "dbeca"),
    ("VALUE", "aecdb", "bdcea"), ("VERSION", "acebd", "dbace")])
def test_get_sorts_by_each_target_both_ways(etcdctl, range_keys, by, ascending, descending):
    for order, want in [("ASCEND", ascending), ("DESCEND", descending)]:
        sorted_so = etcdctl.json("get", "--prefix", "r/", "--sort-by", by, "--order", order)
        assert names(sorted_so) == want


def test_get_ranges_limits_and_counts(etcdctl, range_keys):
    assert etcdctl("get", "r/c") == ["r/c", "4"]
    assert etcdctl("get", "--print-value-only", "r/c") == ["4"]
    assert etcdctl("get", "r/zzz") == []
    limited = etcdctl.json("get", "--prefix", "r/", "--limit", 2)
    assert (names(limited), limited["more"], limited["count"]) == ("ab", True, 5)
    assert names(etcdctl.json("get", "r/b", "r/d")) == "bc"
    assert etcdctl.json("get", "--from-key", "r/d", "--limit", 2)["count"] >= 2
    assert names(etcdctl.json("get", "--from-key", "r/d", "--limit", 2)) == "de"
    assert etcdctl("get", "--prefix", "r/", "--keys-only") == \
        ["r/a", "", "r/b", "", "r/c", "", "r/d", "", "r/e"]
    assert names(etcdctl.json("get", "--prefix", "r/", "--consistency", "s")) == "abcde"
    assert names(etcdctl.json("get", "r/d", "r/b")) == ""


def test_get_counts_only_where_etcdctl_can_ask_for_that(etcdctl, range_keys):
    if "--count-only" not in etcdctl.try_("get", "--help").stdout:
        pytest.skip("etcdctl 3.4 has no --count-only")
    said = etcdctl("get", "--prefix", "r/", "--count-only", "-w", "fields")
    assert '"Count" : 5' in said and not any(line.startswith('"Key"') for line in said)


def test_get_reads_the_past(etcdctl, range_keys):
    assert names(etcdctl.json("get", "--prefix", "r/", "--rev", range_keys + 2)) == "abd"
    assert etcdctl("get", "--print-value-only", "r/b", "--rev", range_keys + 1) == ["1"]
    assert etcdctl.refuses("get", "r/a", "--rev", 10 ** 9) == \
        "Error: etcdserver: mvcc: required revision is a future revision"


def test_put_and_del_bring_what_was_there(etcdctl):
    assert etcdctl("put", "p/a", "one") == ["OK"]
    assert etcdctl("put", "p/a", "two", "--prev-kv") == ["OK", "p/a", "one"]
    assert etcdctl("put", "p/a", stdin="from stdin") == ["OK"]
    assert etcdctl("get", "p/a") == ["p/a", "from stdin"]
    kv, = etcdctl.json("get", "p/a")["kvs"]
    assert kv["version"] == 3 and kv["mod_revision"] == kv["create_revision"] + 2
    assert etcdctl("put", "p/b", "x") and etcdctl("put", "p/c", "y")
    assert etcdctl("del", "p/b", "--prev-kv") == ["1", "p/b", "x"]
    assert etcdctl("del", "--prefix", "p/") == ["2"]
    assert etcdctl("del", "--prefix", "p/") == ["0"]


def test_put_keeps_value_or_lease_when_asked(etcdctl):
    lease = grant(etcdctl, 600)
    assert etcdctl("put", "keep/a", "1", "--lease", lease) == ["OK"]
    assert etcdctl("put", "keep/a", "2", "--ignore-lease") == ["OK"]
    kv, = etcdctl.json("get", "keep/a")["kvs"]
    assert (text(kv["value"]), kv["lease"]) == ("2", int(lease, 16))
    assert etcdctl("put", "keep/a", "--ignore-value") == ["OK"]
    kv, = etcdctl.json("get", "keep/a")["kvs"]
    assert text(kv["value"]) == "2" and "lease" not in kv
    assert etcdctl.refuses("put", "keep/b", "--ignore-value") == "Error: etcdserver: key not found"
    assert etcdctl.refuses("put", "keep/b", "1", "--lease", "123") == \
        "Error: etcdserver: requested lease not found"


def test_txn_takes_one_branch(etcdctl):
    etcdctl("put", "t/a", "1")
    program = ('value("t/a") = "1"\nver("t/b") = "0"\nmod("t/a") > "1"\ncreate("t/a") > "1"\n'
               '\nput t/b new\nget --prefix t/\n\ndel t/a\n\n')
    assert etcdctl("txn", stdin=program) == \
        ["SUCCESS", "", "OK", "", "t/a", "1", "t/b", "new"]
    assert etcdctl("txn", stdin=program) == ["FAILURE", "", "1"]
    assert etcdctl("get", "--prefix", "t/", "--keys-only") == ["t/b"]
    assert etcdctl.refuses("txn", stdin="\nput t/x 1\nput t/x 2\n\n\n") == \
        "Error: etcdserver: duplicate key given in txn request"


# --- watches --------------------------------------------------------------------------------------


def test_watch_a_prefix_from_now(etcdctl):
    with etcdctl.running("watch", "--prefix", "w/", "--prev-kv") as watch:
        # It says nothing when it is there; so write until it tells of one.
        def told():
            etcdctl("put", "w/ready", "1")
            return watch.lines
        wait_for(told, "the watch is there", interval=0.2)
        etcdctl("put", "w/a", "1")
        etcdctl("put", "w/a", "2")
        etcdctl("put", "elsewhere", "no")
        etcdctl("del", "w/a")
        watch.wait_text(r"^PUT\nw/a\n1\nPUT\nw/a\n1\nw/a\n2\nDELETE\nw/a\n2\nw/a\n*$")
        assert "elsewhere" not in watch.text()


def test_watch_a_key_from_the_past(etcdctl):
    first = etcdctl.json("put", "past/a", "1")["header"]["revision"]
    etcdctl("put", "past/a", "2")
    etcdctl("del", "past/a")
    etcdctl("put", "past/a", "3")
    with etcdctl.running("watch", "past/a", "--rev", first + 1) as watch:
        watch.wait_text(r"^PUT\npast/a\n2\nDELETE\npast/a\n\nPUT\npast/a\n3$")


def test_watch_below_the_compaction_is_told_so(etcdctl):
    first = etcdctl.json("put", "old/a", "1")["header"]["revision"]
    last = etcdctl.json("put", "old/a", "2")["header"]["revision"]
    assert etcdctl("compaction", last, "--physical") == [f"compacted revision {last}"]
    with etcdctl.running("watch", "old/a", "--rev", first) as watch:
        watch.wait_text(r"required revision has been compacted")
    assert etcdctl.refuses("get", "old/a", "--rev", first) == \
        "Error: etcdserver: mvcc: required revision has been compacted"
    assert etcdctl("get", "--print-value-only", "old/a", "--rev", last) == ["2"]
    assert etcdctl.refuses("compaction", last) == \
        "Error: etcdserver: mvcc: required revision has been compacted"
    assert etcdctl.refuses("compaction", 10 ** 9) == \
        "Error: etcdserver: mvcc: required revision is a future revision"


# --- leases ---------------------------------------------------------------------------------------


def grant(etcdctl, ttl):
    said, = etcdctl("lease", "grant", ttl)
    return re.fullmatch(rf"lease ([0-9a-f]+) granted with TTL\({ttl}s\)", said).group(1)


def test_lease_grant_list_timetolive_and_revoke(etcdctl):
    lease = grant(etcdctl, 500)
    etcdctl("put", "l/a", "1", "--lease", lease)
    etcdctl("put", "l/b", "1", "--lease", lease)
    assert lease in etcdctl("lease", "list")
    said, = etcdctl("lease", "timetolive", lease, "--keys")
    left = re.fullmatch(rf"lease {lease} granted with TTL\(500s\), remaining\((\d+)s\), "
                        r"attached keys\(\[(.*)\]\)", said)
    assert 400 < int(left.group(1)) <= 500 and sorted(left.group(2).split()) == ["l/a", "l/b"]
    before = etcdctl.json("get", "l/a")["header"]["revision"]
    assert etcdctl("lease", "revoke", lease) == [f"lease {lease} revoked"]
    after = etcdctl.json("get", "--prefix", "l/")
    assert "kvs" not in after and after["header"]["revision"] == before + 1
    assert etcdctl("lease", "timetolive", lease) == [f"lease {lease} already expired"]
    assert "requested lease not found" in etcdctl.refuses("lease", "revoke", lease)


def test_lease_that_is_kept_alive_outlives_its_ttl_and_ends_without(etcdctl):
    """Rule T1: not before its time, and not long after."""
    lease = grant(etcdctl, 2)
    etcdctl("put", "alive/a", "1", "--lease", lease)
    with etcdctl.running("lease", "keep-alive", lease) as alive:
        # The third answer comes when the first two seconds are over.
        alive.wait_text(rf"(lease {lease} keepalived with TTL\(2\)\s*){{4}}", timeout=30)
        assert etcdctl("get", "--print-value-only", "alive/a") == ["1"]
    wait_for(lambda: not etcdctl("get", "alive/a"), "the key ends with its lease", 30)
    assert "requested lease not found" in etcdctl.refuses("lease", "keep-alive", "--once", lease)


# --- locks and elections --------------------------------------------------------------------------


def test_lock_is_held_by_one_of_two(etcdctl):
    with etcdctl.running("lock", "mine") as first:
        key = first.wait_text(r"^mine/[0-9a-f]+$").group()
        with etcdctl.running("lock", "mine") as second:
            wait_for(lambda: etcdctl.json("get", "--prefix", "mine/").get("count") == 2,
                     "the second one waits in line")
            assert not second.lines
            assert etcdctl("get", key) and first.interrupt() in (0, 1, -2)
            second.wait_text(r"^mine/[0-9a-f]+$")
            second.interrupt()
    wait_for(lambda: not etcdctl("get", "--prefix", "mine/"), "both are gone")


def test_lock_runs_a_program_with_the_key_and_its_revision(etcdctl):
    key, revision = etcdctl("lock", "job", "--", "sh", "-c",
                            "echo $ETCD_LOCK_KEY; echo $ETCD_LOCK_REV")
    assert re.fullmatch(r"job/[0-9a-f]+", key)
    assert 1 < int(revision) <= etcdctl.json("get", "job")["header"]["revision"]


def test_elect_and_observe(etcdctl):
    with etcdctl.running("elect", "boss", "first") as first, \
            etcdctl.running("elect", "--listen", "boss") as observer:
        first.wait_text(r"^boss/[0-9a-f]+\nfirst$")
        observer.wait_text(r"^boss/[0-9a-f]+\nfirst$")
        with etcdctl.running("elect", "boss", "second") as second:
            wait_for(lambda: etcdctl.json("get", "--prefix", "boss/").get("count") == 2,
                     "the second one waits in line")
            assert not second.lines
            first.interrupt()
            second.wait_text(r"^boss/[0-9a-f]+\nsecond$")
            observer.wait_text(r"\nboss/[0-9a-f]+\nsecond$")
            second.interrupt()


# --- members --------------------------------------------------------------------------------------


def test_member_list(etcdctl, store):
    listed = etcdctl.json("member", "list")["members"]
    assert sorted(m["name"] for m in listed) == sorted(m.name for m in store)
    assert all(m["ID"] and m["peerURLs"] for m in listed)
    assert sorted(u for m in listed for u in m["clientURLs"]) == sorted(m.url for m in store)
    for line in etcdctl("member", "list"):
        assert re.fullmatch(r"[0-9a-f]+, started, node-\d, http://\S+, http://\S+, false", line)


def test_endpoint_status_health_and_hashkv_agree(etcdctl, store):
    leader, _, said = store.while_led(lambda: etcdctl.json("endpoint", "status"))
    by_port = {int(s["Endpoint"].split(":")[-1]): s["Status"] for s in said}
    assert len(by_port) == 3
    assert {s["leader"] for s in by_port.values()} == \
        {by_port[leader.port]["header"]["member_id"]}
    for status in by_port.values():
        assert re.fullmatch(r"3\.[45]\.\d+", status["version"])
        assert status["dbSize"] > 0 and status["raftIndex"] > 0 and status["raftTerm"] > 0
        assert 0 < status["raftAppliedIndex"] <= status["raftIndex"]
    assert len({s["header"]["cluster_id"] for s in by_port.values()}) == 1
    healthy = etcdctl.try_("endpoint", "health")
    assert (healthy.stdout + healthy.stderr).count(" is healthy: ") == 3

    def hashes():
        said = etcdctl.json("endpoint", "hashkv")
        return {(s["HashKV"]["header"]["revision"], s["HashKV"].get("hash", 0)) for s in said}
    wait_for(lambda: len(hashes()) == 1, "all hash the same at the same revision")
    assert len(etcdctl.on(store[0]).json("endpoint", "status", "--cluster")) == 3


def test_alarm_list_and_defrag(etcdctl):
    assert etcdctl("alarm", "list") == []
    assert etcdctl("alarm", "disarm") == []
    assert len(etcdctl("defrag")) == 3


def test_move_leader(etcdctl, store):
    def move():
        leader = store.wait_leader()
        other = next(m for m in store if m is not leader)
        status, = etcdctl.on(other).json("endpoint", "status")
        to = format(status["Status"]["header"]["member_id"], "x")
        assert "no leader endpoint" in etcdctl.on(other).refuses("move-leader", to)
        done = etcdctl.on(leader).try_("move-leader", to)
        return done.returncode == 0 and done.stdout.startswith("Leadership transferred from ") and \
            store.wait_leader() is other
    wait_for(move, "leadership goes where it is told to", 30)
    leader = store.wait_leader()
    assert etcdctl.on(leader).refuses("move-leader", "1234") == \
        "Error: etcdserver: bad leader transferee"


def test_snapshot_save_ends_with_its_checksum(etcdctl, store, tmp_path):
    file = tmp_path / "snapshot"
    etcdctl.on(store[0])("snapshot", "save", file)
    saved = file.read_bytes()
    # As etcdctl tells that there is a checksum.
    assert len(saved) % 512 == 32
    assert hashlib.sha256(saved[:-32]).digest() == saved[-32:]
