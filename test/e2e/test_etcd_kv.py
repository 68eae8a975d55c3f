"""The etcd v3 API of real members, as gRPC and through the JSON gateway: keys, transactions,
members, backups."""
import base64
import hashlib
import json

import pytest

import harness
from etcd_grpc import Api, Refused, message, message_class


class Gateway:
    """The same calls as etcd_grpc.Api has, as JSON over HTTP."""

    ROUTES = {"KV.Range": "/kv/range", "KV.Put": "/kv/put", "KV.DeleteRange": "/kv/deleterange",
              "KV.Txn": "/kv/txn", "KV.Compact": "/kv/compaction"}

    def __init__(self, port):
        self.port = port
        self.KV = self._service("KV")

    def _service(self, name):
        calls = type("Calls", (), {})()
        for key, route in self.ROUTES.items():
            service, method = key.split(".")
            if service == name:
                setattr(calls, method, lambda m, r=route: self._call(r, m))
        return calls

    def _call(self, route, request):
        from google.protobuf import json_format
        body = json_format.MessageToJson(request, preserving_proto_field_name=True)
        answer = harness.request(self.port, "POST", "/v3" + route, body)
        got = json.loads(answer.body)
        if answer.status != 200:
            assert got["message"] == got["error"] and got["details"] == []
            raise Refused(got["code"], got["message"])
        name = type(request).DESCRIPTOR.full_name.replace("Request", "Response")
        return json_format.ParseDict(got, message_class(name)())

    def close(self):
        pass


@pytest.fixture(params=[Api, Gateway], ids=["grpc", "gateway"])
def api_of(request):
    made = []

    def make(member):
        made.append(request.param(member.port))
        return made[-1]
    yield make
    for api in made:
        api.close()


def m(name, **fields):
    return message(name)(**fields)


def everything(api, **options):
    return api.KV.Range(m("RangeRequest", key=b"\0", range_end=b"\0", **options))


