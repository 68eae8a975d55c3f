"""What a server would speak, asked as scanners do: a first message that offers all of a kind, again
without what it chose, until it chooses nothing. Written by hand, byte by byte, so that it can
also offer what no library speaks any more."""
import contextlib
import os
import socket
import struct

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
# All blocks in which suites, groups and signatures have ever been assigned, private ones too.
SUITES = [*range(0x0000, 0x0100), *range(0x1300, 0x1310), *range(0xC000, 0xC200),
          *range(0xCC00, 0xCCB0), *range(0xD000, 0xD010), *range(0xFE00, 0xFF00)]
SUITES.remove(0x00FF)  # no suite, but a word about renegotiation; and 0x5600 is one about versions
GROUPS = [*range(1, 64), *range(256, 270), *range(0x0200, 0x0210), *range(0x11E0, 0x1200), 0x6399,
          0xFF01, 0xFF02]
SIGNATURES = [*(h << 8 | s for h in range(8) for s in range(4)), *range(0x0804, 0x081F),
              *range(0x0704, 0x0709)]
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
ALERT, HANDSHAKE, SERVER_HELLO, KEY_EXCHANGE, CERTIFICATE_REQUEST = 21, 22, 2, 12, 13


def sized(form, data):
    return struct.pack(form, len(data)) + data


def words(numbers):
    return b"".join(struct.pack(">H", n) for n in numbers)


def hello(version, suites, groups, signatures):
    """A ClientHello that shows no key yet."""
    def extension(kind, body):
        return struct.pack(">H", kind) + sized(">H", body)
    extensions = extension(10, sized(">H", words(groups))) + extension(11, b"\x01\x00") + \
        extension(13, sized(">H", words(signatures)))
    if version == TLS_1_3:
        extensions += extension(43, sized(">B", words([version]))) + extension(51, b"\x00\x00")
    body = struct.pack(">H", min(version, TLS_1_2)) + os.urandom(32) + \
        sized(">B", os.urandom(32)) + sized(">H", words(suites)) + b"\x01\x00" + \
        sized(">H", extensions)
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + sized(">H", message)


def messages(port, first):
    """What comes back: [(kind, body)] of handshake messages in the clear; an alert ends it."""
    found, plain = [], b""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as s, \
            s.makefile("rb") as stream:
        s.sendall(first)
        while head := stream.read(5):
            kind, _, size = struct.unpack(">BHH", head)
            body = stream.read(size)
            if kind == ALERT:
                return found
            assert kind == HANDSHAKE
            plain += body
            while len(plain) >= 4 and len(plain) >= 4 + int.from_bytes(plain[1:4], "big"):
                size = int.from_bytes(plain[1:4], "big")
                found.append((plain[0], plain[4:4 + size]))
                plain = plain[4 + size:]
                if found[-1][0] == 14 or found[0][1][2:34] == RETRY:  # it waits for us
                    return found
    return found


def answer(port, version=TLS_1_2, suites=SUITES, groups=GROUPS, signatures=SIGNATURES):
    """{"version", "suite", "group", "signature", "client_signatures"} of what it chose; None: it
    will not. The group and the signature as far as they are said before the encryption."""
    told = messages(port, hello(version, suites, groups, signatures))
    if not told:
        return None
    kind, body = told[0]
    assert kind == SERVER_HELLO
    at = 35 + body[34]
    chosen = {"version": int.from_bytes(body[:2], "big"),
              "suite": int.from_bytes(body[at:at + 2], "big")}
    at += 5
    while at + 4 <= len(body):
        extension, size = struct.unpack(">HH", body[at:at + 4])
        value = body[at + 4:at + 4 + size]
        if extension == 43:
            chosen["version"] = int.from_bytes(value, "big")
        if extension == 51:
            chosen["group"] = int.from_bytes(value[:2], "big")
        at += 4 + size
    for kind, body in told[1:]:
        if kind == KEY_EXCHANGE and body[0] == 3:
            chosen["group"] = int.from_bytes(body[1:3], "big")
            at = 4 + body[3]
            chosen["signature"] = int.from_bytes(body[at:at + 2], "big")
        if kind == CERTIFICATE_REQUEST:
            at = 1 + body[0]
            size = int.from_bytes(body[at:at + 2], "big")
            chosen["client_signatures"] = [int.from_bytes(body[i:i + 2], "big")
                                           for i in range(at + 2, at + 2 + size, 2)]
    return chosen


def all_chosen(port, what, offered, **rest):
    """Everything of `offered` that it would take, in the order of its preference."""
    left, found = list(offered), []
    while left:
        chosen = answer(port, **{what + "s": left}, **rest)
        if chosen is None:
            return found
        assert chosen[what] in left, (chosen, what)
        found.append(chosen[what])
        left.remove(chosen[what])
    return found
