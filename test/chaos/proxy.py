"""The wires between members, as a process of its own: every member is advertised at a port of this
proxy, and what flows between two members obeys the rule of that direction. Standard library only.

One connection carries both directions, so a rule is about bytes from one member to another,
whoever dialled. Who dials is found by the socket's owner (/proc), so that members need not be told
apart by URL: all know one URL a member, as in production.

A rule that holds is a silent partition: nothing arrives, no end of a connection is seen either, and
what was sent comes late when the rule goes, as TCP would have it. Commands are lines of JSON on
stdin, each answered by a line; the end of stdin is the end of the proxy. network.py writes them.
"""
import asyncio
import contextlib
import dataclasses
import errno
import json
import os
import socket
import struct
import sys

CHUNK = 65536
QUEUE_CHUNKS = 16
LOOKUP_TRIES = 100
DRIP_STEP_S = 0.02


@dataclasses.dataclass
class Rule:
    """How bytes of one direction travel."""
    hold: bool = False
    delay_s: float = 0.0
    bytes_per_second: int = 0  # 0: no limit
    refuse: bool = False       # cut every connection, also new ones


SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 20, 1, 2
NETLINK_SOCK_DIAG = 4


def socket_inode(local_port, remote_port):
    """The inode of the dialler's end of a connection on this machine; 0 when it is gone.

    Asked for by netlink: /proc/net/tcp takes as long as there are sockets on the machine."""
    here = socket.inet_aton("127.0.0.1") + bytes(12)
    wanted = struct.pack(">HH", local_port, remote_port) + here + here + \
        struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + wanted
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as s:
        head = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
        s.send(head + body)
        answer = s.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != NLMSG_ERROR:
        return struct.unpack_from("=I", answer, 84)[0]  # inet_diag_msg.idiag_inode
    if struct.unpack_from("=i", answer, 16)[0] == -errno.ENOENT:
        return 0
    return inode_in_table(local_port, remote_port)


def inode_in_table(local_port, remote_port):
    """The same where the kernel has no inet_diag."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            local, remote = (int(fields[i].rpartition(":")[2], 16) for i in (1, 2))
            if (local, remote) == (local_port, remote_port):
                return int(fields[9])
    return 0


def owns(pid, inode):
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return True
    return False


def cut(writer):
    """End a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Direction:
    """What flows one way on one connection."""

    def __init__(self, proxy, pair, reader, writer):
        self.proxy = proxy
        self.pair = pair
        self.reader = reader
        self.writer = writer
        self.queue = asyncio.Queue(QUEUE_CHUNKS)
        self.is_half_closed = False

    async def read(self):
        loop = asyncio.get_running_loop()
        data = True
        while data:
            try:
                data = await self.reader.read(CHUNK)
            except OSError:
                data = b""
            await self.queue.put((loop.time(), data))

    async def write(self):
        loop = asyncio.get_running_loop()
        while True:
            arrived, data = await self.queue.get()
            while True:
                wait = arrived + self.proxy.rule(self.pair).delay_s - loop.time()
                if wait <= 0:
                    break
                await asyncio.sleep(wait)
            await self.proxy.until_open(self.pair)
            if not data:
                return
            if not self.is_half_closed:
                await self.send(data)

    async def send(self, data):
        while data:
            rate = self.proxy.rule(self.pair).bytes_per_second
            size = max(1, int(rate * DRIP_STEP_S)) if rate else len(data)
            self.writer.write(data[:size])
            self.proxy.moved[self.pair] = self.proxy.moved.get(self.pair, 0) + len(data[:size])
            await self.writer.drain()
            data = data[size:]
            if rate:
                await asyncio.sleep(size / rate)
            await self.proxy.until_open(self.pair)

    def half_close(self):
        self.is_half_closed = True
        with contextlib.suppress(OSError):
            self.writer.write_eof()


