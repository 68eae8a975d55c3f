"""The check of the campaigns can fail: each kind of broken promise is found (no server needed)."""
import pytest

import load
from load import Load, Write


class Stub:
    name = "node-1"
    port = 1


class StubCluster:
    members = [Stub()]

    def __iter__(self):
        return iter(self.members)

    def running(self):
        return self.members

    def wait_leader(self):
        return self.members[0]

    def wait_same(self, timeout):
        return 1


def a_load(monkeypatch, store, acked=(), deleted=(), refused=(), unknown=(), wrong=()):
    monkeypatch.setattr(load, "dump", lambda member, prefix, **_: dict(store))
    made = Load(StubCluster(), writers=0)
    made.acked, made.deleted = list(acked), list(deleted)
    made.refused, made.unknown, made.wrong = list(refused), list(unknown), list(wrong)
    return made


A = Write("a", "va", 1.0, 2.0, 2)
B = Write("b", "vb", 3.0, 4.0, 3)
STORE = {"a": ("va", 2), "b": ("vb", 3)}


def test_a_true_story_passes(monkeypatch):
    deleted = Write("c", None, 5.0, 6.0, 5)
    story = a_load(monkeypatch, {**STORE, "u": ("vu", 9)},
                   acked=[A, B, Write("c", "vc", 4.5, 4.9, 4)],
                   deleted=[deleted], refused=["r"], unknown=["u", "gone"])
    assert story.check() == 3


@pytest.mark.parametrize("story,words", [
    (dict(store={"b": ("vb", 3)}, acked=[A, B]), "lost"),
    (dict(store={**STORE, "a": ("other", 2)}, acked=[A, B]), "other"),
    (dict(store={**STORE, "a": ("va", 7)}, acked=[A, B]), "va"),
    (dict(store=STORE, acked=[A, B], deleted=[Write("a", None, 4.5, 5.0, 4)]), "is back"),
    (dict(store={**STORE, "r": ("vr", 4)}, acked=[A, B], refused=["r"]), "refused"),
    (dict(store={**STORE, "b": ("vb", 2)}, acked=[A, B._replace(revision=2)]), "twice"),
    (dict(store={"a": ("va", 5), "b": ("vb", 3)}, acked=[A._replace(revision=5), B]), "began"),
    (dict(store=STORE, acked=[A, B], wrong=[("PUT", "x", 500, b"")]), "500"),
], ids=["lost", "another value", "another revision", "a delete undone", "a refusal untrue",
        "a revision twice", "against real time", "a status that must not be"])
def test_a_broken_promise_is_found(monkeypatch, story, words):
    with pytest.raises(AssertionError, match=words):
        a_load(monkeypatch, **story).check()


def test_members_that_differ_are_found(monkeypatch):
    cluster = StubCluster()
    other = Stub()
    other.name = "node-2"
    cluster.members = [Stub(), other]
    made = Load(cluster, writers=0)
    stores = {"node-1": STORE, "node-2": {"a": ("va", 2)}}
    monkeypatch.setattr(load, "dump", lambda member, prefix, **_: stores[member.name])
    with pytest.raises(AssertionError, match="differs"):
        made.check()
