"""A program on a terminal of its own: what its screen shows, keys, sizes, and the modes it leaves.

The screen is emulated by pyte, so that tests read what a person would see.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import pyte

import harness
from harness import wait_for


class Terminal:
    """One verb of the program in the foreground of a new terminal."""

    def __init__(self, *arguments, columns=80, rows=24, env=None):
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._set_size(columns, rows)
        self.modes_before = termios.tcgetattr(self.slave)
        environment = harness.clean_environment(
            {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})})
        environment.pop("NO_COLOR", None) if "NO_COLOR" not in (env or {}) else None
        self.process = subprocess.Popen(
            [harness.BINARY, *map(str, arguments)], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, env=environment, preexec_fn=self._take_terminal)

    def _take_terminal(self):
        harness._die_with_parent(None)()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _set_size(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.slave)
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def resize(self, columns, rows):
        self.pump()
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    def type(self, text):
        os.write(self.master, text.encode())

    def pump(self):
        """Take what the program wrote."""
        while select.select([self.master], [], [], 0)[0]:
            part = os.read(self.master, 65536)
            self.raw += part
            self.stream.feed(part)

    def text(self):
        self.pump()
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait_text(self, predicate, what, timeout=20.0):
        """Until predicate(text) of the screen's text holds; the text."""
        def seen():
            text = self.text()
            return text if predicate(text) else None
        try:
            return wait_for(seen, what, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen:\n{self.text()}") from None

    def wait_shows(self, wanted, timeout=20.0):
        return self.wait_text(lambda text: wanted in text, f"the screen shows {wanted!r}", timeout)

    def wait_exit(self, timeout=10.0):
        """The exit code; output is taken meanwhile, so that the program can't block on it."""
        def ended():
            self.pump()
            return self.process.poll() is not None
        wait_for(ended, "the program ends", timeout)
        self.pump()
        return self.process.returncode

    def signal(self, number):
        self.process.send_signal(number)

    def check_left_as_found(self):
        assert termios.tcgetattr(self.slave) == self.modes_before, "modes"
        assert self.raw.count(b"\x1b[?1049h") == self.raw.count(b"\x1b[?1049l"), "second screen"
        assert self.raw.rfind(b"\x1b[?25l") <= self.raw.rfind(b"\x1b[?25h"), "cursor"


CTRL_C = "\x03"
CTRL_D = "\x04"
UP = "\x1b[A"
ABORT = signal.SIGABRT
