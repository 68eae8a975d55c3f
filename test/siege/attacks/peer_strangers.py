"""The port of members: upgrades that go no further, openings without a secret, noise, and frames
that nobody sealed; the places of members on their way are taken as fast as they are given."""
import itertools
import os
import struct
import zlib

import wire

NAME = "strangers at /peer"
SIZE = 200
UPGRADE = (b"GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
           b"Upgrade: conclave-peer/1\r\n\r\n")


def opening(flags):
    """As docs/PROTOCOL.md has it, but for the checksum, which only damage would find."""
    body = b"CNCL" + struct.pack("<HBBI", 1, 0, flags, 1) + os.urandom(32)
    return body + struct.pack("<I", zlib.crc32(body))


def kinds():
    yield UPGRADE
    yield UPGRADE + opening(2)
    yield UPGRADE + opening(3) + os.urandom(200)
    yield UPGRADE + os.urandom(4096)
    yield UPGRADE + b"CNCL" + struct.pack("<H", 9) + bytes(42)


def attack(host, port, stop, log):
    log(f"{SIZE} strangers at /peer")
    turns = itertools.cycle(range(5))
    return wire.Crowd(host, port, SIZE, lambda: list(kinds())[next(turns)]).run(stop, 0.2)
