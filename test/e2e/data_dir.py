"""Bytes of the data directory that tests change on purpose; docs/DATA_DIR.md describes them."""
import os
import struct

BLOCK = 4096


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def raise_record_version(directory, name):
    """Make the record `name` one of a newer format, with a checksum that is right."""
    path = os.path.join(directory, name)
    with open(path, "rb") as f:
        data = f.read()
    magic, version, size, crc = struct.unpack_from("<8sIII", data)
    content = data[20:]
    assert magic == b"CNCLVREC" and size == len(content)
    assert crc == crc32c(data[:16] + name.encode() + content), "the checksum is not as described"
    header = struct.pack("<8sII", magic, version + 1, size)
    with open(path, "wb") as f:
        f.write(header + struct.pack("<I", crc32c(header + name.encode() + content)) + content)


def end_of_records(path):
    """The first block boundary with only zeros behind it."""
    with open(path, "rb") as f:
        data = f.read().rstrip(b"\0")
    return -(-len(data) // BLOCK) * BLOCK


RECORD_HEADER = 120


def forge_values(directory, changes):
    """Change bytes in the entries of a member's log, each for others of the same length, and make
    every checksum right again, also that of each record over the one before: what a start then
    reads is sound, and another history than the others have. `changes`: {bytes: bytes}."""
    chain, done = {}, set()
    for name in sorted(n for n in os.listdir(directory) if n.endswith(".log")):
        path = os.path.join(directory, name)
        with open(path, "rb") as f:
            data = bytearray(f.read())
        at = BLOCK
        while data[at:at + 4] == b"WCRD":
            old_crc, length = struct.unpack_from("<II", data, at + 4)
            previous, = struct.unpack_from("<I", data, at + 20)
            end = at + RECORD_HEADER + length
            payload = bytes(data[at + RECORD_HEADER:end])
            for old, new in changes.items():
                assert len(old) == len(new)
                done |= {old} if old in payload else set()
                payload = payload.replace(old, new)
            data[at + RECORD_HEADER:end] = payload
            struct.pack_into("<I", data, at + 20, chain.get(previous, previous))
            chain[old_crc] = crc32c(bytes(data[at + 8:end]))
            struct.pack_into("<I", data, at + 4, chain[old_crc])
            at += -(-(RECORD_HEADER + length) // BLOCK) * BLOCK
        with open(path, "wb") as f:
            f.write(data)
    assert done == set(changes), f"not in the log: {set(changes) - done}"
