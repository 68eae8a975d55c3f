"""A deliberately simple twin of etcd's store: every revision is a dictionary of its own.

Twin.do(request) answers as etcd does, in every field but those that tell which member answered
(cluster_id, member_id, raft_term), or raises Refused.
"""
import collections

from etcd_grpc import Refused, message

OPS_MAX = 128
TTL_MAX = 9_000_000_000
NEVER_COMPACTED = -1

INVALID, NOT_FOUND, PRECONDITION, OUT_OF_RANGE = 3, 5, 9, 11
NO_KEY = Refused(INVALID, "etcdserver: key is not provided")
KEY_NOT_FOUND = Refused(INVALID, "etcdserver: key not found")
VALUE_PROVIDED = Refused(INVALID, "etcdserver: value is provided")
LEASE_PROVIDED = Refused(INVALID, "etcdserver: lease is provided")
DUPLICATE_KEY = Refused(INVALID, "etcdserver: duplicate key given in txn request")
TOO_MANY_OPS = Refused(INVALID, "etcdserver: too many operations in txn request")
COMPACTED = Refused(OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE = Refused(OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")
NO_LEASE = Refused(NOT_FOUND, "etcdserver: requested lease not found")
LEASE_EXISTS = Refused(PRECONDITION, "etcdserver: lease already exists")
TTL_TOO_LARGE = Refused(OUT_OF_RANGE, "etcdserver: too large lease TTL")

Entry = collections.namedtuple("Entry", "create mod version value lease")
ABSENT = Entry(0, 0, 0, None, 0)
# `entry` is None for a deletion, `before` for a key that was not there.
Change = collections.namedtuple("Change", "revision key entry before")


def in_range(key, start, end):
    if not end:
        return key == start
    return start <= key and (end == b"\0" or key < end)


def key_value(key, entry, keys_only=False):
    return message("KeyValue")(
        key=key, create_revision=entry.create, mod_revision=entry.mod, version=entry.version,
        value=b"" if keys_only else entry.value, lease=entry.lease)


def header(revision):
    return message("ResponseHeader")(revision=revision)


def select(state, start, end):
    return [(key, state[key]) for key in sorted(state) if in_range(key, start, end)]


class Draft:
    """A transaction that is being carried out: all its changes share one revision."""

    def __init__(self, twin):
        self.twin = twin
        self.state = dict(twin.state)
        self.changes = []

    @property
    def next_revision(self):
        return self.twin.revision + 1

    @property
    def revision(self):
        return self.next_revision if self.changes else self.twin.revision

    def put(self, key, value, lease):
        before = self.state.get(key)
        entry = Entry(before.create if before else self.next_revision, self.next_revision,
                      before.version + 1 if before else 1, value, lease)
        self.state[key] = entry
        self.changes.append(Change(self.next_revision, key, entry, before))

    def delete(self, key):
        self.changes.append(Change(self.next_revision, key, None, self.state.pop(key)))

    def commit(self):
        if self.changes:
            self.twin.revision += 1
            self.twin.states[self.twin.revision] = self.state
            self.twin.changes += self.changes


class Twin:
    def __init__(self):
        self.revision = 1
        self.compacted = NEVER_COMPACTED
        self.states = {1: {}}
        self.changes = []
        self.leases = {}

    @property
    def state(self):
        return self.states[self.revision]

    def do(self, request):
        return getattr(self, type(request).__name__)(request)

    def _alone(self, carry_out, request):
        draft = Draft(self)
        answer = carry_out(draft, request)
        draft.commit()
        return answer

    # --- KV -----------------------------------------------------------------------------------

    def RangeRequest(self, request):
        check_range(request)
        return self._alone(self._range, request)

    def PutRequest(self, request):
        check_put(request)
        if request.lease and request.lease not in self.leases:
            raise NO_LEASE
        self._check_ignored(request)
        return self._alone(self._put, request)

    def DeleteRangeRequest(self, request):
        check_key(request)
        return self._alone(self._delete, request)

    def CompactionRequest(self, request):
        if request.revision <= self.compacted:
            raise COMPACTED
        if request.revision > self.revision:
            raise FUTURE
        self.compacted = request.revision
        return message("CompactionResponse")(header=header(self.revision))

    def _range(self, draft, request):
        rows = select(self._state_at(draft, request.revision), request.key, request.range_end)
        answer = message("RangeResponse")(header=header(draft.revision), count=len(rows))
        if request.count_only:
            return answer
        rows, answer.more = shape(request, rows)
        answer.kvs.extend(key_value(key, entry, request.keys_only) for key, entry in rows)
        return answer

    def _state_at(self, draft, revision):
        if revision > draft.revision:
            raise FUTURE
        if revision <= 0 or revision == draft.revision:
            return draft.state
        if revision < self.compacted:
            raise COMPACTED
        return self.states[revision]

    def _put(self, draft, request):
        before = draft.state.get(request.key)
        answer = message("PutResponse")()
        if request.prev_kv and before:
            answer.prev_kv.CopyFrom(key_value(request.key, before))
        draft.put(request.key, before.value if request.ignore_value else request.value,
                  before.lease if request.ignore_lease else request.lease)
        answer.header.revision = draft.revision
        return answer

    def _check_ignored(self, request):
        if (request.ignore_value or request.ignore_lease) and request.key not in self.state:
            raise KEY_NOT_FOUND

    def _delete(self, draft, request):
        rows = select(draft.state, request.key, request.range_end)
        answer = message("DeleteRangeResponse")(deleted=len(rows))
        if request.prev_kv:
            answer.prev_kvs.extend(key_value(key, entry) for key, entry in rows)
        for key, _ in rows:
            draft.delete(key)
        answer.header.revision = draft.revision
        return answer

    # --- transactions -------------------------------------------------------------------------

    def TxnRequest(self, request):
        check_txn(request, OPS_MAX)
        check_duplicates(request.success)
        check_duplicates(request.failure)
        path = self._decide(request)
        self._check_puts(request, path)
        self._check_reads(request, path)
        draft = Draft(self)
        answer = self._txn(draft, request, path)
        draft.commit()
        answer.header.revision = self.revision
        return answer

    def _decide(self, request):
        """Which branch each transaction of the tree takes. All of that is decided by the store as
        it is before anything of it is carried out: (taken, [the same for each nested one])."""
        taken = all(self._holds(compare) for compare in request.compare)
        return taken, [self._decide(op.request_txn) for op in branch(request, taken)
                       if op.WhichOneof("request") == "request_txn"]

    def _holds(self, compare):
        rows = select(self.state, compare.key, compare.range_end)
        if not rows:
            return compare.target != VALUE and compare_entry(compare, ABSENT)
        return all(compare_entry(compare, entry) for _, entry in rows)

    def _check_puts(self, request, path):
        for kind, op, nested in walk(request, path):
            if kind == "request_txn":
                self._check_puts(op.request_txn, nested)
            elif kind == "request_put":
                self._check_ignored(op.request_put)
                if op.request_put.lease and op.request_put.lease not in self.leases:
                    raise NO_LEASE

    def _check_reads(self, request, path):
        for kind, op, nested in walk(request, path):
            if kind == "request_txn":
                self._check_reads(op.request_txn, nested)
            elif kind == "request_range" and op.request_range.revision > 0:
                if op.request_range.revision > self.revision:
                    raise FUTURE
                if op.request_range.revision < self.compacted:
                    raise COMPACTED

    def _txn(self, draft, request, path):
        """Only the outermost one's header tells a revision."""
        answer = message("TxnResponse")(header=header(0), succeeded=path[0])
        for kind, op, nested in walk(request, path):
            done = answer.responses.add()
            if kind == "request_range":
                done.response_range.CopyFrom(self._range(draft, op.request_range))
            elif kind == "request_put":
                done.response_put.CopyFrom(self._put(draft, op.request_put))
            elif kind == "request_delete_range":
                done.response_delete_range.CopyFrom(self._delete(draft, op.request_delete_range))
            else:
                done.response_txn.CopyFrom(self._txn(draft, op.request_txn, nested))
        return answer

    # --- leases -------------------------------------------------------------------------------

    def LeaseGrantRequest(self, request):
        """An ID of 0 is the server's choice: the caller puts what it chose into the request."""
        if request.TTL > TTL_MAX:
            raise TTL_TOO_LARGE
        if request.ID in self.leases:
            raise LEASE_EXISTS
        self.leases[request.ID] = request.TTL
        return message("LeaseGrantResponse")(header=header(self.revision), ID=request.ID,
                                             TTL=request.TTL)

    def LeaseRevokeRequest(self, request):
        if request.ID not in self.leases:
            raise NO_LEASE
        draft = Draft(self)
        for key in self.keys_of(request.ID):
            draft.delete(key)
        draft.commit()
        del self.leases[request.ID]
        return message("LeaseRevokeResponse")(header=header(self.revision))

    def LeaseTimeToLiveRequest(self, request):
        """TTL is the whole of it: the caller allows for what has passed."""
        ttl = self.leases.get(request.ID)
        return message("LeaseTimeToLiveResponse")(
            header=header(self.revision), ID=request.ID, TTL=-1 if ttl is None else ttl,
            grantedTTL=ttl or 0, keys=self.keys_of(request.ID) if request.keys else [])

    def LeaseKeepAliveRequest(self, request):
        return message("LeaseKeepAliveResponse")(header=header(self.revision), ID=request.ID,
                                                 TTL=self.leases.get(request.ID, 0))

    def LeaseLeasesRequest(self, request):
        """In order of the IDs."""
        leases = [message("LeaseStatus")(ID=i) for i in sorted(self.leases)]
        return message("LeaseLeasesResponse")(header=header(self.revision), leases=leases)

    def keys_of(self, lease):
        if not lease:
            return []
        return [key for key in sorted(self.state) if self.state[key].lease == lease]


# --- what a request must be, whatever the store holds ---------------------------------------------


VALUE = 3


def check_key(request):
    if not request.key:
        raise NO_KEY


check_range = check_key


def check_put(request):
    check_key(request)
    if request.ignore_value and request.value:
        raise VALUE_PROVIDED
    if request.ignore_lease and request.lease:
        raise LEASE_PROVIDED


def check_txn(request, ops_max):
    count = max(len(request.compare), len(request.success), len(request.failure))
    if count > ops_max:
        raise TOO_MANY_OPS
    for compare in request.compare:
        check_key(compare)
    for op in [*request.success, *request.failure]:
        kind = op.WhichOneof("request")
        if kind is None:
            raise KEY_NOT_FOUND
        if kind == "request_txn":
            check_txn(op.request_txn, ops_max - count)
        else:
            {"request_range": check_range, "request_put": check_put,
             "request_delete_range": check_key}[kind](getattr(op, kind))


def check_duplicates(ops, overlooks=False):
    """A key is put once over all branches that may be taken together, and what is deleted is not
    put. Returns (keys put, [(start, end) deleted]).

    `overlooks` what etcd itself does: deletions without an end, and a nested transaction's deletion
    of what one before it puts."""
    by_kind = collections.defaultdict(list)
    for op in ops:
        kind = op.WhichOneof("request")
        by_kind[kind].append(getattr(op, kind))
    deletes = [(d.key, d.range_end) for d in by_kind["request_delete_range"]]
    puts = set()

    def is_deleted(key, spans):
        return any(in_range(key, *span) and not (overlooks and span[1] == b"\0")
                   for span in spans)

    def claim(key, unless=()):
        if (key in puts and key not in unless) or is_deleted(key, deletes):
            raise DUPLICATE_KEY
        puts.add(key)

    for nested in by_kind["request_txn"]:
        puts_then, deletes_then = check_duplicates(nested.success, overlooks)
        puts_else, deletes_else = check_duplicates(nested.failure, overlooks)
        if not overlooks and any(is_deleted(key, deletes_then + deletes_else) for key in puts):
            raise DUPLICATE_KEY
        for key in puts_then:
            claim(key)
        for key in puts_else:
            claim(key, unless=puts_then)
        deletes += deletes_then + deletes_else
    for put in by_kind["request_put"]:
        claim(put.key)
    return puts, deletes


def is_overlooked(txn):
    """Does etcd overlook what is given twice in it?"""
    def refused(ops, overlooks):
        try:
            check_duplicates(ops, overlooks)
        except Refused:
            return True
        return False
    return any(refused(ops, False) != refused(ops, True) for ops in (txn.success, txn.failure))


def branch(request, taken):
    return request.success if taken else request.failure


def walk(request, path):
    """(kind, op, path of a nested transaction) of each operation of the branch that is taken."""
    nested = iter(path[1])
    for op in branch(request, path[0]):
        kind = op.WhichOneof("request")
        yield kind, op, next(nested) if kind == "request_txn" else None


def compare_entry(compare, entry):
    field = ("version", "create_revision", "mod_revision", "value", "lease")[compare.target]
    have = (entry.version, entry.create, entry.mod, entry.value, entry.lease)[compare.target]
    # What is compared with is that field of the union, zero or empty when another one is set.
    want = getattr(compare, field)
    return (have == want, have > want, have < want, have != want)[compare.result]


def shape(request, rows):
    """Filter, sort and cut off: (rows, more)."""
    by = [lambda r: r[0], lambda r: r[1].version, lambda r: r[1].create, lambda r: r[1].mod,
          lambda r: r[1].value][request.sort_target]
    filters = [(request.min_mod_revision, lambda e, n: e.mod >= n),
               (request.max_mod_revision, lambda e, n: e.mod <= n),
               (request.min_create_revision, lambda e, n: e.create >= n),
               (request.max_create_revision, lambda e, n: e.create <= n)]
    cut_first = request.sort_order == 0 and not any(bound for bound, _ in filters)
    if cut_first and request.limit > 0:
        # One more than asked for is read, and then sorted.
        rows = rows[:request.limit + 1]
    for bound, keep in filters:
        if bound:
            rows = [row for row in rows if keep(row[1], bound)]
    # Equal ones keep their order by key, in both directions.
    rows = sorted(rows, key=by, reverse=request.sort_order == 2)
    if request.limit > 0 and len(rows) > request.limit:
        return rows[:request.limit], True
    return rows, False

