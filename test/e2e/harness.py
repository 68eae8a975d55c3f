"""Members of the real binary as objects: start, kill, freeze, wipe, ask. Standard library only.

The binary is $CONCLAVE, else build/conclave. Every process started here dies with the test run,
also when the run itself is killed (PR_SET_PDEATHSIG), and nothing waits without a deadline. Start
members from the main thread only: the death signal follows the thread that forked.
"""
import collections
import contextlib
import ctypes
import http.client
import http.server
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("CONCLAVE", os.path.join(ROOT, "build", "conclave"))

# Small timings, for tests that are not about the defaults.
FAST = ["--heartbeat-ms", "20", "--election-timeout-ms", "200"]
SECRET = "a-secret-for-tests"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def wait_for(predicate, what, timeout=10.0, interval=0.01):
    """The first true value of predicate(); fails with `what` after the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(interval)


def stays(predicate, what, seconds):
    """predicate() holds for all of `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert predicate(), f"no longer: {what}"
        time.sleep(0.02)


# Each worker of a run in parallel has ports of its own: those of a member that is down for a moment
# are nobody else's.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
_PORTS = range(20000 + _WORKER * 3000, 20000 + (_WORKER + 1) * 3000)
_next_port = _PORTS.start + os.getpid() % 140 * 20


def free_port():
    """A port that nobody has, below the range from which the kernel gives ports to connections."""
    global _next_port
    while True:
        _next_port += 1
        if _next_port >= _PORTS.stop:
            _next_port = _PORTS.start
        with contextlib.closing(socket.socket()) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue


def free_port_row(count):
    """`count` free ports in a row, the first of them."""
    while True:
        first = free_port()
        if all(free_port() == first + i for i in range(1, count)):
            return first


# --- HTTP ---------------------------------------------------------------------------------------


class Response(collections.namedtuple("Response", "status headers body")):
    """`headers` is case-insensitive (http.client.HTTPMessage)."""

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error's text, or None."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        return value.get("error") if isinstance(value, dict) else None


def key_path(key):
    return "/key/" + urllib.parse.quote(key, safe="")


class Client:
    """One keep-alive connection to one member; not shared between threads."""

    def __init__(self, port, timeout=5.0, tls=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout) \
            if tls is None else http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout,
                                                            context=tls)

    def request(self, method, path, body=None, headers=None):
        if isinstance(body, str):
            body = body.encode()
        self.connection.request(method, path, body=body, headers=headers or {})
        answer = self.connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())

    def close(self):
        self.connection.close()


def request(port, method, path, body=None, headers=None, timeout=5.0, tls=None):
    client = Client(port, timeout, tls)
    try:
        return client.request(method, path, body, headers)
    finally:
        client.close()


def raw(port, data, timeout=5.0, shut=False):
    """Send bytes as they are; all that comes back until close, or until `timeout` of silence."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=timeout)) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            try:
                part = s.recv(65536)
            except (socket.timeout, ConnectionResetError):
                return got
            if not part:
                return got
            got += part


def raw_status(port, data, timeout=5.0):
    """The status of the first answer to raw bytes; None when there is none."""
    m = re.match(rb"HTTP/1\.[01] (\d{3}) ", raw(port, data, timeout))
    return int(m.group(1)) if m else None


@contextlib.contextmanager
def answering(text):
    """A server that answers 200 and this text to everything: its URL."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_DELETE = do_GET

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


# --- members ------------------------------------------------------------------------------------


def _die_with_parent(file_size_max, open_files_max=None):
    def prepare():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if file_size_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_max, file_size_max))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if open_files_max is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files_max, open_files_max))
    return prepare


def clean_environment(extra=None):
    """Ours without anything that would configure a member."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("CONCLAVE_") and k not in ("NODE_ID", "PORT", "HOST", "PEERS")}
    env.update(extra or {})
    return env


def conclave(*arguments, timeout=30, env=None, cwd=None, stdin=subprocess.DEVNULL):
    """Run a verb to its end: CompletedProcess with text output."""
    return subprocess.run([BINARY, *map(str, arguments)], stdin=stdin, capture_output=True,
                          text=True, timeout=timeout, env=clean_environment(env), cwd=cwd,
                          preexec_fn=_die_with_parent(None))


class Member:
    """One `conclave server`. Its log (stdout and stderr, all starts) is kept in `log_path`."""

    ready_path = "/ping"

    def __init__(self, name, port, directory, arguments=(), env=None, file_size_max=None):
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.directory = directory
        self.data = os.path.join(directory, name + ".conclave")
        self.log_path = os.path.join(directory, name + ".log")
        self.arguments = list(arguments)
        self.env = env
        self.file_size_max = file_size_max
        self.open_files_max = None
        self.tls = None  # an ssl.SSLContext to ask it with
        self.binary = BINARY
        self.process = None

    def command(self):
        return [self.binary, "server", *self.arguments]

    def start(self, wait=True, extra=()):
        """Start it; `wait` until it answers HTTP."""
        assert not self.is_running(), f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command(), *extra], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=clean_environment(self.env), cwd=self.directory,
                preexec_fn=_die_with_parent(self.file_size_max, self.open_files_max))
        if wait:
            self.wait_answers()
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait_answers(self, timeout=10.0):
        def answers():
            assert self.is_running(), \
                f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                return request(self.port, "GET", self.ready_path, timeout=1,
                               tls=self.tls).status == 200
        wait_for(answers, f"{self.name} answers {self.ready_path}", timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and gone when this returns."""
        if self.is_running():
            self.process.kill()
        if self.process is not None:
            self.process.wait(10)

    def freeze(self):
        """SIGSTOP, and stopped when this returns."""
        self.signal(signal.SIGSTOP)
        stat = f"/proc/{self.process.pid}/stat"

        def stopped():
            with open(stat, encoding="ascii", errors="replace") as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        wait_for(stopped, f"{self.name} is stopped", interval=0.001)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def wait_exit(self, timeout=10.0):
        """Its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {timeout} s:\n{self.log_tail()}") from None

    def terminate(self, timeout=6.0):
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def wipe(self):
        """Lose the disk."""
        assert not self.is_running()
        shutil.rmtree(self.data, ignore_errors=True)

    def request(self, method, path, body=None, headers=None, timeout=5.0):
        return request(self.port, method, path, body, headers, timeout, self.tls)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, key, value, query="", **kw):
        return self.request("PUT", key_path(key) + query, json.dumps(value), **kw)

    def delete(self, key, query="", **kw):
        return self.request("DELETE", key_path(key) + query, **kw)

    def read(self, key, query="", **kw):
        return self.request("GET", key_path(key) + query, **kw)

    def status(self, timeout=2.0):
        """/status as a dict; None when it does not answer."""
        try:
            return self.get("/status", timeout=timeout).json()
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_tail(self, lines=60):
        return "\n".join(self.log().split("\n")[-lines:])

    def wait_log(self, pattern, timeout=10.0):
        return wait_for(lambda: re.search(pattern, self.log()), f"{self.name} logs /{pattern}/",
                        timeout)


# All that live in this test, for the report of a failure and for the clean-up.
MEMBERS = []

LEADER_LINE = re.compile(r"\[([^\]]+)\] \N{CROWN} Became LEADER for term (\d+)")


class Cluster:
    """`count` members that list each other, in a temporary directory of their own."""

    def __init__(self, count=3, arguments=FAST, secret=SECRET, names=None, directory=None):
        self.keep = bool(os.environ.get("KEEP"))
        self.directory = directory or tempfile.mkdtemp(prefix="conclave-e2e-")
        os.makedirs(self.directory, exist_ok=True)
        names = names or [f"node-{i + 1}" for i in range(count)]
        ports = [free_port() for _ in names]
        urls = [f"http://127.0.0.1:{p}" for p in ports]
        self.members = []
        for i, (name, port) in enumerate(zip(names, ports)):
            own = ["--name", name, "--listen", f"127.0.0.1:{port}",
                   "--data", os.path.join(self.directory, name + ".conclave")]
            if len(urls) > 1:
                own += ["--peers", ",".join(u for k, u in enumerate(urls) if k != i)]
            if secret is not None:
                own += ["--cluster-secret-file", self.write_file("secret", secret)]
            self.add(Member(name, port, self.directory, own + list(arguments)))

    def add(self, member):
        self.members.append(member)
        MEMBERS.append(member)
        return member

    def write_file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getitem__(self, index):
        return self.members[index]

    def __iter__(self):
        return iter(self.members)

    def start(self):
        for m in self.members:
            m.start(wait=False)
        self.wait_leader()
        return self

    def running(self):
        return [m for m in self.members if m.is_running()]

    def others(self, *members):
        return [m for m in self.members if m not in members]

    def leader_now(self, among=None):
        """The one leader that all of `among` (default: those that run) agree on, or None."""
        statuses = [(m, m.status()) for m in (among or self.running())]
        if not statuses or any(s is None or s["role"] is None for _, s in statuses):
            return None
        if len({(s["leaderId"], s["term"]) for _, s in statuses}) != 1:
            return None
        leaders = [m for m, s in statuses if s["role"] == "leader" and s["leaderId"] == m.name]
        return leaders[0] if len(leaders) == 1 else None

    def wait_leader(self, among=None, timeout=15.0, not_=None):
        """Wait until they agree on a leader (other than `not_`) and it takes writes."""
        def agreed():
            assert self.running(), f"nobody runs:\n{self.members[0].log_tail()}"
            for m in self.members:
                if m in (among or self.members) and m.process is not None and not m.is_running():
                    assert m.process.returncode in (-9, 0), \
                        f"{m.name} ended with {m.process.returncode}:\n{m.log_tail()}"
            leader = self.leader_now(among)
            return leader if leader is not not_ else None
        return wait_for(agreed, "the members agree on a leader", timeout)

    def while_led(self, action):
        """action() while one member led one term all the time: (leader, term, result). On a busy
        machine the leader may change under it; then again."""
        for _ in range(20):
            leader = self.wait_leader()
            term = leader.status()["term"]
            result = action()
            if self.leader_now() is leader and leader.status()["term"] == term:
                return leader, term, result
        raise AssertionError("the leader changes all the time")

    def followers(self, leader=None):
        leader = leader or self.wait_leader()
        return [m for m in self.running() if m is not leader]

    def put(self, key, value, timeout=10.0):
        """Write by whoever leads, until it is acknowledged: the answer."""
        def done():
            for m in self.running():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    answer = m.put(key, value)
                    if answer.status == 200:
                        return answer
        return wait_for(done, f"a write of {key} is acknowledged", timeout).json()

    def wait_same(self, timeout=15.0):
        """Wait until every running member has applied the same; the revision."""
        def same():
            statuses = [m.status() for m in self.running()]
            if any(s is None for s in statuses):
                return None
            seen = {(s["revision"], s["totalKeys"], s["commitIndex"], s["appliedIndex"])
                    for s in statuses}
            return seen.pop()[0] if len(seen) == 1 else None
        return wait_for(same, "all members have applied the same", timeout)

    def check_one_leader_a_term(self):
        """Rows A3 and B18: over all logs, no term has two LEADER lines."""
        terms = {}
        for m in self.members:
            for name, term in LEADER_LINE.findall(m.log()):
                first = terms.setdefault(int(term), name)
                assert first == name, f"term {term} was led by {first} and by {name}"
        counts = collections.Counter(
            int(t) for m in self.members for _, t in LEADER_LINE.findall(m.log()))
        assert all(n == 1 for n in counts.values()), f"a term with two LEADER lines: {counts}"
        return terms

    def close(self):
        for m in self.members:
            if m.process is not None:
                m.kill()
            if m in MEMBERS:
                MEMBERS.remove(m)
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def dump(member, prefix="", consistency="stale"):
    """Every key of one member with its value: {key: (value, revision)}, page by page."""
    found, after = {}, None
    client = Client(member.port, timeout=20)
    try:
        while True:
            query = {"prefix": prefix, "limit": "1000", "values": "true",
                     "consistency": consistency}
            if after is not None:
                query["after"] = after
            page = client.request("GET", "/keys?" + urllib.parse.urlencode(query)).json()
            for item in page["keys"]:
                assert item["key"] not in found, f"{item['key']} is listed twice"
                found[item["key"]] = (item["value"], item["revision"])
            if not page["more"]:
                return found
            after = page["next"]
    finally:
        client.close()


def processes_with(text):
    """Pids of processes whose command line contains `text` (a directory of the test's own)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if text.encode() in f.read() and int(pid) != os.getpid():
                    found.append(int(pid))
    return found


def in_threads(functions, timeout=60.0):
    """Run all at once; re-raise the first failure."""
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as e:  # noqa: B902 - handed to the main thread
            failures.append(e)
    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout)
        assert not t.is_alive(), "a thread of the test hangs"
    if failures:
        raise failures[0]
