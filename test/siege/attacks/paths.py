"""Paths that mean another one to somebody: none may reach what it does not name."""
import collections

import wire

NAME = "path tricks"
ADMIN = [b"/%2e%2e/members", b"/key/../members", b"//members", b"/./members", b"/members%00",
         b"/%6dembers", b"/members%2f", b"/MEMBERS", b"/\xc0\xaf/members", b"/key/..;/members",
         b"/..%c0%afmembers", b"/key/%2e%2e%2fmembers", b"/members/", b"/members\\", b"/;/members",
         b"/%252e%252e/members", b"/\xef\xbc\x8e\xef\xbc\x8e/members", b"/" * 16000 + b"members"]
KEYS = [b"/key/%00", b"/key/%c0%af", b"/key/%ed%a0%80", b"/key/%f8%88%80%80%80", b"/key/%",
        b"/key/%zz", b"/key/", b"/key/" + b"%61" * 5000, b"/key/a%2fb", b"/key//", b"/key/%ff"]


def head(path):
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def try_all(host, port, counts, log):
    """True: none of ADMIN was /members, and each was answered, but not by a failure of ours."""
    passed = True
    for path in ADMIN + KEYS:
        answer = wire.ask(host, port, head(path))
        status = wire.statuses(answer or b"")
        counts[f"status {status[0]}" if status else "no answer"] += 1
        if b'"members"' in (answer or b"") or (status and status[0] >= 500):
            passed = False
            log(f"{path[:60]!r}: {answer[:100]!r}")
    return passed


def attack(host, port, stop, log):
    log("paths that are not what they seem")
    counts = collections.Counter()
    while not stop.is_set():
        try_all(host, port, counts, log)
        stop.wait(0.5)
    return dict(counts)
