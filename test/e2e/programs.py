"""Other people's programs: installing what a test needs, and running it."""
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest

import harness
from harness import clean_environment, wait_for

APT_OPTIONS = ["-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
POLICY = "/usr/sbin/policy-rc.d"


@contextlib.contextmanager
def one_at_a_time(name):
    """Over all test processes of this machine."""
    path = os.path.join(tempfile.gettempdir(), f"conclave-e2e-{os.getuid()}-{name}.lock")
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def no_services(as_root):
    """What is installed meanwhile starts nothing."""
    if os.path.exists(POLICY):
        yield
        return
    script = f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"
    subprocess.run([*as_root, "sh", "-c", script], check=True)
    try:
        yield
    finally:
        subprocess.run([*as_root, "rm", "-f", POLICY], check=True)


def apt_install(packages):
    """None, or why it could not be done."""
    if not shutil.which("apt-get"):
        return "this is not Debian"
    as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
    if as_root and subprocess.run(["sh", "-c", "sudo -n true"], capture_output=True).returncode:
        return "neither root nor sudo"
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = [*as_root, "apt-get", "install", *APT_OPTIONS, *packages]
    with no_services(as_root):
        for command in (install, [*as_root, "apt-get", "update", "-qq"], install):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode == 0 and command is install:
                return None
    return done.stderr.strip().split("\n")[-1]


def need(is_there, *packages):
    """Install Debian packages unless is_there(); skip, and say why, where that cannot be."""
    if is_there():
        return
    with one_at_a_time("apt"):
        why = None if is_there() else apt_install(packages)
    if why or not is_there():
        pytest.skip(f"{' '.join(packages)} cannot be installed: {why or 'still not there'}")


def need_command(name, package):
    need(functools.partial(shutil.which, name), package)


def version(*command):
    """The first version that a program tells of itself."""
    done = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"\d+(\.\d+)+", done.stdout + done.stderr).group()


class Running:
    """A program that runs beside the test: its lines, as they come."""

    def __init__(self, command, env=None, stdin=subprocess.DEVNULL, **options):
        self.lines = []
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=clean_environment(env),
            preexec_fn=harness._die_with_parent(None), **options)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def text(self):
        return "\n".join(self.lines)

    def wait_text(self, pattern, timeout=15.0):
        """Until what it printed so far matches: the match."""
        def found():
            match = re.search(pattern, self.text(), re.MULTILINE | re.DOTALL)
            assert match or self.process.poll() is None or self.reader.is_alive(), \
                f"it ended with {self.process.returncode} without /{pattern}/:\n{self.text()}"
            return match
        return wait_for(found, f"it prints /{pattern}/", timeout)

    def interrupt(self, timeout=10.0):
        """Ctrl-C: its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def wait(self, timeout=10.0):
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        return code
