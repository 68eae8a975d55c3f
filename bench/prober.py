"""Writes in an open loop: every 2 ms a new attempt at every endpoint, whatever became of those
before it, so that an outage is seen as long as it is. The same request for both systems."""
import errno
import json
import selectors
import socket
import time

from clusters import Trouble, encode

EVERY = 0.002
OPEN_MAX = 500  # connections to one endpoint: beyond, an attempt is left out


class Connection:
    def __init__(self, port):
        self.port = port
        self.answer = b""
        self.begun = None  # of the attempt under way
        self.unsent = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self.socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "connect")


def whole_answer(data):
    """(HTTP status, rest) of an answer that is complete, else (None, data)."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None, data
    length, chunked = 0, False
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        chunked = chunked or line.replace(b" ", b"") == b"transfer-encoding:chunked"
    if chunked:
        end = body.find(b"0\r\n\r\n")
        if end < 0:
            return None, data
        length = end + 5
    if len(body) < length:
        return None, data
    return int(head.split(b" ", 2)[1]), body[length:]


class Prober:
    def __init__(self, ports):
        self.ports = ports
        self.selector = selectors.DefaultSelector()
        self.idle = {port: [] for port in ports}
        self.open = {port: 0 for port in ports}
        self.number = 0
        self.acknowledged = []  # (begun, ended) of each attempt

    def attempt(self, port):
        try:
            if self.idle[port]:
                c = self.idle[port].pop()
            elif self.open[port] < OPEN_MAX:
                c = Connection(port)
                self.open[port] += 1
                self.selector.register(c.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, c)
            else:
                return
        except OSError:
            return
        self.number += 1
        body = json.dumps({"key": encode(f"probe/{self.number}"), "value": encode("1")})
        c.begun = time.monotonic()
        c.unsent = (f"POST /v3/kv/put HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    f"{body}").encode()
        self.watch(c)

    def watch(self, c):
        write = selectors.EVENT_WRITE if c.unsent else 0
        self.selector.modify(c.socket, selectors.EVENT_READ | write, c)

    def drop(self, c):
        self.selector.unregister(c.socket)
        c.socket.close()
        self.open[c.port] -= 1
        if c in self.idle[c.port]:
            self.idle[c.port].remove(c)

    def go_on(self, c, events):
        try:
            if events & selectors.EVENT_WRITE and c.unsent:
                c.unsent = c.unsent[c.socket.send(c.unsent):]
                self.watch(c)
            if events & selectors.EVENT_READ:
                data = c.socket.recv(65536)
                if not data:
                    raise OSError("closed")
                c.answer += data
        except BlockingIOError:
            return
        except OSError:
            self.drop(c)
            return
        status, c.answer = whole_answer(c.answer)
        if status is not None:
            if status == 200:
                self.acknowledged.append((c.begun, time.monotonic()))
            self.idle[c.port].append(c)

    def run(self, until):
        """Until `until()` is true."""
        due = time.monotonic()
        while not until():
            now = time.monotonic()
            if now >= due:
                for port in self.ports:
                    self.attempt(port)
                due = max(due + EVERY, now - EVERY)
            for key, events in self.selector.select(max(0, due - time.monotonic())):
                self.go_on(key.data, events)

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.data.socket.close()
        self.selector.close()

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end)


def outage_ms(ports, event, patience=30):
    """From the event to the first acknowledgement of an attempt that began after it."""
    prober = Prober(ports)
    try:
        prober.run_for(0.05)
        begun = time.monotonic()
        event()
        checked = [0]

        def is_over():
            new = prober.acknowledged[checked[0]:]
            checked[0] = len(prober.acknowledged)
            found = [ended for b, ended in new if b >= begun]
            if found:
                prober.end = min(found)
            elif time.monotonic() - begun > patience:
                raise Trouble(f"no write was acknowledged within {patience} s")
            return bool(found)
        prober.run(is_over)
        return (prober.end - begun) * 1000
    finally:
        prober.close()


def longest_gap_ms(ports, event, after=1.0):
    """The longest time without an acknowledgement around an event that is not meant to be felt."""
    prober = Prober(ports)
    try:
        prober.run_for(0.2)
        begun = time.monotonic() - 0.02
        event()
        prober.run_for(after)
        ends = sorted(ended for _, ended in prober.acknowledged if ended >= begun)
        if len(ends) < 2:
            raise Trouble("no writes were acknowledged")
        return max(b - a for a, b in zip([begun, *ends], ends)) * 1000
    finally:
        prober.close()
