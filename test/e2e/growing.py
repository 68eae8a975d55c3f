"""Members that come and go, shared by the tests of membership and of snapshots."""
import contextlib
import http.client
import json
import os

from harness import FAST, Member, conclave, free_port, wait_for


def newcomer(cluster, name, arguments=FAST, via=None, directory=None):
    """A member that will --join `via` (default: all that run); it is not started."""
    port = free_port()
    via = via or cluster.running()
    own = ["--name", name, "--listen", f"127.0.0.1:{port}",
           "--data", directory or os.path.join(cluster.directory, name + ".conclave"),
           "--join", ",".join(m.url for m in via),
           "--cluster-secret-file", os.path.join(cluster.directory, "secret"), *arguments]
    return Member(name, port, cluster.directory, own)


def join(cluster, name, **options):
    """Start it, and wait until it votes."""
    member = cluster.add(newcomer(cluster, name, **options))
    member.start()
    wait_voter(cluster, name)
    return member


def members(member):
    """GET /members as {name: entry}, without those that are replaced; None: no answer."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        answer = member.get("/members").json()
        return {m["name"]: m for m in answer["members"] if not m.get("replaced")}
    return None


def voters(cluster):
    """As a leader of now has it; None while a change is under way."""
    leader = cluster.leader_now()
    if leader is None:
        return None
    answer = leader.get("/members").json()
    if answer["joint"] or not answer["committed"]:
        return None
    return sorted(m["name"] for m in answer["members"] if m["voter"])


def wait_voter(cluster, name, timeout=20.0):
    wait_for(lambda: name in (voters(cluster) or []), f"{name} votes", timeout)


def wait_voters(cluster, names, timeout=20.0):
    wait_for(lambda: voters(cluster) == sorted(names), f"the voters are {names}", timeout)


def verb(cluster, *arguments):
    """A client verb against all members that run; CompletedProcess."""
    return conclave(*arguments, "--endpoints", ",".join(m.url for m in cluster.running()))


def change(cluster, *arguments):
    """`conclave member ...`, repeated while another change is under way; its JSON answer."""
    def done():
        answer = verb(cluster, "member", *arguments, "-o", "json")
        if answer.returncode == 4 and "under way" in answer.stderr:
            return None
        assert answer.returncode == 0, (arguments, answer.returncode, answer.stderr)
        return json.loads(answer.stdout)
    return wait_for(done, f"member {' '.join(arguments)}", 15, 0.1)


def remove(cluster, member):
    """Take it out: it ends by itself, and does not come back."""
    change(cluster, "remove", member.name)
    assert member.wait_exit() == 2, member.log_tail()
    cluster.members.remove(member)
