"""Members whose wires and disks are in our hands: harness.Cluster with a proxy between all members
and the disk shim in each of them. Standard library only."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness  # noqa: E402
from disk_faults import Disk, find_shim  # noqa: E402
from network import Network  # noqa: E402

REQUEST_TIMEOUT_MS = 1000
# With the defaults of the product: heartbeat 50 ms, election timeout 500 ms.
ARGUMENTS = ["--request-timeout-ms", str(REQUEST_TIMEOUT_MS)]
ELECTION_TIMEOUT_S = 0.5


class ChaosMember(harness.Member):
    """A member behind the proxy, on a disk that can fail and lose power."""

    def __init__(self, name, port, directory, arguments, network, shim):
        super().__init__(name, port, directory, arguments)
        self.network = network
        self.disk = None
        if shim is not None:
            self.disk = Disk(shim, self.data)
            self.env = self.disk.environment()

    def start(self, wait=True, extra=()):
        if self.disk is not None:
            self.disk.compact()
        super().start(wait=False, extra=extra)
        self.network.tell_pid(self.name, self.process.pid)
        if wait:
            self.wait_answers()
        return self

    def lose_power(self, seed=None):
        """kill -9, and what was not synced is gone; how many changes that were at risk."""
        self.kill()
        return self.disk.lose_power(seed)


class ChaosCluster(harness.Cluster):
    """All members know each other by the proxy's URLs only; clients ask the members directly."""

    def __init__(self, count=3, arguments=(), binary=None):
        self.keep = bool(os.environ.get("KEEP"))
        self.directory = tempfile.mkdtemp(prefix="conclave-chaos-")
        names = [f"node-{i + 1}" for i in range(count)]
        ports = {name: (harness.free_port(), harness.free_port()) for name in names}
        urls = {name: f"http://127.0.0.1:{proxy}" for name, (proxy, _) in ports.items()}
        self.network = Network(ports)
        self.members = []
        shim = find_shim(harness.BINARY)
        secret = self.write_file("secret", harness.SECRET)
        for name, (_, port) in ports.items():
            own = ["--name", name, "--listen", f"127.0.0.1:{port}", "--advertise", urls[name],
                   "--data", os.path.join(self.directory, name + ".conclave"),
                   "--cluster-secret-file", secret, *ARGUMENTS, *arguments]
            if count > 1:
                own += ["--peers", ",".join(u for n, u in urls.items() if n != name)]
            member = ChaosMember(name, port, self.directory, own, self.network, shim)
            member.binary = binary or member.binary
            self.add(member)

    def named(self, name):
        return next(m for m in self.members if m.name == name)

    def heal(self):
        """No fault any more: all wires, all disks. Who is stopped or dead stays so."""
        self.network.heal()
        for m in self.members:
            if m.disk is not None:
                m.disk.heal()

    def close(self):
        for m in self.members:
            if m.disk is not None:
                m.disk.heal()
        super().close()
        self.network.close()
        for m in self.members:
            if m.disk is not None:
                m.disk.close()
