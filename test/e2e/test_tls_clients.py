"""The client's verbs over https, and users that are named by their certificates."""
import base64
import importlib.util
import json
import subprocess

import pytest

import harness
from harness import clean_environment, conclave
from programs import Running, need
from tls_members import Certs, TlsCluster, give_users


@pytest.fixture(name="members", scope="module")
def members_that_want_certificates():
    with TlsCluster(3, arguments=["--tls-client-auth", "require"]) as cluster:
        cluster.certs.client("root").client("alice").client("mallory")
        cluster.start()
        yield cluster


def urls(members):
    return ",".join(m.url for m in members)


def flags(certs, name="asker"):
    return ["--cacert", certs.ca, "--cert", certs.path(name + ".crt"), "--key",
            certs.path(name + ".key")]


VERBS = [("put", "foo/a", "1"), ("get", "foo/a"), ("ls", "foo/"), ("status",), ("members",),
         ("log",), ("verify",), ("snapshot", "save", "FILE"), ("monitor", "--once"),
         ("lock", "l", "--", "true"), ("elect", "l", "--", "true"), ("step-down",),
         ("bench", "put", "--seconds", "0.5", "--warmup", "0", "--quiet"),
         ("bench", "put", "--protocol", "grpc", "--seconds", "0.5", "--warmup", "0", "--quiet"),
         ("del", "foo/a")]


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_verbs_speak_https(members, verb, tmp_path):
    members.put("foo/a", 1)
    words = [str(tmp_path / "file.snap") if word == "FILE" else word for word in verb]
    head = 2 if words[0] == "snapshot" else 1
    given = ["--endpoints", urls(members), *flags(members.certs)]
    done = conclave(*words[:head], *given, *words[head:])
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_environment_names_the_files(members):
    certs = members.certs
    env = {"CONCLAVE_ENDPOINTS": urls(members), "CONCLAVE_CACERT": certs.ca,
           "CONCLAVE_CERT": certs.path("asker.crt"), "CONCLAVE_KEY": certs.path("asker.key")}
    assert conclave("put", "e", "5", env=env).returncode == 0
    assert conclave("get", "e", env=env).stdout == "5\n"
    one = conclave("health", "--ready", members[0].url, env=env)
    assert one.returncode == 0, one.stderr


def test_a_shell_and_a_watch_go_on_over_https(members):
    env = clean_environment({"CONCLAVE_ENDPOINTS": urls(members)})
    done = subprocess.run([harness.BINARY, "shell", *flags(members.certs)], input="read e\nexit\n",
                          capture_output=True, text=True, timeout=20, env=env, check=False)
    assert done.returncode == 0, done.stderr
    with subprocess.Popen([harness.BINARY, "watch", "w/", *flags(members.certs)],
                          stdout=subprocess.PIPE, text=True, env=env) as watch:
        try:
            harness.wait_for(lambda: members.put("w/1", "seen") and select(watch.stdout),
                             "the change comes", interval=0.2)
            assert "w/1" in watch.stdout.readline() + watch.stdout.readline()
        finally:
            watch.terminate()


def test_a_verb_that_goes_on_reads_new_files(tmp_path):
    certs = Certs(tmp_path / "certs")
    with TlsCluster(1, certs=certs) as cluster:
        cluster.start()
        member = cluster[0]
        with Running([harness.BINARY, "watch", "w/", *flags(certs)],
                     env={"CONCLAVE_ENDPOINTS": member.url}) as watch:
            harness.wait_for(lambda: member.put("w/1", "old").status == 200 and
                             "w/1" in watch.text(), "the change comes")
            member.kill()
            for name in "ca", "node-1", "asker":
                certs.remove(name)
            certs.make("ca").member("node-1").client("asker")  # nothing of before is believed
            member.tls = certs.context("asker")
            member.start()
            harness.wait_for(lambda: member.put("w/2", "new").status == 200 and
                             "w/2" in watch.text(), "it goes on")


def select(stream):
    import select as system
    return system.select([stream], [], [], 0)[0]


@pytest.mark.parametrize("given, code, words", [
    (["--cacert", "CA"], 8, ["cannot connect to https://", "wants a certificate"]),
    ([], 8, ["CN=node-1, is not believed", "unable to get local issuer certificate"]),
    (["--cacert", "CA", "--cert", "none.crt", "--key", "none.key"], 2, ["none.crt", "No such"]),
    (["--cacert", "CA", "--cert", "none.crt"], 2, ["--cert and --key belong together"]),
    (["--cacert", "none"], 2, ["none cannot be read"]),
])
def test_troubles_name_the_certificate(members, given, code, words):
    given = [members.certs.ca if word == "CA" else word for word in given]
    done = conclave("put", "a", "1", "--endpoints", members[0].url, *given)
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_wrong_name_and_a_wrong_scheme_are_told(members, tmp_path):
    certs = Certs(tmp_path).member("node-1", hosts="elsewhere.example")
    with TlsCluster(1, certs=certs) as cluster:
        cluster[0].tls = None
        cluster[0].start(wait=False)
        cluster[0].wait_log("Became LEADER")
        done = conclave("get", "a", "--endpoints", cluster[0].url, "--cacert", certs.ca)
        assert done.returncode == 8
        assert "CN=node-1, is not for 127.0.0.1; it is for elsewhere.example" in done.stderr
    plain = members[0].url.replace("https", "http")
    done = conclave("get", "a", "--endpoints", plain)
    assert "This port speaks TLS only: use https" in done.stderr
    with harness.Cluster(1) as cluster:
        cluster.start()
        done = conclave("get", "a", "--endpoints", cluster[0].url.replace("http", "https"))
        assert done.returncode == 8 and "does not speak TLS" in done.stderr


