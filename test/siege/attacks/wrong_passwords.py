"""Guesses: passwords and tokens of users, to REST and to the gateway."""
import base64
import collections
import http.client
import json
import threading

import way_in

NAME = "wrong passwords"
CLIENTS = 8


def guess(host, port, stop, number, counts):
    n = 0
    connection = way_in.connect(host, port)
    while not stop.is_set():
        n += 1
        secret = f"guess-{number}-{n}"
        pair = base64.b64encode(f"root:{secret}".encode()).decode()
        asks = (("GET", "/key/a", None, {"Authorization": f"Basic {pair}"}),
                ("POST", "/v3/kv/range", b'{"key":"YQ=="}', {"Authorization": f"{secret}.1"}),
                ("POST", "/v3/auth/authenticate",
                 json.dumps({"name": "root", "password": secret}), {}))
        method, path, body, headers = asks[n % len(asks)]
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            counts[answer.status] += 1
        except (OSError, http.client.HTTPException):
            counts["broken off"] += 1
            connection.close()
    connection.close()


def attack(host, port, stop, log):
    log(f"{CLIENTS} clients guess")
    counts = collections.Counter()
    threads = [threading.Thread(target=guess, args=(host, port, stop, n, counts))
               for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return counts
