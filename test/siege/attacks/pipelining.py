"""Requests without end on one connection, more than are answered, and none of the answers read."""
import threading

import wire

NAME = "pipelining floods"
LINES = 20
REQUESTS = b"GET /keys HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500


def attack(host, port, stop, log):
    log(f"{LINES} connections with requests as fast as they are taken")
    counts = [{} for _ in range(LINES)]

    def run(n):
        counts[n] = wire.flood(host, port, stop, REQUESTS, reads=n % 2 == 0)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(LINES)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return wire.total(counts)
