"""`conclave shell`: rows D2 to D6, from a pipe and on a terminal."""
import os
import re
import stat
import subprocess

import pytest

import harness
from harness import answering, clean_environment, conclave, free_port, wait_for
from terminal import CTRL_D, UP, Terminal


def urls(members):
    return ",".join(getattr(m, "url", m) for m in members)


def shell(members, *lines, timeout=60, arguments=()):
    """Lines (text or bytes) through a pipe: the lines of the answer; it must end with 0."""
    text = b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines)
    done = subprocess.run(
        [harness.BINARY, "shell", "--endpoints", urls(members), *arguments], input=text,
        capture_output=True, timeout=timeout, env=clean_environment(),
        preexec_fn=harness._die_with_parent(None))
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout and b"conclave>" not in done.stdout, "no terminal, no prompt"
    return done.stdout.decode().split("\n")[:-1]


@pytest.fixture
def three(shared):
    """The shared cluster, empty."""
    leader = shared.wait_leader()
    for item in leader.get("/keys?limit=100000").json()["keys"]:
        assert leader.delete(item["key"]).status == 200
    shared.wait_same()
    return shared


def test_row_d2_write_takes_values_with_spaces_and_tells_its_usage(three):
    told = shell(three, "write greeting  hello  wide world ", "write n 30", 'write o {"a": [1]}',
                 "write", "write k", "write k ", "  write spaced out  ")
    assert told == ["Write successful"] * 3 + ["Usage: write <key> <value>"] * 3 \
        + ["Write successful"]
    leader = three.wait_leader()
    assert leader.read("greeting").json()["value"] == "hello  wide world"
    assert leader.read("n").json()["value"] == 30
    assert leader.read("o").json()["value"] == {"a": [1]}
    assert leader.read("spaced").json()["value"] == "out"
    assert leader.read("k").status == 404


def test_row_d2_a_write_works_over_any_endpoint(three):
    for m in three:
        assert shell([m], f"write from {m.name}") == ["Write successful"]
        assert three.wait_leader().read("from").json()["value"] == m.name