def test_keys_are_the_same_for_every_protocol(single, api_of):
    api = api_of(single)
    first = api.KV.Put(m("PutRequest", key=b"same/\xff", value=b"\0\xff")).header.revision
    again = api.KV.Put(m("PutRequest", key=b"same/\xff", value=b"x", prev_kv=True))
    assert again.header.revision == first + 1
    assert (again.prev_kv.value, again.prev_kv.version) == (b"\0\xff", 1)
    assert again.header.cluster_id and again.header.member_id and again.header.raft_term
    got = api.KV.Range(m("RangeRequest", key=b"same/", range_end=b"same0"))
    assert [(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in got.kvs] == \
        [(b"same/\xff", b"x", first, first + 1)]
    harness.request(single.port, "PUT", "/key/same%2Frest", '{"a": 1}')
    got = api.KV.Range(m("RangeRequest", key=b"same/rest"))
    assert got.kvs[0].value == b'{"a": 1}'
    gone = api.KV.DeleteRange(m("DeleteRangeRequest", key=b"same/", range_end=b"same0",
                                prev_kv=True))
    assert gone.deleted == 2 and [kv.key for kv in gone.prev_kvs] == [b"same/rest", b"same/\xff"]
    assert api.KV.Range(m("RangeRequest", key=b"same/", range_end=b"same0")).count == 0


def put_op(key, value):
    return m("RequestOp", request_put=m("PutRequest", key=key, value=value))


def range_op(key):
    return m("RequestOp", request_range=m("RangeRequest", key=key))


def test_a_follower_takes_what_the_leader_takes(shared, api_of):
    """Reads at a follower see what was answered anywhere, and writes there reach the leader."""
    leader = shared.wait_leader()
    follower = next(member for member in shared if member is not leader)
    api, other = api_of(follower), api_of(leader)
    before = other.KV.Put(m("PutRequest", key=b"n", value=b"1"))
    assert api.KV.Range(m("RangeRequest", key=b"n")).kvs[0].value == b"1"
    txn = m("TxnRequest",
            compare=[m("Compare", key=b"n", target="MOD", result="EQUAL",
                       mod_revision=before.header.revision)],
            success=[put_op(b"n", b"2"), range_op(b"n")], failure=[range_op(b"n")])
    done = api.KV.Txn(txn)
    assert done.succeeded and done.header.revision == before.header.revision + 1
    assert done.responses[1].response_range.kvs[0].value == b"2"
    assert other.KV.Range(m("RangeRequest", key=b"n")).kvs[0].value == b"2"
    refused = api.KV.Txn(txn)
    assert not refused.succeeded and refused.responses[0].response_range.kvs[0].version == 2
    gone = api.KV.DeleteRange(m("DeleteRangeRequest", key=b"n", prev_kv=True))
    assert gone.prev_kvs[0].value == b"2"
    assert done.header.member_id != before.header.member_id
    assert done.header.cluster_id == before.header.cluster_id


def test_refusals_have_etcd_s_codes_and_texts(single, api_of):
    api = api_of(single)
    revision = api.KV.Put(m("PutRequest", key=b"r")).header.revision
    rows = [
        (api.KV.Range, m("RangeRequest"), 3, "etcdserver: key is not provided"),
        (api.KV.Put, m("PutRequest", key=b"none", ignore_value=True), 3,
         "etcdserver: key not found"),
        (api.KV.Put, m("PutRequest", key=b"r", lease=12345), 5,
         "etcdserver: requested lease not found"),
        (api.KV.Txn, m("TxnRequest", success=[put_op(b"r", b""), put_op(b"r", b"")]), 3,
         "etcdserver: duplicate key given in txn request"),
        (api.KV.Txn, m("TxnRequest", success=[range_op(b"r")] * 129), 3,
         "etcdserver: too many operations in txn request"),
        (api.KV.Put, m("PutRequest", key=b"r", value=b"x" * 1_600_000), 3,
         "etcdserver: request is too large"),
        (api.KV.Range, m("RangeRequest", key=b"r", revision=revision + 1), 11,
         "etcdserver: mvcc: required revision is a future revision"),
    ]
    for call, request, code, text in rows:
        with pytest.raises(Refused) as refused:
            call(request)
        assert refused.value == Refused(code, text)
    assert everything(api, count_only=True).header.revision == revision


def test_the_past_is_there_until_it_is_compacted(single, api_of):
    api = api_of(single)
    first = api.KV.Put(m("PutRequest", key=b"old", value=b"1")).header.revision
    api.KV.Put(m("PutRequest", key=b"old", value=b"2"))
    past = m("RangeRequest", key=b"old", revision=first)
    assert api.KV.Range(past).kvs[0].value == b"1"
    api.KV.Compact(m("CompactionRequest", revision=first + 1, physical=True))
    with pytest.raises(Refused) as refused:
        api.KV.Range(past)
    assert refused.value == Refused(11, "etcdserver: mvcc: required revision has been compacted")


def test_members_tell_who_they_are(shared):
    leader = shared.wait_leader()
    with Api(leader.port) as api:
        status = api.Maintenance.Status(m("StatusRequest"))
        members = api.Cluster.MemberList(m("MemberListRequest", linearizable=True)).members
        assert status.version.startswith("3.5.") and status.leader == status.header.member_id
        assert sorted(x.name for x in members) == sorted(x.name for x in shared)
        for member in members: # whoever is listed can be asked, also by the gateway
            port = int(member.clientURLs[0].rsplit(":", 1)[1])
            answer = harness.request(port, "POST", "/v3/cluster/member/list", "{}").json()
            assert answer["header"]["member_id"] == str(member.ID)
            assert len(answer["members"]) == 3
            version = harness.request(port, "GET", "/version").json()
            assert version["etcdserver"].startswith("3.5.")
            assert harness.request(port, "GET", "/health").json()["health"] == "true"
        target = next(x.ID for x in members if x.ID != status.leader)
        api.Maintenance.MoveLeader(m("MoveLeaderRequest", targetID=target))
        with pytest.raises(Refused) as refused:
            api.Maintenance.MoveLeader(m("MoveLeaderRequest", targetID=target))
        assert refused.value == Refused(9, "etcdserver: not leader")


def test_rule_p15_members_have_equal_hashes_at_a_revision(shared):
    leader = shared.wait_leader()
    with Api(leader.port) as api:
        for i in range(50):
            api.KV.Put(m("PutRequest", key=b"h/%d" % i, value=b"v"))
        revision = everything(api, count_only=True).header.revision
    hashes = set()
    for member in shared:
        with Api(member.port) as api:
            everything(api, count_only=True) # linearizable: it has caught up
            got = api.Maintenance.HashKV(m("HashKVRequest", revision=revision))
            hashes.add((got.hash, got.compact_revision))
    assert len(hashes) == 1 and hashes.pop()[0] != 0


def test_a_snapshot_is_whole_when_its_sum_says_so(single):
    with Api(single.port) as api:
        api.KV.Put(m("PutRequest", key=b"s", value=b"v" * 10000))
        pieces = list(api.Maintenance.Snapshot(m("SnapshotRequest"), timeout=20))
    whole = b"".join(p.blob for p in pieces)
    assert len(whole) % 512 == 32 # as etcd's tools look for it
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:]
    left = len(whole) - 32
    for piece in pieces[:-1]:
        left -= len(piece.blob)
        assert piece.remaining_bytes == left
    assert left == 0
    answer = harness.request(single.port, "POST", "/v3/maintenance/snapshot", "{}", timeout=20)
    lines = [json.loads(line)["result"] for line in answer.body.splitlines()]
    whole = b"".join(base64.b64decode(line.get("blob", "")) for line in lines)
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:]


def test_web_pages_of_other_origins_may_not(single):
    answer = harness.request(single.port, "POST", "/v3/kv/put", '{"key":"YQ=="}',
                             {"Origin": "http://elsewhere.example"})
    assert answer.status == 403
