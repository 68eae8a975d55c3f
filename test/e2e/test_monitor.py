"""`conclave monitor`: rows B12 and B17, as one frame and on a terminal."""
import re
import signal

import pytest

from harness import answering, conclave, free_port, wait_for
from terminal import CTRL_C, Terminal


def urls(members):
    return ",".join(m.url for m in members)


def frame(members, *arguments, env=None):
    done = conclave("monitor", "--once", "--endpoints", urls(members), *arguments, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def node_line(text, name):
    return next(line for line in text.split("\n") if line.startswith(name + " "))


# --- one frame ----------------------------------------------------------------------------------


def test_row_b12_once_prints_a_frame(shared):
    leader, term, text = shared.while_led(lambda: frame(shared))
    assert re.match(r"Conclave monitor  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", text)
    assert f"Leader: {leader.name} (Port {leader.port}, Term {term})" in text
    assert "Followers: 2  Candidates: 0  Learners: 0  Offline: 0  Total: 3" in text
    assert "Health: 100% online  Leadership: Stable  " in text
    assert f"Term: consistent ({term})" in text
    load = r"\d+ conn +\d+ req/s +load +\d+%"
    assert re.search(rf"^{leader.name} +LEADER +term {term} +lag \d+ +{load}$", text, re.M)
    for m in shared.followers(leader):
        assert re.search(rf"^{m.name} +FOLLOWER +term {term} .* conn .*Following: {leader.name}$",
                         text, re.M)
    assert "\x1b" not in text


def test_row_b12_without_a_terminal_it_prints_a_frame_from_any_one_endpoint(shared):
    for m in shared:
        done = conclave("monitor", "--endpoints", m.url)
        assert done.returncode == 0
        for other in shared:  # also the load of those that were not named
            assert " conn " in node_line(done.stdout, other.name)


def test_row_b12_a_killed_member_is_offline_in_the_next_frame(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    dead, alive = c.followers(leader)
    dead.kill()
    text = frame(c)
    assert "Followers: 1  Candidates: 0  Learners: 0  Offline: 1  Total: 3" in text
    assert re.search(rf"^{dead.name} +OFFLINE +takes no connections$", text, re.M)
    assert "Health: 66% online" in text
    leader.kill()
    wait_for(lambda: alive.status()["leaderId"] is None, "nobody leads")
    text = frame(c)
    assert "Leader: None" in text and "Offline: 2" in text and "Leadership: None" in text


def test_row_b12_nobody_there_is_exit_8_and_wrong_flags_are_exit_2():
    done = conclave("monitor", "--once", "--endpoints", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 8 and done.stdout == "" and "cannot connect" in done.stderr
    for wrong in (["--interval", "0"], ["--interval", "soon"], ["--twice"], ["now"]):
        assert conclave("monitor", *wrong).returncode == 2, wrong


@pytest.mark.parametrize("answer", [
    "no JSON", "[]", '{"cluster": 7, "leader": 7, "revision": "x", "load": []}',
    '{"cluster": [7, {}, {"id": 1, "url": 2, "online": true, "role": 3, "term": -1}]}',
    '{"nodeId": "x", "revision": 1e300, "load": {}, "leader": {"term": 3}, "cluster": ['
    + ", ".join(['{"id": "x", "url": "nowhere", "online": true, "term": 1e300}'] * 40) + "]}"])
def test_row_b12_answers_that_make_no_sense_do_not_end_it(answer):
    with answering(answer) as url:
        done = conclave("monitor", "--once", "--endpoints", url)
    assert done.returncode in (0, 8), done
    assert done.returncode == 8 or "Total: " in done.stdout


# --- on a terminal ------------------------------------------------------------------------------


def monitor(members, **kw):
    return Terminal("monitor", "--interval", "200ms", "--endpoints", urls(members), **kw)


def test_row_b12_on_a_terminal_members_die_and_come_back_under_it(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    dead, alive = c.followers(leader)
    # It is given one endpoint, and learns the others from it.
    with monitor([leader], columns=100) as t:
        t.wait_shows("Offline: 0  Total: 3")
        t.wait_shows("none seen yet")
        dead.kill()
        t.wait_shows("Offline: 1  Total: 3")
        assert "takes no connections" in node_line(t.text(), dead.name)
        t.wait_shows(f"{dead.name} went offline: takes no connections")
        dead.start()
        t.wait_shows(f"{dead.name} came back")
        t.wait_shows("Health: 100% online")
        c.wait_leader()
        leader.kill()  # the only endpoint it was given
        t.wait_shows(f"{leader.name} went offline")
        t.wait_text(lambda text: re.search(rf"^Leader: ({dead.name}|{alive.name}) \(Port \d+, Term",
                                           text, re.M), "the new leader")
        t.wait_text(lambda text: re.search(r" term \d+ after \d+$", text, re.M), "the new term")
        alive.kill()
        dead.kill()
        t.wait_shows("Offline: 3  Total: 3")
        t.wait_shows("Leadership: None")
        t.type("q")
        assert t.wait_exit() == 0
        t.check_left_as_found()


def test_row_b12_a_frozen_member_does_not_freeze_it(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    frozen = c.followers(leader)[0]
    with monitor(c) as t:
        t.wait_shows("Offline: 0  Total: 3")
        frozen.freeze()
        t.wait_shows("no answer within 1500 ms")
        clock = t.text().split("\n")[0]
        t.wait_text(lambda text: text.split("\n")[0] != clock, "the clock goes on")
        frozen.thaw()
        t.wait_shows(f"{frozen.name} came back")
        frozen.freeze()
        t.type("q")  # it does not wait for who is frozen
        assert t.wait_exit() == 0


def test_row_b17_a_step_down_shows_under_the_monitor(make_cluster):
    c = make_cluster(3)
    leader = c.wait_leader()
    target = c.followers(leader)[0]
    with monitor(c) as t:
        t.wait_shows(f"Leader: {leader.name} (Port {leader.port}, Term ")
        assert conclave("step-down", "--to", target.name, "--endpoints",
                        leader.url).returncode == 0
        t.wait_shows(f"Leader: {target.name} (Port {target.port}, Term ")
        t.wait_shows(f"{target.name} leads now")
        t.type(CTRL_C)
        assert t.wait_exit() == 0
        t.check_left_as_found()


def test_row_b12_the_throughput_is_drawn(single):
    with monitor([single]) as t:
        t.wait_shows("Throughput:")

        def writes_show(text):
            single.put("k", 1)
            return re.search(r"Throughput:  [1-9]\d* changes/s  [\u2581-\u2588]*\u2588", text)
        t.wait_text(writes_show, "a rate and its bar")
    with monitor([single], env={"LC_ALL": "C"}) as t:
        t.wait_text(lambda text: re.search(r"Throughput:  \d+ changes/s  [_#]", text), "plain bars")


def test_row_b12_it_follows_the_size_of_the_terminal(shared):
    leader = shared.wait_leader()
    with monitor(shared, columns=100, rows=30) as t:
        t.wait_shows("Followers: 2  Candidates: 0  Learners: 0  Offline: 0  Total: 3")
        t.resize(20, 40)
        # Twenty columns: what does not fit beside goes below.
        text = t.wait_text(lambda x: "  Total: 3" in x.split("\n") and "q or Ctrl-C leaves" in x,
                           "the narrow frame")
        lines = text.split("\n")
        assert f"Leader: {leader.name}" in lines and f"  (Port {leader.port}, " in text
        for wanted in ("  Candidates: 0", "Health: 100% online", "  Leadership: Stable"):
            assert wanted in lines, wanted
        for m in shared:
            assert any(line.startswith(m.name) for line in lines)
        t.resize(100, 30)
        t.wait_shows("Followers: 2  Candidates: 0  Learners: 0  Offline: 0  Total: 3")
        t.resize(20, 3)  # too low for anything but the beginning
        t.wait_text(lambda x: x.split("\n")[0].startswith("Conclave monitor"), "the title")
        t.resize(1, 1)
        t.wait_text(lambda x: x == "C", "what there is room for")
        t.type("q")
        assert t.wait_exit() == 0


@pytest.mark.parametrize("number, code", [
    (signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGHUP, 0),
    (signal.SIGABRT, -signal.SIGABRT)])
def test_row_b12_a_signal_leaves_the_terminal_as_it_was(single, number, code):
    with monitor([single]) as t:
        t.wait_shows("Total: 1")
        t.signal(number)
        assert t.wait_exit() == code
        t.check_left_as_found()


def test_row_b12_a_terminal_that_nobody_knows_is_told(single):
    with monitor([single], env={"TERM": "no-such-terminal"}) as t:
        assert t.wait_exit() == 2
        assert "--once" in t.text().replace("\n", "")


def test_row_b12_no_color_is_obeyed(single):
    color = re.compile(rb"\x1b\[[0-9;]*3[123]m")
    with monitor([single]) as t:
        t.wait_shows("Total: 1")
        assert color.search(t.raw)
    with monitor([single], env={"NO_COLOR": "1"}) as t:
        t.wait_shows("Total: 1")
        assert not color.search(t.raw)
