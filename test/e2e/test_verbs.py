"""The program's verbs: output, exit codes, `conclave cluster`, the demo."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import harness
from harness import clean_environment, conclave, free_port, free_port_row, request, wait_for


@pytest.fixture
def run(shared):
    """Run a client verb against the shared cluster."""
    endpoints = ",".join(m.url for m in shared)

    def verb(*arguments, **kw):
        return conclave(*arguments, "--endpoints", endpoints, **kw)
    return verb


def test_put_get_del_ls_with_their_exit_codes(run):
    assert run("put", "verbs/a", "30").returncode == 0
    assert run("put", "verbs/b", "hello world").returncode == 0
    assert run("get", "verbs/a").stdout.strip() == "30"
    got = run("get", "verbs/b", "-o", "json")
    assert json.loads(got.stdout)["value"] == "hello world"
    assert got.stderr == ""
    assert run("get", "verbs/b", "-o", "raw").stdout.strip().strip('"') == "hello world"
    listed = run("ls", "verbs/")
    assert listed.returncode == 0 and "verbs/a" in listed.stdout and "verbs/b" in listed.stdout
    assert run("del", "verbs/a").returncode == 0
    missing = run("get", "verbs/a")
    assert missing.returncode == 3 and missing.stdout == "" and "verbs/a" in missing.stderr
    assert run("del", "verbs/a").returncode == 3


def test_a_value_that_is_json_is_sent_as_it_is_and_else_as_a_string(run, shared):
    for text, value in (("30", 30), ('{"a": 1}', {"a": 1}), ("null", None), ("hello", "hello"),
                        ("{bad", "{bad"), ('"quoted"', "quoted"), ("", ""), ("\u00e9", "\u00e9")):
        assert run("put", "verbs/json", text).returncode == 0, text
        assert shared.wait_leader().read("verbs/json").json()["value"] == value


def test_verbs_follow_the_leader_from_any_endpoint(shared):
    leader = shared.wait_leader()
    for m in shared.followers(leader):
        done = conclave("put", "verbs/follow", "1", "--endpoints", m.url)
        assert done.returncode == 0, done.stderr
        assert conclave("del", "verbs/follow", "--endpoints", m.url).returncode == 0
    # One endpoint is dead: the others serve.
    dead = f"http://127.0.0.1:{free_port()}"
    done = conclave("put", "verbs/follow", "1", "--endpoints", dead + "," + leader.url)
    assert done.returncode == 0, done.stderr
    done = conclave("get", "verbs/follow", env={"CONCLAVE_ENDPOINTS": leader.url})
    assert (done.returncode, done.stdout.strip()) == (0, "1")


def test_status_shows_every_member(run, shared):
    done = run("status")
    assert done.returncode == 0
    for m in shared:
        assert m.name in done.stdout
    assert "leader" in done.stdout.lower()
    assert json.loads(run("status", "-o", "json").stdout)


def test_step_down_moves_the_leader(make_cluster):
    c = make_cluster(3)
    old = c.wait_leader()
    target = c.followers(old)[0]
    done = conclave("step-down", "--to", target.name, "--endpoints", old.url)
    assert done.returncode == 0, done.stderr
    assert c.wait_leader() is target


def test_nobody_there_is_exit_8_and_no_quorum_is_exit_5(make_cluster):
    dead = f"http://127.0.0.1:{free_port()}"
    done = conclave("get", "k", "--endpoints", dead)
    assert done.returncode == 8 and dead.partition("//")[2] in done.stderr
    c = make_cluster(3, arguments=[*harness.FAST, "--request-timeout-ms", "500"])
    leader = c.wait_leader()
    for m in c.followers(leader):
        m.kill()
    wait_for(lambda: leader.status()["leaderId"] is None, "the quorum is gone")
    done = conclave("put", "k", "1", "--endpoints", leader.url)
    assert done.returncode in (5, 6), done.stderr


def test_version_help_and_wrong_usage():
    version = conclave("version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)
    for verb in ("server", "cluster", "put", "get", "del", "ls", "log", "watch", "status",
                 "step-down", "version"):
        helped = conclave(verb, "--help")
        assert helped.returncode == 0 and verb in helped.stdout, verb
    assert conclave("--help").returncode == 0
    for wrong in (["pit", "k", "1"], ["put"], ["put", "k"], ["get"], ["get", "k", "--nope"],
                  ["server", "--nam", "x"], ["cluster", "stat"], ["ls", "-o", "xml"]):
        done = conclave(*wrong)
        assert done.returncode == 2, wrong
        assert done.stdout == "" and done.stderr, wrong
    assert "put" in conclave("pit", "k", "1").stderr, "did you mean"
    assert "--name" in conclave("server", "--nam", "x").stderr, "did you mean"
    assert conclave().returncode in (0, 2)


# --- conclave cluster ---------------------------------------------------------------------------


class Local:
    """A `conclave cluster` of its own directory and ports."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.port = free_port_row(3)

    def __call__(self, verb, *arguments, **kw):
        port = ["--base-port", self.port] if verb == "start" else []
        return conclave("cluster", verb, *arguments, *port, "--dir", self.directory, **kw)

    def status_of(self, number):
        with contextlib.suppress(OSError, ValueError, harness.http.client.HTTPException):
            return request(self.port + number - 1, "GET", "/status", timeout=1).json()

    def leader(self):
        seen = [s for s in map(self.status_of, (1, 2, 3)) if s and s["role"] == "leader"]
        return seen[0]["nodeId"] if seen else None


