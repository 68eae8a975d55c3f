"""What reaches the disk for what clients write, counted when the logs do what they do in the long
run: a young log grows, and what it fills with zeros first, or allocates, is written twice."""
import time

import machine
from clusters import Trouble, wait

PATIENCE = 90


def written(cluster):
    return sum(machine.written_bytes(p) for p in cluster.pids())


def settle(cluster):
    """What the members write in the background after the warm-up, such as the zeros of a segment to
    come, is not of the round."""
    last = [None]

    def nobody_writes():
        before, last[0] = last[0], written(cluster)
        return before == last[0]
    wait(nobody_writes, f"{cluster.name} has written everything", 60, 0.5)


def reach_steady_state(cluster, put, payload):
    """Let `put` go on until each member's log is as it will always be, and begin the round with the
    log just cut. What a snapshot costs is told beside: a round is too short to have its share."""
    end = time.monotonic() + PATIENCE
    while not cluster.log_is_steady():
        if time.monotonic() > end:
            raise Trouble(f"{cluster.name}: the log was not in its steady state after "
                          f"{PATIENCE} s of puts")
        put()
    shares = [size / entries / payload for size, entries in cluster.snapshots_of_log()]
    cluster.cut_log()
    settle(cluster)
    return {"snapshots_per_payload": sum(shares) / len(shares)} if shares else {}


class Counted:
    """Bytes a member and byte of payload, from now on: by the device, by the processes, and those
    of the log alone, where that is told."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.before = self.read()

    def read(self):
        return {"device_per_payload": machine.disk_bytes(self.cluster.dir),
                "written_per_payload": written(self.cluster),
                "log_per_payload": self.cluster.log_written()}

    def end(self, payload):
        members = len(self.cluster.ports)
        return {name: (after - self.before[name]) / members / payload
                for name, after in self.read().items()
                if after is not None and self.before[name] is not None}
