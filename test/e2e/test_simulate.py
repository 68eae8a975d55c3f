"""`conclave chaos --simulate` and members that are down: rows D8, D10 to D13, B17."""
import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import harness
from harness import clean_environment, conclave, free_port_row, wait_for

ARGUMENTS = ["--heartbeat-ms", "50", "--election-timeout-ms", "500", "--enable-faults"]
NONE = {"delayMs": 0, "drop": 0, "partition": [], "links": {}, "diskDelayMs": 0}


def urls(members):
    return ",".join(m.url for m in members)


def simulate(members, *arguments, **kw):
    return conclave("chaos", "--simulate", "--endpoints", urls(members), *arguments,
                    timeout=120, **kw)


def are_healed(members):
    return all(m.get("/faults").json() == NONE for m in members)


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(3, arguments=ARGUMENTS)


def test_row_d13_members_fail_by_chance_and_no_read_is_wrong(cluster):
    cluster.put("mine", "stays")
    done = simulate(cluster, "--interval", "1s", "--duration", "12s", "--fail-probability", "0.4",
                    "--recover-probability", "0.4", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    # Row D11: the words, and every member that went down comes up again.
    down = re.findall(r"^Node (node-\d) going DOWN$", done.stdout, re.M)
    up = re.findall(r"^Node (node-\d) coming UP$", done.stdout, re.M)
    assert down and sorted(down) == sorted(up)
    assert f"went down {len(down)} times and came up {len(up)} times" in done.stdout
    assert re.search(r"^Seed 7: \d+ rounds", done.stdout, re.M)
    assert int(re.search(r"Writes: (\d+) acknowledged", done.stdout).group(1)) > 0
    assert int(re.search(r"Reads: (\d+) answered", done.stdout).group(1)) > 0
    assert "No read gave a wrong value, and in the end every member has what was written" \
        in done.stdout
    assert are_healed(cluster)
    cluster.wait_leader()
    cluster.wait_same()
    # Only what was there is there.
    assert list(harness.dump(cluster[0])) == ["mine"]
    cluster.check_one_leader_a_term()


def test_row_d13_writes_go_on_while_a_majority_is_up(cluster):
    """Nobody goes down: nothing fails. The summary as data."""
    cluster.wait_leader()
    done = simulate(cluster, "--duration", "3s", "--fail-probability", "0",
                    "--recover-probability", "1", "--seed", "3", "-o", "json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["verdict"] == "right" and got["seed"] == 3 and got["wrong"] is None
    assert got["downs"] == 0 and got["ups"] == 0
    assert got["writes"]["acknowledged"] > 10
    assert got["reads"]["answered"] > 20
    assert "Seed 3" in done.stderr, "the story is not data"


def test_row_d11_p_1_and_q_0_all_go_down_and_come_up_when_it_ends(cluster):
    cluster.put("k", 1)
    cluster.wait_same()
    process = subprocess.Popen(
        [harness.BINARY, "chaos", "--simulate", "--endpoints", cluster[1].url, "--interval", "1s",
         "--duration", "10m", "--fail-probability", "1", "--recover-probability", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
        preexec_fn=harness._die_with_parent(None))
    try:
        for m in cluster:
            wait_for(lambda: m.status().get("faults"), f"{m.name} is down")
            assert sorted(m.get("/faults").json()["partition"]) == \
                sorted(o.name for o in cluster.others(m))
        # Row D10: a member that is down, also the leader, is not written to, and says why.
        for m in cluster:
            wait_for(lambda: m.status()["role"] != "leader", "nobody leads")
            answer = m.put("k", 2)
            assert (answer.status, answer.error) == (503, "Not the leader")
            assert m.read("k").status == 503
            assert m.read("k", "?consistency=stale").json()["value"] == 1
        # Row B17: the monitor tells.
        shown = conclave("monitor", "--once", "--endpoints", urls(cluster))
        assert "None" in shown.stdout or "none" in shown.stdout
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    assert out.count("going DOWN") == 3 and out.count("coming UP") == 3
    assert "0 of 3 members are up: no majority, nothing can be written" in out
    assert are_healed(cluster)
    cluster.wait_leader()
    assert cluster[0].read("k").json()["value"] == 1
    cluster.check_one_leader_a_term()


def test_row_d8_writes_go_on_with_a_member_down_and_it_is_left_out(cluster):
    leader = cluster.wait_leader()
    down = cluster.followers(leader)[0]
    body = json.dumps({"partition": [m.name for m in cluster.others(down)]})
    assert down.request("POST", "/faults", body).status == 200
    for n in range(10):
        assert leader.put("d8", n).status == 200
    assert down.read("d8").status == 503
    wait_for(lambda: next(e for e in leader.get("/cluster").json()["cluster"]
                          if e["id"] == down.name)["state"] == "OFFLINE", "it is shown as such")
    down.request("DELETE", "/faults")
    wait_for(lambda: down.read("d8").status == 200 and down.read("d8").json()["value"] == 9,
             "it has everything")


def test_chaos_needs_faults_members_and_sense(make_cluster):
    c = make_cluster(3, start=False, arguments=ARGUMENTS)
    c[2].arguments.remove("--enable-faults")
    c.start()
    done = simulate(c)
    assert done.returncode == 7 and "--enable-faults" in done.stderr and "node-3" in done.stderr
    assert c[0].get("/faults").json() == NONE, "nobody was touched"
    c[1].kill()
    c[2].kill()
    c[2].start(extra=["--enable-faults"])
    c.wait_leader(among=[c[0], c[2]])
    done = simulate(c)
    assert done.returncode == 8 and "node-2" in done.stderr
    for m in c:
        m.kill()
    assert simulate(c).returncode == 8
    lone = make_cluster(1, arguments=ARGUMENTS)
    done = simulate(lone)
    assert done.returncode == 2 and "nobody to be cut off from" in done.stderr
    for wrong in (["--fail-probability", "1.1"], ["--recover-probability", "-1"],
                  ["--fail-probability", "often"], ["--fail-probability", "1.2.3"],
                  ["--interval", "0s"], ["--seed", "x"], ["extra"]):
        done = simulate(lone, *wrong)
        assert done.returncode == 2 and done.stdout == "", wrong
    done = conclave("chaos")
    assert done.returncode == 2 and "--simulate" in done.stderr
    assert conclave("chaos", "--help").returncode == 0


@contextlib.contextmanager
def liars(lie):
    """Two members that take every write. lie(state, key) is what one of them reads: their URLs."""
    state, names, servers = {}, {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Conclave-Node", names[self.server.server_port])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            key = self.path.partition("?")[0]
            if self.path == "/members":
                self.answer(200, {"members": [
                    {"name": n, "url": f"http://127.0.0.1:{p}", "role": "follower"}
                    for p, n in names.items()]})
            elif not key.startswith("/key/"):
                self.answer(200, {"leaderId": "node-1"})
            elif "stale" in self.path or names[self.server.server_port] == "node-1":
                self.tell(key, state.get(key))
            else:
                self.tell(key, lie(state, key))

        def tell(self, key, value):
            if value is None:
                self.answer(404, {"error": "Key not found", "key": key})
            else:
                self.answer(200, {"value": value})

        def do_PUT(self):
            key, size = self.path, int(self.headers.get("Content-Length", 0))
            state[key] = json.loads(self.rfile.read(size))
            self.answer(200, {"success": True, "leaderId": "node-1"})

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(200, {})

        do_DELETE = do_POST

        def log_message(self, *_):
            pass
    for name in ("node-1", "node-2"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        names[server.server_port] = name
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ",".join(f"http://127.0.0.1:{p}" for p in names)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.mark.parametrize("lie, what", [
    (lambda state, key: None, "not there"),
    (lambda state, key: state.get(key, 0) + 8000, "nobody wrote that"),
    (lambda state, key: "text", "nobody wrote that"),
    (lambda state, key: state[key] - 8 if state.get(key, 0) > 8 else state.get(key), "old value")])
def test_row_d13_a_wrong_value_is_exit_1_and_shown(lie, what):
    with liars(lie) as endpoints:
        done = conclave("chaos", "--simulate", "--endpoints", endpoints, "--duration", "30s",
                        "--fail-probability", "0", timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"Wrong value: node-2 gave .*{what}", done.stdout), done.stdout


def test_row_d13_the_same_members_without_a_lie_pass():
    with liars(lambda state, key: state.get(key)) as endpoints:
        done = conclave("chaos", "--simulate", "--endpoints", endpoints, "--duration", "1s",
                        timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# --- with `conclave cluster` --------------------------------------------------------------------


@pytest.fixture
def local(tmp_path):
    """`conclave cluster` in a directory of its own: a function of its verbs, and its URLs."""
    directory, port = str(tmp_path / "local"), free_port_row(3)

    def verb(*words):
        base = ["--base-port", port] if words[0] == "start" else []
        return conclave("cluster", *words, *base, "--dir", directory, timeout=60)
    verb.endpoints = [f"http://127.0.0.1:{port + i}" for i in range(3)]
    yield verb
    for pid in harness.processes_with(directory):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def leader_of(local):
    done = conclave("status", "-o", "json", "--endpoints", ",".join(local.endpoints))
    if done.returncode != 0:
        return None
    leader = json.loads(done.stdout)["leader"]
    return leader["id"] if leader else None


def test_row_d11_cluster_start_enable_faults_then_chaos(local):
    assert local("start").returncode == 0
    done = conclave("chaos", "--simulate", "--endpoints", ",".join(local.endpoints))
    assert done.returncode == 7 and "conclave cluster start --enable-faults" in done.stderr
    late = local("start", "--enable-faults")
    assert late.returncode == 2 and "stop them first" in late.stderr
    assert local("stop").returncode == 0
    assert local("start", "--enable-faults").returncode == 0
    # A member that is restarted alone has the flag, too.
    assert local("restart", "node-2").returncode == 0
    wait_for(lambda: conclave("chaos", "--simulate", "--duration", "1ms", "--endpoints",
                              ",".join(local.endpoints)).returncode == 0, "all play", timeout=30)
    assert local("stop").returncode == 0


def test_row_d10_the_master_cannot_be_written_when_it_is_down(local):
    """Killed, frozen: a write to it fails and says so; a write to whoever leads then does not."""
    assert local("start").returncode == 0
    for take_down, bring_back in (("kill", "restart"), ("pause", "resume")):
        leader = wait_for(lambda: leader_of(local), "somebody leads", timeout=20)
        own = local.endpoints[int(leader[-1]) - 1]
        assert local(take_down, leader).returncode == 0
        down = conclave("put", "k", take_down, "--endpoints", own, "--timeout", "1s")
        assert down.returncode in (5, 6, 8) and down.stderr, down
        assert local("status").returncode == 1
        wait_for(lambda: conclave("put", "k", "elsewhere", "--endpoints",
                                  ",".join(local.endpoints)).returncode == 0, "another leads",
                 timeout=30)
        assert local(bring_back, leader).returncode == 0
        wait_for(lambda: local("status").returncode == 0, f"{leader} is back", timeout=30)
    got = conclave("get", "k", "--endpoints", ",".join(local.endpoints))
    assert got.stdout.strip() in ("elsewhere", '"elsewhere"')
    assert local("stop").returncode == 0
