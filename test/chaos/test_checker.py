"""The checker finds what is wrong and lets pass what is right: by hand, at random, and against a
search that tries every order."""
import itertools
import math
import random
import time

import pytest

import checker
import history as h


def op(kind, began, ended, outcome=h.DONE, value=None, revision=None, condition=None, key="k",
       process=0):
    return h.Op(process, "node-1", kind, key, value, condition, began, ended, outcome, revision)


def put(value, began, ended, revision, **more):
    return op(h.PUT, began, ended, value=value, revision=revision, **more)


def get(value, began, ended, revision, **more):
    return op(h.GET, began, ended, value=value, revision=revision, **more)


def missing(began, ended):
    return op(h.GET, began, ended, outcome=h.ABSENT)


def delete(began, ended, revision, **more):
    return op(h.DELETE, began, ended, revision=revision, **more)


def conflict(condition, revision, began, ended, value="never"):
    return op(h.PUT, began, ended, outcome=h.CONFLICT, value=value, revision=revision,
              condition=condition)


def unknown(value, began, **more):
    return op(h.PUT, began, math.inf, outcome=h.UNKNOWN, value=value, **more)


GOOD = {
    "nothing": [],
    "one_after_the_other": [put("a", 0, 1, 2), get("a", 2, 3, 2), delete(4, 5, 3), missing(6, 7)],
    "a_read_beside_a_write_sees_the_old": [
        put("a", 0, 1, 2), put("b", 2, 9, 3), get("a", 3, 4, 2), get("b", 5, 6, 3)],
    "an_unknown_write_that_never_was": [put("a", 0, 1, 2), unknown("b", 2), get("a", 3, 4, 2)],
    "an_unknown_write_that_came_late": [
        put("a", 0, 1, 2), unknown("b", 2), get("a", 3, 4, 2), get("b", 5, 6, 3)],
    "an_unknown_write_that_nobody_read_explains_a_conflict": [
        put("a", 0, 1, 2), unknown("b", 2), conflict(2, 3, 4, 5), put("c", 6, 7, 4)],
    "an_unknown_delete_explains_a_missing_key": [
        put("a", 0, 1, 2), op(h.DELETE, 2, math.inf, outcome=h.UNKNOWN), get("a", 3, 4, 2),
        missing(5, 6)],
    "a_condition_that_holds": [put("a", 0, 1, 2, condition=h.IF_ABSENT),
                               put("b", 2, 3, 3, condition=2),
                               put("c", 4, 5, 4, condition=h.IF_EXISTS)],
    "a_condition_that_fails": [put("a", 0, 1, 2), conflict(h.IF_ABSENT, 2, 2, 3),
                               conflict(7, 2, 4, 5), delete(6, 7, 3), conflict(2, None, 8, 9)],
    "refused_and_not_there": [op(h.PUT, 0, 1, outcome=h.REFUSED, value="a"), missing(2, 3)],
    "keys_are_alone": [put("a", 0, 1, 2), op(h.GET, 2, 3, outcome=h.ABSENT, key="other")],
}

