"""Users and roles of real members: by etcdctl, by gRPC, through the JSON gateway, and REST obeys
them, too."""
import base64
import json
import os
import shutil
import subprocess

import pytest

import harness
from etcd_grpc import Api, Refused, message

EMPTY = "etcdserver: user name is empty"
DENIED = "etcdserver: permission denied"
FAILED = "etcdserver: authentication failed, invalid user ID or password"
BAD_TOKEN = "etcdserver: invalid auth token"


def m(kind, /, **fields):
    return message(kind)(**fields)


class Etcdctl:
    """etcdctl at any of the members; `fails` gives the text of its error."""

    def __init__(self, members):
        self.endpoints = ",".join(f"127.0.0.1:{member.port}" for member in members)

    def run(self, *arguments, user=None):
        who = ["--user", user] if user else []
        return subprocess.run(
            ["etcdctl", "--endpoints", self.endpoints, *who, *arguments], capture_output=True,
            text=True, timeout=30, check=False, env={**os.environ, "ETCDCTL_API": "3"})

    def __call__(self, *arguments, user=None):
        done = self.run(*arguments, user=user)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *arguments, user=None):
        done = self.run(*arguments, user=user)
        assert done.returncode != 0, done.stdout
        return done.stderr.rsplit("Error: ", 1)[-1].strip()


def basic(user, password):
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def gateway(member, route, body, token=None):
    headers = {"Authorization": token} if token else None
    answer = member.request("POST", "/v3" + route, json.dumps(body), headers=headers)
    return answer.status, json.loads(answer.body)


def key64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(name="cluster", scope="module")
def cluster_of_three():
    with harness.Cluster(3) as cluster:
        yield cluster.start()


@pytest.fixture(name="api")
def api_of_first(cluster):
    with Api(cluster[0].port) as api:
        yield api


def make_users(api):
    """root:pw, and alice:wonder with a role that may read and write what begins with foo."""
    auth = api.Auth
    auth.UserAdd(m("AuthUserAddRequest", name="root", password="pw"))
    auth.UserGrantRole(m("AuthUserGrantRoleRequest", user="root", role="root"))
    auth.RoleAdd(m("AuthRoleAddRequest", name="r"))
    permission = m("Permission", permType="READWRITE", key=b"foo", range_end=b"fop")
    auth.RoleGrantPermission(m("AuthRoleGrantPermissionRequest", name="r", perm=permission))
    auth.UserAdd(m("AuthUserAddRequest", name="alice", password="wonder"))
    auth.UserGrantRole(m("AuthUserGrantRoleRequest", user="alice", role="r"))


def log_in(api, name, password):
    answer = api.Auth.Authenticate(m("AuthenticateRequest", name=name, password=password))
    return (("token", answer.token),)


@pytest.fixture(name="switched_on")
def users_and_auth(cluster, api):
    make_users(api)
    api.Auth.AuthEnable(m("AuthEnableRequest"))
    cluster.wait_same()
    yield
    root = log_in(api, "root", "pw")
    api.Auth.AuthDisable(m("AuthDisableRequest"), metadata=root)
    for name in ("root", "alice"):
        api.Auth.UserDelete(m("AuthUserDeleteRequest", name=name))
    api.Auth.RoleDelete(m("AuthRoleDeleteRequest", role="r"))
    cluster.wait_same()


@pytest.mark.skipif(shutil.which("etcdctl") is None, reason="etcdctl is not installed")
def test_etcdctl_manages_users_and_roles(cluster):
    ctl = Etcdctl(cluster)
    root, alice = "root:pw", "alice:wonder"
    assert "root user does not exist" in ctl.fails("auth", "enable")
    ctl("user", "add", root)
    assert ctl.fails("user", "add", root) == "etcdserver: user name already exists"
    ctl("auth", "enable")  # gives root its role first
    assert ctl.fails("put", "foo1", "x") == EMPTY
    assert ctl.fails("get", "foo1", user="root:wrong") == FAILED
    assert ctl.fails("get", "foo1", user="nobody:pw") == FAILED
    ctl("role", "add", "r", user=root)
    ctl("role", "grant-permission", "r", "readwrite", "foo", "--prefix", user=root)
    ctl("user", "add", alice, user=root)
    ctl("user", "grant-role", "alice", "r", user=root)
    ctl("put", "foo1", "x", user=alice)
    assert ctl("get", "--prefix", "foo", user=alice) == "foo1\nx\n"
    assert ctl.fails("put", "bar", "x", user=alice) == DENIED
    assert ctl.fails("get", "--prefix", "fo", user=alice) == DENIED
    assert ctl.fails("role", "list", user=alice) == DENIED
    assert "Roles: r" in ctl("user", "get", "alice", user=alice)
    assert "foo, fop" in ctl("role", "get", "r", user=alice)
    assert ctl("user", "list", user=root).split() == ["alice", "root"]
    ctl("role", "revoke-permission", "r", "foo", "--prefix", user=root)
    assert ctl.fails("get", "foo1", user=alice) == DENIED
    assert ctl.fails("user", "delete", "root", user=root) == "etcdserver: invalid auth management"
    assert ctl.fails("auth", "disable", user=alice) == DENIED
    ctl("auth", "disable", user=root)
    assert ctl("get", "foo1") == "foo1\nx\n"
    for name in ("alice", "root"):
        ctl("user", "delete", name)
    for name in ("r", "root"):
        ctl("role", "delete", name)


