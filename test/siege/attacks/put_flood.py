"""Writes at many times the rate that members can take: an open loop, which does not wait."""
import os
import subprocess

import way_in

NAME = "flood of writes"
RATE = 60000
SECONDS = 3


def attack(host, port, stop, log):
    log(f"{RATE} writes a second are asked for")
    counts = {"runs": 0, "failed": 0}
    command = [way_in.BINARY, "bench", "put", "--endpoints", way_in.url(host, port), "--rate",
               str(RATE), "--connections", "16", "--streams", "200", "--seconds", str(SECONDS),
               "--warmup", "0", "--quiet", "--prefix", way_in.PREFIX]
    environment = {**os.environ}
    if way_in.CA:
        command += ["--cacert", way_in.CA]
    if way_in.USER:
        command += ["--user", way_in.USER]
        environment["CONCLAVE_PASSWORD"] = way_in.PASSWORD
    while not stop.is_set():
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        counts["runs"] += 1
        counts["failed"] += done.returncode not in (0, 1)
    return counts
