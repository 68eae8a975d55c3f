"""`conclave lock` and `conclave elect`: one at a time, whatever dies (T1 to T3 from outside)."""
import base64
import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest

import harness
from harness import BINARY, clean_environment, conclave, wait_for


def prepare_process():
    """A shell cannot trap what was ignored when it began: SIGHUP, if the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    harness._die_with_parent(None)()


class Process:
    """One that may have to wait; what it prints goes to files."""

    def __init__(self, directory, name, command):
        self.paths = [os.path.join(directory, f"{name}.{end}") for end in ("out", "err")]
        with open(self.paths[0], "w") as out, open(self.paths[1], "w") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, env=clean_environment({"ETCDCTL_API": "3"}),
                                            preexec_fn=prepare_process)

    def text(self, which=0):
        with open(self.paths[which]) as f:
            return f.read()

    def wait_text(self, text="\n"):
        wait_for(lambda: text in self.text(), f"{text!r} is in {self.paths[0]}", 30)
        return self.text()

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def is_running(self):
        return self.process.poll() is None


@pytest.fixture(name="begin")
def fixture_begin(tmp_path):
    """begin(cluster, verb, ...): a verb that runs beside the test."""
    begun = []

    def begin(cluster, verb, *arguments):
        urls = ",".join(m.url for m in cluster)
        command = [BINARY, verb, "--endpoints", urls, *arguments]
        if verb == "etcdctl":
            command = ["etcdctl", "--endpoints", urls, *arguments]
        begun.append(Process(str(tmp_path), f"p{len(begun)}", command))
        return begun[-1]
    yield begin
    for p in begun:
        with contextlib.suppress(OSError):
            p.process.kill()
        p.process.wait(10)


def verb(cluster, *arguments):
    return conclave(arguments[0], "--endpoints", ",".join(m.url for m in cluster), *arguments[1:])


def keys_under(cluster, prefix):
    """Oldest first."""
    for m in cluster.running():
        with contextlib.suppress(OSError, KeyError, ValueError):
            items = m.get(f"/keys?prefix={prefix}").json()["keys"]
            return [i["key"] for i in sorted(items, key=lambda i: i["revision"])]
    return []


def wait_queue(cluster, name, count):
    return wait_for(lambda: (k := keys_under(cluster, name + "/")) and len(k) == count and k,
                    f"{count} stand in the queue of {name}", 30)


def revoke(member, key):
    lease = int(key.rpartition("/")[2], 16)
    answer = member.request("POST", "/v3/lease/revoke", json.dumps({"ID": str(lease)}))
    assert answer.status == 200, answer


def test_t3_commands_never_overlap_and_fences_ascend(make_cluster, begin, tmp_path):
    c = make_cluster(1)
    log = tmp_path / "log"
    script = f"echo in $CONCLAVE_LOCK_KEY $CONCLAVE_LOCK_FENCE >>{log}; sleep 0.1; " \
             f"echo out $CONCLAVE_LOCK_KEY >>{log}; exit 5"
    all_of_them = [begin(c, "lock", "a name/ö", "--", "sh", "-c", script) for _ in range(5)]
    assert [p.end() for p in all_of_them] == [5] * 5, [p.text(1) for p in all_of_them]
    lines = [line.rsplit(" ", 2 if line.startswith("in") else 0)
             for line in log.read_text().splitlines()]
    assert len(lines) == 10
    fences = [int(line[-1]) for line in lines[::2]]
    assert fences == sorted(set(fences))
    for line, out in zip(lines[::2], lines[1::2]):
        assert line[0].startswith("in a") and line[1].startswith("name/ö/")
        assert out == ["out a " + line[1]]
    assert keys_under(c, "a") == []


@pytest.mark.skipif(shutil.which("etcdctl") is None, reason="etcdctl is not installed")
def test_t3_etcdctl_stands_in_the_same_queue(make_cluster, begin):
    c = make_cluster(1)
    theirs = begin(c, "etcdctl", "lock", "x")
    held = theirs.wait_text().strip()
    answer = verb(c, "lock", "x", "--wait", "0s", "--", "true")
    assert answer.returncode == 4 and f"gave up: {held} is before" in answer.stderr
    ours = begin(c, "lock", "x", "-o", "raw")
    wait_queue(c, "x", 2)
    theirs.end(signal.SIGINT)
    key, fence = ours.wait_text().split()
    assert keys_under(c, "x/") == [key] and int(fence) > 1
    theirs = begin(c, "etcdctl", "lock", "x")
    wait_queue(c, "x", 2)
    assert theirs.text() == ""
    assert ours.end(signal.SIGINT) == 0
    theirs.wait_text()


def test_t3_kill_9_of_the_holder_ends_its_command_and_its_turn(make_cluster, begin, tmp_path):
    c = make_cluster(1)
    command = tmp_path / "pid"
    first = begin(c, "lock", "x", "--ttl", "2s", "--", "sh", "-c",
                  f"echo $$ >{command}.new; mv {command}.new {command}; exec sleep 1000")
    wait_for(command.exists, "the command runs", 30)
    second = begin(c, "lock", "x", "--", "echo", "mine")
    wait_queue(c, "x", 2)
    first.end(signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{command.read_text().strip()}/exe"),
             "the command ends")
    assert second.end() == 0 and second.text() == "mine\n"


def test_t2_the_place_in_the_queue_survives_kill_9_of_the_leader(make_cluster, begin):
    c = make_cluster(3)
    holder = begin(c, "lock", "x", "-o", "json")
    held = json.loads(holder.wait_text("}\n"))
    waiters = []
    for n in range(2):
        waiters.append(begin(c, "lock", "x", "-o", "raw"))
        queue = wait_queue(c, "x", n + 2)
    leader = c.wait_leader()
    leader.kill()
    c.wait_leader(among=c.others(leader))
    assert holder.is_running() and [w.text() for w in waiters] == ["", ""]
    assert holder.end(signal.SIGTERM) == 0
    key, fence = waiters[0].wait_text().split()
    assert (held["key"], key) == (queue[0], queue[1]) and int(fence) > held["fence"]
    leader.start()
    assert waiters[0].end(signal.SIGTERM) == 0
    assert waiters[1].wait_text().split()[0] == queue[2]


@contextlib.contextmanager
def loses_first_answers(member):
    """An endpoint that does what it is asked and, the first time of each path, cuts the answer off:
    (url, the paths it did that to)."""
    lost = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = member.request("POST", self.path, body)
            if self.path not in lost:
                lost.append(self.path)
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lost
    finally:
        server.shutdown()
        server.server_close()


def test_k1_answers_that_are_lost_make_no_second_place(make_cluster):
    c = make_cluster(1)
    before = c[0].status()["revision"]
    with loses_first_answers(c[0]) as (url, lost):
        answer = conclave("lock", "x", "--endpoints", url, "--", "sh", "-c",
                          "echo $CONCLAVE_LOCK_FENCE")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert set(lost) >= {"/v3/lease/grant", "/v3/lease/keepalive", "/v3/kv/txn", "/v3/kv/range",
                         "/v3/lease/revoke"}
    assert int(answer.stdout) == before + 1
    assert c[0].status()["revision"] == before + 2 and keys_under(c, "x/") == []


def test_a_signal_leaves_the_queue_or_reaches_the_command(make_cluster, begin):
    c = make_cluster(1)
    holder = begin(c, "lock", "x", "--", "sh", "-c",
                   "trap 'exit 9' HUP; echo on; while :; do sleep 0.1; done")
    holder.wait_text()
    waiter = begin(c, "lock", "x")
    wait_queue(c, "x", 2)
    assert waiter.end(signal.SIGINT) == 4
    assert len(keys_under(c, "x/")) == 1
    assert holder.end(signal.SIGHUP) == 9
    assert keys_under(c, "x/") == []
    assert verb(c, "lock", "x", "--wait", "0s", "--", "sh", "-c", "kill $$").returncode == 143
    assert verb(c, "lock", "x", "--", "no-such-command").returncode == 127


def test_t1_a_lost_lease_ends_the_command(make_cluster, begin):
    c = make_cluster(1)
    p = begin(c, "lock", "x", "--ttl", "2s", "--", "sh", "-c",
              "trap 'echo told; exit 0' TERM; echo on; while :; do sleep 0.1; done")
    p.wait_text("on\n")
    revoke(c[0], wait_queue(c, "x", 1)[0])
    assert p.end() == 4 and p.text() == "on\ntold\n"
    assert 'the lock "x" is lost: its lease has expired or was revoked' in p.text(1)
    waits = begin(c, "lock", "x", "--ttl", "2s")
    waits.wait_text()
    stubborn = begin(c, "lock", "y", "--ttl", "2s", "--", "sh", "-c",
                     "trap '' TERM; echo on; while :; do sleep 0.1; done")
    stubborn.wait_text("on\n")
    c[0].freeze()
    for p in (waits, stubborn):
        assert p.end() == 4
        assert "is lost: no member has answered the keep-alives of its lease for" in p.text(1)


def test_who_is_elected_is_read_under_the_name(make_cluster, begin):
    c = make_cluster(1)
    leader = begin(c, "elect", "jobs", "--value", "host-1:80", "--", "sh", "-c",
                   "echo $CONCLAVE_ELECTION_KEY $CONCLAVE_ELECTION_FENCE; exec sleep 1000")
    key, fence = leader.wait_text().split()
    answer = c[0].read(key).json()
    assert (answer["value"], answer["revision"]) == ("host-1:80", int(fence))
    request = json.dumps({"name": base64.b64encode(b"jobs").decode()})
    answer = c[0].request("POST", "/v3/election/leader", request).json()
    assert base64.b64decode(answer["kv"]["value"]) == b"host-1:80"
    other = begin(c, "elect", "jobs")
    wait_queue(c, "jobs", 2)
    assert leader.end(signal.SIGTERM) == 143
    lines = other.wait_text("jobs/").splitlines()
    assert lines[0].split() == ["FENCE", "KEY"]
    assert c[0].read(lines[1].split()[1]).json()["value"].endswith(f":{other.process.pid}")
    assert other.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("arguments", [[], [""], ["n" * 4096], ["x", "--ttl", "0s"],
                                       ["x", "--value", "v"]])
def test_wrong_usage_is_refused(arguments):
    assert conclave("lock", *arguments).returncode == 2


def test_nobody_there_is_said():
    gone = f"http://127.0.0.1:{harness.free_port()}"
    assert conclave("lock", "x", "--endpoints", gone, "--", "true").returncode == 8


def test_no_majority_is_said(make_cluster):
    c = make_cluster(3)
    for m in c.others(c[0]):
        m.kill()
    answer = verb(c, "elect", "x", "--timeout", "2s", "--", "true")
    assert answer.returncode in (5, 6), answer
