"""The proxy carries, holds, delays, drips, cuts and half-closes, each direction by its own rule."""
import contextlib
import os
import socket
import sys
import threading
import time

import pytest

import proxy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import free_port, wait_for  # noqa: E402
from network import Network  # noqa: E402


class Wire:
    """`a` (this process) has dialled `b` (this process too, behind the proxy)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = free_port()
        self.network = Network({"b": (self.port, self.listener.getsockname()[1]),
                                "a": (free_port(), free_port())})
        self.network.tell_pid("a", os.getpid())
        self.a = self.dial()
        self.b = self.listener.accept()[0]
        self.b.settimeout(5)
        wait_for(lambda: self.network.connections() == 1, "the proxy knows the connection")

    def dial(self):
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def close(self):
        for s in (self.a, self.b, self.listener):
            s.close()
        self.network.close()


@pytest.fixture
def wire():
    made = Wire()
    yield made
    made.close()


def silent(sock, seconds=0.3):
    sock.settimeout(seconds)
    try:
        sock.recv(1)
        return False
    except socket.timeout:
        return True
    finally:
        sock.settimeout(5)


def test_bytes_go_both_ways_and_are_counted(wire):
    wire.a.sendall(b"ping")
    assert wire.b.recv(10) == b"ping"
    wire.b.sendall(b"pong!")
    assert wire.a.recv(10) == b"pong!"
    assert (wire.network.moved("a", "b"), wire.network.moved("b", "a")) == (4, 5)


def test_a_held_direction_is_silent_and_comes_late(wire):
    wire.network.rule("a", "b", hold=True)
    wire.a.sendall(b"held")
    assert silent(wire.b)
    wire.b.sendall(b"other way")
    assert wire.a.recv(20) == b"other way"
    wire.network.heal()
    assert wire.b.recv(10) == b"held"


def test_the_end_of_a_connection_is_held_too(wire):
    wire.network.isolate("a")
    wire.a.close()
    assert silent(wire.b)
    wire.network.heal()
    assert wire.b.recv(1) == b""


def test_the_end_of_the_listener_is_held_from_a_deaf_dialler_that_speaks_on(wire):
    wire.network.rule("b", "a", hold=True)
    wire.b.close()
    wire.a.sendall(b"is anybody there?")
    assert silent(wire.a)
    wire.network.heal()
    assert wire.a.recv(1) == b""


def test_a_dial_into_a_partition_is_accepted_and_silent(wire):
    wire.network.rule("b", "a", hold=True)
    with contextlib.closing(wire.dial()) as late:
        late.sendall(b"hello")
        wire.listener.settimeout(0.3)
        with pytest.raises(socket.timeout):
            wire.listener.accept()
        wire.network.heal()
        wire.listener.settimeout(5)
        with contextlib.closing(wire.listener.accept()[0]) as b:
            b.settimeout(5)
            assert b.recv(10) == b"hello"


def test_a_delay_keeps_the_order_and_the_throughput(wire):
    wire.network.rule("a", "b", delay_s=0.3)
    began = time.monotonic()
    for n in range(10):
        wire.a.sendall(bytes([n]))
        time.sleep(0.01)
    got = b""
    while len(got) < 10:
        got += wire.b.recv(10)
    assert got == bytes(range(10))
    assert time.monotonic() - began >= 0.3


def test_a_slow_drip_takes_its_time(wire):
    wire.network.rule("a", "b", bytes_per_second=1000)
    began = time.monotonic()
    threading.Thread(target=wire.a.sendall, args=(b"x" * 500,), daemon=True).start()
    got = 0
    while got < 500:
        got += len(wire.b.recv(500))
    assert time.monotonic() - began >= 0.4


def test_a_cut_is_a_reset_on_both_sides(wire):
    wire.network.cut("a")
    for end in (wire.a, wire.b):
        end.settimeout(5)
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_a_refused_pair_stays_cut(wire):
    wire.network.rule("a", "b", refuse=True)
    with pytest.raises(ConnectionResetError):
        wire.a.recv(1)
    with contextlib.closing(wire.dial()) as again:
        with pytest.raises(ConnectionResetError):
            again.recv(1)


def test_a_half_close_ends_one_direction(wire):
    wire.network.half_close("a")
    assert wire.b.recv(1) == b""
    wire.b.sendall(b"still heard")
    assert wire.a.recv(20) == b"still heard"


def test_a_stranger_gets_no_wire(wire):
    wire.network.tell_pid("a", 1)
    with contextlib.closing(wire.dial()) as stranger:
        stranger.settimeout(10)
        with pytest.raises(ConnectionResetError):
            stranger.recv(1)


def test_both_ways_to_find_the_owner_agree(wire):
    mine = wire.a.getsockname()[1]
    inode = proxy.socket_inode(mine, wire.port)
    assert inode == os.fstat(wire.a.fileno()).st_ino == proxy.inode_in_table(mine, wire.port)
    assert proxy.socket_inode(mine, 1) == proxy.inode_in_table(mine, 1) == 0
