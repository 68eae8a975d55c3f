"""The client's verbs against a cluster that asks who they are: --user, and its password."""
import base64
import http.server
import json
import signal
import subprocess
import threading

import pytest

import harness
from harness import BINARY, clean_environment, conclave, wait_for

ROOT = {"CONCLAVE_USER": "root", "CONCLAVE_PASSWORD": "pw"}
ALICE = {"CONCLAVE_USER": "alice", "CONCLAVE_PASSWORD": "wonder: land"}
ASKS = "this cluster asks for a user: --user NAME"
WRONG = "is no user of this cluster, or has another password"


def text64(text):
    return base64.b64encode(text.encode()).decode()


def call(member, route, token=None, **body):
    headers = {"Authorization": token} if token else None
    answer = member.request("POST", "/v3/auth" + route, json.dumps(body), headers=headers)
    assert answer.status == 200, answer.body
    return answer.json()


def add_root(one):
    call(one, "/user/add", name="root", password="pw")
    call(one, "/role/add", name="root")
    call(one, "/user/grant", user="root", role="root")


@pytest.fixture(name="members", scope="module")
def members_with_auth():
    """Three members; root may do everything, alice read and write what begins with foo. Wrong
    passwords are eve's, so that alice need not wait for them."""
    with harness.Cluster(3) as cluster:
        cluster.start()
        leader = cluster.wait_leader()
        add_root(leader)
        call(leader, "/role/add", name="r")
        call(leader, "/role/grant", name="r", perm={
            "permType": "READWRITE", "key": text64("foo"), "range_end": text64("fop")})
        call(leader, "/user/add", name="alice", password="wonder: land")
        call(leader, "/user/grant", user="alice", role="r")
        call(leader, "/user/add", name="eve", password="snake")
        call(leader, "/enable")
        cluster.wait_same()
        yield cluster


# FILE: one that may be written.
VERBS = [("put", "foo/a", "1"), ("get", "foo/a"), ("ls", "foo/"), ("del", "foo/a"), ("members",),
         ("log",), ("verify",), ("snapshot", "save", "FILE")]
TURNS = [("lock", "foo/turn", "--", "true"), ("elect", "foo/turn", "--", "true")]


def do(members, verb, tmp_path, env=None, flags=()):
    """Flags go before the command of lock and elect."""
    words = [str(tmp_path / "file.snap") if word == "FILE" else word for word in verb]
    urls = ",".join(m.url for m in members)
    head = 2 if words[0] == "snapshot" else 1
    return conclave(*words[:head], "--endpoints", urls, *flags, *words[head:], env=env)