def test_row_d2_a_failed_write_tells_the_true_reason(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    for m in c.followers(leader):
        m.kill()
    wait_for(lambda: leader.status()["leaderId"] is None, "the quorum is gone")
    told = shell([leader], "write k 1", "delete k", "status", arguments=["--timeout", "1s"])
    assert re.fullmatch(r"Write failed \(no .*nothing was written.*\)", told[0]), told
    assert re.fullmatch(r"Delete failed \(no .*nothing was written.*\)", told[1]), told
    assert len(told) == 5, told
    leader.kill()
    told = shell([leader], "write k 1", "read k", "show", "status")
    assert told == ["Write failed (no member takes connections)",
                    "Key not found or all followers are down (no follower takes connections)",
                    "Show failed (no member takes connections)",
                    "Status failed (no member takes connections)"]


def test_row_d3_reads_spread_over_the_followers(three):
    three.put("k", "v")
    leader, _, told = three.while_led(lambda: shell(three, *["read k"] * 60))
    assert {line for line in told} == {f"Read k=v from {m.name}" for m in three.followers(leader)}


def test_row_d3_an_empty_value_is_not_a_missing_one(three):
    told = shell(three, 'write empty ""', "read empty", "write nothing null", "read nothing",
                 "read missing", "read", "read a b")
    assert told[0] == "Write successful"
    assert re.fullmatch(r"Read empty= from node-\d", told[1])
    assert re.fullmatch(r"Read nothing=null from node-\d", told[3])
    assert re.fullmatch(
        r"Key not found or all followers are down \(node-\d has no such key\)", told[4])
    assert told[5:] == ["Usage: read <key>"] * 2


def test_row_d8_a_dead_follower_is_never_read(make_cluster):
    c = make_cluster(3)
    c.put("k", "v")
    leader = c.wait_leader()
    dead, alive = c.followers(leader)
    dead.kill()
    # On a busy machine the two may change places meanwhile; the dead one is never among them.
    told = shell(c, *["read k"] * 20, "status")
    alive_ones = {f"Read k=v from {m.name}" for m in (leader, alive)}
    assert len(told) == 23 and set(told[:20]) <= alive_ones
    assert f"{dead.name}: DOWN" in told[20:]
    assert sum(": UP (" in line for line in told[20:]) == 2


def test_row_d3_a_cluster_of_one_is_read_at_its_only_member(single):
    told = shell([single], "write alone yes", "read alone", "delete alone")
    assert told == ["Write successful", "Read alone=yes from node-1", "Delete successful"]


def test_row_d4_show_is_sorted_and_says_when_it_is_empty(three):
    assert shell(three, "show") == ["(empty)"]
    keys = [f"key-{i:03}" for i in range(120)]  # more than a page
    shell(three, *[f"write {k} value of {k}" for k in reversed(keys)])
    assert shell(three, "show") == [f"{k} = value of {k}" for k in keys]


def test_row_d4_what_is_shown_cannot_steer_a_terminal(three):
    three.put("evil\x1b[2J", "a\nb\x07")
    assert shell(three, "show") == ["evil\\x1b[2J = a\\x0ab\\x07"]


def test_row_d5_exit_and_the_end_of_input_end_it_with_0(three):
    assert shell(three, "write a 1", "exit", "write a 2") == ["Write successful"]
    assert three.wait_leader().read("a").json()["value"] == 1
    done = conclave("shell", "--endpoints", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # A last line without its newline is a line.
    done = subprocess.run([harness.BINARY, "shell", "--endpoints", urls(three)], input="read a",
                          capture_output=True, text=True, timeout=30, env=clean_environment())
    assert done.returncode == 0 and done.stdout.startswith("Read a=1 from ")


def test_row_d6_delete_help_and_unknown_commands(three):
    three.put("k", 1)
    told = shell(three, "delete k", "delete k", "delete", "", "   ", "help", "nonsense", "show me",
                 "log", "write k 2")
    assert told[:3] == ["Delete successful", "Delete failed (key not found: k)",
                        "Usage: delete <key>"]
    assert [line.split()[0] for line in told[3:11]] == [
        "write", "read", "delete", "show", "logs", "status", "help", "exit"]
    unknown = "Unknown command. Use write, read, delete, show, logs, status, help or exit"
    assert told[11:] == [unknown, "Usage: show", unknown, "Write successful"]


def test_row_d6_bad_bytes_and_endless_lines_do_not_end_it(three):
    told = shell(three, b"write \xff 1", b"write k \xff", b"read \xff\xfe", b"\0\0",
                 b"write " + b"k" * 5000 + b" 1", b"write k " + b"x" * (66 << 20), "write k 1")
    key = "failed (a key is 1 to 4096 bytes of UTF-8)"
    assert told[:3] == ["Write " + key, "Write failed (a value is UTF-8)", "Read " + key]
    assert told[3].startswith("Unknown command.") and told[4] == "Write " + key
    assert "left out" in told[5] and told[6] == "Write successful"


@pytest.mark.parametrize("answer", [
    "no JSON", "[]", "7", '{"cluster": 7, "keys": 7, "value": []}',
    '{"cluster": [7, {}, {"id": 1, "url": 2, "online": true, "role": 3}], "keys": [7, {}, []]}',
    '{"cluster": [{"id": "x", "url": "nowhere", "online": true, "role": "follower"}],'
    ' "keys": [{"key": 5}], "more": true, "next": 7}'])
def test_row_d2_answers_that_make_no_sense_do_not_end_it(answer):
    with answering(answer) as url:
        told = shell([url], "read k", "show", "status", "write k 1", "delete k", "nonsense")
    assert told[-1].startswith("Unknown command."), told


# --- on a terminal ------------------------------------------------------------------------------


def last_line(text):
    return text.split("\n")[-1]


def test_row_d2_on_a_terminal_there_are_a_prompt_editing_and_history(three, tmp_path):
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": ""}
    with Terminal("shell", "--endpoints", urls(three), env=home) as t:
        t.wait_text(lambda text: last_line(text) == "conclave>", "a prompt")
        t.type("rite name Alice in wonderland\x01w\n")  # Ctrl-A, and the letter that was forgotten
        t.wait_shows("Write successful")
        t.type("read name\n")
        t.wait_shows("Read name=Alice in wonderland from node-")
        t.type(UP + UP + UP + UP)
        t.wait_text(lambda text: last_line(text) == "conclave> write name Alice in wonderland",
                    "the first line again")
        t.type("\x15" + CTRL_D)  # Ctrl-U takes the line away
        assert t.wait_exit() == 0
        t.check_left_as_found()
    kept = tmp_path / ".local" / "state" / "conclave" / "shell_history"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    with Terminal("shell", "--endpoints", urls(three), env=home) as t:
        t.wait_text(lambda text: last_line(text) == "conclave>", "a prompt")
        t.type(UP)
        t.wait_text(lambda text: last_line(text) == "conclave> read name", "an older line")
        t.type("\x15exit\n")
        assert t.wait_exit() == 0


def test_row_d2_tab_completes_commands_and_keys(three, tmp_path):
    for key in ("fruit/apple", "fruit/apricot", "vegetable/leek", "with space"):
        three.put(key, "x")
    three.wait_same()
    with Terminal("shell", "--endpoints", urls(three), env={"HOME": str(tmp_path)}) as t:
        t.wait_text(lambda text: last_line(text) == "conclave>", "a prompt")
        t.type("del\t")
        t.wait_text(lambda text: last_line(text) == "conclave> delete", "delete")
        t.type("veg\t")
        t.wait_text(lambda text: last_line(text) == "conclave> delete vegetable/leek", "the key")
        t.type("\n")
        t.wait_shows("Delete successful")
        t.type("read fr\t")
        t.wait_text(lambda text: last_line(text) == "conclave> read fruit/ap", "what both share")
        t.type("p\t\n")
        t.wait_shows("Read fruit/apple=x from node-")
        t.type(CTRL_D)
        assert t.wait_exit() == 0


def test_row_d5_a_terminal_without_a_home_or_a_cluster_is_fine():
    with Terminal("shell", "--endpoints", f"http://127.0.0.1:{free_port()}",
                  env={"HOME": "/nonexistent", "TERM": "dumb"}) as t:
        t.wait_shows("conclave>")
        t.type("read x\t\n")
        t.wait_shows("all followers are down")
        t.type(CTRL_D)
        assert t.wait_exit() == 0
