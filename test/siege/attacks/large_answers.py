"""Large answers, and copies of everything, that are asked for by many and taken by nobody."""
import collections
import http.client
import itertools
import json

import way_in

NAME = "large answers that nobody takes"
SIZE = 300
KEYS = 20
VALUE_BYTES = 200_000
PIPELINED = 4


def fill(host, port):
    connection = way_in.connect(host, port)
    for n in range(KEYS):
        connection.request("PUT", f"/key/{way_in.PREFIX}large{n}", json.dumps("y" * VALUE_BYTES),
                           way_in.HEADERS)
        connection.getresponse().read()
    connection.close()


def attack(host, port, stop, log):
    log(f"{SIZE} connections ask for {KEYS} values of {VALUE_BYTES} bytes, or for a snapshot")
    try:
        fill(host, port)
    except (OSError, http.client.HTTPException):
        log("the values could not be written; what is there will do")
    paths = itertools.cycle([f"/keys?prefix={way_in.PREFIX}&values=true&consistency=stale"] * 3 +
                            ["/snapshot"])
    counts = collections.Counter()
    way_in.hold(host, port, stop, SIZE, lambda: way_in.head("GET", next(paths)) * PIPELINED, counts,
                receive_bytes=4096)
    return counts
