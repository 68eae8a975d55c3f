"""Row F1: compose.yaml and Dockerfile have what the chapter says, and its steps work with that very
environment, here with real processes instead of containers."""
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from harness import ROOT, Cluster, Member, conclave, free_port, wait_for


@pytest.fixture(scope="module")
def compose():
    with open(os.path.join(ROOT, "compose.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f)


@pytest.fixture(scope="module")
def dockerfile():
    """[(instruction, rest)], with continued lines joined."""
    with open(os.path.join(ROOT, "Dockerfile"), encoding="utf-8") as f:
        text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", f.read()))
    return [tuple(line.split(None, 1)) for line in text.split("\n") if line.strip()]


def environment_of(service):
    """As compose resolves it when nobody sets a variable."""
    return {k: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", v) for k, v in service["environment"].items()}


# --- lint -----------------------------------------------------------------------------------------


def test_f1_compose_has_the_names_ports_and_environment_of_the_chapter(compose):
    services = compose["services"]
    assert list(services) == ["node1", "node2", "node3"]
    for n, (name, s) in enumerate(services.items(), 1):
        assert s["container_name"] == f"store-c-{name}"
        assert s["ports"] == [f"400{n}:4000"]
        assert s["networks"] == ["store-network"]
        assert s["volumes"] == [f"{name}-data:/data"]
        assert s["build"] == "." and s["image"] == services["node1"]["image"]
        env = environment_of(s)
        assert env["NODE_ID"] == f"node-{n}" and env["PORT"] == "4000"
        assert env["HOST"] == "0.0.0.0" and env["CONCLAVE_CLUSTER_SECRET"]
        assert env["PEERS"].split(",") == [f"http://{o}:4000" for o in services if o != name]
        assert all(isinstance(v, str) for v in s["environment"].values())
    assert compose["networks"] == {"store-network": {"driver": "bridge"}}
    assert set(compose["volumes"]) == {f"{name}-data" for name in services}


def test_f1_compose_passes_yamllint():
    tool = shutil.which("yamllint")
    if tool is None:
        pytest.skip("yamllint is not installed: ./setup installs it")
    done = subprocess.run([tool, "-s", "compose.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_f1_the_image_is_small_not_root_and_checks_its_health_by_itself(dockerfile):
    stages = [i for i, (word, _) in enumerate(dockerfile) if word == "FROM"]
    assert len(stages) == 2, "one stage to build, one to run"
    assert all(re.match(r"debian:\w+-slim\b", dockerfile[i][1]) for i in stages)
    final = dockerfile[stages[1]:]
    said = dict(final)
    assert said["USER"] not in ("root", "0")
    assert re.search(r"CMD conclave health\b", said["HEALTHCHECK"])
    assert json.loads(said["ENTRYPOINT"]) == ["conclave"] and json.loads(said["CMD"]) == ["server"]
    assert said["VOLUME"] == said["WORKDIR"] == "/data"
    assert said["EXPOSE"] == "4000"
    for word, rest in final:
        assert word != "COPY" or rest.startswith("--from=build"), "sources in the image"
        assert "-dev" not in rest and "build-essential" not in rest
        assert "apt-get install" not in rest or "rm -rf /var/lib/apt/lists" in rest


# --- the steps of the chapter ---------------------------------------------------------------------


@pytest.fixture
def stores(compose):
    """One process a service, with its environment; names of containers become ports here."""
    with Cluster(count=0, names=[], secret=None) as c:
        ports = {name: free_port() for name in compose["services"]}
        for name, service in compose["services"].items():
            env = environment_of(service)
            for other, port in ports.items():
                env["PEERS"] = env["PEERS"].replace(f"//{other}:4000", f"//127.0.0.1:{port}")
            env["PORT"] = str(ports[name])
            c.add(Member(env["NODE_ID"], ports[name], c.directory, env=env))
        for m in c:
            m.start(wait=False)
        c.wait_leader(timeout=60)
        yield c


def lead(c, member):
    leader = c.wait_leader()
    if leader is not member:
        assert leader.request("POST", "/step-down", json.dumps({"to": member.name})).status == 200
    wait_for(lambda: c.leader_now() is member, f"{member.name} leads", 30)


def test_f1_the_steps_of_the_chapter_with_the_environment_of_compose(stores):
    node1, node2, node3 = stores
    lead(stores, node1)
    for key, value in ("name", "Alice"), ("age", 30), ("city", "Oslo"):
        assert node1.put(key, value).json() == {
            "success": True, "key": key, "value": value, "leaderId": "node-1",
            "revision": node1.read(key).json()["revision"]}
    assert node2.read("name").json()["value"] == "Alice"
    assert node3.read("city").json()["nodeRole"] == "follower"
    refused = node2.put("name", "Bob")
    assert refused.status == 503 and refused.json()["leaderId"] == "node-1"

    assert node1.terminate() == 0  # docker compose stop node1
    leader = stores.wait_leader(among=[node2, node3], timeout=60)
    assert leader.status()["term"] >= 2
    assert stores.put("newleader", leader.name)["leaderId"] == leader.name
    for m in node2, node3:
        for key, value in ("name", "Alice"), ("age", 30), ("newleader", leader.name):
            assert m.read(key).json()["value"] == value

    node1.start()  # docker compose start node1
    stores.wait_leader(timeout=60)
    wait_for(lambda: node1.status()["role"] == "follower", "node-1 follows", 30)
    wait_for(lambda: node1.read("newleader").status == 200, "node-1 has what it missed", 30)
    assert node1.status()["leaderId"] == leader.name
    stores.check_one_leader_a_term()


def test_f1_a_member_for_other_machines_without_a_secret_is_refused(compose, tmp_path):
    env = environment_of(compose["services"]["node1"])
    del env["CONCLAVE_CLUSTER_SECRET"]
    done = conclave("server", env={**env, "PORT": str(free_port())}, cwd=tmp_path, timeout=5)
    assert done.returncode == 2 and "--cluster-secret-file" in done.stderr


# --- the health check -----------------------------------------------------------------------------


def test_f1_health_tells_a_living_member_from_a_dead_one(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    for arguments in [leader.url], ["--ready", leader.url]:
        assert conclave("health", *arguments).returncode == 0
    for m in c.followers(leader):
        m.kill()
    wait_for(lambda: conclave("health", "--ready", leader.url).returncode == 1,
             "without a majority it is not ready", 30)
    assert conclave("health", leader.url).returncode == 0, "but it lives"
    leader.freeze()
    frozen = conclave("health", "--timeout", "300ms", leader.url)
    assert frozen.returncode == 1 and leader.url in frozen.stderr
    leader.kill()
    assert conclave("health", leader.url).returncode == 1
    assert conclave("health", "nonsense://x").returncode == 2
