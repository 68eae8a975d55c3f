"""Is a history linearizable? Two judges that do not trust each other. Standard library only.

- `check_revisions`: fast, and trusts the revisions that the store gave: they must be unique, follow
  real time, and name the value that was written with them.
- `check_keys`: trusts nothing but what was told. Each key alone (keys are independent objects, and
  a history is linearizable if and only if it is for each of them), with Lowe's just-in-time
  linearization of Wing and Gong's search: an operation is given its place only when its answer has
  to be explained.

`check` asks both. A search that takes too long is a failed run, never a pass.

    python3 test/chaos/checker.py HISTORY      judge a history that a run with KEEP=1 left
"""
import collections
import dataclasses
import math
import sys
import time
from typing import Optional

import history as h

SEARCH_STATES_MAX = 200000

LINEARIZABLE, VIOLATION, TIMEOUT = "linearizable", "violation", "timeout"


@dataclasses.dataclass
class Verdict:
    kind: str
    text: str = ""

    @property
    def is_good(self):
        return self.kind == LINEARIZABLE


# --- the sequential store, one key -------------------------------------------------------------

# What the key holds. Revision 0: absent. Below 0: written by an operation of unknown outcome, whose
# revision nobody was told; the number tells such writes apart.
State = collections.namedtuple("State", "value revision")
ABSENT_STATE = State(None, 0)


def condition_holds(condition, state):
    if condition is None:
        return True
    if condition == h.IF_EXISTS:
        return state.value is not None
    if condition == h.IF_ABSENT:
        return state.value is None
    return state.value is not None and state.revision == condition


def condition_may_hold(condition, state, known_revisions):
    """A revision that no answer gave to anything else may be that of a write nobody was told of."""
    if state.revision < 0 and isinstance(condition, int):
        return condition not in known_revisions
    return condition_holds(condition, state)


def step_change(op, state, identity, known_revisions):
    """The state after a write that took effect, or None when it could not."""
    if not condition_may_hold(op.condition, state, known_revisions):
        return None
    if op.revision is not None and op.revision <= state.revision:
        return None
    if op.kind == h.DELETE:
        return ABSENT_STATE if state.value is not None else None
    return State(op.value, -1 - identity if op.revision is None else op.revision)


def step_conflict(op, state, known_revisions):
    """A 412 tells the key's revision: it must be so, and against the condition."""
    if op.revision is None:
        return state if state.value is None and not condition_holds(op.condition, state) else None
    if state.value is None:
        return None
    if state.revision < 0 and op.revision not in known_revisions:
        state = State(state.value, op.revision)  # so this is the one that nobody was told
    if state.revision != op.revision or condition_holds(op.condition, state):
        return None
    return state


def step(op, state, identity, known_revisions):
    """The key's state after `op`, or None when `op` cannot have been answered so in `state`."""
    if op.outcome == h.CONFLICT:
        return step_conflict(op, state, known_revisions)
    if op.outcome == h.ABSENT:
        return state if state.value is None else None
    if op.kind == h.GET:
        return state if state == (op.value, op.revision) else None
    return step_change(op, state, identity, known_revisions)


def is_observation(op):
    """Its place changes nothing for the others: it may be taken as soon as there is one."""
    return op.outcome == h.ABSENT or op.kind == h.GET


# --- evidence about unknown outcomes ------------------------------------------------------------


def settle_unknown(ops):
    """Operations of one key that say something, as (op, ended): a write of unknown outcome whose
    value was read took effect, with the revision that the reader saw, before the reader's end."""
    seen = {}
    for op in ops:
        if op.kind == h.GET and op.outcome == h.DONE:
            ended, _ = seen.get(op.value, (math.inf, None))
            seen[op.value] = (min(ended, op.ended), op.revision)
    settled = []
    for op in ops:
        if op.outcome == h.REFUSED or (op.outcome == h.UNKNOWN and op.kind == h.GET):
            continue
        if op.outcome == h.UNKNOWN:
            ended, revision = math.inf, None
            if op.kind == h.PUT and op.value in seen:
                ended, revision = seen[op.value]
                ended = max(ended, op.began)
            op = dataclasses.replace(op, ended=ended, revision=revision)
        settled.append(op)
    return settled


# --- the search ---------------------------------------------------------------------------------


