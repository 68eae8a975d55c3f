"""Connections that each watch a key of their own on which nothing happens: HTTP/2 by hand, for what
a server keeps of one and not what a client library does."""
import socket
import struct

from clusters import Trouble

DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
ACK, END_HEADERS = 1, 4
SECONDS = 20


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value):
    return bytes([len(value)]) + value


def watch_request(number):
    key = b"idle/%08d" % number
    create = b"\x0a" + text(key)
    message = b"\x0a" + text(create)
    return b"\0" + struct.pack(">I", len(message)) + message


def hello(number):
    headers = (b"\x83\x86" +  # POST, http
               b"\x04" + text(b"/etcdserverpb.Watch/Watch") + b"\x01" + text(b"127.0.0.1") +
               b"\x0f\x10" + text(b"application/grpc") + b"\x00" + text(b"te") + text(b"trailers"))
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) +
            frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, 0, 1, watch_request(number)))


class Watch:
    """One connection with one watch, made when this returns."""

    def __init__(self, port, number):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        try:
            self.create(number)
        except (OSError, Trouble):
            self.close()
            raise

    def create(self, number):
        self.socket.sendall(hello(number))
        while True:
            kind, flags = self.take_frame()
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == DATA:
                break
            elif kind == GOAWAY:
                raise Trouble("a watch was refused")

    def take_frame(self):
        head = self.take(9)
        self.take(int.from_bytes(head[:3], "big"))
        return head[3], head[4]

    def take(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise Trouble("the connection of a watch was closed")
            data += more
        return data

    def close(self):
        self.socket.close()