class Connection:
    """Both directions of what `source` dialled at `target`."""

    def __init__(self, proxy, source, target, near, far):
        self.ends = {source, target}
        self.writers = [near[1], far[1]]
        self.directions = [Direction(proxy, (source, target), near[0], far[1]),
                           Direction(proxy, (target, source), far[0], near[1])]

    async def run(self):
        """Until one side has ended and the other was told."""
        tasks = [asyncio.ensure_future(d.read()) for d in self.directions]
        writers = [asyncio.ensure_future(d.write()) for d in self.directions]
        await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
        for t in tasks + writers:
            t.cancel()
        await asyncio.gather(*tasks, *writers, return_exceptions=True)
        # The news of the end travel too: a partition holds them, whichever side they are for.
        for d in self.directions:
            await d.proxy.until_open(d.pair)
        for w in self.writers:
            w.close()

    def cut(self):
        for w in self.writers:
            cut(w)


class Proxy:
    def __init__(self, members):
        self.ports = {name: ports for name, ports in members.items()}  # (proxy's, member's own)
        self.pids = {}
        self.rules = {}
        self.connections = set()
        self.moved = {}
        self.changed = asyncio.Event()

    def rule(self, pair):
        return self.rules.get(pair, Rule())

    async def until_open(self, pair):
        while self.rule(pair).hold:
            await self.changed.wait()

    async def source_of(self, peer_port, proxy_port):
        """The member that owns the other end; None when that is nobody we know."""
        for _ in range(LOOKUP_TRIES):
            inode = socket_inode(peer_port, proxy_port)
            if inode == 0:
                return None
            for name, pid in self.pids.items():
                if owns(pid, inode):
                    return name
            await asyncio.sleep(0.01)
        return None

    async def on_accept(self, target, reader, writer):
        proxy_port, own_port = self.ports[target]
        source = await self.source_of(writer.get_extra_info("peername")[1], proxy_port)
        pair, back = (source, target), (target, source)
        while self.rule(pair).hold or self.rule(back).hold:
            await self.changed.wait()
        if source is None or self.rule(pair).refuse or self.rule(back).refuse:
            cut(writer)
            return
        try:
            far = await asyncio.open_connection("127.0.0.1", own_port)
        except OSError:
            cut(writer)
            return
        connection = Connection(self, source, target, (reader, writer), far)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def between(self, one, other):
        return [c for c in self.connections if c.ends == {one, other}]

    def do(self, command):
        verb = command.pop("do")
        if verb == "pid":
            self.pids[command["member"]] = command["pid"]
        elif verb == "rule":
            pair = (command.pop("source"), command.pop("target"))
            self.rules[pair] = Rule(**command)
            if self.rules[pair].refuse:
                self.cut_between(*pair)
        elif verb == "heal":
            self.rules.clear()
        elif verb == "cut":
            self.cut_between(command["source"], command["target"])
        elif verb == "half-close":
            for c in self.between(command["source"], command["target"]):
                for d in c.directions:
                    if d.pair == (command["source"], command["target"]):
                        d.half_close()
        elif verb != "figures":
            raise ValueError(verb)
        self.changed.set()
        self.changed = asyncio.Event()
        return {"connections": len(self.connections),
                "moved": {f"{a}>{b}": n for (a, b), n in self.moved.items()}}

    def cut_between(self, one, other):
        for c in self.between(one, other):
            c.cut()

    async def run(self):
        for name, (proxy_port, _) in self.ports.items():
            await asyncio.start_server(
                lambda r, w, name=name: self.on_accept(name, r, w), "127.0.0.1", proxy_port)
        loop = asyncio.get_running_loop()
        stdin = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        print(json.dumps({"ready": True}), flush=True)
        while True:
            line = await stdin.readline()
            if not line:
                os._exit(0)  # the wires end with us, in the middle of whatever they do
            print(json.dumps(self.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(Proxy(json.loads(sys.argv[1])).run())
