"""TLS on the one port: HTTP/1, gRPC and members; who gets in, and who is told why not."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

import harness
from harness import clean_environment, conclave, wait_for
from tls_hello import (GROUPS, SIGNATURES, SUITES, TLS_1_2, TLS_1_3, all_chosen,
                       answer)
from tls_members import Certs, TlsCluster


@pytest.fixture(name="members", scope="module")
def members_with_tls():
    with TlsCluster(3) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture(name="single", scope="module")
def one_member_that_wants_certificates():
    with TlsCluster(1, arguments=["--tls-client-auth", "require"]) as cluster:
        cluster.start()
        yield cluster


def run(*command, env=None):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20,
                          env=clean_environment(env), check=False)


def curl(*words):
    return run("curl", "-sS", "--max-time", "10", *words)


def etcdctl(member, flags, *words):
    done = run("etcdctl", "--endpoints", member.url, "--command-timeout", "5s", *flags, *words,
               env={"ETCDCTL_API": "3"})
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def figure(member, name):
    text = member.get("/metrics").body.decode()
    found = re.search("^" + re.escape(name) + r" (-?\d+)$", text, re.MULTILINE)
    assert found, text
    return int(found.group(1))


def handshakes(member, result):
    return figure(member, f'conclave_tls_handshakes_total{{result="{result}"}}')


# --- clients --------------------------------------------------------------------------------------


def test_curl_speaks_http_1(members):
    leader = members.wait_leader()
    flags = members.certs.curl()
    done = curl(*flags, "-XPUT", leader.url + "/key/a", "-d", '"x"', "-w", "%{http_version}")
    assert json.loads(done.stdout[:-3])["success"] and done.stdout.endswith("1.1"), done
    assert json.loads(curl(*flags, leader.url + "/key/a").stdout)["value"] == "x"
    status = json.loads(curl(*flags, leader.url + "/status").stdout)
    assert status["leaderUrl"] == leader.url
    assert {p["url"] for p in status["peers"]} == {m.url for m in members.others(leader)}


# In a process of its own: grpc does not bear that others are started beside it.
ASK_BY_GRPC = """
import grpc, sys
credentials = grpc.ssl_channel_credentials(open(sys.argv[1], "rb").read())
with grpc.secure_channel("127.0.0.1:" + sys.argv[2], credentials) as channel:
    assert b"3.5" in channel.unary_unary("/etcdserverpb.Maintenance/Status")(b"", timeout=5)
