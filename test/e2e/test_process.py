"""What the process is allowed, what its program is built like, and that it keeps its secrets."""
import base64
import json
import os
import re
import subprocess
import sys

import pytest

import harness
import sandbox
from harness import BINARY, ROOT, clean_environment
from programs import need_command
from tls_members import TlsCluster


# --- the program ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elf():
    def read(*flags):
        return subprocess.run(["readelf", "-W", *flags, BINARY], capture_output=True, text=True,
                              check=True).stdout
    return read


def test_it_is_loaded_anywhere_and_what_was_linked_is_read_only(elf):
    assert "DYN (Position-Independent Executable" in elf("-h")
    assert re.search(r"GNU_RELRO", elf("-l"))
    dynamic = elf("-d")
    assert "BIND_NOW" in dynamic and re.search(r"Flags:.*\bPIE\b", dynamic)
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic and "TEXTREL" not in dynamic


def test_nothing_can_be_written_and_run(elf):
    segments = re.findall(r"^\s+(\w+)\s+(?:0x\w+\s+){5}([RWE ]{3})", elf("-l"), re.MULTILINE)
    assert ("GNU_STACK", "RW ") in segments
    assert not [s for s in segments if "W" in s[1] and "E" in s[1]]


def test_stack_and_buffers_are_watched(elf):
    symbols = elf("--dyn-syms")
    assert "__stack_chk_fail" in symbols
    checked = set(re.findall(r"__(\w+)_chk@", symbols))
    assert {"memcpy", "snprintf", "vsnprintf"} <= checked


# --- what it may do -------------------------------------------------------------------------------


