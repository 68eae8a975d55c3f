"""`conclave bench`: every operation over both protocols, what it prints, and how it ends."""
import json
import os
import pty
import re
import select
import signal
import subprocess

import pytest

from harness import BINARY, Cluster, conclave, free_port, wait_for

SHORT = ("--seconds", "0.3", "--warmup", "0.1", "--streams", "2", "--timeout", "20s")
# A leader that a busy machine deposes in mid-run makes errors, rightly: not here.
PATIENT = ("--heartbeat-ms", "100", "--election-timeout-ms", "3000")
QUANTILES = {"p50", "p90", "p99", "p99.9", "max", "mean"}
FIELDS = {"operation", "protocol", "endpoints", "connections", "streams", "clients", "mode",
          "rate_asked", "seconds", "requests", "errors", "errors_by_kind", "per_second",
          "latency_us", "latency_histogram", "late_sends", "misses", "value_bytes", "key_bytes",
          "keys", "distribution", "generator", "servers", "warnings"}
WATCH_FIELDS = {"watchers", "events", "events_per_second", "delivery_us", "delivery_histogram"}


@pytest.fixture(scope="module")
def steady():
    with Cluster(3, arguments=PATIENT) as cluster:
        yield cluster.start()


def endpoints(members):
    return ",".join(m.url for m in members)


def bench(members, operation, *arguments):
    keys = () if "--keys" in arguments else ("--keys", "50")
    return conclave("bench", operation, "--endpoints", endpoints(members), *SHORT, *keys,
                    *arguments, timeout=60)


def measure(members, operation, *arguments):
    done = bench(members, operation, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), (done.stdout, done.stderr)
    return json.loads(done.stdout)


def check(result, operation, protocol):
    watch = WATCH_FIELDS if operation == "watch" else set()
    assert set(result) == FIELDS | watch
    assert (result["operation"], result["protocol"]) == (operation, protocol)
    assert (result["errors"], result["errors_by_kind"]) == (0, {})
    assert result["requests"] > 0 and result["per_second"] > 0
    assert set(result["latency_us"]) == QUANTILES
    assert sum(count for _, count in result["latency_histogram"]) == result["requests"]
    uppers = [upper for upper, _ in result["latency_histogram"]]
    assert uppers == sorted(set(uppers))


@pytest.mark.parametrize("operation",
                         ["put", "range", "serializable", "txn", "watch", "keepalive", "mix"])
def test_every_operation_over_grpc(steady, operation):
    prefix = f"grpc-{operation}/"
    result = measure(steady, operation, "--prefix", prefix, "--key-size", "32", "--prefill",
                     "--mix", "put=1,range=1,txn=1,serializable=1", "--connections", "3")
    check(result, operation, "grpc")
    assert (result["clients"], result["mode"], result["misses"]) == (6, "closed", 0)
    assert result["endpoints"] == [m.url for m in steady]
    assert result["rate_asked"] is None


@pytest.mark.parametrize("operation", ["put", "range", "serializable", "txn", "mix"])
def test_every_operation_over_http(steady, operation):
    prefix = f"http-{operation}/"
    result = measure(steady, operation, "--protocol", "http", "--prefix", prefix, "--key-size",
                     "32", "--prefill", "--mix", "put=1,range=1,txn=1,serializable=1")
    check(result, operation, "http")
    # Whoever writes, and who prefills does, goes to the leader alone.
    assert result["endpoints"] == [steady.wait_leader().url]
    assert result["misses"] == 0


def test_prefill_puts_every_key_in_its_size(steady):
    for protocol in ("grpc", "http"):
        prefix = f"fill-{protocol}/"
        measure(steady, "range", "--prefill", "--protocol", protocol, "--prefix", prefix, "--keys",
                "250", "--key-size", "24", "--value-size", "40")
        keys = steady.wait_leader().get(f"/keys?prefix={prefix}&values=true").json()["keys"]
        assert len(keys) == 250
        assert {len(k["key"]) for k in keys} == {24}
        assert {len(json.dumps(k["value"])) for k in keys} == {40}


def test_reads_of_keys_that_are_not_there_are_told(steady):
    for protocol in ("grpc", "http"):
        result = measure(steady, "range", "--prefix", "none/", "--protocol", protocol)
        assert result["misses"] == result["requests"]
        assert any("--prefill" in w for w in result["warnings"])


def test_every_watch_is_told_every_put(steady):
    result = measure(steady, "watch", "--watchers", "7", "--prefix", "watched/", "--key-size",
                     "32", "--connections", "2", "--rate", "100")
    assert result["watchers"] == 7
    assert result["events"] == 7 * result["requests"]
    assert set(result["delivery_us"]) == QUANTILES
    assert sum(count for _, count in result["delivery_histogram"]) == result["events"]


def test_an_open_loop_says_what_it_was_asked_for(steady):
    for arrivals in ("constant", "poisson"):
        result = measure(steady, "serializable", "--rate", "50", "--arrivals", arrivals,
                         "--distribution", "zipf")
        assert (result["mode"], result["rate_asked"]) == ("open", 50)
        assert result["distribution"] == "zipf"


