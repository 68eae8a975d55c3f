"""All members killed at once under load, several times: every acknowledged write is there (F6)."""
import time

from load import Load

ROUNDS = 5


def test_row_f6_all_members_killed_at_once_lose_no_acknowledged_write(cluster):
    loads = []
    for n in range(ROUNDS):
        load = Load(cluster, writers=6, prefix=f"r{n}w").start()
        loads.append(load)
        cluster.wait_leader()
        load.wait_ack_since(time.monotonic())
        time.sleep(0.4)
        for m in cluster:
            m.process.kill()
        for m in cluster:
            m.kill()
        load.stop()
        for m in cluster:
            m.start(wait=False)
        cluster.wait_leader()
        assert load.check() > 10
    for load in loads:
        load.check()
    cluster.check_one_leader_a_term()
    print(f"\n{ROUNDS} rounds, {sum(len(x.acked) for x in loads)} writes acknowledged, all there")


def test_row_f6_a_cluster_of_one_too(make_cluster):
    c = make_cluster(1)
    for n in range(4):
        load = Load(c, writers=4, prefix=f"r{n}w").start()
        load.wait_ack_since(time.monotonic())
        time.sleep(0.2)
        c[0].kill()
        load.stop()
        c[0].start(wait=False)
        c.wait_leader()
        assert load.check() > 10


def test_members_killed_one_after_the_other_without_a_pause(cluster):
    """A rolling kill -9 as fast as they come back; sometimes no majority is there."""
    load = Load(cluster, prefix="roll").start()
    for _ in range(3):
        for m in cluster:
            m.kill()
            m.start()
            time.sleep(0.1)
    cluster.wait_leader()
    load.wait_ack_since(time.monotonic())
    load.stop()
    assert load.check() > 10
    cluster.check_one_leader_a_term()
