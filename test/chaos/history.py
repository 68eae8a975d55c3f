"""What clients asked and what they were told: the history that checker.py judges. Standard library
only.

An operation has a real-time interval. One whose outcome nobody knows (504, a broken connection) may
take effect at any time from its beginning on, or never: its interval has no end.
"""
import dataclasses
import json
import math
import threading
from typing import Optional, Union

# Outcomes. Each but UNKNOWN and REFUSED is a statement about the key's state at one moment.
DONE = "done"          # the write took effect, or the read found a value
ABSENT = "absent"      # 404: the key did not exist
CONFLICT = "conflict"  # 412: the condition did not hold; `revision` is the key's, None: no key
REFUSED = "refused"    # 503, 429, or never sent: certainly without effect
UNKNOWN = "unknown"

GET, PUT, DELETE = "get", "put", "delete"

# Conditions besides a revision.
IF_EXISTS, IF_ABSENT = "exists", "absent-before"


@dataclasses.dataclass
class Op:
    process: int
    member: str
    kind: str
    key: str
    value: Optional[str]  # what a put writes or a get found; never written twice in a history
    condition: Union[None, str, int]
    began: float
    ended: float = math.inf
    outcome: str = UNKNOWN
    revision: Optional[int] = None

    def is_change(self):
        """A write that certainly took effect."""
        return self.kind != GET and self.outcome == DONE

    def __str__(self):
        when = f"{self.began:.6f}..{self.ended:.6f}"
        said = {GET: "get", PUT: f"put {self.value!r}", DELETE: "delete"}[self.kind]
        told = f"{self.value!r}" if self.kind == GET and self.outcome == DONE else self.outcome
        condition = "" if self.condition is None else f" if {self.condition}"
        return (f"[{when}] client {self.process} at {self.member}: {said}{condition} of {self.key}"
                f" -> {told}, revision {self.revision}")


class History:
    """Operations of several threads, in the order of their ends."""

    def __init__(self):
        self._lock = threading.Lock()
        self.ops = []

    def add(self, op):
        with self._lock:
            self.ops.append(op)

    def snapshot(self):
        with self._lock:
            return list(self.ops)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            for op in self.snapshot():
                fields = dataclasses.asdict(op)
                fields["ended"] = None if math.isinf(op.ended) else op.ended
                f.write(json.dumps(fields) + "\n")


def load(path):
    """What save() wrote: a list of operations."""
    ops = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            fields = json.loads(line)
            if fields["ended"] is None:
                fields["ended"] = math.inf
            ops.append(Op(**fields))
    return ops