def test_the_cpu_of_generator_and_servers(steady):
    pids = [m.process.pid for m in steady]
    result = measure(steady, "put", "--pid", ",".join(map(str, pids)))
    assert [s["pid"] for s in result["servers"]] == pids
    for cpu in [result["generator"]] + result["servers"]:
        assert cpu["cpu_us_per_operation"] > 0 and 0 < cpu["cpu_share"] <= 1
    gone = subprocess.Popen(["true"])
    gone.wait()
    result = measure(steady, "put", "--pid", str(gone.pid))
    assert result["servers"] == [{"pid": gone.pid, "cpu_us_per_operation": None,
                                  "cpu_share": None}]
    assert any(f"process {gone.pid} " in w for w in result["warnings"])


def test_the_report_is_a_table_with_a_chart(steady):
    done = bench(steady, "put", "--prefix", "report/")
    assert (done.returncode, done.stderr) == (0, "")  # no progress on what is no terminal
    assert done.stdout.startswith("put over gRPC: 1 connection x 2 clients, closed loop")
    for word in ("requests", "p99.9", "up to", "█", "CPU        generator"):
        assert word in done.stdout
    done = bench(steady, "keepalive", "--leases", "3")
    assert done.returncode == 0 and "\n3 leases\n" in done.stdout


def test_progress_on_a_terminal(steady):
    def told(*arguments):
        ours, theirs = pty.openpty()
        command = [BINARY, "bench", "put", "--endpoints", endpoints(steady), "--seconds", "2",
                   "--warmup", "0", *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
            os.close(theirs)
            text = b""
            while select.select([ours], [], [], 30)[0]:
                try:
                    text += os.read(ours, 1000)
                except OSError:  # the end of a terminal
                    break
            assert process.wait(30) == 0
        os.close(ours)
        return text
    assert re.search(rb"measuring \d of 2 s: \d+ a second, p99 [\d.]+ ms so far, 0 errors", told())
    assert told("--quiet") == b""


def start(member, protocol):
    """A put load that would go on for long; returns when a put has been answered, because its four
    clients have put more than four keys."""
    prefix = f"long-{protocol}/"
    process = subprocess.Popen(
        [BINARY, "bench", "put", "--endpoints", member.url, "--seconds", "600", "--warmup", "0",
         "--prefix", prefix, "--json", "--streams", "4", "--protocol", protocol],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(member.get(f"/keys?prefix={prefix}&limit=5").json()["keys"]) == 5,
             "some keys were put")
    return process


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_ctrl_c_ends_it_with_what_was_seen(steady, protocol):
    process = start(steady.wait_leader(), protocol)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    result = json.loads(out)
    assert (process.returncode, err) == (0, "")
    assert result["requests"] > 0 and 0 < result["seconds"] < 600
    assert any("ended early" in w for w in result["warnings"])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_is_killed_is_counted_as_errors(make_cluster, protocol):
    member = make_cluster(1)[0]
    process = start(member, protocol)
    member.kill()
    try:
        process.communicate(timeout=1.0)  # it goes on, and asks again and again
    except subprocess.TimeoutExpired:
        pass
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    result = json.loads(out)
    assert (process.returncode, err) == (1, "")
    assert result["requests"] > 0 and result["errors"] > 0
    assert sum(result["errors_by_kind"].values()) == result["errors"]
    assert any(kind.startswith("cannot connect") for kind in result["errors_by_kind"])
    assert any("connections were gone" in w for w in result["warnings"])


def test_followers_alone_take_no_writes_over_http(steady):
    followers = steady.followers()
    done = bench(followers, "put", "--protocol", "http")
    assert done.returncode == 5 and "none of the endpoints is the leader" in done.stderr
    assert measure(followers, "put")["errors"] == 0  # over gRPC they forward
    assert measure(followers, "serializable", "--protocol", "http")["errors"] == 0


def test_nobody_there(steady):
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = conclave("bench", "put", "--endpoints", f"{steady[0].url},{nowhere}")
    assert (done.returncode, done.stdout) == (8, "")
    assert f"cannot connect to {nowhere}" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    ([], "say what to do: put, range"),
    (["puts"], '"puts" is no operation'),
    (["put", "range"], "one argument too many"),
    (["put", "--check"], "--check takes no operation"),
    (["put", "--seconds", "0"], "--seconds"),
    (["put", "--seconds", "five"], "--seconds"),
    (["put", "--warmup", "-1"], "--warmup"),
    (["put", "--rate", "0"], "--rate"),
    (["put", "--protocol", "ftp"], "--protocol"),
    (["put", "--distribution", "normal"], "--distribution"),
    (["put", "--arrivals", "bus"], "--arrivals"),
    (["put", "--connections", "0"], "--connections"),
    (["put", "--connections", "10000", "--streams", "1000"], "more than 100000"),
    (["put", "--keys", "1000", "--key-size", "8"], "--key-size: 1000 keys below bench/ need 9"),
    (["put", "--prefix", "a b"], "--prefix: use letters"),
    (["put", "--pid", "12,x"], "--pid"),
    (["put", "--pid", "0"], "--pid"),
    (["mix", "--mix", "put=1,watch=1"], '--mix names "watch"'),
    (["mix", "--mix", "put=0"], "--mix has no weight above 0"),
    (["txn", "--txn-ops", "9", "--keys", "3"], "--txn-ops"),
    (["txn", "--txn-ops", "128", "--value-size", "64KiB"], "--txn-ops times --value-size"),
    (["watch", "--value-size", "10"], "--value-size"),
    (["watch", "--protocol", "http"], "watch needs --protocol grpc"),
    (["keepalive", "--protocol", "http"], "keepalive needs --protocol grpc"),
])
def test_what_makes_no_sense_is_refused(arguments, words):
    done = conclave("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
