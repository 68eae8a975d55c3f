"""Bodies that are announced and come a byte a second: by length, and in chunks of one byte."""
import itertools

import wire

NAME = "slow bodies"
SIZE = 500
HEAD = b"PUT /key/slow HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = HEAD + b"Content-Length: 1000000\r\n\r\n\""
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\"\r\n"


def attack(host, port, stop, log):
    log(f"{SIZE} bodies that come a byte a second")
    kinds = itertools.cycle((LENGTH, CHUNKED))
    crowd = wire.Crowd(host, port, SIZE, lambda: next(kinds), lambda n: b"1")
    return crowd.run(stop)
