#!/usr/bin/env python3
"""The naive store: every write sends the whole map, as JSON, to two replicas; each writes it to its
file and syncs that. What replication costs without a log, for bench/side.py and nobody else: no
elections, and nothing is recovered.

    bench/naive.py PORT FILE [REPLICA-PORT ...] [--keys 10000 --value-size 256]"""
import argparse
import http.client
import http.server
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor


class Store:
    def __init__(self, path, replicas, keys, value_size):
        self.path = path
        self.lock = threading.Lock()
        self.map = {f"key-{k:012}": "x" * value_size for k in range(keys)}
        self.replicas = [http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                         for port in replicas]
        self.pool = ThreadPoolExecutor(max(len(replicas), 1))

    def keep(self, text):
        with open(self.path, "wb") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())

    @staticmethod
    def send(replica, text):
        replica.request("POST", "/replicate", text)
        answer = replica.getresponse()
        answer.read()
        return answer.status == 200

    def put(self, key, value):
        with self.lock:
            self.map[key] = value
            text = json.dumps(self.map).encode()
            sent = [self.pool.submit(self.send, replica, text) for replica in self.replicas]
            self.keep(text)
            return all(future.result() for future in sent)

    def take(self, text):
        with self.lock:
            self.map = json.loads(text)
            self.keep(text)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store = None

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        self.answer(200 if self.store.put(self.path[len("/key/"):], self.body().decode()) else 503)

    def do_POST(self):
        self.store.take(self.body())
        self.answer(200)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file")
    parser.add_argument("replicas", type=int, nargs="*")
    parser.add_argument("--keys", type=int, default=0)
    parser.add_argument("--value-size", type=int, default=256)
    o = parser.parse_args()
    Handler.store = Store(o.file, o.replicas, o.keys, o.value_size)
    http.server.ThreadingHTTPServer(("127.0.0.1", o.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
