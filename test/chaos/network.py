"""The wires of one cluster: commands to proxy.py. Standard library only."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Network:
    """`ports`: a member's name -> (port at which the others find it, port at which it listens)."""

    def __init__(self, ports):
        self.names = list(ports)
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "proxy.py"), json.dumps(ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, f"the proxy ended with {self.process.wait()}"
        return json.loads(line)

    def _do(self, verb, **arguments):
        self.process.stdin.write(json.dumps({"do": verb, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def tell_pid(self, name, pid):
        self._do("pid", member=name, pid=pid)

    def rule(self, source, target, **how):
        """hold=True, delay_s=0.1, bytes_per_second=1000, refuse=True: see proxy.Rule."""
        self._do("rule", source=source, target=target, **how)

    def rule_all(self, **how):
        for a in self.names:
            for b in self.names:
                if a != b:
                    self.rule(a, b, **how)

    def mute(self, name):
        """Nothing that it says arrives."""
        for other in self.others(name):
            self.rule(name, other, hold=True)

    def deafen(self, name):
        """Nothing arrives at it."""
        for other in self.others(name):
            self.rule(other, name, hold=True)

    def isolate(self, name):
        self.mute(name)
        self.deafen(name)

    def others(self, name):
        return [n for n in self.names if n != name]

    def cut(self, name):
        """RST on all its connections, once."""
        for other in self.others(name):
            self._do("cut", source=name, target=other)

    def half_close(self, name):
        """FIN towards the others, once, while they may go on to speak."""
        for other in self.others(name):
            self._do("half-close", source=name, target=other)

    def heal(self):
        self._do("heal")

    def connections(self):
        return self._do("figures")["connections"]

    def moved(self, source, target):
        """Bytes that arrived so far."""
        return self._do("figures")["moved"].get(f"{source}>{target}", 0)
