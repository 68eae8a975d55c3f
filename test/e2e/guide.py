"""Runs the commands of a guide in order, and compares what they print with what the guide shows.

A block ```sh has commands, `$ ` before each and `> ` before its further lines, and below each
command what it prints, to the letter but for the width of gaps. An ellipsis in a line stands for
anything, and a line of nothing else for any lines. A block ```sh wait is about what takes a moment:
it is repeated as a whole until it prints what is shown. Other blocks are not run.

All commands share one shell, in a fresh directory. Ports 4001 to 4009 of the guide are free ports
here, and what is printed shows the guide's again. `python3 test/e2e/guide.py GUIDE` prints what is
printed now.
"""
import collections
import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import harness

ANYTHING = "\N{HORIZONTAL ELLIPSIS}"
PORTS = range(4001, 4010)
WAIT_S = 60.0
END = "-- end of the command --"
MARK = "CONCLAVE_GUIDE"  # in the environment of all that is started

# Members on a crowded machine shall not elect more often than the guide tells.
CALM = {"CONCLAVE_HEARTBEAT_MS": "100", "CONCLAVE_ELECTION_TIMEOUT_MS": "1500"}

# The program that the guide's commands find: the default ports of the manager are the guide's.
PROGRAM = """#!/bin/sh
[ "$1 $2" != "cluster start" ] || set -- "$@" --base-port {port}
exec '{binary}' "$@"
"""

Step = collections.namedtuple("Step", "line command shown")
Block = collections.namedtuple("Block", "steps waits")


class Lie(AssertionError):
    """What a guide shows is not what is printed."""


def blocks(text):
    """The blocks of a guide that are run, with each command and what it shall print."""
    found, kind = [], None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            kind = line[3:].strip() if kind is None else None
            if kind in ("sh", "sh wait"):
                found.append(Block([], kind == "sh wait"))
            continue
        if kind not in ("sh", "sh wait"):
            continue
        steps = found[-1].steps
        if line.startswith("$ "):
            steps.append(Step(number, line[2:], []))
        elif not steps:
            raise Lie(f"line {number}: a block begins with a command: {line}")
        elif line.startswith("> ") and not steps[-1].shown:
            steps[-1] = steps[-1]._replace(command=steps[-1].command + "\n" + line[2:])
        else:
            steps[-1].shown.append(line)
    return found


def narrowed(line):
    return re.sub(r"\s+", " ", line).strip()


def pattern_of(shown):
    lines = []
    for line in map(narrowed, shown):
        inside = ".*".join(map(re.escape, line.split(ANYTHING)))
        lines.append("(?:.*\n)*" if line == ANYTHING else inside + "\n")
    return re.compile("".join(lines))


def is_as_shown(shown, printed):
    while shown and not shown[-1].strip():
        shown = shown[:-1]
    lines = [narrowed(line) for line in printed.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return pattern_of(shown).fullmatch("".join(line + "\n" for line in lines)) is not None


class Shell:
    """One bash for a whole guide; `run` gives what a command prints, on both streams."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="conclave-guide-")
        first = harness.free_port_row(len(PORTS))
        self.ports = {str(shown): str(first + i) for i, shown in enumerate(PORTS)}
        self.back = {real: shown for shown, real in self.ports.items()}
        home, here = os.path.join(self.directory, "home"), os.path.join(self.directory, "here")
        os.mkdir(here)
        self.make_home(home, first)
        environment = harness.clean_environment({
            **CALM, "HOME": home, "PATH": home + ":" + os.environ["PATH"], MARK: self.directory,
            "CONCLAVE_ENDPOINTS": ",".join(f"http://127.0.0.1:{first + i}" for i in range(3))})
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=here, env=environment, start_new_session=True)
        self.printed = b""

    def make_home(self, home, first_port):
        os.mkdir(home)
        with open(os.path.join(home, ".curlrc"), "w", encoding="utf-8") as f:
            f.write("silent\nshow-error\n")  # as on a terminal, where it shows no progress
        program = os.path.join(home, "conclave")
        with open(program, "w", encoding="utf-8") as f:
            f.write(PROGRAM.format(port=first_port, binary=os.path.abspath(harness.BINARY)))
        os.chmod(program, 0o755)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def translate(self, text, names):
        return re.sub(r"(?<!\d)(" + "|".join(names) + r")(?!\d)", lambda m: names[m.group()], text)

    def run(self, command, timeout=WAIT_S):
        """What it prints; Lie when it does not end."""
        self.send(f"{{\n{self.translate(command, self.ports)}\n}} </dev/null\necho; echo '{END}'\n")
        deadline = time.monotonic() + timeout
        end = f"\n{END}\n".encode()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while end not in self.printed:
                if not selector.select(deadline - time.monotonic()):
                    raise Lie(f"does not end: {command}\n{self.printed.decode(errors='replace')}")
                part = os.read(self.process.stdout.fileno(), 65536)
                if not part:
                    raise Lie(f"ends the shell: {command}")
                self.printed += part
        printed, _, self.printed = self.printed.partition(end)
        return self.translate(printed.decode(errors="replace"), self.back)

    def logs(self, lines=15):
        """The end of every log, for the report of a failure."""
        told = []
        for folder, _, names in os.walk(self.directory):
            for path in (os.path.join(folder, n) for n in sorted(names) if n.endswith(".log")):
                with open(path, encoding="utf-8", errors="replace") as f:
                    told.append(f"--- the end of {path}\n" + "".join(f.readlines()[-lines:]))
        return "\n".join(told)

    def close(self):
        """Nothing that was started here is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()
        mark = f"{MARK}={self.directory}\0".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if mark in f.read():
                        os.kill(int(pid), signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def play(shell, block, wait_s=WAIT_S):
    """Run a block, until it prints what is shown if it is one to wait for: [(step, printed, is it
    so)] of the last time, which ends with the first that is not."""
    deadline = time.monotonic() + wait_s
    while True:
        seen = []
        for step in block.steps:
            printed = shell.run(step.command)
            seen.append((step, printed, is_as_shown(step.shown, printed)))
            if not seen[-1][2]:
                break
        else:
            return seen
        if not block.waits or time.monotonic() > deadline:
            return seen
        time.sleep(0.2)


def check(text, wait_s=WAIT_S):
    """Run a whole guide; Lie with the first command that prints something else. How many ran."""
    count = 0
    with contextlib.closing(Shell()) as shell:
        for block in blocks(text):
            seen = play(shell, block, wait_s)
            step, printed, is_so = seen[-1]
            if not is_so:
                raise Lie("line {}: {}\n--- the guide shows\n{}\n--- printed\n{}\n{}".format(
                    step.line, step.command, "\n".join(step.shown), printed, shell.logs()))
            count += len(seen)
    return count


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        text = f.read()
    with contextlib.closing(Shell()) as shell:
        for block in blocks(text):
            seen = play(shell, block, 20)
            seen += [(step, shell.run(step.command), False) for step in block.steps[len(seen):]]
            for step, printed, is_so in seen:
                mark = "" if is_so else "!!! "
                print(f"{mark}{step.line}$ {step.command}\n{printed}", flush=True)


if __name__ == "__main__":
    main()
