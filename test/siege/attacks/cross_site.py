"""What a browser sends for a page of another site: under a name of its own that was made to resolve
to the member (DNS rebinding), and with an Origin of its own. For members on loopback."""
import collections

import wire

NAME = "web pages of others"
PATHS = [b"/members", b"/status", b"/key/siege", b"/events", b"/watch?prefix=siege", b"/log"]


def request(method, path, host, *headers, body=b""):
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: " + host, b"Connection: close",
             b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def cases():
    """(what, bytes): each must be refused."""
    for path in PATHS:
        yield "rebound " + path.decode(), request(b"GET", path, b"evil.example:4001")
    yield "rebound step-down", request(b"POST", b"/step-down", b"evil.example",
                                       b"Origin: http://evil.example")
    form = (b"Origin: http://evil.example", b"Content-Type: text/plain")
    for path in (b"/step-down", b"/members", b"/election", b"/v3/kv/put", b"/txn", b"/faults"):
        yield "form to " + path.decode(), request(b"POST", path, b"localhost", *form, body=b"{}")
    yield "null origin", request(b"POST", b"/step-down", b"localhost", b"Origin: null")
    yield "WebSocket", request(b"GET", b"/members", b"localhost", b"Origin: http://evil.example",
                               b"Upgrade: websocket", b"Connection: Upgrade",
                               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                               b"Sec-WebSocket-Version: 13")


def try_all(host, port, counts, log):
    """True: all were refused."""
    passed = True
    for what, data in cases():
        answer = wire.ask(host, port, data)
        status = wire.statuses(answer or b"")
        counts[f"status {status[0]}" if status else "no answer"] += 1
        if status and status[0] not in (400, 403):
            passed = False
            log(f"{what}: {status[0]}")
    return passed


def attack(host, port, stop, log):
    log("requests of web pages of other sites")
    counts = collections.Counter()
    while not stop.is_set():
        try_all(host, port, counts, log)
        stop.wait(0.5)
    return dict(counts)
