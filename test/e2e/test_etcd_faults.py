"""What watches, leases and locks promise while members are killed.

One story for the whole file: writers, mirrors, lessees and lock holders at work over gRPC while the
members are killed with -9 one after the other, mostly the leader. The tests look at what was seen.
"""
import collections
import contextlib
import random
import threading
import time

import grpc
import pytest

import real_etcd
from etcd_grpc import Api, Refused, message
from harness import wait_for

KILLS = 4
# What a client may be told while there is no leader, or its member dies: DeadlineExceeded,
# Unavailable.
PASSING = (4, 14)
LEASE_TTL_S = 2
# Longer than a keeper is without luck at members that are down.
KEPT_TTL_S = 5
KEYS = [f"data/{i}".encode() for i in range(30)]

Seen = collections.namedtuple("Seen", "at revision key entry")
Entry = collections.namedtuple("Entry", "create mod version value lease")
# `until` is how long the lease was promised to live when the lock was given back or lost.
Held = collections.namedtuple("Held", "who key fence revision since until")


def entry_of(kv):
    return Entry(kv.create_revision, kv.mod_revision, kv.version, kv.value, kv.lease)


class Worker(threading.Thread):
    """Works until it is told to stop; a failure of it fails the tests."""

    def __init__(self, story, name):
        super().__init__(name=name, daemon=True)
        self.story = story
        self.rng = random.Random(name)
        self.failure = None

    def run(self):
        try:
            while not self.story.stopping.is_set():
                self.work()
        except BaseException as e:  # noqa: B902 - handed to the main thread
            self.failure = e

    def api(self):
        return self.rng.choice(self.story.apis)

    def asks(self, call, request, timeout=3.0):
        """Its answer; None when nobody could give one."""
        try:
            return call(request, timeout=timeout)
        except Refused as refused:
            if refused.code in PASSING:
                time.sleep(0.02)
                return None
            raise


class Writer(Worker):
    """Puts, deletions and transactions; what was acknowledged is in `acknowledged`."""

    def __init__(self, story, name):
        super().__init__(story, name)
        self.acknowledged = []

    def work(self):
        kind = self.rng.randrange(10)
        key, other, third = self.rng.sample(KEYS, 3)
        value = str(self.rng.random()).encode()
        kv = self.api().KV
        if kind < 6:
            self._note(self.asks(kv.Put, message("PutRequest")(key=key, value=value)), key)
        elif kind < 8:
            self.asks(kv.DeleteRange, message("DeleteRangeRequest")(key=key))
        else:
            op = message("RequestOp")
            txn = message("TxnRequest")(success=[
                op(request_put=message("PutRequest")(key=key, value=value)),
                op(request_delete_range=message("DeleteRangeRequest")(key=third)),
                op(request_put=message("PutRequest")(key=other, value=value))])
            self._note(self.asks(kv.Txn, txn), key, other)
        time.sleep(0.005)

    def _note(self, answer, *keys):
        if answer:
            self.acknowledged += [(answer.header.revision, key) for key in keys]


class Mirror(Worker):
    """All keys, as a watch tells them; it goes on at another member where its stream ends."""

    def __init__(self, story, name, first):
        super().__init__(story, name)
        self.state = {}
        self.seen = []
        # The last revision that has been seen whole.
        self.position = 1
        self.streams = 0
        self.turn = first
        self.stream = None

    def work(self):
        api = self.story.apis[self.turn % len(self.story.apis)]
        self.turn += 1
        create = message("WatchCreateRequest")(key=b"\0", range_end=b"\0", prev_kv=True,
                                               start_revision=self.position + 1)
        done = threading.Event()

        def requests():
            yield message("WatchRequest")(create_request=create)
            done.wait()
        self.stream = api.Watch.Watch(requests())
        try:
            for answer in self.stream:
                self.streams += answer.created
                assert not answer.canceled, answer
                self._take(answer)
        except grpc.RpcError:
            time.sleep(0.05)
        finally:
            done.set()

    def _take(self, answer):
        now = time.monotonic()
        for event in answer.events:
            revision = event.kv.mod_revision
            assert revision > self.position, f"{revision} again, after {self.position}"
            assert not self.seen or revision >= self.seen[-1].revision, "an older one after"
            self._apply(event)
            self.seen.append(Seen(now, revision, event.kv.key, self.state.get(event.kv.key)))
        if answer.events:
            # All of a revision come together.
            self.position = answer.events[-1].kv.mod_revision

    def _apply(self, event):
        """Each event goes on where the one before it left the key: none is lost, none doubled."""
        before = self.state.get(event.kv.key)
        entry = entry_of(event.kv)
        assert (entry_of(event.prev_kv) if event.HasField("prev_kv") else None) == before
        if event.type == 1:
            assert before, f"deleted and was not there: {event}"
            del self.state[event.kv.key]
            return
        if before:
            assert (entry.create, entry.version) == (before.create, before.version + 1), event
        else:
            assert (entry.create, entry.version) == (entry.mod, 1), event
        self.state[event.kv.key] = entry