@pytest.fixture
def local(tmp_path):
    made = Local(tmp_path / "local")
    yield made
    for pid in harness.processes_with(made.directory):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_cluster_start_status_kill_restart_pause_resume_logs_stop(local):
    assert local("status").returncode in (0, 1)
    started = local("start")
    assert started.returncode == 0, started.stderr
    leader = wait_for(local.leader, "a leader")
    status = local("status")
    assert status.returncode == 0
    assert all(f"node-{n}" in status.stdout for n in (1, 2, 3))

    # A second start says that it runs, and changes nothing.
    pids = harness.processes_with(local.directory)
    again = local("start")
    assert "run" in (again.stdout + again.stderr)
    assert sorted(harness.processes_with(local.directory)) == sorted(pids)

    assert local("kill", "leader").returncode == 0
    new = wait_for(lambda: local.leader() if local.leader() != leader else None, "another leader")
    endpoint = f"http://127.0.0.1:{local.port + int(new[-1]) - 1}"
    assert conclave("put", "k", "1", "--endpoints", endpoint).returncode == 0
    assert "OFFLINE" in local("status").stdout.upper() or leader in local("status").stdout
    assert local("restart", leader).returncode == 0
    number = int(leader[-1])
    wait_for(lambda: (local.status_of(number) or {}).get("role") == "follower", "it is back")

    assert local("pause", new).returncode == 0
    wait_for(lambda: local.leader() not in (None, new), "another leads while it is paused")
    assert local("resume", new).returncode == 0
    wait_for(lambda: (local.status_of(int(new[-1])) or {}).get("role") == "follower", "it follows")

    logs = local("logs", "node-1")
    assert logs.returncode == 0 and "[node-1]" in logs.stdout
    assert local("kill", "node-9").returncode == 2
    assert local("stop").returncode == 0
    wait_for(lambda: not harness.processes_with(local.directory), "all have stopped")
    assert local("stop").returncode in (0, 1)

    # What was written is there after a stop and a start.
    assert local("start").returncode == 0
    wait_for(local.leader, "a leader")
    done = conclave("get", "k", "--endpoints", f"http://127.0.0.1:{local.port}")
    assert (done.returncode, done.stdout.strip()) == (0, "1")
    assert local("stop").returncode == 0