BAD = {
    "a_stale_read": [put("a", 0, 1, 2), put("b", 2, 3, 3), get("a", 4, 5, 2)],
    "a_lost_write": [put("a", 0, 1, 2), missing(2, 3)],
    "a_read_of_nothing": [get("a", 0, 1, 2)],
    "a_read_before_the_write": [get("a", 0, 1, 2), put("a", 2, 3, 2)],
    "an_unknown_write_read_before_it_was_asked": [get("b", 0, 1, 2), unknown("b", 2)],
    "back_and_forth": [put("a", 0, 1, 2), unknown("b", 2), get("b", 3, 4, 3), get("a", 5, 6, 2)],
    "a_refused_write_is_there": [
        op(h.PUT, 0, 1, outcome=h.REFUSED, value="a"), get("a", 2, 3, 2)],
    "a_deleted_key_is_back": [put("a", 0, 1, 2), delete(2, 3, 3), get("a", 4, 5, 2)],
    "a_revision_twice": [put("a", 0, 1, 2), put("b", 2, 3, 2)],
    "a_revision_twice_on_two_keys": [put("a", 0, 1, 2), put("b", 2, 3, 2, key="other")],
    "revisions_against_real_time": [put("a", 0, 1, 5), put("b", 2, 3, 4, key="other")],
    "another_revision_than_written": [put("a", 0, 1, 2), get("a", 2, 3, 4)],
    "a_lost_update": [put("a", 0, 1, 2), put("b", 2, 3, 3, condition=2),
                      put("c", 4, 5, 4, condition=2)],
    "created_twice": [put("a", 0, 1, 2, condition=h.IF_ABSENT),
                      put("b", 2, 3, 3, condition=h.IF_ABSENT)],
    "a_conflict_where_the_condition_held": [put("a", 0, 1, 2), conflict(2, 2, 2, 3)],
    "a_conflict_that_nothing_explains": [put("a", 0, 1, 2), conflict(2, 3, 2, 3)],
    "a_conflict_that_hides_a_key": [put("a", 0, 1, 2), conflict(9, None, 2, 3)],
    "deleted_what_was_not_there": [delete(0, 1, 2)],
    "two_unknown_writes_seen_in_two_orders": [
        unknown("a", 0), unknown("b", 0), get("a", 1, 2, 2), get("b", 3, 4, 3), get("a", 5, 6, 2)],
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_checker_accepts(name):
    verdict = checker.check(GOOD[name])
    assert verdict.is_good, verdict.text


@pytest.mark.parametrize("name", sorted(BAD))
def test_the_checker_refuses(name):
    assert checker.check(BAD[name]).kind == checker.VIOLATION


# What the revisions alone can't tell, and what one key's search alone can't.
ONLY_THE_SEARCH = {"a_lost_update", "created_twice", "a_conflict_where_the_condition_held",
                   "a_conflict_that_nothing_explains", "a_conflict_that_hides_a_key",
                   "deleted_what_was_not_there"}
ONLY_THE_REVISIONS = {"a_revision_twice_on_two_keys", "revisions_against_real_time"}


@pytest.mark.parametrize("name", sorted(BAD))
def test_each_judge_finds_it_alone(name):
    if name not in ONLY_THE_REVISIONS:
        assert checker.check_keys(BAD[name]).kind == checker.VIOLATION
    if name not in ONLY_THE_SEARCH:
        assert checker.check_revisions(BAD[name])


def test_a_search_that_takes_too_long_is_no_pass():
    ops = [unknown(f"v{i}", 0) for i in range(30)]
    ops += [conflict(10000, 5000, 1, 2), missing(3, 4)]
    verdict = checker.check_keys(ops, timeout=2)
    assert verdict.kind == checker.TIMEOUT and not verdict.is_good


def test_a_saved_history_is_judged_alike(tmp_path):
    history = h.History()
    for one in BAD["a_lost_update"] + [unknown("z", 7)]:
        history.add(one)
    history.save(tmp_path / "history")
    assert h.load(tmp_path / "history") == history.ops


# --- against a search that tries every order ----------------------------------------------------


def may_be_next(rest, i):
    return all(rest[j].ended >= rest[i].began for j in range(len(rest)) if j != i)


def exists_an_order(rest, state, known):
    """Every order that real time allows, in the plainest way; unknown ones may be left out."""
    if all(math.isinf(one.ended) for _, one in rest):
        return True
    for at, (number, one) in enumerate(rest):
        if not may_be_next([o for _, o in rest], at):
            continue
        after = checker.step(one, state, number, known)
        if after is not None and exists_an_order(rest[:at] + rest[at + 1:], after, known):
            return True
    return False


def brute_force(ops):
    ops = checker.settle_unknown(ops)
    known = {o.revision for o in ops if o.revision is not None and o.outcome != h.CONFLICT}
    return exists_an_order(list(enumerate(ops)), checker.ABSENT_STATE, known)


def tiny_history(rng):
    """A few operations with answers that are often true and often not."""
    values, ops = itertools.count(), []
    for _ in range(rng.randint(2, 6)):
        began = rng.randint(0, 8)
        ended = began + rng.randint(0, 5)
        kind = rng.choice([h.PUT, h.PUT, h.GET, h.GET, h.DELETE, "missing", "conflict", "lost"])
        revision = rng.randint(2, 5)
        condition = rng.choice([None, None, h.IF_EXISTS, h.IF_ABSENT, revision - 1])
        if kind == h.PUT:
            ops.append(put(f"v{next(values)}", began, ended, revision, condition=condition))
        elif kind == "lost":
            ops.append(unknown(f"v{next(values)}", began, condition=condition))
        elif kind == h.DELETE:
            ops.append(delete(began, ended, revision, condition=condition))
        elif kind == "missing":
            ops.append(missing(began, ended))
        elif kind == "conflict":
            ops.append(conflict(rng.choice([h.IF_EXISTS, h.IF_ABSENT, 3]),
                                rng.choice([None, revision]), began, ended))
        else:
            written = [o for o in ops if o.kind == h.PUT and o.value != "never"]
            one = rng.choice(written) if written else None
            ops.append(get(one.value if one else "v0", began, ended, one.revision or revision
                           if one else revision))
    return ops


def test_the_search_agrees_with_a_search_of_every_order():
    rng = random.Random(1)
    counts = {True: 0, False: 0}
    for number in range(4000):
        ops = tiny_history(rng)
        expected = brute_force(ops)
        verdict = checker.check_keys(ops)
        assert verdict.is_good == expected, f"history {number}:\n" + "\n".join(map(str, ops))
        counts[expected] += 1
    assert min(counts.values()) > 300, counts


# --- random histories of a real store, and what is done to them ----------------------------------


def random_history(rng, count=400, clients=6, keys=2):
    """Clients of a store that keeps its promises: linearizable by construction."""
    state = {f"k{i}": (None, 0) for i in range(keys)}
    revision, free_at = 1, [0.0] * clients
    values = itertools.count()
    moments = []
    for _ in range(count):
        client = min(range(clients), key=lambda c: free_at[c])
        began = free_at[client] + rng.random()
        point = began + rng.random() * 3
        ended = point + rng.random() * 3
        free_at[client] = ended
        moments.append((point, began, ended, client))
    ops = []
    for point, began, ended, client in sorted(moments):
        key = rng.choice(sorted(state))
        value, at = state[key]
        kind = rng.choice([h.GET, h.GET, h.PUT, h.PUT, h.DELETE])
        condition = rng.choice([None, None, h.IF_EXISTS, h.IF_ABSENT, at, 1])
        one = h.Op(client, "node-1", kind, key, f"v{next(values)}", condition, began, ended)
        if kind == h.GET:
            one.condition = None
            one.value = value
            one.outcome, one.revision = (h.DONE, at) if value else (h.ABSENT, None)
        elif not checker.condition_holds(one.condition, checker.State(value, at)):
            one.outcome, one.revision = h.CONFLICT, at if value else None
        elif kind == h.DELETE and value is None:
            one.outcome = h.ABSENT
        else:
            revision += 1
            state[key] = (one.value if kind == h.PUT else None, revision)
            one.outcome, one.revision = h.DONE, revision
        if kind != h.GET and rng.random() < 0.04:
            one.outcome, one.ended, one.revision = h.UNKNOWN, math.inf, None
        ops.append(one)
    return ops


def make_stale(ops):
    """A read gives what an acknowledged write had replaced before the read began."""
    for read in reversed(ops):
        if read.kind != h.GET or read.outcome != h.DONE:
            continue
        older = [o for o in ops if o.key == read.key and o.kind == h.PUT and o.outcome == h.DONE]
        older.sort(key=lambda o: o.revision)
        for first, second in zip(older, older[1:]):
            if second.ended < read.began and first.revision < read.revision:
                read.value, read.revision = first.value, first.revision
                return True
    return False


def make_lost(ops):
    """An acknowledged write was never applied, and the next to read finds nothing."""
    for at, one in enumerate(ops):
        if one.kind != h.PUT or one.outcome != h.DONE:
            continue
        later = next((o for o in ops[at + 1:] if o.key == one.key), None)
        if later is None or later.kind != h.GET or later.began < one.ended:
            continue
        may_delete = [o for o in ops if o.kind == h.DELETE and o.key == one.key and
                      o.began <= later.ended and o.outcome in (h.DONE, h.UNKNOWN) and
                      (o.revision is None or o.revision > one.revision)]
        if not may_delete:
            later.outcome, later.value, later.revision = h.ABSENT, None, None
            return True
    return False


def make_twice(ops):
    """Two writes with one revision."""
    changes = [o for o in ops if o.is_change()]
    changes[-1].revision = changes[-2].revision
    return True


def make_conflict_from_nothing(ops):
    """A condition that held is said not to have: the write that follows shows the old revision."""
    for one in ops:
        if one.outcome == h.CONFLICT and one.revision is not None and \
                isinstance(one.condition, int):
            one.condition = one.revision
            return True
    return False


def make_refused_appear(ops):
    """503 for a write that somebody read."""
    read = {o.value for o in ops if o.kind == h.GET and o.outcome == h.DONE}
    for one in ops:
        if one.kind == h.PUT and one.outcome == h.DONE and one.value in read:
            one.outcome, one.revision = h.REFUSED, None
            return True
    return False


def test_random_histories_of_a_sound_store_pass():
    for seed in range(30):
        verdict = checker.check(random_history(random.Random(seed)))
        assert verdict.is_good, f"seed {seed}: {verdict.kind} {verdict.text}"


@pytest.mark.parametrize("damage", [make_stale, make_lost, make_twice, make_conflict_from_nothing,
                                    make_refused_appear])
def test_damage_to_a_random_history_is_found(damage):
    found = 0
    for seed in range(40):
        ops = random_history(random.Random(seed))
        if damage(ops):
            assert checker.check(ops).kind == checker.VIOLATION, f"seed {seed}"
            found += 1
    assert found >= 10, "the damage was hardly ever possible"


def test_a_busy_key_is_judged_in_seconds():
    """Twelve clients on one key, and every eighth write unknown."""
    ops = random_history(random.Random(7), count=600, clients=12, keys=1)
    began = time.monotonic()
    assert checker.check(ops, timeout=30).is_good
    assert time.monotonic() - began < 30
