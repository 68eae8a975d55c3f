"""Connections that ask for a stream and are never heard of again, and ones that end their side at
once: what they took must come back."""
import itertools
import socket

import wire

NAME = "half-open connections"
SIZE = 500
STREAM = b"GET /watch?prefix=siege/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENTS = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Deaf(wire.Crowd):
    """Every other one has sent its FIN."""

    def say(self, s, data):
        alive = super().say(s, data)
        if alive and self.counts["connected"] % 2 == 0:
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                return False
        return alive


def attack(host, port, stop, log):
    log(f"{SIZE} streams whose readers read nothing, half of them with their side ended")
    firsts = itertools.cycle((STREAM, EVENTS, STREAM[:-2]))
    return Deaf(host, port, SIZE, lambda: next(firsts), reads=False, receive_bytes=2048).run(stop)