@pytest.mark.parametrize("verb", VERBS + TURNS, ids=lambda verb: verb[0])
def test_every_verb_says_who_it_is(members, tmp_path, verb):
    done = do(members, ("put", "foo/a", "0"), tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    done = do(members, verb, tmp_path, ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS + TURNS, ids=lambda verb: verb[0])
def test_without_a_user_each_says_how_to_name_one(members, tmp_path, verb):
    done = do(members, verb, tmp_path)
    if verb[0] == "verify":  # tells what is wrong with each member
        assert done.returncode == 1 and "--user" in done.stdout
    else:
        assert (done.returncode, done.stdout) == (7, "") and ASKS in done.stderr, done


@pytest.mark.parametrize("verb", [("get", "foo/a"), TURNS[0], ("watch", "foo/")],
                         ids=lambda verb: verb[0])
@pytest.mark.parametrize("user,password", [("eve", "wonder"), ("nobody", "pw")])
def test_a_wrong_password_and_an_unknown_user_read_the_same(members, tmp_path, verb, user,
                                                            password):
    done = do(members, verb, tmp_path, {"CONCLAVE_PASSWORD": password}, ["--user", user])
    assert done.returncode == 7 and f"{user} {WRONG}" in done.stderr, done
    assert password not in done.stderr.replace("nobody", "")


def test_what_a_user_may_not_do_is_refused(members, tmp_path):
    assert do(members, ("put", "foo/b", "2"), tmp_path, ALICE).returncode == 0
    assert do(members, ("get", "foo/b"), tmp_path, ALICE).stdout == "2\n"
    for verb in (("put", "bar", "1"), ("get", "bar"), ("lock", "bar", "--", "true"), ("log",)):
        done = do(members, verb, tmp_path, ALICE)
        assert done.returncode == 7 and done.stderr and ASKS not in done.stderr, done
    # What everybody may see needs nobody.
    assert do(members, ("status",), tmp_path).returncode == 0


def test_the_password_comes_from_a_file_or_the_environment_and_never_from_the_flags(members,
                                                                                    tmp_path):
    file = tmp_path / "password"
    file.write_text("wonder: land\n")
    get = ("get", "foo/c")
    assert do(members, ("put", "foo/c", "3"), tmp_path, ALICE).returncode == 0
    flags = ["--user", "alice", "--password-file", file]
    assert do(members, get, tmp_path, None, flags).stdout == "3\n"
    for line_end in ("", "\r\n"):
        file.write_bytes(b"wonder: land" + line_end.encode())
        assert do(members, get, tmp_path, None, flags).stdout == "3\n"
    for more in ("\n\n", "\r\n\r\n", "\r"):  # one line end is the editor's, another is meant
        file.write_bytes(b"wonder: land" + more.encode())
        done = do(members, get, tmp_path, None, flags)
        assert done.returncode == 7 and WRONG in done.stderr, (more, done)
    file.write_text("wonder: land\n")
    # The flag wins over the variable.
    assert do(members, get, tmp_path, {"CONCLAVE_PASSWORD": "x"}, flags).stdout == "3\n"
    file.write_text("")
    for flags, env, text in (
            (flags, None, "is empty"),
            (["--user", "alice", "--password-file", tmp_path / "none"], None, "cannot be read"),
            (["--user", "alice", "--password-file", tmp_path], None, "cannot be read"),
            (["--user", "alice:wonder"], None, "CONCLAVE_PASSWORD or --password-file"),
            (["--user", "alice"], None, "the password of alice is missing"),
            (["--user", "a" * 257], {"CONCLAVE_PASSWORD": "x"}, "1 to 256 bytes"),
            (["--password-file", file], None, "--user NAME")):
        done = do(members, get, tmp_path, env, flags)
        assert done.returncode == 2 and text in done.stderr, done.stderr


def test_a_lock_is_kept_and_waited_for_by_users(members, tmp_path):
    """The keep-alives and the watch on the one before are made in the user's name, too."""
    urls = ",".join(m.url for m in members)
    held, told = tmp_path / "held", tmp_path / "told"
    first = subprocess.Popen(
        [BINARY, "lock", "--endpoints", urls, "--ttl", "2s", "foo/kept", "--", "sh", "-c",
         f"touch {held}; while ! test -e {told}; do sleep 0.05; done"],
        env=clean_environment(ALICE), preexec_fn=harness._die_with_parent(None))
    second = None
    try:
        wait_for(held.exists, "the lock is held", 30)
        second = subprocess.Popen(
            [BINARY, "lock", "--endpoints", urls, "foo/kept", "--", "true"],
            env=clean_environment(ROOT), preexec_fn=harness._die_with_parent(None))
        leader = members.wait_leader()
        before = {"Authorization": "Basic " + text64("root:pw")}

        def places():
            answer = leader.request("GET", "/keys?prefix=foo/kept/", headers=before)
            return len(answer.json()["keys"])
        wait_for(lambda: places() == 2, "both stand in the queue", 30)
        # The tokens of both are no good afterwards: they log in again.
        token = call(leader, "/authenticate", name="root", password="pw")["token"]
        call(leader, "/disable", token)
        call(leader, "/enable")
        # Longer than the first one's lease: it lives on keep-alives.
        harness.stays(lambda: first.poll() is None and second.poll() is None, "one waits", 3)
        told.touch()
        assert first.wait(30) == 0
        assert second.wait(30) == 0
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()


def test_a_watch_is_a_users(members, tmp_path):
    urls = ",".join(m.url for m in members)
    out = tmp_path / "out"
    with open(out, "w") as file:
        process = subprocess.Popen([BINARY, "watch", "foo/", "--endpoints", urls, "-o", "json"],
                                   env=clean_environment(ALICE), stdout=file,
                                   preexec_fn=harness._die_with_parent(None))
    try:
        def is_told():
            do(members, ("put", "foo/seen", "7"), tmp_path, ALICE)
            return "foo/seen" in out.read_text()
        wait_for(is_told, "the change is told", 30, 0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_user_where_nobody_asks_does_not_matter(single, tmp_path):
    for verb in (("put", "foo/a", "1"), ("get", "foo/a"), *TURNS):
        done = do([single], verb, tmp_path, {"CONCLAVE_USER": "x", "CONCLAVE_PASSWORD": "y"})
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_load_is_a_users(members, protocol):
    load = ("bench", "put", "--protocol", protocol, "--seconds", "0.3", "--warmup", "0.1", "--keys",
            "9", "--timeout", "20s", "--json", "--endpoints", ",".join(m.url for m in members))

    def put(env, prefix="foo/"):
        return conclave(*load, "--prefix", prefix, env=env, timeout=60)
    told = json.loads(put(ALICE).stdout)
    assert (told["errors_by_kind"], told["requests"] > 0) == ({}, True)
    nobody = put(None)
    assert nobody.returncode == 1 and json.loads(nobody.stdout)["requests"] == 0
    wrong = put({"CONCLAVE_USER": "eve", "CONCLAVE_PASSWORD": "wonder"})
    assert wrong.returncode == 7 and WRONG in wrong.stderr
    assert put(ALICE, "bar/").returncode == 1


def test_a_load_logs_in_again_when_its_token_is_no_good(members):
    urls = ",".join(m.url for m in members)
    process = subprocess.Popen(
        [BINARY, "bench", "put", "--endpoints", urls, "--prefix", "foo/renew/", "--warmup", "0",
         "--json", "--seconds", "6", "--rate", "50", "--timeout", "20s"],
        env=clean_environment(ALICE), stdout=subprocess.PIPE, text=True,
        preexec_fn=harness._die_with_parent(None))
    try:
        leader = members.wait_leader()
        root = {"Authorization": "Basic " + text64("root:pw")}

        def is_loading():
            return leader.request("GET", "/keys?prefix=foo/renew/", headers=root).json()["keys"]
        wait_for(is_loading, "the load has begun", 30)
        token = call(leader, "/authenticate", name="root", password="pw")["token"]
        call(leader, "/disable", token)
        call(leader, "/enable")
        told = json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        process.wait()
    assert told["errors"] > 0 and all("token" in kind for kind in told["errors_by_kind"]), told
    assert told["requests"] > told["errors"]


def test_a_cluster_on_this_machine_grows_and_shrinks_by_a_user(tmp_path):
    base = harness.free_port_row(4)

    def cluster(*words, env=None):
        return conclave("cluster", *words, "--dir", tmp_path / "c", env=env, timeout=60)
    started = cluster("start", "--base-port", base, "--nodes", "3")
    assert started.returncode == 0, started.stderr
    try:
        one = harness.Client(base)
        add_root(one)
        call(one, "/enable")
        for words in (["add"], ["remove", "node-3"]):
            refused = cluster(*words)
            assert refused.returncode == 7 and ASKS in refused.stderr, refused
        assert len(cluster("status").stdout.splitlines()) == 4  # a heading, and three of them
        for words in (["add"], ["remove", "node-4"]):
            done = cluster(*words, env=ROOT)
            assert done.returncode == 0, done.stderr
        unknown = cluster("add", env={"CONCLAVE_USER": "root"})
        assert unknown.returncode == 2 and "the password of root is missing" in unknown.stderr
    finally:
        assert cluster("stop").returncode == 0


class Smuggler(http.server.BaseHTTPRequestHandler):
    """Gives everybody a token that would be two lines of a header."""
    heads = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.heads.append(self.headers)
        body = json.dumps({"token": "x\r\nSmuggled: yes"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_token_that_is_more_than_a_word_is_refused():
    server = http.server.HTTPServer(("127.0.0.1", 0), Smuggler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = conclave("lock", "--endpoints", f"http://127.0.0.1:{server.server_port}",
                        "foo", "--", "true", env=ALICE)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode != 0, done
    assert Smuggler.heads and all("Smuggled" not in head for head in Smuggler.heads)