"""


def test_grpc_is_chosen_by_alpn(members):
    leader = members.wait_leader()
    done = run(sys.executable, "-c", ASK_BY_GRPC, members.certs.ca, leader.port)
    assert done.returncode == 0, done.stderr
    context = members.certs.context()
    context.set_alpn_protocols(["h2", "http/1.1"])  # a browser
    with socket.create_connection(("127.0.0.1", leader.port), 5) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as s:
        assert s.selected_alpn_protocol() == "http/1.1"


def test_etcdctl_shows_its_certificate(single):
    member = single[0]
    certs = single.certs
    flags = ["--cacert", certs.ca, "--cert", certs.path("asker.crt"), "--key",
             certs.path("asker.key")]
    assert etcdctl(member, flags, "put", "a", "1")[0] == "OK"
    assert etcdctl(member, flags, "get", "a")[:2] == ["a", "1"]
    assert member.url in etcdctl(member, flags, "member", "list")[0]
    assert etcdctl(member, flags, "endpoint", "health")


def test_a_target_may_be_the_whole_url(members):
    port = members[0].port
    for target, status in (("https://a/ping", b"200"), ("HTTPS://A/ping", b"200"),
                           ("https://a:1/ping", b"400"), ("https://elsewhere.example/ping", b"400"),
                           ("http://a/ping", b"400"), ("https:///ping", b"400")):
        with socket.create_connection(("127.0.0.1", port), 5) as plain, \
                members.certs.context("asker").wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert s.recv(12)[9:] == status, target


def test_a_large_value_crosses_whole(members):
    leader = members.wait_leader()
    value = os.urandom(700_000).hex()
    assert leader.put("large", value).status == 200
    for m in members:
        assert m.read("large").json()["value"] == value


def test_pipelined_requests_and_watches_go_on(members):
    leader = members.wait_leader()
    connection = harness.Client(leader.port, tls=leader.tls)
    for i in range(50):
        assert connection.request("PUT", f"/key/p{i}", json.dumps(i)).status == 200
    connection.close()
    watch = subprocess.Popen(
        ["curl", "-sN", *members.certs.curl(), leader.url + "/watch?prefix=w"],
        stdout=subprocess.PIPE, text=True)
    try:
        for i in range(200):
            leader.put(f"w{i}", "x" * 5000)
            if i == 0:
                wait_for(lambda: "event: change" in watch.stdout.readline() or
                         leader.put("w0", "again").status != 200, "the first change comes")
        seen = 0
        while seen < 199:
            seen += "event: change" in watch.stdout.readline()
    finally:
        watch.kill()
        watch.wait()


# --- who does not get in --------------------------------------------------------------------------


def test_plain_http_is_told_so(members):
    leader = members.wait_leader()
    before = handshakes(leader, "plain")
    answer = harness.request(leader.port, "GET", "/status")
    assert answer.status == 400 and answer.error == "This port speaks TLS only: use https"
    assert answer.headers["Connection"] == "close"
    wait_for(lambda: handshakes(leader, "plain") == before + 1, "it is counted")
    assert "it does not speak TLS" in leader.log()


def test_tls_to_a_plain_port_ends_at_once():
    with harness.Cluster(1) as cluster:
        cluster.start()
        start = time.monotonic()
        done = curl("-k", f"https://127.0.0.1:{cluster[0].port}/status")
        assert done.returncode == 35 and time.monotonic() - start < 5, done


def test_who_shows_nothing_or_a_strangers_certificate(single, tmp_path):
    member = single[0]
    strangers = Certs(tmp_path).client("mallory")
    denied = handshakes(member, "denied")
    done = curl("--cacert", single.certs.ca, member.url + "/status")
    assert done.returncode != 0 and "certificate required" in done.stderr
    done = curl("--cacert", single.certs.ca, "--cert", strangers.path("mallory.crt"), "--key",
                strangers.path("mallory.key"), member.url + "/status")
    assert done.returncode != 0 and "unknown ca" in done.stderr
    done = curl("--cacert", strangers.ca, *single.certs.curl("asker")[2:], member.url + "/status")
    assert done.returncode == 60
    assert handshakes(member, "denied") == denied + 3
    log = member.log()
    assert "the other side showed no certificate, and must" in log or "unlogged=" in log


ECDSA = [0x0403, 0x0503, 0x0603]
RSA = [0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601]


def test_old_protocols_and_weak_ciphers_are_refused(members):
    """Nothing is spoken but what docs/SECURITY.md says, of all that there has ever been."""
    port = members[0].port
    for version, offered in ((0x0002, None), (0x0300, None), (0x0301, None), (0x0302, None),
                             (TLS_1_2, TLS_1_2), (TLS_1_3, TLS_1_3), (0x0305, TLS_1_2)):
        chosen = answer(port, version)
        assert (chosen and chosen["version"]) == offered, hex(version)
    assert all_chosen(port, "suite", SUITES) == [0xC02B, 0xC02C, 0xCCA9]
    assert all_chosen(port, "suite", SUITES, version=TLS_1_3) == [0x1301, 0x1302, 0x1303]
    assert all_chosen(port, "group", GROUPS) == [0x1D, 0x17]  # X25519 and the certificate's curve
    assert all_chosen(port, "group", GROUPS, version=TLS_1_3) == [0x1D, 0x17, 0x18]
    assert all_chosen(port, "signature", SIGNATURES) == ECDSA
    assert answer(port)["client_signatures"] == [*ECDSA, 0x0807, *RSA]


def test_with_an_rsa_key_it_speaks_no_more(tmp_path):
    done = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "rsa.key",
               "-out", tmp_path / "rsa.crt")
    assert done.returncode == 0, done.stderr
    with harness.Cluster(1) as cluster:
        member = cluster[0]
        member.arguments += ["--tls-cert", str(tmp_path / "rsa.crt"), "--tls-key",
                             str(tmp_path / "rsa.key")]
        member.tls = ssl.create_default_context(cafile=tmp_path / "rsa.crt")
        member.start()
        assert all_chosen(member.port, "suite", SUITES) == [0xC02F, 0xC030, 0xCCA8]
        assert all_chosen(member.port, "suite", SUITES, version=TLS_1_3) == [0x1301, 0x1302, 0x1303]
        assert all_chosen(member.port, "signature", SIGNATURES) == RSA


def test_no_renegotiation_and_no_tickets(members):
    for version in ("-tls1_2", "-tls1_3"):
        with subprocess.Popen(
                ["openssl", "s_client", version, "-connect", f"127.0.0.1:{members[0].port}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True) as client:
            out, _ = client.communicate("R\n", timeout=10)
        assert "TLS session ticket" not in out
        if version == "-tls1_2":
            assert "no renegotiation" in out or "RENEGOTIATING" in out
            assert client.returncode != 0


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, words", [
    (["--tls-cert", "node-1.crt"], ["--tls-cert", "--tls-key"]),
    (["--tls-key", "node-1.key"], ["--tls-key", "--tls-cert"]),
    (["--tls-ca", "ca.crt"], ["--tls-ca", "--tls-cert"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "ca.key"], ["ca.key", "node-1.crt"]),
    (["--tls-cert", "none.crt", "--tls-key", "node-1.key"], ["none.crt", "No such file"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "node-1.key", "--tls-client-auth", "require"],
     ["--tls-client-auth", "--tls-ca"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "node-1.key", "--peers", "http://a:1"],
     ["--peers", "https://"]),
    (["--peers", "https://a:1"], ["--peers", "--tls-cert"]),
    (["--peer-tls-cert", "node-1.crt"], ["--peer-tls-cert", "--peer-tls-key"]),
    (["--peer-tls-ca", "ca.crt"], ["--peer-tls-ca", "--tls-cert"]),
    (["--tls-crl", "ca.crl"], ["--tls-crl", "--tls-cert"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "node-1.key", "--tls-crl", "ca.crt"],
     ["ca.crt", "revocation lists"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "node-1.key", "--peer-tls-cert", "node-1.crt",
      "--peer-tls-key", "node-1.key"], ["--peer-tls-cert", "--peer-tls-ca"]),
    (["--advertise", "https://a:1"], ["--advertise", "--tls-cert"]),
    (["--tls-cert", "node-1.crt", "--tls-key", "node-1.key", "--listen", "0.0.0.0:4999"],
     ["--listen", "--cluster-secret-file", "--tls-ca"]),
])
def test_wrong_settings_are_named(flags, words, tmp_path):
    Certs(tmp_path).member("node-1")
    done = conclave("server", *flags, cwd=tmp_path)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr


def test_environment_and_file_name_it_too(tmp_path):
    certs = Certs(tmp_path / "certs").member("node-1")
    with harness.Cluster(1, secret=None) as cluster:
        member = cluster[0]
        config = cluster.write_file("c.yaml", f"tls-cert: {certs.path('node-1.crt')}\n"
                                              f"tls-ca: {certs.ca}\n")
        member.arguments += ["--config", config]
        member.env = {"CONCLAVE_TLS_KEY": certs.path("node-1.key")}
        member.tls = certs.context()
        member.start()
        assert member.get("/ping").status == 200


def test_certificates_protect_a_port_beyond_loopback(tmp_path):
    certs = Certs(tmp_path / "certs").member("node-1")
    with harness.Cluster(1, secret=None) as cluster:
        member = cluster[0]
        at = member.arguments.index("--listen") + 1
        member.arguments[at] = f"0.0.0.0:{member.port}"
        member.arguments += certs.flags("node-1")
        member.tls = certs.context()
        member.start()
        assert "INSECURE" not in member.log()


# --- members --------------------------------------------------------------------------------------


def test_members_that_show_certificates_are_a_cluster(members):
    leader = members.wait_leader()
    members.put("m", 1)
    leader.kill()
    rest = members.others(leader)
    second = members.wait_leader(among=rest)
    members.put("m", 2)
    leader.start()
    members.wait_leader()
    members.wait_same()
    assert leader.read("m").json()["value"] == 2
    assert second.is_running()
    members.check_one_leader_a_term()


def newcomer(cluster, name, certs, ca):
    """A member that asks to join, with certificates of its own."""
    port = harness.free_port()
    member = harness.Member(name, port, cluster.directory, [
        "--name", name, "--listen", f"127.0.0.1:{port}", "--join", cluster[0].url,
        "--data", os.path.join(cluster.directory, name + ".conclave"), *harness.FAST,
        *certs.flags(name, ca)])
    member.url = f"https://127.0.0.1:{port}"
    member.tls = cluster.certs.context("asker")
    return cluster.add(member)


def test_a_member_of_another_ca_stays_outside(members, tmp_path):
    stranger = newcomer(members, "stranger", Certs(tmp_path).member("stranger"), members.certs.ca)
    denied = handshakes(members[0], "denied")
    try:
        stranger.start(wait=False)
        stranger.wait_log(r"no TLS with it \(the other side refused this side's certificate, "
                          r"CN=stranger \(.*stranger.crt\): .*unknown ca")
        wait_for(lambda: handshakes(members[0], "denied") > denied, "it is counted")
        names = {m["name"] for m in members.wait_leader(
            among=members.others(stranger)).get("/members").json()["members"]}
        assert "stranger" not in names
    finally:
        stranger.kill()
        members.members.remove(stranger)


def test_a_client_is_no_member(members):
    certs = members.certs
    asker = newcomer(members, "asker", certs, certs.ca)  # good for clients only
    try:
        asker.start(wait=False)
        members[0].wait_log("refused as a member: no certificate of one was shown .* asker")
        assert figure(members[0], "conclave_peers_refused_total") > 0
    finally:
        asker.kill()
        members.members.remove(asker)


def test_a_member_under_a_wrong_name_is_not_believed(tmp_path):
    certs = Certs(tmp_path / "certs")
    certs.member("node-2", hosts="elsewhere.example")
    with TlsCluster(2, certs=certs) as cluster:
        for m in cluster:
            m.start(wait=False)
        cluster[0].wait_log(r"no TLS with it \(the other side's certificate, CN=node-2, is not for "
                            r"127.0.0.1; it is for elsewhere.example")
        cluster[0].wait_answers()
        wait_for(lambda: figure(cluster[0], 'conclave_tls_dials_failed_total{reason="denied"}') > 0,
                 "it is counted")


def test_members_may_have_certificates_of_their_own(tmp_path):
    """Clients' CA signs no members then, and members' no users; the dialogue is on the one port."""
    certs, peers = Certs(tmp_path / "certs"), Certs(tmp_path / "peers")
    with TlsCluster(2, certs=certs) as cluster:
        for m in cluster:
            peers.member(m.name)
            m.arguments += ["--peer-tls-cert", peers.path(m.name + ".crt"), "--peer-tls-key",
                            peers.path(m.name + ".key"), "--peer-tls-ca", peers.ca]
        cluster.start()
        cluster.put("a", 1)
        certs.member("stranger")
        stranger = newcomer(cluster, "stranger", certs, certs.ca)
        stranger.start(wait=False)
        stranger.wait_log(r"no TLS with it \(the other side's certificate, CN=node-1, is not ")
        peers.client("root")
        done = curl("--cacert", certs.ca, *peers.curl("root")[2:], cluster[0].url + "/ping")
        assert done.returncode != 0 and "unknown ca" in done.stderr
        stranger.kill()
        cluster.members.remove(stranger)


def test_a_secret_and_certificates_go_together(tmp_path):
    certs = Certs(tmp_path / "certs")
    with TlsCluster(3, certs=certs, secret=harness.SECRET) as cluster:
        cluster.start()
        cluster.put("a", 1)


def test_a_plain_cluster_goes_over_to_tls_with_its_data(tmp_path):
    with harness.Cluster(2, secret=None) as plain:
        plain.start()
        plain.put("a", 1)
        assert all(m.terminate() == 0 for m in plain)
        certs = Certs(tmp_path / "certs").client("asker")
        for m in plain:
            m.arguments = [a.replace("http://", "https://") for a in m.arguments]
            m.arguments += certs.member(m.name).flags(m.name)
            m.tls = certs.context("asker")
        plain.start()
        assert plain[0].read("a").json()["value"] == 1
        plain.put("a", 2)
        for m, other in (plain, plain.members[::-1]):
            assert [p["url"] for p in m.status()["peers"]] == [f"https://127.0.0.1:{other.port}"]


def test_a_registry_finds_members_over_tls(tmp_path):
    certs = Certs(tmp_path / "certs").client("asker")
    with harness.Cluster(1, secret=None) as cluster:
        directory = cluster.directory
        cluster.members.clear()
        for i in (1, 2):
            port = harness.free_port()
            certs.member(f"node-{i}")
            member = cluster.add(harness.Member(f"node-{i}", port, directory, [
                str(i), str(port), *harness.FAST, *certs.flags(f"node-{i}")]))
            member.tls = certs.context("asker")
            member.start()
            wait_for(lambda m=member: (m.status() or {}).get("role"), "it is a member")
        names = harness.wait_for(
            lambda: len(cluster[1].get("/members").json()["members"]) == 2, "both are members")
        assert names


# --- while it runs --------------------------------------------------------------------------------


def serial(member, certs):
    with socket.create_connection(("127.0.0.1", member.port), 5) as plain, \
            certs.context("asker").wrap_socket(plain, server_hostname="localhost") as s:
        return s.getpeercert()["serialNumber"]


def test_new_files_are_used_and_bad_ones_are_not(tmp_path):
    certs = Certs(tmp_path / "certs")
    with TlsCluster(1, certs=certs) as cluster:
        cluster.start()
        member = cluster[0]
        first = serial(member, certs)
        kept = harness.Client(member.port, tls=member.tls)
        assert kept.request("PUT", "/key/a", "1").status == 200
        certs.remove("node-1")
        certs.member("node-1")
        member.wait_log("new certificates are in use")
        assert serial(member, certs) != first
        assert kept.request("GET", "/key/a").status == 200  # the same connection
        second = serial(member, certs)
        shutil.copy(certs.ca, certs.path("node-1.crt"))  # not this key's
        member.wait_log("new certificates are not used, the old ones stay: .*node-1.key")
        assert serial(member, certs) == second
        assert figure(member, 'conclave_tls_reloads_total{result="refused"}') >= 1
        kept.close()


def test_a_hangup_reads_the_files_at_once(tmp_path):
    certs = Certs(tmp_path / "certs")
    with TlsCluster(1, certs=certs) as cluster:
        cluster.start()
        member = cluster[0]
        certs.remove("node-1")
        certs.member("node-1")
        member.signal(signal.SIGHUP)
        member.wait_log("new certificates are in use", timeout=2)
        assert member.get("/ping").status == 200


def test_who_is_revoked_is_ended_and_not_let_in_again(tmp_path):
    certs = Certs(tmp_path / "certs").client("alice").client("bob")
    certs.make("revoke", "bob")
    crl = certs.path("ca.crl")
    with TlsCluster(1, certs=certs, arguments=["--tls-crl", crl]) as cluster:
        cluster.start()
        member = cluster[0]
        assert curl(*certs.curl("bob"), member.url + "/ping").returncode != 0
        kept = {name: harness.Client(member.port, tls=certs.context(name))
                for name in ("alice", "asker")}
        assert all(c.request("GET", "/ping").status == 200 for c in kept.values())
        certs.make("revoke", "alice", "--days", "7")
        member.signal(signal.SIGHUP)
        member.wait_log("new certificates are in use, .* revokedBy=CN=Conclave CA", timeout=2)
        assert kept["asker"].request("GET", "/ping").status == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            kept["alice"].request("GET", "/ping")
        assert "a connection was ended" in member.log()
        for name in "alice", "bob":
            assert "revoked" in curl(*certs.curl(name), member.url + "/ping").stderr
        assert "a revocation list runs out in 7 days certificate=CN=Conclave CA" in member.log()
        left = figure(member, f'conclave_tls_certificate_seconds_left{{file="{crl}",'
                              'subject="CN=Conclave CA"}')
        assert 0 < left <= 7 * 86400


def test_a_new_ca_is_believed_without_a_restart(tmp_path):
    certs = Certs(tmp_path / "certs")
    others = Certs(tmp_path / "others").client("bob")
    with TlsCluster(1, certs=certs, arguments=["--tls-client-auth", "require"]) as cluster:
        cluster.start()
        member = cluster[0]
        flags = ["--cacert", certs.ca, *others.curl("bob")[2:]]
        assert curl(*flags, member.url + "/ping").returncode != 0
        both = open(certs.ca, encoding="ascii").read() + open(others.ca, encoding="ascii").read()
        with open(certs.path("new"), "w", encoding="ascii") as f:
            f.write(both)
        os.rename(certs.path("new"), certs.ca)
        member.wait_log("new certificates are in use")
        assert curl(*flags, member.url + "/ping").stdout == "pong"


@pytest.mark.parametrize("days, text", [
    ("30", "runs out in 30 days certificate=CN=node-1"), ("7", "runs out in 7 days"),
    ("1", "runs out in 24 hours"), ("31", None)])
def test_expiry_is_told_in_time(days, text, tmp_path):
    certs = Certs(tmp_path / "certs")
    certs.make("member", "node-1", "--days", days)
    with TlsCluster(1, certs=certs) as cluster:
        cluster.start()
        member = cluster[0]
        left = figure(member, 'conclave_tls_certificate_seconds_left{file="'
                      + certs.path("node-1.crt") + '",subject="CN=node-1"}')
        assert int(days) * 86400 - 60 < left <= int(days) * 86400
        if text is not None:
            assert text in member.log()
        else:
            assert "runs out" not in member.log()