def test_rows_d1_d14_cluster_run_teaches_and_ctrl_c_stops_all(local, tmp_path):
    out_path = tmp_path / "run.log"
    with open(out_path, "wb") as out:
        process = subprocess.Popen(
            [harness.BINARY, "cluster", "run", "--base-port", str(local.port), "--dir",
             local.directory], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env=clean_environment(), preexec_fn=harness._die_with_parent(None))

    def text():
        return out_path.read_text(encoding="utf-8", errors="replace")
    try:
        wait_for(local.leader, "a leader")
        wait_for(lambda: "curl" in text() and "Ctrl" in text(), "the lines that teach")
        assert all(f"[node-{n}]" in text() for n in (1, 2, 3))
        assert all(str(local.port + n) in text() for n in range(3))
        assert re.search(r"curl .*-X ?PUT|curl .*PUT", text()) and "kill" in text()
        # What it teaches works: run its own curl lines.
        for line in re.findall(r"^\s*(curl .*)$", text(), re.MULTILINE):
            ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=10)
            assert ran.returncode == 0 and '"error"' not in ran.stdout, (line, ran.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    finally:
        process.kill()
    wait_for(lambda: not harness.processes_with(local.directory), "all have stopped", 5)
    # Lines of several members never mix.
    bad = [line for line in text().split("\n") if line.count("] ") and
           len(re.findall(r"\d\d:\d\d:\d\d\.\d{3} \[node-", line)) > 1]
    assert not bad


def test_done_when_the_demo_plays_the_whole_story_without_a_terminal(tmp_path):
    before = time.monotonic()
    done = conclave("cluster", "demo", timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+(\.\d+)? ms", done.stdout), "the measured outage"
    for word in ("leader", "follower", "kill"):
        assert word in done.stdout.lower(), word
    assert os.listdir(tmp_path) == [], "it leaves nothing behind"
    assert time.monotonic() - before < 60


def test_the_demo_does_not_meet_a_running_cluster(local, tmp_path):
    assert local("start").returncode == 0
    leader = wait_for(local.leader, "a leader")
    assert conclave("cluster", "demo", timeout=60, cwd=tmp_path).returncode == 0
    assert local.leader() == leader
    assert local("stop").returncode == 0


def test_cluster_start_with_a_port_taken_says_which(local):
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", local.port + 1))
        s.listen()
        done = local("start")
        assert done.returncode == 2, done.stderr
        assert str(local.port + 1) in done.stderr
    wait_for(lambda: not harness.processes_with(local.directory), "nothing is left running", 5)


def test_b13_e13_start_prints_pids_and_help_and_a_second_start_keeps_them(tmp_path):
    directory, port = str(tmp_path / "five"), free_port_row(5)
    try:
        started = conclave("cluster", "start", "--nodes", 5, "--base-port", port,
                           "--dir", directory)
        assert started.returncode == 0, started.stderr
        rows = [line.split() for line in started.stdout.split("\n")[1:] if line]
        assert [r[0] for r in rows] == [f"node-{n}" for n in range(1, 6)]
        pids = {int(r[5]) for r in rows}
        assert pids == set(harness.processes_with(directory)), "five processes, with these pids"
        assert [r[2] for r in rows].count("leader") == 1
        # Help that works: what it names are verbs.
        for verb in re.findall(r" cluster (\w+)", started.stderr):
            assert conclave("cluster", verb, "--help").returncode == 0
        assert " cluster stop" in started.stderr and " cluster kill leader" in started.stderr

        again = conclave("cluster", "start", "--dir", directory)
        assert again.returncode == 0 and "runs already" in again.stderr
        assert set(harness.processes_with(directory)) == pids

        assert conclave("cluster", "kill", "leader", "--dir", directory).returncode == 0
        seen = conclave("cluster", "status", "--dir", directory)
        assert seen.returncode == 1 and "stopped" in seen.stdout
        assert len(harness.processes_with(directory)) == 4
        assert conclave("cluster", "stop", "--dir", directory).returncode == 0
        assert harness.processes_with(directory) == []
        stopped = conclave("cluster", "status", "--dir", directory)
        assert stopped.returncode == 1 and stopped.stdout.count("stopped") == 5
    finally:
        for pid in harness.processes_with(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("word", ["frobnicate", "kill-leader", ""])
def test_b13_anything_else_prints_the_usage(word, tmp_path):
    done = conclave("cluster", word, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    for verb in ("start", "stop", "status", "demo", "kill", "logs"):
        assert re.search(rf"^  {verb}\b", done.stderr, re.MULTILINE), verb
    assert os.listdir(tmp_path) == []


def test_b13_d12_the_demo_ends_by_itself_when_stdin_does(tmp_path):
    done = conclave("cluster", "demo", timeout=60, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("Demo completed!")
    assert "3 members hold the same" in done.stdout and "none lost" in done.stdout
