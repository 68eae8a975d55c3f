"""`conclave bench --check`: a verdict on a machine as a member's home."""
import http.server
import json
import os
import resource
import signal
import subprocess
import threading

import pytest

import harness
from harness import clean_environment, conclave, free_port, wait_for

WHATS = ["file-system", "disk-space", "disk-sync", "disk-write-rate", "wake-up", "clock", "memory",
         "open-files", "network", "timeouts"]
# The worst counts.
VERDICTS = ["unknown", "good", "acceptable", "poor"]


def check(*arguments, **kw):
    return conclave("bench", "--check", "--seconds", "1", *arguments, **kw)


def test_every_thing_has_a_verdict_and_the_worst_is_the_exit_code(single, tmp_path):
    done = check("--data", str(tmp_path), "--endpoints", single.url, "--json")
    told = json.loads(done.stdout)
    findings = {f["what"]: f for f in told["findings"]}
    # A disk so slow that it writes nothing in a moment has no rate, and nothing fits it.
    assert [what for what in WHATS if what in findings] == list(findings)
    assert {"file-system", "disk-sync", "wake-up", "clock", "network"} <= set(findings)
    worst = max(VERDICTS.index(f["verdict"]) for f in findings.values())
    assert told["verdict"] == VERDICTS[worst]
    assert done.returncode == (1 if told["verdict"] == "poor" else 0), done.stderr
    for f in findings.values():
        assert bool(f["advice"]) == (f["verdict"] in ("acceptable", "poor")), f
    assert findings["disk-sync"]["figures"]["count"] > 0
    assert findings["network"]["figures"]["count"] > 0
    assert single.url in findings["network"]["measured"]
    assert "connecting" not in findings["network"]["measured"]
    assert f"Writing 64 MiB to {tmp_path}/.conclave-check." in done.stderr
    assert not list(tmp_path.iterdir())


class HangingUp(http.server.BaseHTTPRequestHandler):
    """HTTP/1.0: a connection is good for one request."""
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"pong")

    def log_message(self, *_):
        pass


def test_round_trips_with_connecting_are_told_as_such(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HangingUp)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = check("--data", str(tmp_path), "--json", "--endpoints",
                     f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    findings = {f["what"]: f for f in json.loads(done.stdout)["findings"]}
    assert findings["network"]["figures"]["count"] > 0
    assert "with connecting" in findings["network"]["measured"]


def test_the_table_says_why_and_what_to_do(tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    done = check("--data", str(tmp_path), "--endpoints", dead)
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["VERDICT", "WHAT", "MEASURED"]
    assert any(line.split()[:2] == ["poor", "network"] and "cannot connect" in line
               for line in lines)
    assert any(line.startswith("network is poor: ") for line in lines)
    assert lines[-1] == "A poor home for a member."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path, number):
    process = subprocess.Popen(
        [harness.BINARY, "bench", "--check", "--seconds", "60", "--data", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment())
    try:
        wait_for(lambda: any(p.stat().st_size > 0 for p in tmp_path.iterdir()), "it writes")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1 and out == "", err
    assert "ended before there was a verdict" in err
    assert not list(tmp_path.iterdir())


def limit_files_to_one_mib():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_a_limit_on_files_and_a_reader_that_left_do_not_end_it_in_the_middle(tmp_path):
    command = [harness.BINARY, "bench", "--check", "--seconds", "1", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(),
                          preexec_fn=limit_files_to_one_mib, check=False)
    assert done.returncode == 1 and "cannot write" in done.stdout, done
    assert not list(tmp_path.iterdir())
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, text=True,
                          env=clean_environment(), check=False)
    os.close(writing)
    assert "home for a member" in done.stdout, done
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_used_is_exit_2_and_says_why(tmp_path):
    done = check("--data", str(tmp_path / "none"))
    assert done.returncode == 2 and done.stdout == ""
    assert "none: No such file or directory" in done.stderr and "--data" in done.stderr
    done = check("--data", "/proc")  # nobody may write there, root neither
    assert done.returncode == 2 and "cannot make /proc/.conclave-check." in done.stderr
    read_only = tmp_path / "read-only"
    read_only.mkdir(mode=0o555)
    if os.geteuid() != 0:
        done = check("--data", str(read_only))
        assert done.returncode == 2 and "Permission denied" in done.stderr
