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