class Lessee(Worker):
    """Leases with a key each: short ones that are left alone, and one that is kept."""

    def __init__(self, story, name):
        super().__init__(story, name)
        # (key, when the grant was asked for)
        self.left_alone = []
        self.keeper = None
        self.kept_lost = False

    def work(self):
        if self.keeper is None:
            self._begin_to_keep()
        else:
            asked = self.asks(self.api().KV.Range, message("RangeRequest")(key=b"lease/kept"))
            gone = asked is not None and not asked.kvs
            self.kept_lost |= gone and time.monotonic() < self.keeper.promised_until
        key = f"lease/left/{len(self.left_alone)}".encode()
        asked = time.monotonic()
        if self._lease_with(key, LEASE_TTL_S):
            self.left_alone.append((key, asked))
        time.sleep(0.1)

    def _begin_to_keep(self):
        asked = time.monotonic()
        lease = self._lease_with(b"lease/kept", KEPT_TTL_S)
        if lease:
            self.keeper = Keeper(self.story.apis, lease, asked + KEPT_TTL_S)

    def _lease_with(self, key, ttl):
        """A lease that holds the key; None also where it ended before it was attached."""
        grant = self.asks(self.api().Lease.LeaseGrant, message("LeaseGrantRequest")(TTL=ttl))
        put = message("PutRequest")(key=key, lease=grant.ID if grant else 0)
        try:
            return grant and self.asks(self.api().KV.Put, put) and grant.ID
        except Refused as refused:
            assert refused.text == "etcdserver: requested lease not found", refused
            return None


def keep_alive(api, lease, timeout=1.0):
    """The TTL that is promised; None when nobody answers."""
    with contextlib.suppress(grpc.RpcError, StopIteration):
        stream = api.Lease.LeaseKeepAlive(
            iter([message("LeaseKeepAliveRequest")(ID=lease)]), timeout=timeout)
        return next(stream).TTL
    return None


class Holder(Worker):
    """Takes the lock, holds it for a moment while it keeps its lease alive, gives it back."""

    def __init__(self, story, name):
        super().__init__(story, name)
        self.held = []
        self.lost_early = []

    def work(self):
        asked = time.monotonic()
        grant = self.asks(self.api().Lease.LeaseGrant, message("LeaseGrantRequest")(
            TTL=LEASE_TTL_S))
        if not grant:
            return
        keeper = Keeper(self.story.apis, grant.ID, asked + LEASE_TTL_S)
        try:
            answer = self._lock(grant.ID)
            if answer:
                self._hold(answer, keeper)
        finally:
            keeper.end()
            self.asks_gently(self.api().Lease.LeaseRevoke,
                             message("LeaseRevokeRequest")(ID=grant.ID))

    def _lock(self, lease):
        request = message("LockRequest")(name=b"lock", lease=lease)
        return self.asks_gently(self.api().Lock.Lock, request, 10.0)

    def asks_gently(self, call, request, timeout=3.0):
        """Also None where the lease is gone."""
        try:
            return self.asks(call, request, timeout)
        except Refused:
            return None

    def _hold(self, answer, keeper):
        since = time.monotonic()
        # Linearizable: while the lease is promised to live, the key is there.
        get = message("RangeRequest")(key=answer.key)
        first = self.asks(self.api().KV.Range, get)
        time.sleep(0.05)
        again = self.asks(self.api().KV.Range, get)
        now = time.monotonic()
        if any(a is not None and not a.kvs for a in (first, again)) and \
                now < keeper.promised_until:
            self.lost_early.append((answer.key, keeper.promised_until - now))
        if first and first.kvs:
            self.held.append(Held(self.name, answer.key, first.kvs[0].create_revision,
                                  answer.header.revision, since,
                                  min(now, keeper.promised_until)))
        self.asks_gently(self.api().Lock.Unlock, message("UnlockRequest")(key=answer.key))


class Keeper:
    """Keeps a lease alive; it is promised until TTL after the last request that was answered."""

    def __init__(self, apis, lease, promised_until):
        self.apis = apis
        self.lease = lease
        self.promised_until = promised_until
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        rng = random.Random(self.lease)
        while not self.ended.wait(LEASE_TTL_S / 6):
            asked = time.monotonic()
            ttl = keep_alive(rng.choice(self.apis), self.lease)
            if ttl:
                self.promised_until = asked + ttl

    def end(self):
        self.ended.set()
        self.thread.join(10)


