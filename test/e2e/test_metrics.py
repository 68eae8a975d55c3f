"""GET /metrics: figures that Prometheus takes, and that are true."""
import math
import os
import re
import shutil
import subprocess

import pytest

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:{NAME}="(?:[^"\\\n]|\\[\\"n])*",?)*)\}})? (\S+)')
KINDS = ("counter", "gauge", "histogram")


def parse(text):
    """{family: (kind, [(name, labels, value)])}; fails on anything that is not the text format."""
    assert text.endswith("\n")
    families, helped, current = {}, set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert name not in helped and words.strip(), line
            helped.add(name)
            current = None
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helped and name not in families and kind in KINDS, line
            current = families[name] = (kind, [])
        else:
            m = SAMPLE.fullmatch(line)
            assert m, f"no sample: {line}"
            assert current is not None, f"no type before: {line}"
            family = list(families)[-1]
            base = m.group(1)
            if current[0] == "histogram":
                base = re.sub(r"_(bucket|sum|count)$", "", base)
            assert base == family, f"{line} is among {family}"
            labels = dict(re.findall(rf'({NAME})="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
            current[1].append((m.group(1), labels, float(m.group(3))))
    assert all(samples for _, samples in families.values())
    return families


def check_histogram(name, samples):
    buckets = [(float(labels["le"]), v) for n, labels, v in samples if n == name + "_bucket"]
    assert [b for b, _ in buckets] == sorted({b for b, _ in buckets})
    counts = [v for _, v in buckets]
    assert counts == sorted(counts), f"{name} is not cumulative"
    assert buckets[-1][0] == math.inf
    assert [v for n, _, v in samples if n == name + "_count"] == [counts[-1]]
    assert len([v for n, _, v in samples if n == name + "_sum"]) == 1


def figures(member):
    answer = member.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parse(answer.body.decode())


def value(families, name, **labels):
    found = [v for n, at, v in families[name][1] if at == labels]
    assert len(found) == 1, (name, labels, families[name])
    return found[0]


def test_the_text_is_what_prometheus_reads_on_every_member(shared):
    for m in shared:
        families = figures(m)
        for name, (kind, samples) in families.items():
            assert name.startswith("conclave_")
            assert (kind == "counter") == name.endswith("_total"), name
            seen = [(n, tuple(sorted(at.items()))) for n, at, _ in samples]
            assert len(seen) == len(set(seen)), f"{name} repeats a sample"
            assert all(v >= 0 for _, _, v in samples), name
            if kind == "histogram":
                check_histogram(name, samples)


def test_figures_follow_what_happens(shared):
    leader = shared.wait_leader()
    before = figures(leader)
    for i in range(25):
        assert leader.put("counted", i).status == 200
    after = figures(leader)
    proposals = "conclave_proposals_total"
    assert value(after, proposals) >= value(before, proposals) + 25
    assert value(after, "conclave_revision") == value(before, "conclave_revision") + 25
    assert value(after, "conclave_is_leader") == 1
    assert sum(value(figures(m), "conclave_is_leader") for m in shared) == 1
    assert value(after, "conclave_term") == leader.status()["term"]


def test_promtool_has_nothing_to_say(shared):
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool; tools/fetch-promtool gets it where apt-get does")
    text = shared.wait_leader().get("/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", [
    "a 1\n", "# HELP a x\n# TYPE a counter\na one\n", "# HELP a x\n# TYPE a gauge\nb 1\n",
    "# HELP a x\n# TYPE a gauge\n# HELP a x\na 1\n", "# HELP a x\n# TYPE a gauge\na 1",
    '# HELP a x\n# TYPE a gauge\na{b="c} 1\n', "# HELP a x\n# TYPE a gauge\n",
])
def test_the_parser_refuses_what_is_no_text_format(text):
    with pytest.raises((AssertionError, ValueError)):
        parse(text)
