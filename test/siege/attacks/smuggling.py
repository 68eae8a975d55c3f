"""Requests that two servers in a row could read in two ways: each has PREFIX hidden behind it, and
must be refused, or be one request."""
import collections

import wire

NAME = "request smuggling"
HIDDEN = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
PUT = b"PUT /key/siege/smuggled HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

CASES = [
    ("both lengths", PUT + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n"),
    ("two lengths", PUT + b"Content-Length: 1\r\nContent-Length: 70\r\n\r\n1"),
    ("length list", PUT + b"Content-Length: 1, 70\r\n\r\n1"),
    ("length with a sign", PUT + b"Content-Length: +1\r\n\r\n1"),
    ("space before the colon", PUT + b"Content-Length : 1\r\n\r\n1"),
    ("obsolete folding", PUT + b"X: a\r\n Content-Length: 70\r\nContent-Length: 1\r\n\r\n1"),
    ("bare LF", PUT.replace(b"\r\n", b"\n") + b"Content-Length: 1\n\n1"),
    ("bare CR", PUT + b"X: a\rContent-Length: 70\r\nContent-Length: 1\r\n\r\n1"),
    ("two codings", PUT + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    ("coding with a tab", PUT + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", PUT.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n"),
    ("bare LF after a chunk size", PUT + CHUNKED + b"\r\n1\n1\r\n0\r\n\r\n"),
    ("chunk extension with LF", PUT + CHUNKED + b"\r\n1;a\nb\r\n1\r\n0\r\n\r\n"),
    ("bare LF in trailers", PUT + CHUNKED + b"\r\n1\r\n1\r\n0\r\nX: y\n\r\n"),
    ("huge chunk", PUT + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n1\r\n0\r\n\r\n"),
    ("negative chunk", PUT + CHUNKED + b"\r\n-1\r\n1\r\n0\r\n\r\n"),
    ("two hosts", PUT + b"Host: other\r\nContent-Length: 1\r\n\r\n1"),
    ("another host in the URL", b"GET http://other/version HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("upgrade with a body", b"GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
     b"Upgrade: conclave-peer/1\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)),
    ("upgrade to HTTP/2", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, "
     b"HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length : 0\r\n\r\n"),
    ("NUL in a header", PUT + b"X: \0\r\nContent-Length: 1\r\n\r\n1"),
    ("no name", PUT + b": x\r\nContent-Length: 1\r\n\r\n1"),
]


def try_all(host, port, counts, log):
    """True: none got through."""
    passed = True
    for what, head in CASES:
        answer = wire.ask(host, port, head + HIDDEN, wait_s=0.5)
        if answer is None:
            counts["not connected"] += 1
            continue
        for status in wire.statuses(answer):
            counts[f"status {status}"] += 1
        if b"pong" in answer:
            counts["smuggled"] += 1
            passed = False
            log(f"smuggled through: {what}: {answer[:200]!r}")
    return passed


def attack(host, port, stop, log):
    log(f"{len(CASES)} kinds of smuggling, over and over")
    counts = collections.Counter()
    while not stop.is_set():
        try_all(host, port, counts, log)
        stop.wait(0.5)
    return dict(counts)