class Search:
    """One key's history, event by event. A configuration is (state, bits of the operations that
    have their place and were not answered yet)."""

    def __init__(self, ops, deadline):
        self.ops = settle_unknown(ops)
        self.deadline = deadline
        self.known = {op.revision for op in self.ops
                      if op.revision is not None and op.outcome != h.CONFLICT}
        self.pending = set()
        self.configurations = {(ABSENT_STATE, 0)}

    def events(self):
        """(time, is it an answer, operation's number); at one moment calls come first."""
        found = []
        for i, op in enumerate(self.ops):
            found.append((op.began, False, i))
            if not math.isinf(op.ended):
                found.append((op.ended, True, i))
        return sorted(found)

    def run(self):
        for _, is_answer, i in self.events():
            if not is_answer:
                self.pending.add(i)
                continue
            before = self.configurations
            self.configurations = self.explain(i)
            if self.configurations is None or time.monotonic() > self.deadline:
                return Verdict(TIMEOUT, f"no verdict in time at {self.ops[i]}")
            self.pending.discard(i)
            if not self.configurations:
                return Verdict(VIOLATION, self.complaint(i, before))
        return Verdict(LINEARIZABLE)

    def explain(self, i):
        """All configurations in which operation `i` has its place; None when there are too many."""
        found = set()
        bit = 1 << i
        stack = list(self.configurations)
        seen = set(stack)
        writes = [j for j in self.pending if not is_observation(self.ops[j])]
        observations = [j for j in self.pending if is_observation(self.ops[j])]
        while stack:
            state, placed = stack.pop()
            for j in observations:
                if not placed >> j & 1 and self.step(j, state) is not None:
                    placed |= 1 << j
            if placed & bit:
                found.add((state, placed & ~bit))
                continue
            for j in writes:
                if placed >> j & 1:
                    continue
                after = self.step(j, state)
                if after is None:
                    continue
                configuration = (after, placed | 1 << j)
                if configuration not in seen:
                    seen.add(configuration)
                    stack.append(configuration)
            if len(seen) > SEARCH_STATES_MAX:
                return None
        return found

    def step(self, i, state):
        return step(self.ops[i], state, i, self.known)

    def complaint(self, i, before):
        lines = [f"nothing explains {self.ops[i]}", "the key may have held:"]
        states = sorted({state for state, _ in before}, key=lambda s: s.revision)
        lines += [f"  {s.value!r}, revision {s.revision}" for s in states[:8]]
        lines.append("while these were under way:")
        lines += [f"  {self.ops[j]}" for j in sorted(self.pending - {i})[:8]]
        return "\n".join(lines)


def by_key(ops):
    groups = collections.defaultdict(list)
    for op in ops:
        groups[op.key].append(op)
    return groups


def check_keys(ops, timeout=60.0):
    """The search, key by key."""
    deadline = time.monotonic() + timeout
    for _, group in sorted(by_key(ops).items()):
        verdict = Search(group, deadline).run()
        if not verdict.is_good:
            return verdict
    return Verdict(LINEARIZABLE)


# --- the revisions ------------------------------------------------------------------------------


def check_unique_revisions(changes):
    given = {}
    for op in changes:
        if op.revision is None:
            yield f"a write was acknowledged without a revision: {op}"
        elif op.revision in given:
            yield f"a revision was given twice: {given[op.revision]} and {op}"
        given[op.revision] = op


def check_real_time(changes):
    """A change acknowledged before another began has the smaller revision."""
    ended = sorted(changes, key=lambda op: op.ended)
    newest, at = None, 0
    for op in sorted(changes, key=lambda op: op.began):
        while at < len(ended) and ended[at].ended < op.began:
            if newest is None or ended[at].revision > newest.revision:
                newest = ended[at]
            at += 1
        if newest is not None and op.revision <= newest.revision:
            yield f"revisions do not follow real time: {newest}, and later {op}"


def check_values(group):
    """What was read was written, with that revision, and not in the future."""
    writers = {op.value: op for op in group if op.kind == h.PUT}
    revisions = {}
    for op in group:
        if op.kind != h.GET or op.outcome != h.DONE:
            continue
        writer = writers.get(op.value)
        if writer is None:
            yield f"nobody wrote what was read: {op}"
        elif writer.outcome in (h.REFUSED, h.CONFLICT):
            yield f"what was refused is there: {writer}, and {op}"
        elif writer.began > op.ended:
            yield f"read before it was written: {op}, and {writer}"
        elif writer.outcome == h.DONE and writer.revision != op.revision:
            yield f"read with another revision than it was written with: {writer}, and {op}"
        elif revisions.setdefault(op.value, op.revision) != op.revision:
            yield f"one value was read with two revisions, {revisions[op.value]} and in {op}"


def check_never_back(group):
    """A read never shows less than what somebody was told before it began."""
    told = [op for op in group if op.outcome == h.DONE and op.revision is not None]
    told.sort(key=lambda op: op.ended)
    reads = [op for op in told if op.kind == h.GET]
    newest, at = None, 0
    for op in sorted(reads, key=lambda op: op.began):
        while at < len(told) and told[at].ended < op.began:
            if newest is None or told[at].revision > newest.revision:
                newest = told[at]
            at += 1
        if newest is not None and op.revision < newest.revision:
            yield f"a stale read: {op}, after {newest}"


def check_never_lost(group):
    """Without a later delete that may have done it, what was there does not vanish."""
    deletes = [op for op in group
               if op.kind == h.DELETE and op.outcome in (h.DONE, h.UNKNOWN)]
    there = [op for op in group if op.kind != h.DELETE and op.outcome == h.DONE]
    for op in group:
        if op.outcome != h.ABSENT:
            continue
        newest = max((t for t in there if t.ended < op.began), key=lambda t: t.revision,
                     default=None)
        if newest is not None and not any(
                d.began <= op.ended and (d.outcome == h.UNKNOWN or d.revision > newest.revision)
                for d in deletes):
            yield f"lost: {newest}, and nobody deleted it before {op}"


def check_revisions(ops):
    """Everything wrong that the revisions tell: a list of sentences."""
    changes = [op for op in ops if op.is_change()]
    problems = list(check_unique_revisions(changes))
    if any(op.revision is None for op in changes):
        return problems
    problems += check_real_time(changes)
    for group in by_key(ops).values():
        problems += check_values(group)
        problems += check_never_back(group)
        problems += check_never_lost(group)
    return problems


def check(ops, timeout=60.0):
    """Both judges."""
    problems = check_revisions(ops)
    if problems:
        return Verdict(VIOLATION, "\n".join(problems[:5]))
    return check_keys(ops, timeout)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    verdict = check(h.load(sys.argv[1]), timeout=600)
    print(verdict.kind)
    print(verdict.text)
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
