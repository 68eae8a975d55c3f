"""docs/GUIDE.md tells the truth: its commands are run, and print what it shows."""
import os

import pytest

import guide
from guide import ANYTHING, Lie
from harness import processes_with, wait_for

GUIDE = os.path.join(guide.harness.ROOT, "docs", "GUIDE.md")


def test_every_command_of_the_guide_prints_what_it_shows():
    with open(GUIDE, encoding="utf-8") as f:
        assert guide.check(f.read()) > 50


# --- the runner can fail --------------------------------------------------------------------------


def block(*lines, kind="sh"):
    return "\n".join(["# A guide", f"```{kind}", *lines, "```", ""])


@pytest.mark.parametrize("lines", [
    ["$ echo one", "one", "$ echo two; echo three", "two", "three", ""],
    ["$ echo one   two", "one two"],
    ["$ echo id=7f port=4001", f"id={ANYTHING} port=4001"],
    ["$ seq 9", "1", ANYTHING, "9"],
    ["$ true"],
    ["$ printf 'no newline'", "no newline"],
    ["$ cat <<END", "> a", "> END", "a"],
    ["$ x=5; cd /", "$ echo $x $PWD", "5 /"],
    ["$ echo oops >&2", "oops"],
    ["$ echo one", "one", "```", "Words", "```text", "$ echo two", "three"],
])
def test_a_guide_that_tells_the_truth_passes(lines):
    assert guide.check(block(*lines)) >= 1


@pytest.mark.parametrize("lines,words", [
    (["$ echo one", "two"], ["line 3: echo one", "shows\ntwo", "printed\none"]),
    (["$ echo one"], ["line 3"]),
    (["$ true", "something"], ["line 3"]),
    (["$ echo one", "one", "$ echo two", "one"], ["line 5: echo two"]),
    (["$ echo one; echo two", f"one{ANYTHING}"], ["line 3"]),
    (["$ echo one; echo two", ANYTHING, "one"], ["line 3"]),
    (["$ echo xone", "one"], ["line 3"]),
    (["$ exit 0"], ["ends the shell"]),
    (["one", "$ echo one"], ["begins with a command"]),
])
def test_a_guide_that_lies_is_found(lines, words):
    with pytest.raises(Lie) as lie:
        guide.check(block(*lines))
    for word in words:
        assert word in str(lie.value)


def test_what_takes_a_moment_is_repeated_as_a_whole_and_not_for_ever():
    counts = ["$ n=$((n + 1)); echo step", "step", "$ echo $n", "5"]
    assert guide.check(block(*counts, kind="sh wait")) == 2
    with pytest.raises(Lie):
        guide.check(block(*counts))
    with pytest.raises(Lie):
        guide.check(block("$ echo 1", "2", kind="sh wait"), wait_s=0.5)


def test_a_command_that_hangs_is_found_and_nothing_is_left():
    shell, nap = guide.Shell(), f"600.{os.getpid()}"
    shell.run(f"sleep {nap} &")
    wait_for(lambda: len(processes_with(nap)) == 1, "it runs")
    with pytest.raises(Lie):
        shell.run(f"sleep {nap}", timeout=0.3)
    shell.close()
    wait_for(lambda: not processes_with(nap), "nothing is left")
    assert not os.path.exists(shell.directory)


def test_ports_are_free_ones_and_shown_as_in_the_guide():
    shell = guide.Shell()
    try:
        assert shell.run("echo :4001 14001 40010") == ":4001 14001 40010\n"
        assert shell.run("echo 4001 | rev").strip() != "1004"
    finally:
        shell.close()
