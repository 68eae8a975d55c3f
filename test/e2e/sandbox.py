"""A program under what debian/conclave.service says: `python3 sandbox.py PROGRAM ...` becomes
PROGRAM, which may make the system calls and sockets of the unit and no other. One that it must not
make ends it (SIGSYS) where the unit would refuse it, so that no test can miss it. Standard library
only; x86-64 and arm64.
"""
import ctypes
import os
import platform
import re
import struct
import subprocess
import sys

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "debian",
                    "conclave.service")
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE, SECCOMP_MODE_FILTER = 38, 22, 65, 2
KILL_PROCESS, ALLOW = 0x80000000, 0x7fff0000
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
INSTRUCTIONS_MAX = 4096


def settings(name, path=UNIT):
    """Every value of that name, in its order."""
    with open(path, encoding="utf-8") as f:
        return re.findall(rf"^{name}=(.*)$", f.read(), re.MULTILINE)


def all_groups():
    """{"@group": the calls and groups in it}."""
    said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"],
                          capture_output=True, text=True, check=True).stdout
    return {lines[0].strip(): {w.strip() for w in lines[1:] if w.strip() and "#" not in w}
            for lines in (block.split("\n") for block in said.split("\n\n"))}


def expand(word, groups):
    """The calls of a group, and of the groups in it."""
    if not word.startswith("@"):
        return {word}
    return set().union(*(expand(w, groups) for w in groups[word]))


def allowed_calls():
    """As systemd reads it: the first line allows, those with ~ take away."""
    groups, allowed = all_groups(), set()
    for value in settings("SystemCallFilter"):
        words = set().union(*(expand(w, groups) for w in value.lstrip("~").split()))
        allowed = allowed - words if value.startswith("~") else allowed | words
    return allowed


def numbers():
    """{name: number} on this machine."""
    own = f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h"
    path = own if os.path.exists(own) else "/usr/include/asm-generic/unistd.h"
    with open(path, encoding="utf-8") as f:
        return {name: int(number) for name, number in
                re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", f.read())}


def instruction(code, value, if_so=0, if_not=0):
    return struct.pack("HBBI", code, if_so, if_not, value)


def program():
    """The filter, as the kernel takes it."""
    known = numbers()
    families = [FAMILIES[w] for v in settings("RestrictAddressFamilies") for w in v.split()]
    code = [instruction(LOAD, NUMBER_AT)]
    for name in sorted(allowed_calls() & set(known) - {"socket"}):
        code += [instruction(IF_EQUAL, known[name], 0, 1), instruction(RETURN, ALLOW)]
    code += [instruction(IF_EQUAL, known["socket"], 1, 0), instruction(RETURN, KILL_PROCESS),
             instruction(LOAD, FIRST_ARGUMENT_AT)]
    for family in families:
        code += [instruction(IF_EQUAL, family, 0, 1), instruction(RETURN, ALLOW)]
    code.append(instruction(RETURN, KILL_PROCESS))
    assert len(code) < INSTRUCTIONS_MAX
    return code


def enter():
    code = program()
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(b"".join(code))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(memory)))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if "yes" in settings("MemoryDenyWriteExecute"):
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3 and later
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) == 0, ctypes.get_errno()


if __name__ == "__main__":
    enter()
    os.execv(sys.argv[1], sys.argv[1:])
