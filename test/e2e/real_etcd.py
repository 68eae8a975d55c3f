"""What the tests of the etcd API run against: conclave's members, or those of a real etcd.

With ETCD_BINARY=/usr/bin/etcd in the environment the tests of etcd's clients and the model test run
against that program instead. So it can be shown that the tests themselves ask for what etcd does.
"""
import json
import os
import tempfile

from harness import MEMBERS, Cluster, Member, free_port

ETCD_BINARY = os.environ.get("ETCD_BINARY")


def is_real_etcd():
    return bool(ETCD_BINARY)


def gateway(member, path, body=None, timeout=5.0):
    """POST JSON to a member's gateway: the answer as a dict. OSError, ValueError: there is none."""
    answer = member.request("POST", path, json.dumps(body or {}), timeout=timeout,
                            headers={"Content-Type": "application/json"})
    return answer.json()


class EtcdMember(Member):
    """One member of a real etcd."""

    ready_path = "/version"

    def command(self):
        return [ETCD_BINARY, *self.arguments]

    def status(self, timeout=2.0):
        """What harness.Cluster asks of /status, from etcd's own answer."""
        try:
            said = gateway(self, "/v3/maintenance/status", timeout=timeout)
            leader = said.get("leader", "0")
            own = said["header"]["member_id"]
        except (OSError, ValueError, KeyError):
            return None
        if leader == "0":
            return None
        return {"role": "leader" if leader == own else "follower", "term": said["raftTerm"],
                "leaderId": self.name if leader == own else leader, "own": own}


class EtcdCluster(Cluster):
    """`count` members of a real etcd, in a temporary directory of their own."""

    def __init__(self, count=3):
        self.keep = bool(os.environ.get("KEEP"))
        self.directory = tempfile.mkdtemp(prefix="etcd-e2e-")
        self.members = []
        names = [f"node-{i + 1}" for i in range(count)]
        peers = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        founders = ",".join(f"{name}={url}" for name, url in peers.items())
        for name in names:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            member = EtcdMember(name, port, self.directory, [
                "--name", name, "--data-dir", os.path.join(self.directory, name + ".etcd"),
                "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name],
                "--initial-cluster", founders, "--initial-cluster-state", "new",
                "--heartbeat-interval", "20", "--election-timeout", "200", "--log-level", "warn"])
            self.members.append(member)
            MEMBERS.append(member)

    def leader_now(self, among=None):
        statuses = [(m, m.status()) for m in (among or self.running())]
        if not statuses or any(s is None for _, s in statuses):
            return None
        leaders = [m for m, s in statuses if s["role"] == "leader"]
        if len(leaders) != 1 or len({s["term"] for _, s in statuses}) != 1:
            return None
        own = leaders[0].status()
        agreed = own and {s["leaderId"] for m, s in statuses if m is not leaders[0]} <= {own["own"]}
        return leaders[0] if agreed else None


def make_store(count=3):
    """A cluster that speaks etcd's API; it is not started."""
    return EtcdCluster(count) if is_real_etcd() else Cluster(count)


def endpoints(store, *members):
    return ",".join(f"127.0.0.1:{m.port}" for m in members or store)
