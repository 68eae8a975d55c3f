"""`conclave server`: flags, environment and files, which wins, and what a wrong one answers."""
import glob
import os
import re

import pytest

from harness import ROOT, conclave, free_port


@pytest.fixture
def lone(make_cluster):
    """A cluster of one whose arguments a test chooses: lone(arguments, env) starts it."""
    c = make_cluster(1, start=False, secret=None)

    def start(arguments, env=None, wait=True):
        m = c[0]
        if m.process is not None:
            m.kill()
        m.arguments, m.env = arguments, env
        return m.start(wait=wait)
    start.cluster = c
    return start


@pytest.mark.parametrize("arguments,words", [
    (["--listen", "nonsense"], ["--listen"]),
    (["--listen", "127.0.0.1:99999"], ["--listen"]),
    (["--listen", "127.0.0.1:"], ["--listen"]),
    (["--name", ".dot"], ["--name"]),
    (["--name", "a b"], ["--name"]),
    (["--name", "x" * 65], ["--name"]),
    (["--name", ""], ["--name"]),
    (["--peers", "ftp://x"], ["--peers"]),
    (["--heartbeat-ms", "0"], ["--heartbeat-ms"]),
    (["--heartbeat-ms", "100", "--election-timeout-ms", "200"], ["--election-timeout-ms", "300"]),
    (["--election-timeout-ms", "abc"], ["--election-timeout-ms"]),
    (["--ack", "most"], ["--ack", "leader", "quorum", "all"]),
    (["--history", "ten"], ["--history"]),
    (["--quota-bytes", "-1"], ["--quota-bytes"]),
    (["--log-level", "loud"], ["--log-level"]),
    (["--log-format", "xml"], ["--log-format"]),
    (["--cluster-secret-file", "no/such/file"], ["no/such/file"]),
    (["--config", "no/such/file"], ["no/such/file"]),
    (["--nam", "x"], ["--nam", "--name"]),
    (["--name"], ["--name"]),
    (["--peers", "http://127.0.0.1:1,http://127.0.0.1:1"], ["--peers"]),
    (["--listen", "0.0.0.0:4999"], ["--cluster-secret-file", "--insecure"]),
], ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else None)
def test_a_wrong_flag_is_exit_2_and_names_it(arguments, words, tmp_path):
    if "--listen" not in arguments:
        arguments = ["--listen", f"127.0.0.1:{free_port()}", *arguments]
    done = conclave("server", *arguments, timeout=5, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_the_documents_name_every_flag():
    flags = re.findall(r"^  (--[a-z-]+)", conclave("server", "--help").stdout, re.MULTILINE)
    text = ""
    for path in glob.glob(os.path.join(ROOT, "docs", "*.md")):
        with open(path, encoding="utf-8") as f:
            text += f.read()
    assert len(flags) > 40
    assert [f for f in flags if not re.search(re.escape(f) + r"(?![\w-])", text)] == []


def test_a_short_election_timeout_is_warned_about(lone):
    port = lone.cluster[0].port
    m = lone(["--listen", f"127.0.0.1:{port}", "--heartbeat-ms", "50",
              "--election-timeout-ms", "200"])
    m.wait_log(r"warning: .*election")


def test_flag_beats_environment_beats_seed_name_beats_file_beats_default(lone):
    c = lone.cluster
    port = c[0].port
    config = c.write_file("c.yaml", f"name: from-file\nlisten: 127.0.0.1:{port}\n")
    listen = ["--config", config]
    assert lone(listen).status()["nodeId"] == "from-file"
    c[0].kill()
    seeds = {"NODE_ID": "from-seed", "PORT": str(port)}
    assert lone(listen, seeds).status()["nodeId"] == "from-seed"
    both = {**seeds, "CONCLAVE_NAME": "from-env"}
    assert lone(listen, both).status()["nodeId"] == "from-env"
    assert lone([*listen, "--name", "from-flag"], both).status()["nodeId"] == "from-flag"
    m = lone(["--listen", f"127.0.0.1:{port}"])
    assert m.status()["nodeId"] == "node-1"


def test_one_file_serves_all_members_in_yaml_and_json(make_cluster):
    c = make_cluster(3, start=False)
    ports = [m.port for m in c]
    yaml = ("heartbeat-ms: 20\nelection-timeout-ms: 200\n"
            f"cluster-secret-file: {c.directory}/secret\n"
            "peers: [" + ", ".join(m.url for m in c) + "]\nmembers:\n" +
            "".join(f"  {m.name}: {{listen: '127.0.0.1:{m.port}'}}\n" for m in c))
    path = c.write_file("all.yaml", yaml)
    for m in c:
        m.arguments = ["--name", m.name, "--config", path]
    assert c.start().put("k", 1)["success"] is True
    assert len(set(ports)) == 3


def test_a_json_file_works_too(lone):
    c = lone.cluster
    path = c.write_file("c.json", '{"name": "json-one", "listen": "127.0.0.1:%d"}' % c[0].port)
    assert lone(["--config", path]).status()["nodeId"] == "json-one"


@pytest.mark.parametrize("text,line", [
    ("name: a\nlissten: 127.0.0.1:1\n", 2),
    ("name: a\n\n# c\nheartbeat_ms: 50\n", 4),
    ("name: a\nmembers:\n  a:\n    nope: 1\n", 4),
    ("name: a\nlog-level: loud\n", 2),
    ("name: [a\n", None),
    ("{\"name\": \"a\",\n \"nope\": 1}", 2),
], ids=["unknown key", "underscore", "unknown key of a member", "bad value", "bad YAML", "JSON"])
def test_a_wrong_settings_file_is_exit_2_with_its_line(tmp_path, text, line):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    done = conclave("server", "--config", path, timeout=5, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert str(path) in done.stderr
    if line is not None:
        assert re.search(rf"\b{line}\b", done.stderr.replace(str(path), ""))


def test_logs_can_be_json_and_go_to_stderr(lone):
    import json
    port = lone.cluster[0].port
    m = lone(["--listen", f"127.0.0.1:{port}", "--log-format", "json", "--name", "j"])
    m.terminate()
    lines = [json.loads(x) for x in m.log().strip().split("\n") if not x.startswith(("[j]", "  "))]
    assert all(x["node"] == "j" and x["level"] and x["message"] for x in lines)


def test_nothing_is_logged_per_request_at_the_default_level(lone):
    port = lone.cluster[0].port
    m = lone(["--listen", f"127.0.0.1:{port}"])
    lone.cluster.wait_leader()
    before = len(m.log())
    for n in range(50):
        m.put("k", n)
        m.read("k")
    assert len(m.log()) - before < 200
    assert "50" not in m.log()[before:]


def test_cors_origin_is_a_setting(lone):
    port = lone.cluster[0].port
    listen = ["--listen", f"127.0.0.1:{port}"]
    m = lone([*listen, "--cors-origin", "https://a.example"])
    assert m.get("/status").headers["Access-Control-Allow-Origin"] == "https://a.example"
    m = lone([*listen, "--cors-origin", "none"])
    assert m.get("/status").headers["Access-Control-Allow-Origin"] is None


def test_the_secret_may_come_from_the_environment(make_cluster):
    c = make_cluster(3, start=False, secret=None)
    for m in c:
        m.env = {"CONCLAVE_CLUSTER_SECRET": "from the environment"}
    assert c.start().put("k", 1)["success"] is True
    assert not any("from the environment" in m.log() for m in c)


# --- rows E1 and C1: the settings file ------------------------------------------------------------


@pytest.mark.parametrize("text,words", [
    ('{"name": "a", ', ["not readable"]),
    ('{"name": "a"} {', []),
    ("[1, 2]", ["map of keys"]),
    ('"text"', ["map of keys"]),
    ("name:\n", ["name", "needs a value"]),
    ("heartbeat-ms: fast\n", ["heartbeat-ms", "50"]),
    ("heartbeat-ms: {a: 1}\n", ["heartbeat-ms"]),
    ("heartbeat-ms: -5\n", ["heartbeat-ms"]),
    ("listen: [1]\n", ["listen"]),
    ("peers: 5\n", ["peers"]),
    ("insecure: perhaps\n", ["insecure"]),
    ("members: []\n", ["members"]),
    ("members:\n  node-1: 3\n", ["node-1"]),
    ("members:\n  node-1: {lissten: x}\n", ["lissten", "listen"]),
    ("self_id: 1\n", ["self_id"]),
    ("registry: a.json\npeers: [http://127.0.0.1:1]\n", ["registry", "peers"]),
], ids=lambda v: v if isinstance(v, str) else "")
def test_e1_c1_a_bad_settings_file_is_exit_2_and_names_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "settings.json"
    path.write_text(text)
    done = conclave("server", "--config", path, timeout=5, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert str(path) in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["settings.json"], "nothing was begun"


def test_e1_c1_a_missing_settings_file_or_a_directory_is_exit_2_and_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        done = conclave("server", "--config", path, timeout=5, cwd=tmp_path)
        assert done.returncode == 2 and str(path) in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finding", ["peers", "registry"])
def test_e1_c1_one_file_serves_every_member_and_only_the_name_differs(make_cluster, finding):
    import json

    from harness import wait_for
    c = make_cluster(3, start=False, secret=None)
    settings = {"heartbeat-ms": 20, "election-timeout-ms": 200,
                "members": {m.name: {"listen": f"127.0.0.1:{m.port}"} for m in c}}
    settings[finding] = [m.url for m in c] if finding == "peers" else c.directory + "/cluster.json"
    path = c.write_file("settings.json", json.dumps(settings))
    for m in c:
        m.arguments, m.env = ["--config", path], {"NODE_ID": m.name}
        m.start(wait=False)
    c.wait_leader(timeout=60)
    wait_for(lambda: all(len(m.get("/cluster").json()["cluster"]) == 3 for m in c),
             "three members in one cluster", 60)
    assert c.put("k", 1)["success"] is True
