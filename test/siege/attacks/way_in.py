"""What attacks of overload share: the way to a member as one of its users has it. A cluster that
speaks TLS, or knows its users, says so in the environment (campaign.py). Standard library only."""
import http.client
import os
import socket
import ssl
import time

BINARY = os.environ.get("CONCLAVE", "conclave")
CA = os.environ.get("SIEGE_CA")
USER, PASSWORD = os.environ.get("SIEGE_USER"), os.environ.get("SIEGE_PASSWORD", "")
AUTHORIZATION = os.environ.get("SIEGE_AUTHORIZATION")
PREFIX = "flood/"  # what that user may write
HEADERS = {"Authorization": AUTHORIZATION} if AUTHORIZATION else {}
CONTEXT = ssl.create_default_context(cafile=CA) if CA else None


def url(host, port):
    return f"{'https' if CA else 'http'}://{host}:{port}"


def connect(host, port, timeout=10):
    """An http.client connection that is not open yet."""
    if CONTEXT is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=CONTEXT)


def dial(host, port, receive_bytes=0, plain=False):
    """A connected socket, through TLS where that is spoken; its kernel takes `receive_bytes`."""
    s = socket.socket()
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(5)
    s.connect((host, port))
    return s if plain or CONTEXT is None else CONTEXT.wrap_socket(s, server_hostname=host)


def head(method, path, body_bytes=0):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    lines += [f"Content-Length: {body_bytes}"] if body_bytes else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def hold(host, port, stop, size, first, counts, receive_bytes=0, renew_s=5, plain=False):
    """Keep `size` connections that have said `first` (bytes, or a function that makes them), and
    take nothing of what comes; all anew every `renew_s`."""
    while not stop.is_set():
        held = []
        until = time.monotonic() + renew_s
        while len(held) < size and time.monotonic() < until and not stop.is_set():
            try:
                s = dial(host, port, receive_bytes, plain)
                held.append(s)
                counts["connected"] += 1
                s.settimeout(0.5)
                said = first() if callable(first) else first
                if said:
                    s.sendall(said)
            except OSError:
                counts["failed"] += 1
        stop.wait(max(0.0, until - time.monotonic()))
        for s in held:
            s.close()