def test_the_unit_is_one_and_leaves_little_open(tmp_path):
    need_command("systemd-analyze", "systemd")
    unit = tmp_path / "conclave.service"
    with open(sandbox.UNIT, encoding="utf-8") as f:
        unit.write_text(f.read().replace("/usr/bin/conclave", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    # In tenths; 12 with systemd 252, and what is left is the network that it serves.
    done = subprocess.run(["systemd-analyze", "--no-pager", "security", "--offline=true",
                           "--threshold=15", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class Confined(harness.Member):
    def command(self):
        return [sys.executable, sandbox.__file__, self.binary, "server", *self.arguments]


def test_a_member_needs_no_more_than_its_unit_gives_it():
    need_command("systemd-analyze", "systemd")
    with TlsCluster(2, secret=harness.SECRET) as cluster:
        cluster.certs.client("root")
        for m in cluster:
            m.__class__ = Confined
        cluster.start()
        leader = cluster.wait_leader()
        cluster.put("a", 1)
        auth = {"name": "root", "password": "pw"}
        for route, body in (("/user/add", auth), ("/role/add", {"name": "root"}),
                            ("/user/grant", {"user": "root", "role": "root"}), ("/enable", {}),
                            ("/authenticate", auth)):  # argon2id
            answer = leader.request("POST", "/v3/auth" + route, json.dumps(body))
            assert answer.status == 200, answer.body
        as_root = {"Authorization": "Basic " + base64.b64encode(b"root:pw").decode()}
        assert leader.get("/snapshot", headers=as_root).status == 200
        certs = cluster.certs
        given = ["--cacert", certs.ca, "--cert", certs.path("root.crt"), "--key",
                 certs.path("root.key")]
        done = subprocess.run(["etcdctl", "--endpoints", f"https://localhost:{leader.port}", *given,
                               "put", "b", "2"], capture_output=True, text=True, check=False,
                              env=clean_environment({"ETCDCTL_API": "3"}), timeout=20)
        assert done.stdout == "OK\n", done.stderr
        follower = cluster.others(leader)[0]
        assert follower.terminate() == 0
        follower.start()  # reads log and snapshot back
        cluster.wait_leader()
        cluster.wait_same()
        assert all(m.terminate() == 0 for m in cluster)


def test_the_filter_ends_what_does_more():
    need_command("systemd-analyze", "systemd")
    for code in ("import socket; socket.socket(16, 3, 0)",  # AF_NETLINK
                 "import os; os.chown('.', -1, -1)", "import os; os.setuid(os.getuid())",
                 "import os; os.nice(1)"):
        done = subprocess.run([sys.executable, sandbox.__file__, sys.executable, "-c", code],
                              capture_output=True, text=True)
        assert done.returncode == -31, (code, done)  # SIGSYS
    done = subprocess.run([sys.executable, sandbox.__file__, sys.executable, "-c", "print(1)"],
                          capture_output=True, text=True)
    assert done.stdout == "1\n"


# --- secrets --------------------------------------------------------------------------------------

SECRET = "tell-nobody-this-secret"
PASSWORD = "tell-nobody-this-password"
WRONG = "tell-nobody-this-wrong-one"


def modes(directory):
    return {os.path.join(base, name): os.stat(os.path.join(base, name)).st_mode & 0o777
            for base, directories, files in os.walk(directory) for name in directories + files}


def everything_told(member, answers):
    """What others may see: log, command line, environment, answers, and the files of the data."""
    pid = member.process.pid
    told = {"log": member.log().encode()}
    for name in "cmdline", "environ", "comm":
        with open(f"/proc/{pid}/{name}", "rb") as f:
            told[name] = f.read()
    for path in modes(member.data):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                told[path] = f.read()
    for i, answer in enumerate(answers):
        told[f"answer {i}"] = answer.body + str(answer.headers).encode()
    return told


def test_secrets_are_nowhere_to_be_read():
    with harness.Cluster(1, secret=None) as cluster:
        member = cluster[0]
        member.env = {"CONCLAVE_CLUSTER_SECRET": SECRET}
        member.arguments += ["--log-level", "debug"]
        member.start()
        cluster.wait_leader()

        def ask(path, body=None, headers=None, method="POST"):
            return member.request(method, path, body and json.dumps(body), headers)

        def basic(password):
            return {"Authorization": "Basic " + base64.b64encode(
                f"root:{password}".encode()).decode()}
        root = {"name": "root", "password": PASSWORD}
        answers = [ask("/v3/auth/user/add", root), ask("/v3/auth/user/add", root),
                   ask("/v3/auth/user/add", {"name": "bob", "passwort": PASSWORD}),
                   ask("/v3/auth/role/add", {"name": "root"}),
                   ask("/v3/auth/user/grant", {"user": "root", "role": "root"}),
                   ask("/v3/auth/enable", {})]
        token = ask("/v3/auth/authenticate", root).json()["token"]
        answers += [ask("/v3/auth/authenticate", {"name": "root", "password": WRONG}),
                    ask("/key/a", None, basic(WRONG), "GET"), ask("/key/a", None, basic(PASSWORD)),
                    ask("/key/a", None, {"Authorization": "Bearer " + WRONG}, "GET"),
                    ask("/key/a", None, {"Authorization": "Bearer " + token}, "PUT"),
                    ask("/v3/auth/user/get", {"name": "root"}, {"Authorization": token})]
        answers += [member.get(path, headers=basic(PASSWORD)) for path in
                    ("/status", "/metrics", "/cluster", "/members", "/log", "/", "/auth/users",
                     "/keys", "/nothing/" + PASSWORD[:4])]
        told = everything_told(member, answers)
        for secret in SECRET, PASSWORD, WRONG, token, base64.b64encode(SECRET.encode()).decode():
            for place, text in told.items():
                assert secret.encode() not in text, f"{secret} is in {place}"
        for path, mode in modes(member.data).items():
            assert mode == (0o700 if os.path.isdir(path) else 0o600), path
        assert os.stat(member.data).st_mode & 0o777 == 0o700


# --- the container --------------------------------------------------------------------------------


def test_containers_have_no_rights_and_a_read_only_root():
    import yaml
    with open(os.path.join(ROOT, "compose.yaml"), encoding="utf-8") as f:
        services = yaml.safe_load(f)["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_member_writes_nowhere_but_in_its_data(tmp_path):
    """As with a root that is read only: nothing of HOME, TMPDIR or the working directory."""
    with harness.Cluster(1) as cluster:
        member = cluster[0]
        empty = tmp_path / "read-only"
        empty.mkdir()
        member.env = {"HOME": str(empty), "TMPDIR": str(empty)}
        member.arguments[member.arguments.index("--data") + 1] = member.data
        member.directory = str(empty)
        member.start()
        cluster.wait_leader()
        assert member.put("a", 1).status == 200
        assert member.terminate() == 0
        assert os.listdir(empty) == []
