"""One client that asks again when it has its answer, written in Python for servers that have no
generator of their own; the same loop for whoever it is compared with. Its own cost, some tens of
microseconds, is in every latency."""
import collections
import socket
import struct
import time

from clusters import Trouble
from prober import whole_answer

WARM_UP = 0.5
SECONDS = 30  # without an answer
ZOO_CREATE, ZOO_SET_DATA = 1, 5
ZOO_TIMEOUT_MS = 30000


def rounded(us):
    """Up, to three digits: what a histogram counts by."""
    step = 10 ** max(len(str(us)) - 3, 0)
    return -(-us // step) * step


def ask_one_by_one(ask, seconds):
    """Call it, with 0, 1, 2 ... , for so long; what a row shows of that."""
    counts = collections.Counter()
    number, begun = 0, time.monotonic()
    while time.monotonic() - begun < WARM_UP:
        ask(number)
        number += 1
    begun = now = time.monotonic()
    while now - begun < seconds:
        ask(number)
        number, before, now = number + 1, now, time.monotonic()
        counts[rounded(max(int((now - before) * 1e6), 1))] += 1
    return {"per_second": counts.total() / (now - begun), "histogram": sorted(counts.items()),
            "requests": counts.total()}


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise Trouble("the connection of the one client was closed")
        return data

    def close(self):
        self.socket.close()


class Http(Connection):
    """PUT /key/KEY, as conclave and the naive store have it."""

    def put(self, key, value):
        self.socket.sendall(b"PUT /key/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" %
                            (key.encode(), len(value), value))
        status, answer = None, b""
        while status is None:
            status, answer = whole_answer(answer + self.receive())
        if status != 200:
            raise Trouble(f"a PUT was answered by {status}")


def zoo_bytes(data):
    return struct.pack(">i", len(data)) + data


class Zoo(Connection):
    """ZooKeeper's own protocol, as far as writing takes it."""

    def __init__(self, port):
        super().__init__(port)
        self.last = 0
        self.exchange(struct.pack(">iqiq", 0, 0, ZOO_TIMEOUT_MS, 0) + zoo_bytes(bytes(16)) + b"\0")

    def exchange(self, message):
        self.socket.sendall(zoo_bytes(message))
        answer = b""
        while len(answer) < 4 or len(answer) - 4 < int.from_bytes(answer[:4], "big"):
            answer += self.receive()
        return answer[4:]

    def call(self, kind, body):
        self.last += 1
        answer = self.exchange(struct.pack(">ii", self.last, kind) + body)
        xid, _, error = struct.unpack(">iqi", answer[:16])
        if (xid, error) != (self.last, 0):
            raise Trouble(f"zookeeper answered with error {error}")

    def create(self, path, value):
        anyone = struct.pack(">ii", 1, 31) + zoo_bytes(b"world") + zoo_bytes(b"anyone")
        self.call(ZOO_CREATE, zoo_bytes(path.encode()) + zoo_bytes(value) + anyone +
                  struct.pack(">i", 0))

    def put(self, path, value):
        self.call(ZOO_SET_DATA, zoo_bytes(path.encode()) + zoo_bytes(value) +
                  struct.pack(">i", -1))
