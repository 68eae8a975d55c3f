"""Values as large as they may be, and larger, many at a time; some are announced and never come."""
import collections
import http.client
import threading

import way_in

NAME = "huge values"
CLIENTS = 30
SIZES = (1_500_000, 1_500_000, 20_000_000)
KEYS = 20
HALVES = 300


def put(host, port, stop, number, counts):
    body = b'"' + b"x" * (SIZES[number % len(SIZES)] - 2) + b'"'
    while not stop.is_set():
        connection = way_in.connect(host, port)
        try:
            while not stop.is_set():
                connection.request("PUT", f"/key/{way_in.PREFIX}huge{number % KEYS}", body,
                                   way_in.HEADERS)
                answer = connection.getresponse()
                answer.read()
                counts[answer.status] += 1
        except (OSError, http.client.HTTPException):
            counts["broken off"] += 1
        connection.close()


def attack(host, port, stop, log):
    log(f"{CLIENTS} clients write values of {min(SIZES)} to {max(SIZES)} bytes, {HALVES} more stop"
        " in the middle")
    counts = collections.Counter()
    half = way_in.head("PUT", f"/key/{way_in.PREFIX}half", SIZES[0]) + b"x" * (SIZES[0] // 2)
    threads = [threading.Thread(target=put, args=(host, port, stop, n, counts))
               for n in range(CLIENTS)]
    for t in threads:
        t.start()
    way_in.hold(host, port, stop, HALVES, half, counts)
    for t in threads:
        t.join()
    return counts
