"""Heads and bodies that are too large: they must be refused at the bound, not taken in."""
import collections

import wire

NAME = "header and body bombs"
HEAD = b"PUT /key/siege/bomb HTTP/1.1\r\nHost: localhost\r\n"
PIECE = b"x" * 65536
CASES = [
    ("a long URL", b"GET /key/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    ("an endless method", b"X" * 100_000, 414),
    ("a long header", HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n", 431),
    ("many headers", HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n", 431),
    ("a long body by length", HEAD + b"Content-Length: 1073741824\r\n\r\n" + PIECE, 413),
    ("a long body in chunks", HEAD + b"Transfer-Encoding: chunked\r\n\r\n" +
     (b"10000\r\n" + PIECE + b"\r\n") * 200, 413),
    ("chunk extensions", HEAD + b"Transfer-Encoding: chunked\r\n\r\n" +
     b"".join(b"1;" + b"e" * 4000 + b"\r\nx\r\n" for _ in range(500)), 413),
    ("trailers", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n" +
     b"".join(b"T-%d: y\r\n" % n for n in range(10000)) + b"\r\n", 413),
    ("deep JSON", HEAD + b"Connection: close\r\nContent-Length: 200000\r\n\r\n" +
     b"[" * 200_000, 400),
]


def try_all(host, port, counts, log):
    """True: each got the status that it should."""
    passed = True
    for what, data, expected in CASES:
        answer = wire.ask(host, port, data, wait_s=5)
        got = wire.statuses(answer or b"")
        for status in got:
            counts[f"status {status}"] += 1
        if answer is None or not got:
            counts["no answer"] += 1  # a reset may overtake it
        elif got != [expected]:
            passed = False
            log(f"{what}: {got} instead of {expected}")
    return passed


def attack(host, port, stop, log):
    log("heads and bodies beyond every bound")
    counts = collections.Counter()
    while not stop.is_set():
        try_all(host, port, counts, log)
        stop.wait(0.2)
    return dict(counts)
