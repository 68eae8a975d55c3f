"""Patroni as it is (3.0.2 on Debian 12, 4.0 on 13) with PostgreSQL: two nodes that keep who is
primary in a cluster of three, over TLS. Both show the certificate of a user who may only touch what
is Patroni's.

Each node is a Patroni of its own, started without systemd as the user postgres (or as whoever runs
the tests). The tests of this file are one story, in their order.
"""
import contextlib
import glob
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import harness
from harness import clean_environment, free_port, processes_with, request, wait_for
from programs import need, version
from tls_members import TlsCluster, give_users

PASSWORD = "a-password-for-tests"
# Patroni 4 takes none below 20.
TTL_S = 10
TTL_MIN_OF_4_S = 20
LOOP_WAIT_S = 1


def newest_postgresql():
    """The directory of its programs, or None."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda p: float(p.split("/")[4]))) if found else None


class Node:
    """One Patroni with its PostgreSQL."""

    def __init__(self, name, directory, owner, store, ttl):
        self.name = name
        self.rest_port, self.port = free_port(), free_port()
        self.directory = os.path.join(directory, name)
        self.data = os.path.join(self.directory, "data")
        self.owner = owner
        self.process = None
        os.mkdir(self.directory, 0o700)
        shutil.chown(self.directory, owner, pwd.getpwnam(owner).pw_gid)
        self.config = os.path.join(self.directory, "patroni.yml")
        with open(self.config, "w", encoding="utf-8") as f:
            # JSON is YAML.
            json.dump(self._settings(store, ttl), f, indent=1)
        os.chmod(self.config, 0o644)
        self.log_path = os.path.join(self.directory, "log")

    def _own(self, path):
        """A copy that it can read."""
        copy = shutil.copy(path, self.directory)
        shutil.chown(copy, self.owner)
        return copy

    def _settings(self, store, ttl):
        logins = {name: {"username": user, "password": PASSWORD}
                  for name, user in [("superuser", "postgres"), ("replication", "replicator")]}
        return {
            "scope": "tested", "name": self.name,
            "etcd3": {"hosts": [f"127.0.0.1:{m.port}" for m in store], "protocol": "https",
                      "cacert": self._own(store.certs.ca),
                      "cert": self._own(store.certs.path("patroni.crt")),
                      "key": self._own(store.certs.path("patroni.key"))},
            "restapi": {"listen": f"127.0.0.1:{self.rest_port}",
                        "connect_address": f"127.0.0.1:{self.rest_port}"},
            "bootstrap": {
                "dcs": {"ttl": ttl, "loop_wait": LOOP_WAIT_S, "retry_timeout": 3,
                        "postgresql": {"use_pg_rewind": True,
                                       "parameters": {"wal_log_hints": "on"}}},
                "initdb": [{"encoding": "UTF8"}, {"auth": "md5"}, "data-checksums"]},
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": self.data, "bin_dir": newest_postgresql(),
                "pgpass": os.path.join(self.directory, "pgpass"), "authentication": logins,
                "pg_hba": ["host all all 127.0.0.1/32 md5",
                           "host replication replicator 127.0.0.1/32 md5"],
                "parameters": {"unix_socket_directories": self.directory, "shared_buffers": "16MB",
                               "max_connections": 20, "fsync": "off"}}}

    def start(self):
        own = pwd.getpwuid(os.getuid()).pw_name
        # Only root may, and must, be somebody else.
        who = {} if own == self.owner else {"user": self.owner, "extra_groups": [],
                                            "group": pwd.getpwnam(self.owner).pw_gid}
        environment = clean_environment({"HOME": self.directory, "LC_ALL": "C.UTF-8"})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [shutil.which("patroni"), self.config], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.directory, env=environment,
                preexec_fn=harness._die_with_parent(None), **who)

    def kill(self):
        """kill -9 of Patroni, then of the postmaster that it left."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(10)
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as f:
                os.kill(int(f.readline()), signal.SIGKILL)

    def close(self):
        self.kill()
        for pid in processes_with(self.directory):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def is_in(self, role):
        """`role` is primary or replica: as Patroni tells load balancers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return request(self.rest_port, "GET", "/" + role, timeout=2).status == 200
        return False

    def timeline(self):
        return request(self.rest_port, "GET", "/patroni").json()["timeline"]

    def sql(self, statement):
        """The rows that it answers, as text; OSError when it cannot be asked."""
        done = subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres",
             "-XAtc", statement], capture_output=True, text=True, timeout=20,
            env=clean_environment({"PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"}))
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip().split("\n")

    def try_sql(self, statement):
        with contextlib.suppress(OSError):
            return self.sql(statement)
        return None

    def log_tail(self):
        with contextlib.suppress(OSError):
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-80:])
        return ""


class Nodes:
    def __init__(self, store):
        need(lambda: shutil.which("patroni") and shutil.which("psql") and newest_postgresql(),
             "patroni", "postgresql")
        told = version("patroni", "--version")
        print(f"patroni {told}, PostgreSQL {version('psql', '--version')}")
        self.ttl = TTL_S if int(told.split(".")[0]) < 4 else TTL_MIN_OF_4_S
        owner = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.directory = tempfile.mkdtemp(prefix="conclave-patroni-")
        os.chmod(self.directory, 0o755)
        self.all = [Node(f"pg-{i}", self.directory, owner, store, self.ttl) for i in (1, 2)]

    def __getitem__(self, index):
        return self.all[index]

    def in_role(self, role):
        found = [n for n in self.all if n.is_in(role)]
        return found[0] if len(found) == 1 else None

    def wait_pair(self, timeout):
        """(primary, replica) once the one streams to the other."""
        def pair():
            primary, replica = self.in_role("primary"), self.in_role("replica")
            if not primary or not replica:
                return None
            streams = primary.try_sql("select application_name, state from pg_stat_replication")
            return (primary, replica) if streams == [f"{replica.name}|streaming"] else None
        try:
            return wait_for(pair, "a primary and a replica that streams", timeout, 0.1)
        except AssertionError:
            print("\n".join(f"--- {n.name}\n{n.log_tail()}" for n in self.all))
            raise

    def close(self):
        for node in self.all:
            node.close()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def store():
    with TlsCluster(3, arguments=["--tls-client-auth", "require"]) as cluster:
        cluster.certs.client("patroni")
        cluster.start()
        give_users(cluster.wait_leader(), patroni=("/service/", "/service0"))
        yield cluster


@pytest.fixture(scope="module")
def nodes(store):
    made = Nodes(store)
    try:
        yield made
    finally:
        made.close()


def test_a_primary_and_a_streaming_replica_come_up(nodes):
    nodes[0].start()
    nodes[1].start()
    primary, replica = nodes.wait_pair(90)
    primary.sql("create table story (line text); insert into story values ('first')")
    wait_for(lambda: replica.try_sql("select line from story") == ["first"], "the replica has it")


def test_the_primary_stays_when_the_leader_of_the_store_is_killed(nodes, store):
    primary, replica = nodes.wait_pair(60)
    timeline = primary.timeline()
    leader = store.wait_leader()
    leader.kill()
    # For as long as its lease would last without it, and a round.
    writes = 0
    deadline = time.monotonic() + nodes.ttl + 2 * LOOP_WAIT_S
    while time.monotonic() < deadline:
        assert primary.sql(f"insert into story values ('write {writes}') returning 1")[0] == "1"
        assert not replica.is_in("primary")
        writes += 1
        time.sleep(0.2)
    assert primary.is_in("primary") and primary.timeline() == timeline
    leader.start()
    store.wait_leader()


def test_the_primary_moves_when_it_is_killed_and_the_old_one_rejoins(nodes):
    primary, replica = nodes.wait_pair(60)
    timeline = primary.timeline()
    rows = primary.sql("select count(*) from story")
    wait_for(lambda: replica.try_sql("select count(*) from story") == rows, "the replica has all")
    primary.kill()
    wait_for(lambda: replica.is_in("primary"), "the replica is promoted", 60, 0.1)
    wait_for(lambda: replica.try_sql("insert into story values ('after')"), "it takes writes", 30)
    assert replica.timeline() == timeline + 1
    primary.start()
    assert nodes.wait_pair(90) == (replica, primary)
    wait_for(lambda: primary.try_sql("select count(*) from story where line = 'after'") == ["1"],
             "the old one has what was written meanwhile")
    assert int(primary.sql("select count(*) from story")[0]) == int(rows[0]) + 1
