"""Random requests over gRPC, compared with a simple twin in every field of every answer.

ETCD_MODEL_SEED and ETCD_MODEL_STEPS play one story again, ETCD_MODEL_STORIES plays more of them;
ETCD_BINARY plays them against a real etcd, which shows that the twin is right.
"""
import os
import random
import threading

import pytest

import real_etcd
from etcd_grpc import Api, Refused, message
from etcd_twin import Twin, is_overlooked

SEED = int(os.environ.get("ETCD_MODEL_SEED", "0")) or None
STEPS = int(os.environ.get("ETCD_MODEL_STEPS", "1500"))
STORIES = int(os.environ.get("ETCD_MODEL_STORIES", "1"))
# So few that a sort of equal ones is stable in etcd, too (sort.Sort up to 12 elements).
KEYS = [b"a", b"a/1", b"a/2", b"a/2/x", b"b", b"b\0", b"c", b"k\xc3\xa9y", b"\xff", b"\xff\xff"]
VALUES = [b"", b"1", b"2", b'{"json": true}', b"\0\xff", b"x" * 300]
# Long enough that none ends meanwhile, and so short that no clock of 3.4 overflows.
TTLS = [5000, 6000, 7_000_000_000]
SERVICES = {"RangeRequest": ("KV", "Range"), "PutRequest": ("KV", "Put"),
            "DeleteRangeRequest": ("KV", "DeleteRange"), "TxnRequest": ("KV", "Txn"),
            "CompactionRequest": ("KV", "Compact"), "LeaseGrantRequest": ("Lease", "LeaseGrant"),
            "LeaseRevokeRequest": ("Lease", "LeaseRevoke"),
            "LeaseTimeToLiveRequest": ("Lease", "LeaseTimeToLive"),
            "LeaseLeasesRequest": ("Lease", "LeaseLeases")}