class Story:
    def __init__(self, store):
        self.store = store
        self.apis = [Api(m.port) for m in store]
        self.stopping = threading.Event()
        self.writers = [Writer(self, f"writer {i}") for i in range(2)]
        self.mirrors = [Mirror(self, f"mirror {i}", i) for i in range(3)]
        self.lessee = Lessee(self, "lessee")
        self.holders = [Holder(self, f"holder {i}") for i in range(3)]
        self.final = None

    @property
    def makers(self):
        return [*self.writers, self.lessee, *self.holders]

    def check(self):
        for worker in [*self.makers, *self.mirrors]:
            if worker.failure:
                raise worker.failure

    def play(self):
        for worker in [*self.mirrors, *self.makers]:
            worker.start()
        for turn in range(KILLS):
            self._let_it_work()
            victim = self.store.wait_leader() if turn % 3 != 2 else self.store.followers()[0]
            victim.kill()
            self.store.wait_leader(among=self.store.running())
            self._let_it_work()
            victim.start()
            self.store.wait_leader()
        self._settle()

    def _let_it_work(self):
        """Until each writer and some holder got on."""
        self.check()
        marks = [len(w.acknowledged) + 15 for w in self.writers]
        held = sum(len(h.held) for h in self.holders) + 2

        def got_on():
            self.check()
            return all(len(w.acknowledged) >= m for w, m in zip(self.writers, marks)) and \
                sum(len(h.held) for h in self.holders) >= held
        wait_for(got_on, "writers and holders of locks get on", 30)

    def _settle(self):
        """No more writes; all leases end; the mirrors catch up."""
        self.stopping.set()
        for worker in self.makers:
            worker.join(30)
            assert not worker.is_alive(), f"{worker.name} hangs"
        self.check()
        self.lessee.keeper.end()
        wait_for(lambda: not self._range(b"lease/", b"lease0").kvs, "the leases end", 30)
        wait_for(lambda: not self._range(b"lock/", b"lock0").kvs, "the locks end", 30)
        self.final = self._range(b"\0", b"\0")
        for mirror in self.mirrors:
            wait_for(lambda m=mirror: m.position >= self.final.header.revision or m.failure,
                     f"{mirror.name} catches up", 30)
            mirror.stream.cancel()
        self.check()

    def _range(self, key, end):
        request = message("RangeRequest")(key=key, range_end=end)
        return wait_for(lambda: self.makers[0].asks(self.apis[0].KV.Range, request), "an answer")

    def close(self):
        self.stopping.set()
        for mirror in self.mirrors:
            if mirror.stream:
                mirror.stream.cancel()
        for worker in [*self.makers, *self.mirrors]:
            if worker.ident:
                worker.join(15)
        for api in self.apis:
            api.close()


@pytest.fixture(scope="module")
def story():
    with real_etcd.make_store(3) as store:
        made = Story(store.start())
        try:
            made.play()
            yield made
        finally:
            made.close()


def test_mirrors_equal_the_store_and_saw_every_event_once(story):
    """That none is lost or doubled is checked at each event: it goes on where the last one of its
    key left off."""
    want = {kv.key: entry_of(kv) for kv in story.final.kvs}
    changes = [(s.revision, s.key, s.entry) for s in story.mirrors[0].seen]
    for mirror in story.mirrors:
        assert mirror.state == want
        assert [(s.revision, s.key, s.entry) for s in mirror.seen] == changes
    assert sum(m.streams for m in story.mirrors) > 3, "some stream was broken and taken up again"
    told = {(revision, key) for revision, key, _ in changes}
    missing = [a for w in story.writers for a in w.acknowledged if a not in told]
    assert missing == [], "acknowledged and in no mirror"


def test_rule_t1_no_lease_ends_before_its_time(story):
    ended = {s.key: s.at for s in story.mirrors[0].seen if s.entry is None}
    assert len(story.lessee.left_alone) > 5
    early = [(key, ended[key] - asked) for key, asked in story.lessee.left_alone
             if ended[key] - asked < LEASE_TTL_S]
    assert early == []


def test_rule_t1_a_lease_that_is_kept_lives_through_all_kills(story):
    assert story.lessee.keeper and not story.lessee.kept_lost


def test_rule_t1_no_lock_is_lost_while_its_lease_is_promised(story):
    assert [lost for h in story.holders for lost in h.lost_early] == []


def test_a_lock_is_never_held_by_two(story):
    """By the store's own history: when a lock is given, no older key of it is left. By the clock:
    what the holders believe, for as long as their leases are promised, does not overlap."""
    spans = {}
    for seen in story.mirrors[0].seen:
        if seen.key.startswith(b"lock/"):
            first, _ = spans.get(seen.key, (seen.revision, None))
            spans[seen.key] = (first, None if seen.entry else seen.revision)
    held = sorted((h for holder in story.holders for h in holder.held), key=lambda h: h.since)
    assert len(held) > 10
    for h in held:
        assert spans[h.key][0] == h.fence
        older = {key: span for key, span in spans.items() if span[0] < h.fence}
        still = {key: span for key, span in older.items() if span[1] > h.revision}
        assert still == {}, f"{h} was given while older ones were there"
    for one, next_one in zip(held, held[1:]):
        assert one.until <= next_one.since, f"{one} and {next_one} at once"
        assert one.fence < next_one.fence, "the fences rise"
