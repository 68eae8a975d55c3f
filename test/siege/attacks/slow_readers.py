"""Answers that are asked for and not taken, or a few bytes a second: each reader's is kept."""
import json

import wire

NAME = "slow readers"
SIZE = 1000
VALUE_BYTES = 1_000_000
KEY = "siege/slow-readers"


def store(host, port):
    body = json.dumps("x" * VALUE_BYTES).encode()
    wire.ask(host, port, b"PUT /key/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
             b"Content-Length: %d\r\n\r\n" % (KEY.encode(), len(body)) + body)


def attack(host, port, stop, log):
    log(f"{SIZE} readers of {VALUE_BYTES} bytes that take nothing")
    store(host, port)
    request = b"GET /key/%s?consistency=stale HTTP/1.1\r\nHost: localhost\r\n\r\n" % KEY.encode()
    crowd = wire.Crowd(host, port, SIZE, request * 4, reads=False, receive_bytes=2048,
                       drip=lambda n: request)
    return crowd.run(stop)