class Drawing:
    """Requests from a seed, and from what the twin holds, so that most of them mean something."""

    def __init__(self, seed, twin):
        self.rng = random.Random(seed)
        self.twin = twin
        self.weighted = [(25, self.range), (25, self.put), (9, self.delete), (26, self.txn),
                         (2, self.compact), (5, self.grant), (2, self.revoke),
                         (3, self.time_to_live), (2, self.leases), (1, self.keep_alive)]

    def chance(self, p):
        return self.rng.random() < p

    def request(self):
        return self.rng.choices([d for _, d in self.weighted], [w for w, _ in self.weighted])[0]()

    def key(self):
        return b"" if self.chance(0.01) else self.rng.choice(KEYS)

    def range_end(self, key):
        kind = self.rng.randrange(5)
        if kind < 2 or not key:
            return b""
        if kind == 2:
            return b"\0"
        if kind == 3 and key[-1] < 0xff:
            return key[:-1] + bytes([key[-1] + 1])
        return self.rng.choice(KEYS)

    def span(self):
        if self.chance(0.1):
            return b"\0", b"\0"
        key = self.key()
        return key, self.range_end(key)

    def revision(self):
        """Mostly one that is held, seldom one that is gone or yet to come."""
        kind = self.rng.random()
        if kind < 0.01:
            return -1
        if kind < 0.03:
            return self.twin.revision + self.rng.randint(1, 3)
        if kind < 0.06:
            return max(1, self.twin.compacted - self.rng.randint(0, 3))
        return self.rng.randint(max(1, self.twin.compacted), self.twin.revision)

    def some_lease(self):
        known = sorted(self.twin.leases)
        return self.rng.choice(known) if known and not self.chance(0.05) else \
            self.rng.randint(1, 2 ** 63 - 1)

    def range(self):
        key, end = self.span()
        request = message("RangeRequest")(key=key, range_end=end)
        if self.chance(0.3):
            request.limit = self.rng.randint(0, 5)
        if self.chance(0.3):
            request.revision = self.revision()
        if self.chance(0.4):
            request.sort_order = self.rng.randrange(3)
            request.sort_target = self.rng.randrange(5)
        if request.sort_target and not request.sort_order:
            # etcd cuts before it sorts when no order is told.
            request.limit = 0
        for field in ("min_mod_revision", "max_mod_revision", "min_create_revision",
                      "max_create_revision"):
            if self.chance(0.08):
                setattr(request, field, abs(self.revision()))
        request.keys_only = self.chance(0.1)
        request.count_only = self.chance(0.1)
        request.serializable = self.chance(0.2)
        return request

    def put(self):
        request = message("PutRequest")(key=self.key(), value=self.rng.choice(VALUES),
                                        prev_kv=self.chance(0.3))
        if self.chance(0.3):
            request.lease = self.some_lease()
        if self.chance(0.1):
            request.ignore_value = True
            request.value = b"" if self.chance(0.9) else b"given"
        if self.chance(0.1):
            request.ignore_lease = True
            request.lease = 0 if self.chance(0.9) else self.some_lease()
        return request

    def delete(self):
        key, end = self.span()
        return message("DeleteRangeRequest")(key=key, range_end=end, prev_kv=self.chance(0.4))

    def compare(self):
        key = self.key()
        request = message("Compare")(key=key, range_end=self.range_end(key)
                                     if self.chance(0.3) else b"",
                                     result=self.rng.randrange(4), target=self.rng.randrange(5))
        held = self.twin.state.get(key)
        # The field that goes with the target, or, seldom, another one, or none.
        fields = ["version", "create_revision", "mod_revision", "value", "lease"]
        values = [held.version if held else 0, held.create if held else 0, held.mod if held else 0,
                  held.value if held else b"1", held.lease if held else 0]
        target = request.target if self.chance(0.95) else self.rng.randrange(5)
        value = values[target] if self.chance(0.6) else \
            self.rng.choice(VALUES) if target == 3 else self.rng.randint(0, self.twin.revision)
        if self.chance(0.95):
            setattr(request, fields[target], value)
        return request

    def op(self, depth):
        op = message("RequestOp")()
        kind = self.rng.randrange(10)
        if kind < 3:
            op.request_range.CopyFrom(self.range())
            # A negative one is now, but in etcd's transactions it is sometimes compacted.
            op.request_range.revision = max(0, op.request_range.revision)
            op.request_range.serializable = False
        elif kind < 7:
            op.request_put.CopyFrom(self.put())
        elif kind < 9:
            op.request_delete_range.CopyFrom(self.delete())
        elif depth < 3:
            op.request_txn.CopyFrom(self._txn(depth + 1))
        else:
            op.request_put.CopyFrom(self.put())
        return op

    def txn(self):
        if self.chance(0.01):
            return message("TxnRequest")(success=[message("RequestOp")()])
        request = self._txn(0)
        while is_overlooked(request):
            request = self._txn(0)
        return request

    def _txn(self, depth):
        request = message("TxnRequest")()
        many = 129 if self.chance(0.005) else 0
        request.compare.extend(self.compare() for _ in range(self.rng.randint(0, 3)))
        request.success.extend(self.op(depth) for _ in range(many or self.rng.randint(0, 4)))
        request.failure.extend(self.op(depth) for _ in range(self.rng.randint(0, 4)))
        return request

    def compact(self):
        return message("CompactionRequest")(revision=self.revision(), physical=self.chance(0.3))

    def grant(self):
        request = message("LeaseGrantRequest")(TTL=self.rng.choice(TTLS))
        if self.chance(0.6):
            request.ID = self.some_lease() if self.chance(0.2) else self.rng.randint(1, 2 ** 63 - 1)
        if self.chance(0.05):
            request.TTL = 9_000_000_001
        return request

    def revoke(self):
        return message("LeaseRevokeRequest")(ID=self.some_lease())

    def time_to_live(self):
        return message("LeaseTimeToLiveRequest")(ID=self.some_lease(), keys=self.chance(0.6))

    def keep_alive(self):
        return message("LeaseKeepAliveRequest")(ID=self.some_lease())

    def leases(self):
        return message("LeaseLeasesRequest")()


def ops_of(txn):
    """(kind, op) of each operation of the tree."""
    for op in [*txn.success, *txn.failure]:
        kind = op.WhichOneof("request")
        yield kind, op
        if kind == "request_txn":
            yield from ops_of(op.request_txn)


