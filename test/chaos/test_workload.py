"""What the workloads themselves promise at the end can be found broken."""
import math
import os
import random
import sys

import history as h

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import workload  # noqa: E402


def put(key, value, outcome):
    return h.Op(0, "node-1", h.PUT, key, value, None, 0, 1 if outcome == h.DONE else math.inf,
                outcome, 2 if outcome == h.DONE else None)


def counter(done, unknown):
    return [put("counter/0/0", f"1 by {n}", h.DONE if n < done else h.UNKNOWN)
            for n in range(done + unknown)]


def test_a_counter_stands_between_what_was_acknowledged_and_what_may_have_been():
    for count, is_good in ((2, False), (3, True), (5, True), (6, False)):
        store = {"counter/0/0": (f"{count} by x", 9)}
        assert (list(workload.check_counters(counter(3, 2), store)) == []) == is_good
    assert list(workload.check_counters(counter(1, 0), {})), "the counter is gone"
    assert not list(workload.check_counters(counter(0, 1), {}))


def test_a_list_has_what_was_acknowledged_once_and_nothing_that_was_refused():
    key = "list/0/0"
    for text, outcome, is_good in (("a b", h.DONE, True), ("a", h.DONE, False),
                                   ("a b b", h.DONE, False), ("a b", h.REFUSED, False),
                                   ("a b", h.CONFLICT, False), ("a", h.REFUSED, True),
                                   ("a", h.UNKNOWN, True), ("a b", h.UNKNOWN, True)):
        ops = [put(key, "a b", outcome)]
        assert (list(workload.check_lists(ops, {key: (text, 3)})) == []) == is_good, (text, outcome)


def test_a_key_with_many_unknown_writes_is_left():
    keys = workload.Keys("k", 1)
    first = keys.pick(random.Random(1))[1]
    for _ in range(workload.UNKNOWN_PER_KEY):
        keys.used(0, first, True)
    assert keys.pick(random.Random(1))[1] != first
