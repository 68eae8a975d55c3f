"""What looks like TLS and is not: records of chance, and greetings that stop."""
import collections
import random

import way_in

NAME = "garbage as TLS"
SIZE = 200
HELLO = b"\x16\x03\x01"


def attack(host, port, stop, log):
    log(f"{SIZE} connections at a time")
    rng = random.Random(2)
    counts = collections.Counter()

    def record():
        size = rng.choice((10, 200, 2000))
        announced = rng.choice((size, 16384))
        return HELLO + announced.to_bytes(2, "big") + bytes(rng.getrandbits(8) for _ in range(size))
    way_in.hold(host, port, stop, SIZE, record, counts, renew_s=1, plain=True)
    return counts
