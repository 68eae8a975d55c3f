"""Debian's python3-etcd3gw (2.0 on Debian 12) as it is: a client of the JSON gateway."""
import contextlib
import importlib.util
import queue
import threading

import pytest

from harness import wait_for
from programs import need


@pytest.fixture(scope="module")
def etcd3gw():
    need(lambda: importlib.util.find_spec("etcd3gw"), "python3-etcd3gw")
    importlib.invalidate_caches()
    import etcd3gw
    return etcd3gw


@pytest.fixture
def make_client(store, etcd3gw):
    """A client of one member; by default of a follower, which forwards."""
    from etcd3gw.client import Etcd3Client

    def make(member=None, api_path="/v3/"):
        member = member or store.followers()[0]
        return Etcd3Client("127.0.0.1", member.port, api_path=api_path, timeout=10)
    return make


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.mark.parametrize("api_path", ["/v3/", "/v3beta/"])
def test_put_get_and_delete(make_client, api_path):
    client = make_client(api_path=api_path)
    key = f"gw{api_path}key"
    assert client.put(key, "value")
    assert client.get(key) == [b"value"]
    (value, kv), = client.get(key, metadata=True)
    assert value == b"value" and kv["key"] == key.encode()
    assert kv["version"] == "1" and kv["create_revision"] == kv["mod_revision"]
    assert client.delete(key) is True
    assert client.delete(key) is False
    assert client.get(key) == []


def test_bytes_of_every_kind_come_back(client):
    key, value = "gw/bytes/" + "".join(map(chr, range(1, 256))), bytes(range(256))
    client.put(key, value)
    (got, kv), = client.get(key, metadata=True)
    assert got == value
    assert client.delete_prefix("gw/bytes/")


def test_ranges_and_prefixes(client):
    for key, value in [("b", "1"), ("a", "3"), ("c", "2"), ("b", "4")]:
        client.put("gw/range/" + key, value)

    def got(**options):
        return b"".join(value for value, _ in client.get_prefix("gw/range/", **options))
    assert got() == b"342"
    assert got(sort_order="descend", sort_target="key") == b"243"
    assert got(sort_order="ascend", sort_target="value") == b"234"
    assert got(sort_order="ascend", sort_target="mod") == b"324"
    assert got(sort_order="descend", sort_target="version")[:1] == b"4"
    assert len(client.get_all(sort_order="ascend")) >= 3
    # Passed on as it is: numbers as such or as strings, and fields by either name.
    assert client.get("gw/range/b", revision=0, limit="1", keysOnly=True) == [b""]
    assert client.delete_prefix("gw/range/")
    assert client.get_prefix("gw/range/") == []


def test_transactions_create_and_replace(client):
    assert client.create("gw/once", "first") is True
    assert client.create("gw/once", "second") is False
    assert client.replace("gw/once", "wrong", "third") is False
    assert client.replace("gw/once", "first", "fourth") is True
    assert client.get("gw/once") == [b"fourth"]


def test_an_error_has_etcds_text(client, etcd3gw):
    from etcd3gw.exceptions import Etcd3Exception
    with pytest.raises(Etcd3Exception) as refused:
        client.get("gw/x", revision=10 ** 9)
    assert str(refused.value) == "Bad Request"
    assert "mvcc: required revision is a future revision" in refused.value.detail_text


def test_leases_keep_keys_and_end_with_them(client):
    lease = client.lease(ttl=300)
    client.put("gw/lease/a", "1", lease=lease)
    client.put("gw/lease/b", "2", lease=lease)
    assert 200 < lease.ttl() <= 300
    assert sorted(lease.keys()) == [b"gw/lease/a", b"gw/lease/b"]
    assert lease.refresh() == 300
    assert lease.revoke()
    assert client.get_prefix("gw/lease/") == []
    assert lease.refresh() == -1 and lease.ttl() == -1


def test_a_lease_ends_by_itself(client):
    client.put("gw/short", "1", lease=client.lease(ttl=1))
    assert client.get("gw/short") == [b"1"]
    wait_for(lambda: client.get("gw/short") == [], "the key ends with its lease", 30)


def test_locks_are_held_by_one(make_client):
    """The client's locks are tries: a transaction that says whether it got the lock."""
    clients = [make_client() for _ in range(2)]
    with clients[0].lock("gw-lock", ttl=60) as first:
        assert first.is_acquired()
        second = clients[1].lock("gw-lock", ttl=60)
        assert second.acquire() is False and not second.is_acquired()
        assert second.release() is False
        assert first.refresh() == 60
    assert second.acquire() is True and not first.is_acquired()
    assert second.release() is True


@contextlib.contextmanager
def watching(client, start, *arguments, **options):
    """The events as they come, in a queue."""
    events, cancel = getattr(client, start)(*arguments, **options)
    got = queue.Queue()

    def pump():
        for event in events:
            got.put(event)
    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield got
    finally:
        cancel()
        thread.join(10)


def told(got):
    event = got.get(timeout=10)
    return event.get("type", "PUT"), event["kv"]["key"], event["kv"].get("value", b"")


def test_watch_a_prefix_from_the_past_and_on(make_client):
    client, writer = make_client(), make_client()
    writer.put("gw/watch/a", "before")
    (_, kv), = writer.get("gw/watch/a", metadata=True)
    with watching(client, "watch_prefix", "gw/watch/", start_revision=int(kv["mod_revision"]),
                  prev_kv=True) as got:
        assert told(got) == ("PUT", b"gw/watch/a", b"before")
        # One after the other at full speed: each answer is a chunk of its own.
        for i in range(200):
            writer.put("gw/watch/b", str(i))
        writer.put("gw/other", "not seen")
        writer.delete("gw/watch/a")
        for i in range(200):
            assert told(got) == ("PUT", b"gw/watch/b", str(i).encode())
        last = got.get(timeout=10)
        assert last["type"] == "DELETE" and last["kv"]["key"] == b"gw/watch/a"
        assert "prev_kv" in last
        assert got.empty()


def test_watch_one_key_without_its_deletions(make_client):
    client, writer = make_client(), make_client()
    writer.put("gw/one", "1")
    (_, kv), = writer.get("gw/one", metadata=True)
    writer.delete("gw/one")
    writer.put("gw/one", "2")
    with watching(client, "watch", "gw/one", start_revision=int(kv["mod_revision"]),
                  filters=["NODELETE"]) as got:
        assert [told(got)[2] for _ in range(2)] == [b"1", b"2"]


def test_status_and_members(store, make_client):
    client = make_client(store[0])
    status = client.status()
    assert status["version"].startswith("3.") and int(status["dbSize"]) > 0
    assert status["leader"] in {m["ID"] for m in client.members()}
    assert sorted(m["clientURLs"][0] for m in client.members()) == sorted(m.url for m in store)
