"""More connections than a member takes, silent ones; members and probes are let in all the same."""
import collections
import resource

import way_in

NAME = "10,000 connections and more"
SIZE = 17000


def attack(host, port, stop, log):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    size = min(SIZE, limit - 100)
    log(f"{size} silent connections")
    counts = collections.Counter()
    way_in.hold(host, port, stop, size, b"", counts, renew_s=20, plain=True)
    return counts