def test_a_token_is_good_at_every_member_until_its_password_changes(cluster, api, switched_on):
    token = log_in(api, "alice", "wonder")
    root = log_in(api, "root", "pw")
    put = m("PutRequest", key=b"foo", value=b"1")
    for member in cluster:
        with Api(member.port) as other:
            other.KV.Put(put, metadata=token)
            got = other.KV.Range(m("RangeRequest", key=b"foo"), metadata=token)
            assert got.kvs[0].value == b"1"
            with pytest.raises(Refused) as refused:
                other.KV.Put(m("PutRequest", key=b"bar"), metadata=token)
            assert refused.value == Refused(7, DENIED)
            with pytest.raises(Refused) as refused:
                other.KV.Put(put)
            assert refused.value == Refused(3, EMPTY)
        assert gateway(member, "/kv/range", {"key": key64("foo")}, token[0][1])[0] == 200
        assert gateway(member, "/kv/range", {"key": key64("bar")}, token[0][1])[0] == 403
        assert gateway(member, "/kv/range", {"key": key64("foo")}, "none of ours") == \
            (401, {"error": BAD_TOKEN, "code": 16, "message": BAD_TOKEN, "details": []})
        bearer = {"Authorization": f"Bearer {token[0][1]}"}
        assert member.request("GET", "/key/foo", headers=bearer).status == 200
    # A change that is not his own is nothing to him.
    api.Auth.RoleAdd(m("AuthRoleAddRequest", name="more"), metadata=root)
    api.KV.Range(m("RangeRequest", key=b"foo"), metadata=token)
    api.Auth.RoleDelete(m("AuthRoleDeleteRequest", role="more"), metadata=root)
    change = m("AuthUserChangePasswordRequest", name="alice", password="land")
    with pytest.raises(Refused) as refused:
        api.Auth.UserChangePassword(change, metadata=token)
    assert refused.value == Refused(7, DENIED)
    api.Auth.UserChangePassword(change, metadata=root)
    with pytest.raises(Refused) as refused:
        api.KV.Range(m("RangeRequest", key=b"foo"), metadata=token)
    assert refused.value == Refused(16, BAD_TOKEN)
    with pytest.raises(Refused) as refused:
        log_in(api, "alice", "wonder")
    assert refused.value == Refused(3, FAILED)
    api.KV.Range(m("RangeRequest", key=b"foo"), metadata=log_in(api, "alice", "land"))


def test_rest_obeys_the_same_users(cluster, switched_on):
    leader = cluster.wait_leader()
    alice, root = basic("alice", "wonder"), basic("root", "pw")
    rows = [("PUT", "/key/foo", "1", 200), ("GET", "/key/foo", None, 200),
            ("PUT", "/key/bar", "1", 403), ("GET", "/key/bar", None, 403),
            ("GET", "/keys?prefix=foo", None, 200), ("GET", "/keys", None, 403),
            ("GET", "/read", None, 403), ("GET", "/members", None, 403),
            ("GET", "/snapshot", None, 403), ("DELETE", "/key/foo", None, 200)]
    for number, (method, path, body, status) in enumerate(rows):
        assert leader.request(method, path, body, headers=alice).status == status, path
        refused = leader.request(method, path, body)
        assert refused.status == 401 and "WWW-Authenticate" in refused.headers, path
        someone = basic("alice" if number == 0 else f"nobody-{number}", "wrong")
        wrong = leader.request(method, path, body, headers=someone)
        assert wrong.status == 401, path
    assert leader.request("PUT", "/key/bar", "1", headers=root).status == 200
    assert leader.request("GET", "/members", headers=root).status == 200
    for path in ("/status", "/cluster", "/metrics", "/health", "/version", "/readyz", "/ping"):
        assert leader.request("GET", path).status == 200, path


def test_users_outlive_their_members(cluster, api, switched_on):
    """From the log and from the leader, also in a member that was away when they were made."""
    token = log_in(api, "alice", "wonder")
    gone = next(member for member in cluster.followers() if member is not cluster[0])
    gone.kill()
    root = log_in(api, "root", "pw")
    permission = m("Permission", permType="READ", key=b"bar")
    api.Auth.RoleGrantPermission(
        m("AuthRoleGrantPermissionRequest", name="r", perm=permission), metadata=root)
    gone.start()
    cluster.wait_same()
    with Api(gone.port) as back:
        back.KV.Range(m("RangeRequest", key=b"bar"), metadata=token)
        with pytest.raises(Refused) as refused:
            back.KV.Put(m("PutRequest", key=b"bar"), metadata=token)
        assert refused.value == Refused(7, DENIED)
        back.KV.Put(m("PutRequest", key=b"foo"), metadata=log_in(back, "alice", "wonder"))


def test_switched_off_nobody_is_asked(cluster, api):
    with pytest.raises(Refused) as refused:
        log_in(api, "root", "pw")
    assert refused.value == Refused(9, "etcdserver: authentication is not enabled")
    api.KV.Put(m("PutRequest", key=b"any"), metadata=(("token", "old"),))
    assert cluster.wait_leader().request("PUT", "/key/any", "1").status == 200
    status = api.Auth.AuthStatus(m("AuthStatusRequest"))
    assert not status.enabled and status.authRevision >= 1
