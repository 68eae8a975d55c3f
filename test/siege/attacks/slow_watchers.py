"""Watches, and listeners of events and pages, that read nothing, while much is written."""
import collections
import http.client
import itertools
import json
import threading

import way_in

NAME = "watchers that read nothing"
SIZE = 500
VALUE_BYTES = 20_000
WRITES_PER_S = 100


def write(host, port, stop, counts):
    connection, n = way_in.connect(host, port), 0
    body = json.dumps("z" * VALUE_BYTES)
    while not stop.is_set():
        n += 1
        try:
            connection.request("PUT", f"/key/{way_in.PREFIX}watched{n % 50}", body, way_in.HEADERS)
            answer = connection.getresponse()
            answer.read()
            counts[f"write {answer.status}"] += 1
        except (OSError, http.client.HTTPException):
            connection.close()
        stop.wait(1 / WRITES_PER_S)
    connection.close()


def attack(host, port, stop, log):
    log(f"{SIZE} watchers, and {WRITES_PER_S} writes of {VALUE_BYTES} bytes a second")
    counts = collections.Counter()
    paths = itertools.cycle([f"/watch?prefix={way_in.PREFIX}"] * 8 + ["/events", "/live"])
    writer = threading.Thread(target=write, args=(host, port, stop, counts))
    writer.start()
    way_in.hold(host, port, stop, SIZE, lambda: way_in.head("GET", next(paths)), counts,
                receive_bytes=4096, renew_s=15)
    writer.join()
    return counts
