"""Bad and odd HTTP over raw sockets: each has a clear answer, and the member lives on."""
import asyncio
import contextlib
import json
import resource
import socket
import threading
import time

import pytest

from harness import Client, key_path, raw, raw_status, request


@pytest.fixture(autouse=True)
def member_lives_on(single):
    yield
    assert single.is_running()
    assert request(single.port, "GET", "/ping").body == b"pong"


def get(path, *headers, version="1.1"):
    lines = [f"GET {path} HTTP/{version}", "Host: x", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def put(*headers, body="", path="/key/smuggled"):
    return ("\r\n".join([f"PUT {path} HTTP/1.1", "Host: x", *headers]) + "\r\n\r\n" + body).encode()


# (what, bytes, statuses that are right)
BAD = [
    ("both lengths", put("Content-Length: 1", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
     {400}),
    ("both, other order", put("Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n"),
     {400}),
    ("two lengths that differ", put("Content-Length: 1", "Content-Length: 2", body="12"), {400}),
    ("length with a sign", put("Content-Length: +1", body="1"), {400}),
    ("negative length", put("Content-Length: -1"), {400}),
    ("length in hex", put("Content-Length: 0x1", body="1"), {400}),
    ("length beyond 64 bits", put("Content-Length: 99999999999999999999"), {400, 413}),
    ("length list", put("Content-Length: 1, 1", body="1"), {400}),
    ("unknown coding", put("Transfer-Encoding: gzip", body="1"), {400, 501}),
    ("chunked not last", put("Transfer-Encoding: chunked, gzip", body="0\r\n\r\n"), {400, 501}),
    ("chunked hidden by a tab", put("Transfer-Encoding:\x0bchunked", body="0\r\n\r\n"), {400, 501}),
    ("space before the colon", put("Content-Length : 1", body="1"), {400}),
    ("folded header", put("X: a\r\n b", "Content-Length: 1", body="1"), {400}),
    ("header without a name", put(": x", "Content-Length: 1", body="1"), {400}),
    ("NUL in a header", put("X: a\0b", "Content-Length: 1", body="1"), {400}),
    ("bare CR in a header", put("X: a\rb", "Content-Length: 1", body="1"), {400}),
    ("bare LF lines", b"GET /ping HTTP/1.1\nHost: x\n\n", {400}),
    ("bad chunk size", put("Transfer-Encoding: chunked", body="zz\r\n1\r\n0\r\n\r\n"), {400}),
    ("huge chunk size", put("Transfer-Encoding: chunked", body="f" * 17 + "\r\n1"), {400, 413}),
    ("chunk longer than said", put("Transfer-Encoding: chunked", body="1\r\n12\r\n0\r\n\r\n"),
     {400}),
    ("no host", b"GET /ping HTTP/1.1\r\n\r\n", {400}),
    ("two hosts", b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    ("no version", b"GET /ping\r\n\r\n", {400, 505}),
    ("version 3", get("/ping", version="3.0"), {400, 505}),
    ("garbage", b"\x00\x01\x02\x03\xff\xfe garbage\r\n\r\n", {400}),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, {400}),
    ("an HTTP/2 preface with a wrong letter", b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n",
     {400, 505}),
    ("target without a slash", get("ping"), {400, 404}),
    ("space in the target", b"GET /key/a b HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    ("long URL", get("/key/" + "x" * 20000), {414}),
    ("huge header", get("/ping", "X: " + "y" * 70000), {431}),
    ("many headers", get("/ping", *[f"X-{i}: 1" for i in range(500)]), {431}),
    ("100 MB said", put("Content-Length: 104857600", body="1"), {413}),
    ("CONNECT", b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405, 501}),
    ("upgrade to what is not there", get("/key/x", "Connection: Upgrade", "Upgrade: websocket"),
     {200, 400, 404, 426}),
]


@pytest.mark.parametrize("data,statuses", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_request_is_refused_by_status_and_stores_nothing(single, data, statuses):
    before = single.status()["revision"]
    assert raw_status(single.port, data, timeout=3) in statuses
    assert single.status()["revision"] == before


@pytest.mark.parametrize("data,statuses", [b[1:] for b in BAD[:10]], ids=[b[0] for b in BAD[:10]])
def test_a_request_smuggled_behind_a_bad_one_is_never_answered(single, data, statuses):
    answers = raw(single.port, data + put("Content-Length: 1", body="1"), timeout=1)
    assert answers.count(b"HTTP/1.1 ") <= 1
    assert single.read("smuggled").status == 404


def test_errors_of_the_protocol_have_the_form_and_headers_of_all_errors(single):
    answer = raw(single.port, get("/ping", "X: " + "y" * 70000), timeout=3)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert "error" in json.loads(body)
    assert b"access-control-allow-origin: *" in head.lower()
    assert b"connection: close" in head.lower()


@pytest.mark.parametrize("path", ["//", "//x/y", "/%", "/%2e%2e/etc/passwd", "/?", "/key?x",
                                  "/a?b?c", "*", "http://other.example/ping", "///"])
def test_odd_targets_are_answered(single, path):
    assert raw_status(single.port, get(path, "Connection: close")) in (200, 400, 404)


def test_row_a22_get_double_slash_with_a_host_does_no_harm(single):
    assert raw_status(single.port, b"GET // HTTP/1.1\r\nHost: a.example\r\n"
                                   b"Connection: close\r\n\r\n") in (400, 403, 404)


def test_row_a23_a_body_of_100_mb_is_413_and_not_taken_in(single):
    sent = 0
    with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
        s.sendall(put("Content-Length: 104857600"))
        with contextlib.suppress(OSError):
            for _ in range(1600):
                s.sendall(b"x" * 65536)
                sent += 65536
        with contextlib.suppress(OSError):
            assert s.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert sent < 100 << 20


def test_row_a23_a_chunked_body_beyond_the_limit_is_413(single):
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
        s.sendall(put("Transfer-Encoding: chunked"))
        got = b""
        with contextlib.suppress(OSError):
            for _ in range(64):
                s.sendall(chunk)
        with contextlib.suppress(OSError):
            got = s.recv(4096)
        assert got == b"" or got.startswith(b"HTTP/1.1 413 ")
    assert single.read("smuggled").status == 404


def test_row_a23_a_value_at_the_limit_passes_and_one_above_is_413(single):
    limit = 1536 * 1024
    fits, over = b'"' + b"x" * (limit - 2) + b'"', b'"' + b"x" * (limit - 1) + b'"'
    assert request(single.port, "PUT", key_path("limit"), fits).status == 200
    answer = request(single.port, "PUT", key_path("limit"), over)
    assert answer.status == 413 and answer.error
    assert len(single.read("limit").json()["value"]) == limit - 2
    single.delete("limit")


def test_row_a23_a_chunked_body_is_accepted_however_it_is_cut(single):
    body = b"5\r\n\"chun\r\n3;ext=1\r\nked\r\n1\r\n\"\r\n0\r\nTrailer: x\r\n\r\n"
    data = put("Transfer-Encoding: chunked", "Connection: close", path="/key/chunked") + body
    assert raw_status(single.port, data) == 200
    assert single.read("chunked").json()["value"] == "chunked"
    with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            s.sendall(bytes([byte]))
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_row_a23_a_slow_body_is_cut_off_while_others_are_served(single):
    """A byte a second is slower than LIMIT_HTTP_REQUEST_MS (10 s) allows."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
        s.sendall(put("Content-Length: 1000", path="/key/slow"))
        s.settimeout(0.5)
        got, started = b"", time.monotonic()
        while time.monotonic() - started < 20:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(b"1")
            asked = time.monotonic()
            assert request(single.port, "GET", "/ping").status == 200
            assert time.monotonic() - asked < 0.5
            try:
                got = s.recv(4096)
                break
            except socket.timeout:
                continue
            except ConnectionResetError:
                break
        assert time.monotonic() - started < 15
        assert got == b"" or got.startswith(b"HTTP/1.1 408 ")
    assert single.read("slow").status == 404


def test_a_body_that_ends_too_early_stores_nothing(single):
    raw(single.port, put("Content-Length: 10", body="12345", path="/key/early"), 2, shut=True)
    raw(single.port, put("Transfer-Encoding: chunked", body="5\r\n12345\r\n", path="/key/early"), 2,
        shut=True)
    assert single.read("early").status == 404


def test_expect_100_continue_is_answered(single):
    with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
        s.sendall(put("Content-Length: 1", "Expect: 100-continue", path="/key/expect"))
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"1")
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


def read_answers(port, data, count):
    """Bodies of `count` answers on one connection."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 5)) as s:
        s.sendall(data)
        stream = s.makefile("rb")
        bodies = []
        for _ in range(count):
            status = int(stream.readline().split()[1])
            length = None
            while True:
                line = stream.readline().strip()
                if not line:
                    break
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            bodies.append((status, stream.read(length)))
        return bodies


def test_pipelined_requests_are_answered_in_order(single):
    count = 200
    data = b"".join(put("Content-Length: %d" % len(str(i)), body=str(i), path=f"/key/pipe{i}") +
                    get(f"/key/pipe{i}") for i in range(count))
    answers = read_answers(single.port, data, 2 * count)
    for i in range(count):
        (put_status, put_body), (get_status, get_body) = answers[2 * i:2 * i + 2]
        assert (put_status, get_status) == (200, 200)
        assert json.loads(put_body)["key"] == f"pipe{i}"
        assert json.loads(get_body)["value"] == i, "a read behind a write sees it"


def test_pipelined_reads_of_different_cost_keep_their_order(single):
    paths = ["/keys?limit=1000", "/ping", "/cluster", "/key/none", "/status", "/ping"]
    answers = read_answers_any(single.port, b"".join(get(p) for p in paths), len(paths))
    assert [s for s, _ in answers] == [200, 200, 200, 404, 200, 200]
    assert answers[1][1] == b"pong" and answers[5][1] == b"pong"


def read_answers_any(port, data, count):
    """As read_answers, and chunked ones too."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 5)) as s:
        s.sendall(data)
        stream = s.makefile("rb")
        answers = []
        for _ in range(count):
            status = int(stream.readline().split()[1])
            headers = {}
            while True:
                line = stream.readline().strip()
                if not line:
                    break
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            if headers.get(b"transfer-encoding") == b"chunked":
                body = b""
                while True:
                    size = int(stream.readline(), 16)
                    body += stream.read(size)
                    stream.readline()
                    if size == 0:
                        break
            else:
                body = stream.read(int(headers[b"content-length"]))
            answers.append((status, body))
        return answers


def test_keep_alive_and_connection_close_are_obeyed(single):
    client = Client(single.port)
    for _ in range(50):
        assert client.request("GET", "/ping").status == 200
    client.close()
    assert raw(single.port, get("/ping", "Connection: close")).endswith(b"pong")
    assert raw(single.port, get("/ping", version="1.0")).endswith(b"pong")


def test_a_thousand_idle_connections_do_not_slow_the_next(single):
    idle = []
    try:
        for i in range(1000):
            s = socket.create_connection(("127.0.0.1", single.port), 5)
            if i % 2:
                s.sendall(b"GET /ping HTTP/1.1\r\nHo")
            idle.append(s)
        took = []
        for _ in range(5):
            started = time.monotonic()
            assert request(single.port, "GET", "/ping").status == 200
            assert single.put("idle", 1).status == 200
            took.append(time.monotonic() - started)
        assert min(took) < 0.1, took
    finally:
        for s in idle:
            s.close()


def resident_mib(member):
    with open(f"/proc/{member.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) // 1024


def test_clients_that_take_no_answer_cost_a_bounded_amount_of_memory(single):
    """20 readers ask for 60 MB each, pipelined, and read nothing; another is served meanwhile.
    LIMIT_CONN_UNSENT_BYTES: "pipelining stops"."""
    single.put("large", "x" * 1000000)
    slow = []
    try:
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", single.port), 5)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(get("/key/large") * 60)
            slow.append(s)
        assert request(single.port, "GET", "/ping").status == 200
        assert resident_mib(single) < 300
    finally:
        for s in slow:
            s.close()
    single.delete("large")


def test_connections_cut_at_every_byte_of_a_request_leave_nothing_behind(single):
    data = put("Content-Length: 3", body="123", path="/key/cut")
    for n in range(len(data)):
        with contextlib.closing(socket.create_connection(("127.0.0.1", single.port), 5)) as s:
            s.sendall(data[:n])
    assert single.read("cut").status == 404


def test_concurrent_writers_get_distinct_consecutive_revisions(single):
    before = single.status()["revision"]
    revisions, lock = [], threading.Lock()

    def write(name):
        client = Client(single.port)
        for i in range(50):
            got = client.request("PUT", key_path(f"conc/{name}/{i}"), "1").json()["revision"]
            with lock:
                revisions.append(got)
        client.close()
    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert sorted(revisions) == list(range(before + 1, before + 401))


def test_o1_clients_beyond_what_the_kernel_queues_try_again(single):
    """LIMIT_ACCEPT_BACKLOG is 1024: a stopped member's kernel takes no more, and loses nobody."""
    count = 1200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * count:
        pytest.skip(f"this test needs {2 * count} descriptors, and {hard} is the limit here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count), hard))

    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", single.port)
        writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer.endswith(b"pong")

    async def ask_all():
        single.freeze()
        waiting = [asyncio.ensure_future(ask()) for _ in range(count)]
        await asyncio.sleep(0.5)  # all have knocked
        assert not any(w.done() for w in waiting)
        single.thaw()
        return await asyncio.wait_for(asyncio.gather(*waiting), 60)
    try:
        assert all(asyncio.run(ask_all()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