class Asked:
    """The members of a store, one of which is asked for each request."""

    def __init__(self, store, seed):
        self.rng = random.Random(seed)
        self.apis = [Api(m.port) for m in store]
        self.last_writer = self.apis[0]
        self.cluster_id = None

    def close(self):
        for api in self.apis:
            api.close()

    def do(self, request):
        name = type(request).__name__
        # What a member answers from its own state has what that member acknowledged.
        own_state = name.startswith("Lease") or getattr(request, "serializable", False) or \
            (name == "TxnRequest" and not any(kind != "request_txn" for kind, _ in ops_of(request)))
        api = self.last_writer if own_state else self.rng.choice(self.apis)
        if name == "LeaseKeepAliveRequest":
            answer = next(api.Lease.LeaseKeepAlive(iter([request]), timeout=10))
        else:
            service, method = SERVICES[name]
            answer = getattr(getattr(api, service), method)(request)
        self.last_writer = api
        self._check_header(answer.header)
        return answer

    def _check_header(self, header):
        """Take out what the twin cannot know, when it is as it must be."""
        assert header.cluster_id and header.member_id and header.raft_term
        assert self.cluster_id in (None, header.cluster_id)
        self.cluster_id = header.cluster_id
        header.ClearField("cluster_id")
        header.ClearField("member_id")
        header.ClearField("raft_term")


def outcome(do, request):
    try:
        return do(request)
    except Refused as refused:
        return refused


def comparable(request, got, twin):
    """Orders that are free, time that has passed and identities that were drawn."""
    if isinstance(got, Refused):
        return got
    name = type(request).__name__
    if name == "LeaseGrantRequest" and request.ID == 0:
        assert got.ID > 0 and got.ID not in twin.leases
        request.ID = got.ID
    elif name == "LeaseLeasesRequest":
        got.leases.sort(key=lambda lease: lease.ID)
    elif name == "LeaseTimeToLiveRequest":
        got.keys.sort()
        granted = twin.leases.get(request.ID)
        if granted is not None and granted - 600 <= got.TTL <= granted:
            got.TTL = granted
    return got


def show(thing):
    text = f"{type(thing).__name__}({thing})".replace("x" * 300, "x*300")
    return " ".join(text.split())


def compare_history(asked, twin):
    """A watch from the oldest revision brings every change there was, in order, with what was
    there before."""
    first = max(twin.compacted, 1) + 1
    want = [c for c in twin.changes if c.revision >= first]
    create = message("WatchRequest")(create_request=message("WatchCreateRequest")(
        key=b"\0", range_end=b"\0", start_revision=first, prev_kv=True))
    stream = asked.apis[0].Watch.Watch(iter_then_wait(create), timeout=20)
    got = []
    for answer in stream:
        assert not answer.canceled, answer
        got += answer.events
        if len(got) >= len(want):
            break
    stream.cancel()
    for event, change in zip(got, want):
        assert event.type == (0 if change.entry else 1)
        assert event.kv.key == change.key and event.kv.mod_revision == change.revision
        held = (event.kv.create_revision, event.kv.mod_revision, event.kv.version, event.kv.value,
                event.kv.lease)
        assert held == (tuple(change.entry) if change.entry else (0, change.revision, 0, b"", 0))
        # What was there before the transaction, whatever it did first.
        before = twin.states[change.revision - 1].get(change.key)
        assert event.HasField("prev_kv") == bool(before)
        if before:
            assert (event.prev_kv.create_revision, event.prev_kv.mod_revision,
                    event.prev_kv.version, event.prev_kv.value, event.prev_kv.lease) == before
    assert len(got) == len(want)


def iter_then_wait(*requests):
    """These, and the stream of requests stays open."""
    yield from requests
    threading.Event().wait(30)


def play(store, seed, steps):
    twin = Twin()
    drawing = Drawing(seed, twin)
    asked = Asked(store, seed)
    told = []
    try:
        for step in range(steps):
            request = drawing.request()
            got = comparable(request, outcome(asked.do, request), twin)
            told.append(show(request))
            want = outcome(twin.do, request)
            if got != want:
                pytest.fail("answers differ; before it:\n" + "\n".join(told[-8:-1]) +
                            f"\n\nasked: {told[-1]}\n\ngot:  {show(got)}\n\ntwin: {show(want)}\n\n"
                            f"again: ETCD_MODEL_SEED={seed} ETCD_MODEL_STEPS={step + 1}", False)
        compare_history(asked, twin)
    finally:
        asked.close()


@pytest.mark.parametrize("story", range(STORIES))
def test_random_requests_are_answered_as_the_twin_answers(story):
    seed = SEED or random.SystemRandom().randrange(1, 2 ** 32)
    print(f"ETCD_MODEL_SEED={seed}")
    # Members of etcd 3.4 part from each other where a read of a transaction fails: there it is one.
    with real_etcd.make_store(1 if real_etcd.is_real_etcd() else 3) as store:
        play(store.start(), seed, STEPS)
