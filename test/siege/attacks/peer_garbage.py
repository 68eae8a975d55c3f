"""Strangers at /peer: bytes of chance after the upgrade, half a greeting, or silence."""
import collections
import random

import way_in

NAME = "garbage at /peer"
SIZE = 50
UPGRADE = b"GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" \
          b"Upgrade: conclave-peer/1\r\n\r\n"


def attack(host, port, stop, log):
    log(f"{SIZE} strangers at a time")
    rng = random.Random(1)
    counts = collections.Counter()

    def greeting():
        size = rng.choice((0, 4, 64, 4096, 100_000))
        return UPGRADE + bytes(rng.getrandbits(8) for _ in range(size))
    way_in.hold(host, port, stop, SIZE, greeting, counts, renew_s=1)
    return counts
