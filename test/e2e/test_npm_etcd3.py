"""npm's etcd3 (1.1.2, on grpc-js) as it is: test/e2e/npm_etcd3/stories.js is the application.

Its packages are those of the committed package-lock.json, in build/.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess

import pytest

from etcd_grpc import PROTO_DIR, descriptors
from harness import ROOT
from programs import Running, need_command, one_at_a_time, version
from real_etcd import endpoints, is_real_etcd, make_store
from tls_members import TlsCluster, give_users

SOURCE = os.path.join(ROOT, "test", "e2e", "npm_etcd3")
OFFLINE = r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|network"


def read(name):
    with open(os.path.join(SOURCE, name), "rb") as f:
        return f.read()


@pytest.fixture(scope="module")
def application():
    """The directory of stories.js with its packages."""
    need_command("node", "nodejs")
    need_command("npm", "npm")
    print(f"node {version('node', '--version')}, npm {version('npm', '--version')}")
    lock = hashlib.sha256(read("package-lock.json")).hexdigest()[:12]
    directory = os.path.join(ROOT, "build", f"npm_etcd3-{lock}")
    with one_at_a_time("npm"):
        if not os.path.isdir(directory):
            unfinished = directory + ".new"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(SOURCE, unfinished)
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                                  cwd=unfinished, capture_output=True, text=True, timeout=300)
            if done.returncode and re.search(OFFLINE, done.stderr):
                pytest.skip("npm's registry cannot be reached: " + done.stderr[-200:])
            assert done.returncode == 0, done.stderr
            os.rename(unfinished, directory)
        shutil.copy(os.path.join(SOURCE, "stories.js"), directory)
    return directory


def play(application, story, store, **options):
    return Running(["node", os.path.join(application, "stories.js"), story, endpoints(store)],
                   **options)


@pytest.mark.parametrize("story", ["keys", "namespaces", "transactions", "memory", "leases",
                                   "watches", "locks", "elections", "members"])
def test_npm_etcd3(application, store, story):
    with play(application, story, store) as node:
        assert node.wait(60) == 0, node.text()


@pytest.mark.skipif(is_real_etcd(), reason="its certificates are conclave's")
def test_npm_etcd3_over_tls_with_users(application):
    """By the certificate alone, by name and password, and refused where its roles do not reach."""
    with TlsCluster(1, arguments=["--tls-client-auth", "require"]) as cluster:
        certs = cluster.certs.client("root").client("alice")
        cluster.start()
        give_users(cluster[0], alice=("foo", "fop"))

        def files(name):
            return {"CA": certs.ca, "CERT": certs.path(name + ".crt"),
                    "KEY": certs.path(name + ".key")}
        password = {"USER_NAME": "root", "PASSWORD": "pw"}
        running = [play(application, story, cluster, env=env) for story, env in (
            ("permissions", files("alice")), ("transactions", files("root")),
            ("leases", {**files("alice"), **password}), ("watches", files("root")),
            ("locks", {**files("asker"), **password}))]
        for each in running:
            with each as node:
                assert node.wait(60) == 0, node.text()


def test_npm_etcd3_goes_on_where_the_leader_is_killed(application):
    """Its watch brings every acknowledged write once and in order, its lease is kept."""
    with make_store(3) as store:
        store.start()
        with play(application, "failover", store, stdin=subprocess.PIPE) as node:
            node.wait_text("ready")
            store.wait_leader().kill()
            node.process.stdin.write("killed\n")
            node.process.stdin.flush()
            assert node.wait(60) == 0, node.text()


def test_the_messages_are_those_of_etcds_own_files(application, tmp_path):
    """Names, numbers and types of all fields are as in the .proto files that etcd3 brings along."""
    for path in glob.glob(os.path.join(application, "node_modules", "etcd3", "proto", "*.proto")):
        with open(path, encoding="utf-8") as f:
            # Without what protoc knows only from files that are not there.
            text = f.read().replace('import "./', 'import "')
            text = re.sub(r"option \(google\.api\.http\) = \{.*?\};", "", text, flags=re.DOTALL)
        (tmp_path / os.path.basename(path)).write_text(text)
    theirs = fields(descriptors(str(tmp_path)))
    ours = fields(descriptors(PROTO_DIR))
    assert len(theirs) > 90
    # Ours are of 3.5, and may have more.
    assert {name: theirs[name] - ours.get(name, set()) for name in theirs} == \
        {name: set() for name in theirs}


def fields(files):
    """{full name of a message, enumeration or service: what it is made of}. Values are in capitals:
    etcd3 writes them in another way."""
    found = {}

    def add(message, prefix):
        name = f"{prefix}.{message.name}"
        found[name] = {(f.name, f.number, f.type, f.label, f.type_name) for f in message.field}
        for nested in message.nested_type:
            add(nested, name)
        add_enums(message.enum_type, name)

    def add_enums(enums, prefix):
        for enum in enums:
            found[f"{prefix}.{enum.name}"] = {
                (v.name.replace("_", "").upper(), v.number) for v in enum.value}
    for file in files.file:
        for message in file.message_type:
            add(message, file.package)
        add_enums(file.enum_type, file.package)
        for service in file.service:
            found[f"{file.package}.{service.name}"] = {
                (m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming)
                for m in service.method}
    return found
