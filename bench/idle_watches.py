"""Connections on which nothing happens, with watches of keys of their own or without: HTTP/2 by
hand, for what a server keeps of one and not what a client library does."""
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


WATCH_HEADERS = (b"\x83\x86" +  # POST, http
                 b"\x04" + text(b"/etcdserverpb.Watch/Watch") + b"\x01" + text(b"127.0.0.1") +
                 b"\x0f\x10" + text(b"application/grpc") +
                 b"\x00" + text(b"te") + text(b"trailers"))


def count_messages(data):
    """(whole messages of gRPC at the beginning, what is behind them)."""
    count = 0
    while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
        data = data[5 + int.from_bytes(data[1:5], "big"):]
        count += 1
    return count, data


class Idle:
    """One connection of HTTP/2 on which nothing is asked, made when this returns."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        try:
            self.begin()
        except (OSError, Trouble):
            self.close()
            raise

    def begin(self):
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        while self.take_frame()[0] != SETTINGS:
            pass

    def take_frame(self):
        """(kind, payload) of the next one; settings of the server are acknowledged."""
        head = self.take(9)
        payload = self.take(int.from_bytes(head[:3], "big"))
        if head[3] == SETTINGS and not head[4] & ACK:
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif head[3] == GOAWAY:
            raise Trouble("an idle connection was refused")
        return head[3], payload

    def take(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise Trouble("an idle connection was closed")
            data += more
        return data

    def close(self):
        self.socket.close()


class Watch(Idle):
    """One with `count` watches on it, of keys from `number` on."""

    def __init__(self, port, number, count=1):
        self.number, self.count = number, count
        super().__init__(port)

    def begin(self):
        super().begin()
        asked = b"".join(watch_request(self.number + i) for i in range(self.count))
        self.socket.sendall(frame(HEADERS, END_HEADERS, 1, WATCH_HEADERS) +
                            frame(DATA, 0, 1, asked))
        made, data = 0, b""
        while made < self.count:
            kind, payload = self.take_frame()
            if kind == DATA:
                found, data = count_messages(data + payload)
                made += found
