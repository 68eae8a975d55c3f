"""SIGTERM of a member with clients: rows F8 and F17."""
import contextlib
import http.client
import os
import signal
import socket
import sys
import threading
import time

import pytest

from harness import BINARY, Client, key_path, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import disk_faults  # noqa: E402

CUT = (http.client.HTTPException, OSError)


class Writer(threading.Thread):
    """Writes without a pause on a keep-alive connection, and connects again when it is told to.

    Every request has an outcome: `answers` by status, `refused` before anything was sent, or, what
    must not happen, `cuts` afterwards. Ends at the first refused dial.
    """

    def __init__(self, port, name, pause=0.0):
        super().__init__(daemon=True)
        self.port, self.label, self.pause = port, name, pause
        self.answers, self.cuts, self.refused, self.kept = {}, [], 0, 0
        self.stopping = False

    def run(self):
        n = 0
        while self.refused == 0 and not self.stopping:
            client = Client(self.port)
            try:
                client.connection.connect()
            except OSError:
                self.refused += 1
                return
            with contextlib.closing(client):
                while not self.stopping:
                    n += 1
                    try:
                        answer = client.request("PUT", f"/key/{self.label}-{n}", str(n))
                    except CUT as e:
                        self.cuts.append(repr(e))
                        break
                    self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
                    if answer.headers.get("Connection") == "close":
                        break
                    self.kept += 1
                    time.sleep(self.pause)


@pytest.mark.parametrize("pause", [0, 0.05])
def test_row_f8_every_request_of_a_busy_leader_is_answered_when_it_is_told_to_stop(make_cluster,
                                                                                  pause):
    c = make_cluster(3)
    leader = c.wait_leader()
    writers = [Writer(leader.port, f"w{i}", pause) for i in range(6)]
    for w in writers:
        w.start()
    wait_for(lambda: all(w.kept > 10 for w in writers), "they write")
    started = time.monotonic()
    assert leader.terminate() == 0
    assert time.monotonic() - started < 3
    for w in writers:
        w.join(5)
    assert [w.cuts for w in writers] == [[]] * len(writers)
    assert all(set(w.answers) <= {200, 503} for w in writers), [w.answers for w in writers]
    assert all(w.refused == 1 for w in writers)


def test_row_f8_who_asks_during_the_hand_over_hears_that_the_connection_ends(make_cluster):
    """Nobody takes leadership, so that the hand-over lasts for an election timeout."""
    c = make_cluster(3, arguments=["--heartbeat-ms", "100", "--election-timeout-ms", "2000"])
    leader = c.wait_leader()
    kept = Client(leader.port)
    assert kept.request("GET", "/ping").headers.get("Connection") is None
    for m in c.followers(leader):
        m.freeze()
    leader.signal(signal.SIGTERM)
    leader.wait_log("stopping signal=SIGTERM")
    for client in [kept, Client(leader.port)]:
        answer = client.request("PUT", "/key/k", "1")
        assert (answer.status, answer.headers.get("Connection")) == (503, "close")
        client.close()
    assert leader.wait_exit(5.0) == 0


def test_row_f8_the_same_for_a_follower_that_is_read_from(make_cluster):
    c = make_cluster(3)
    follower = c.followers()[0]
    readers = [Writer(follower.port, f"r{i}") for i in range(6)]
    for r in readers:
        r.start()
    wait_for(lambda: all(r.kept > 10 for r in readers), "they are answered")
    assert follower.terminate() == 0
    for r in readers:
        r.join(5)
    assert [r.cuts for r in readers] == [[]] * len(readers)


@pytest.mark.parametrize("idle_s", [0, 1.5])
def test_row_f8_connections_that_nobody_uses_are_not_waited_for(make_cluster, idle_s):
    c = make_cluster(3)
    leader = c.wait_leader()
    clients = [Client(leader.port) for _ in range(20)]
    silent = [socket.create_connection(("127.0.0.1", leader.port)) for _ in range(20)]
    for client in clients:
        assert client.request("GET", "/ping").status == 200
    time.sleep(idle_s)
    started = time.monotonic()
    assert leader.terminate() == 0
    assert time.monotonic() - started < 1
    for s in [*clients, *silent]:
        s.close()


def ask_and_read_nothing(member):
    member.put("big", "x" * 1_000_000)
    s = socket.create_connection(("127.0.0.1", member.port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b"GET /key/big HTTP/1.1\r\nHost: x\r\n\r\n" * 60)
    return s


def start_with_an_audit_log_that_nobody_takes(member, path):
    """Its standard output is a pipe, and full: the file descriptor of its other end."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    command = member.command()
    member.command = lambda: ["sh", "-c", f"exec \"$@\" >'{path}'", "sh", *command,
                              "--audit-log", "-"]
    member.start()
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    return pipe


def test_row_f8_a_client_that_reads_nothing_does_not_hold_a_member_that_stops(make_cluster):
    c, late = make_cluster(1), make_cluster(1, start=False)
    path = os.path.join(late.directory, "stdout")
    pipe = start_with_an_audit_log_that_nobody_takes(late[0], path)
    members = [c.wait_leader(), late.wait_leader()]
    clients = [ask_and_read_nothing(m) for m in members]
    time.sleep(0.3)
    started = time.monotonic()
    for m in members:
        m.signal(signal.SIGTERM)
    assert members[0].wait_exit(5.0) == 0
    assert time.monotonic() - started < 5
    # Its last lines would take it beyond that, and are not waited for.
    assert members[1].wait_exit() == 1
    for s in clients:
        s.close()
    os.close(pipe)


def hang_in_a_write(member):
    with contextlib.suppress(*CUT):
        member.put("lost", "1", timeout=60)


def test_rule_p17_a_disk_that_never_answers_does_not_keep_a_member_from_its_end(make_cluster):
    shim = disk_faults.find_shim(BINARY)
    if shim is None:
        pytest.skip("libdisk_shim.so is not built: ninja -C build")
    c = make_cluster(1, start=False)
    m = c[0]
    with contextlib.closing(disk_faults.Disk(shim, m.data)) as disk:
        m.env = disk.environment()
        c.start()
        assert m.put("before", "1").status == 200
        disk.set("stall_sync", 1)
        hanging = threading.Thread(target=hang_in_a_write, args=(m,), daemon=True)
        hanging.start()
        time.sleep(0.3)  # the write is on its way to the disk, or this proves less
        m.signal(signal.SIGTERM)
        assert m.wait_exit(60.0) == 1
        hanging.join()
        disk.set("stall_sync", 0)
        m.start()
        c.wait_leader()
        assert m.get(key_path("before")).status == 200
