"""Members that speak TLS, with certificates that `conclave cert` made."""
import base64
import json
import os
import ssl

import harness


class Certs:
    """A directory with a CA, and what it signed."""

    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.make("ca")

    def make(self, *words):
        done = harness.conclave("cert", *words, "--dir", self.directory)
        assert done.returncode == 0, done.stderr
        return self

    def member(self, name, hosts="localhost,127.0.0.1"):
        return self.make("member", name, "--hosts", hosts)

    def client(self, name):
        return self.make("client", name)

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def ca(self):
        return self.path("ca.crt")

    def remove(self, name):
        for ending in ("crt", "key"):
            os.unlink(self.path(f"{name}.{ending}"))

    def flags(self, name, ca=None):
        """What a member is started with."""
        return ["--tls-cert", self.path(name + ".crt"), "--tls-key", self.path(name + ".key"),
                "--tls-ca", ca or self.ca]

    def context(self, name=None):
        """For a client that shows `name`."""
        context = ssl.create_default_context(cafile=self.ca)
        if name is not None:
            context.load_cert_chain(self.path(name + ".crt"), self.path(name + ".key"))
        return context

    def curl(self, name=None):
        flags = ["--cacert", self.ca]
        if name is not None:
            flags += ["--cert", self.path(name + ".crt"), "--key", self.path(name + ".key")]
        return flags


class TlsCluster(harness.Cluster):
    """Members that show each other certificates, node-1.crt ..., and have no secret."""

    def __init__(self, count=3, certs=None, arguments=(), **kw):
        timings = kw.pop("timings", harness.FAST)
        super().__init__(count, arguments=[*timings, *arguments],
                         secret=kw.pop("secret", None), **kw)
        self.certs = certs or Certs(os.path.join(self.directory, "certs"))
        self.certs.client("asker")
        for m in self.members:
            if not os.path.exists(self.certs.path(m.name + ".crt")):
                self.certs.member(m.name)
            m.arguments = [a.replace("http://", "https://") for a in m.arguments]
            m.arguments += self.certs.flags(m.name)
            m.url = m.url.replace("http://", "https://")
            m.tls = self.certs.context("asker")


def give_users(member, **ranges):
    """root with the password pw, and users without one who read and write from a key to another;
    then they are switched on."""
    def call(route, **body):
        answer = member.request("POST", "/v3/auth" + route, json.dumps(body))
        assert answer.status == 200, answer.body
    call("/user/add", name="root", password="pw")
    call("/role/add", name="root")
    call("/user/grant", user="root", role="root")
    for name, (first, end) in ranges.items():
        call("/role/add", name=name)
        call("/role/grant", name=name, perm={
            "permType": "READWRITE", "key": base64.b64encode(first.encode()).decode(),
            "range_end": base64.b64encode(end.encode()).decode()})
        call("/user/add", name=name, options={"no_password": True})
        call("/user/grant", user=name, role=name)
    call("/enable")