# --- users ----------------------------------------------------------------------------------------


def text64(text):
    return base64.b64encode(text.encode()).decode()


def ask(certs, name, url, *words):
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}",
                           *certs.curl(name), *words, url], capture_output=True, text=True,
                          env=clean_environment(), check=True)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


@pytest.fixture(name="users", scope="module")
def one_member_with_users():
    """alice may read and write what begins with foo; root everything; mallory is no user."""
    with TlsCluster(1) as cluster:
        cluster.certs.client("root").client("alice").client("mallory")
        cluster.start()
        give_users(cluster[0], alice=("foo", "fop"))
        yield cluster


def test_rest_takes_the_name_of_the_certificate(users):
    certs, url = users.certs, users[0].url
    put = ["-XPUT", "-d", "1"]
    assert ask(certs, "alice", url + "/key/foo", *put)[0] == 200
    assert ask(certs, "alice", url + "/key/bar", *put)[0] == 403
    assert ask(certs, "root", url + "/key/bar", *put)[0] == 200
    assert ask(certs, "mallory", url + "/key/foo", *put)[0] == 403
    assert ask(certs, None, url + "/key/foo", *put)[0] == 401
    assert ask(certs, "alice", url + "/members")[0] == 403
    assert ask(certs, "root", url + "/members")[0] == 200


def test_what_is_sent_goes_before_the_certificate(users):
    certs, url = users.certs, users[0].url
    assert ask(certs, "alice", url + "/key/bar", "-u", "root:pw")[0] == 200
    assert ask(certs, "root", url + "/key/bar", "-u", "root:no")[0] == 401
    assert ask(certs, "root", url + "/key/bar", "-H", "Authorization: Bearer no")[0] == 401


def test_a_page_of_another_site_has_no_certificate(users):
    certs, url = users.certs, users[0].url
    foreign = ["-H", "Origin: https://evil.example"]
    write = ["-XPOST", "-d", '{"content":"x"}', url + "/write"]
    assert ask(certs, "root", *write[::-1][:1], *write[:-1])[0] == 200
    assert ask(certs, "root", *write[::-1][:1], *write[:-1], *foreign)[0] == 401


def test_the_gateway_and_grpc_take_it_too(users):
    certs, member = users.certs, users[0]
    body = json.dumps({"key": text64("foo")})
    other = json.dumps({"key": text64("bar")})
    assert ask(certs, "alice", member.url + "/v3/kv/range", "-d", body)[0] == 200
    assert ask(certs, "alice", member.url + "/v3/kv/range", "-d", other)[0] == 403
    assert ask(certs, None, member.url + "/v3/kv/range", "-d", body)[0] == 400

    def etcdctl(name, *words):
        given = flags(certs, name) if name else ["--cacert", certs.ca]
        return subprocess.run(["etcdctl", "--endpoints", member.url, *given, *words],
                              capture_output=True, text=True, timeout=20, check=False,
                              env=clean_environment({"ETCDCTL_API": "3"}))
    assert etcdctl("alice", "put", "foo", "2").stdout == "OK\n"
    assert "permission denied" in etcdctl("alice", "put", "bar", "2").stderr
    assert "user name is empty" in etcdctl(None, "get", "foo").stderr
    assert etcdctl("root", "user", "list").stdout.split() == ["alice", "root"]
    assert "permission denied" in etcdctl("alice", "user", "list").stderr
    assert etcdctl("alice", "--user", "root:pw", "put", "bar", "3").stdout == "OK\n"


def test_etcd3gw_takes_it_too(users, monkeypatch):
    for name in "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE":  # would go before ca_cert
        monkeypatch.delenv(name, raising=False)
    need(lambda: importlib.util.find_spec("etcd3gw"), "python3-etcd3gw")
    from etcd3gw.client import Etcd3Client
    from etcd3gw.exceptions import Etcd3Exception
    certs = users.certs

    def client(name):
        return Etcd3Client("127.0.0.1", users[0].port, protocol="https", ca_cert=certs.ca,
                           cert_cert=certs.path(name + ".crt"), cert_key=certs.path(name + ".key"),
                           timeout=10, api_path="/v3/")
    alice = client("alice")
    assert alice.put("foo/gw", "1") and alice.get("foo/gw") == [b"1"]
    lease = alice.lease(ttl=60)
    assert alice.create("foo/once", "1", lease=lease) and not alice.create("foo/once", "2")
    assert lease.refresh() > 0 and lease.revoke() and alice.get("foo/once") == []
    with client("root").lock("gw", ttl=10) as lock:
        assert lock.is_acquired()
    for refused in (lambda: alice.put("bar", "1"), lambda: client("mallory").get("foo/gw")):
        with pytest.raises(Etcd3Exception):
            refused()


def test_verbs_ask_in_its_name(users):
    certs, url = users.certs, users[0].url
    given = ["--endpoints", url, *flags(certs, "alice")]
    assert conclave("put", "foo/v", "1", *given).returncode == 0
    assert conclave("put", "bar/v", "1", *given).returncode == 7
