"""The harness of `make bench`, without clusters: `python3 bench/test_side.py`."""
import collections
import http.server
import io
import json
import os
import random
import resource
import socket
import stat
import struct
import sys
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import burdens  # noqa: E402
import chart  # noqa: E402
import clusters  # noqa: E402
import figures  # noqa: E402
import idle_watches  # noqa: E402
import machine  # noqa: E402
import one_client  # noqa: E402
import prober  # noqa: E402
import rivals  # noqa: E402
import rows  # noqa: E402
import side  # noqa: E402
import written  # noqa: E402
from figures import Figure  # noqa: E402

ANSWER = {"operation": "put", "requests": 1000, "errors": 0, "per_second": 500.0,
          "latency_us": {"p50": 10, "p99": 20}, "latency_histogram": [[10, 900], [20, 100]],
          "late_sends": 0, "generator": {"cpu_us_per_operation": 3.0, "cpu_share": 0.2}}


class Statistics(unittest.TestCase):
    def test_a_quantile_is_the_bound_below_which_the_share_lies(self):
        cumulated = figures.cumulate([[[1, 50], [2, 49], [100, 1]]])
        self.assertEqual([figures.quantile(cumulated, q) for q in (0, 0.5, 0.51, 0.99, 1)],
                         [1, 1, 2, 2, 100])
        self.assertIsNone(figures.quantile([], 0.5))
        self.assertIsNone(figures.quantile(figures.cumulate([[]]), 0.5))

    def test_merged_histograms_are_not_averaged_percentiles(self):
        calm, stalled = [[1, 99000]], [[1000, 1000]]
        a, b = figures.cumulate([calm, stalled])
        self.assertEqual(figures.quantile([a, b], 0.99), 1)
        self.assertEqual(figures.quantile([a, b, b], 0.99), 1000)

    def test_quantiles_of_many_are_those_of_all_that_they_counted(self):
        rng = random.Random(5)
        drawn = [[rng.randrange(30) for _ in range(rng.randrange(1, 40))] for _ in range(8)]
        cumulated = figures.cumulate([sorted(collections.Counter(d).items()) for d in drawn])
        for q in (0, 0.3, 0.5, 0.9, 0.99, 1):
            for count in range(1, 9):
                self.assertEqual(figures.quantile(cumulated[:count], q),
                                 figures.rank(sum(drawn[:count], []), q))

    def test_an_interval_holds_the_truth_about_as_often_as_it_says(self):
        rng, held = random.Random(7), 0
        with mock.patch.object(figures, "RESAMPLES", 300):
            for _ in range(100):
                drawn = [rng.gauss(3.0, 0.5) for _ in range(15)]
                _, low, high = figures.interval(drawn, figures.median)
                held += low <= 3.0 <= high
        self.assertGreater(held, 85)
        self.assertEqual(figures.interval([2.0], figures.median), (2.0, 2.0, 2.0))

    def test_a_ratio_is_of_each_pair_and_not_of_the_medians(self):
        figure = Figure("f", "x", higher=True)
        pairs = [({"x": 10}, {"x": 1}), ({"x": 2}, {"x": 1}), ({"x": 30}, {"x": 10})]
        self.assertEqual(figure.estimate(pairs), 3)

    def test_a_target_is_met_when_the_worse_end_meets_it(self):
        def verdict(higher, target, aim, values):
            return Figure("f", "x", is_ratio=False, higher=higher, target=target,
                          aim=aim).judge([({"x": v}, {}) for v in values])["verdict"]
        self.assertEqual(verdict(True, 3, 4, [5, 5, 5]), "aim met")
        self.assertEqual(verdict(True, 3, 4, [3.5, 3.5, 5]), "target met")
        self.assertEqual(verdict(True, 3, 4, [1, 3.5, 5]), "not surely")
        self.assertEqual(verdict(True, 3, 4, [1, 1, 5]), "short")
        self.assertEqual(verdict(False, 3, None, [1, 1, 2]), "target met")
        self.assertEqual(verdict(False, 3, None, [4, 4, 4]), "short")
        self.assertEqual(verdict(False, 3, None, []), "not measured")

    def test_a_tail_comes_from_all_rounds_together(self):
        figure = Figure("p99", "times", is_ratio=False, of=0.99, target=100)
        told = figure.judge([({"times": [1] * 98}, {"times": [5]}), ({"times": [200, 201]}, {})])
        self.assertEqual((told["reached"], told["theirs"]), (200, 5))
        self.assertEqual(told["shortfall"], 1)


class Rounds(unittest.TestCase):
    """Pairs in their order, thrown away and kept."""

    def setUp(self):
        there = mock.patch.object(clusters.Cluster, "is_there", lambda: True)
        there.start()
        self.addCleanup(there.stop)

    def pairs(self, wanted, foreign, alone=False, idle=True, keep_busy=False):
        seen, foreign = [], list(foreign)

        def measure(system, options):
            seen.append(system.name)
            return {"per_second": 1, "surroundings": {"foreign_cpu": foreign.pop(0)}}
        row = rows.Row("r", measure, [], None, alone)
        with mock.patch.object(machine, "wait_idle", lambda patience: idle), \
                redirect_stderr(io.StringIO()):
            found = side.measure_row(row, wanted, None, 1, keep_busy, lambda pairs: None)
        return seen, found

    def test_pairs_alternate_a_b_b_a(self):
        seen, pairs = self.pairs(3, [0] * 6)
        self.assertEqual(seen, ["conclave", "etcd", "etcd", "conclave", "conclave", "etcd"])
        self.assertEqual(len(side.kept_pairs(pairs)), 3)

    def test_a_pair_goes_whole_when_others_used_the_machine_and_is_tried_again(self):
        seen, pairs = self.pairs(1, [0, 0.2, 0, 0])
        self.assertEqual([bool(p["rejected"]) for p in pairs], [True, False])
        self.assertEqual(len(seen), 4)

    def test_a_machine_that_is_never_idle_gives_no_pair_but_by_request(self):
        _, pairs = self.pairs(1, [0] * 6, idle=False)
        self.assertEqual((len(pairs), len(side.kept_pairs(pairs))), (side.ATTEMPTS_PER_PAIR, 0))
        _, pairs = self.pairs(1, [0, 0], idle=False, keep_busy=True)
        self.assertEqual(len(side.kept_pairs(pairs)), 1)
        self.assertIn("not idle", pairs[0]["kept_busy"])

    def test_a_row_of_conclave_alone_starts_nobody_else(self):
        self.assertEqual(self.pairs(2, [0] * 2, alone=True)[0], ["conclave", "conclave"])

    def test_what_fails_twice_is_not_tried_for_ever(self):
        def measure(system, options):
            raise clusters.Trouble("no leader")
        with mock.patch.object(machine, "wait_idle", lambda patience: True), \
                redirect_stderr(io.StringIO()):
            pairs = side.measure_row(rows.Row("r", measure, []), 9, None, 1, False,
                                     lambda pairs: None)
        self.assertEqual([p["failed"] for p in pairs], ["conclave: no leader", "etcd: no leader"])


class Resumed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.binary = os.path.join(self.folder, "conclave")
        with open(self.binary, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho conclave 1\n")
        os.chmod(self.binary, stat.S_IRWXU)
        self.measured = []
        for row in ("one", "two"):
            def measure(system, options, row=row):
                self.measured.append((row, system.name))
                return {"n": len(self.measured), "surroundings": {"foreign_cpu": 0}}
            setattr(self, row, rows.Row(row, measure, [], alone=True))
        for target, name, value in ((side, "RESULTS", self.folder),
                                    (side, "ALL_SYSTEMS", [clusters.Conclave]),
                                    (machine, "wait_idle", lambda patience: True)):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_side(self, *flags, chosen):
        o = side.parse(["--binary", self.binary, "--data", self.folder, "--pairs", "2", *flags])
        with redirect_stderr(io.StringIO()) as told, redirect_stdout(io.StringIO()), \
                mock.patch.object(clusters.Conclave, "binary", self.binary):
            return side.run(o, chosen), told.getvalue()

    def test_only_what_a_stopped_run_lacks_is_measured(self):
        first, told = self.run_side("--name", "X", chosen=[self.one])
        self.assertEqual(len(self.measured), 2)
        self.assertIn("about 0 minutes left", told.splitlines()[-2])
        path = os.path.join(self.folder, "X.json")
        first["rows"]["one"].pop()
        side.save(first, path)
        again, _ = self.run_side("--resume", path, chosen=[self.one, self.two])
        self.assertEqual([row for row, _ in self.measured], ["one", "one", "one", "two", "two"])
        self.assertEqual({name: len(p) for name, p in again["rows"].items()},
                         {"one": 2, "two": 2})

    def test_another_program_is_not_mixed_with_what_was_measured(self):
        self.run_side("--name", "X", chosen=[self.one])
        with open(self.binary, "a", encoding="utf-8") as f:
            f.write("# newer\n")
        with self.assertRaises(SystemExit) as refused:
            self.run_side("--resume", os.path.join(self.folder, "X.json"), chosen=[self.one])
        self.assertIn("another 'fingerprint'", str(refused.exception))


class SteadyLogs(unittest.TestCase):
    """What files say of it."""

    def test_a_log_of_segments_used_again_is_in_its_steady_state(self):
        with tempfile.TemporaryDirectory() as folder:
            cluster = object.__new__(clusters.Conclave)
            cluster.dir, cluster.ports = folder, [1]
            os.mkdir(cluster.home(0))

            def file(name, content=b""):
                with open(os.path.join(cluster.home(0), name), "wb") as f:
                    f.write(content)
            file("00000007.log", b"CNCLVSEG" + struct.pack("<II", 1, 1))
            self.assertFalse(cluster.log_is_steady())
            file("00000003.free")
            self.assertTrue(cluster.log_is_steady())
            file("00000008.log", b"CNCLVSEG" + struct.pack("<II", 1, 0))
            self.assertFalse(cluster.log_is_steady())
            file("snapshot-100.snap", b"12345")
            self.assertEqual(cluster.snapshots_of_log(), [])
            file("snapshot-1050.snap", b"123456")
            self.assertEqual(cluster.snapshots_of_log(), [(6, 950)])

    def test_an_etcd_goes_on_in_a_second_file_after_a_snapshot(self):
        with tempfile.TemporaryDirectory() as folder:
            cluster = object.__new__(clusters.Etcd)
            cluster.dir, cluster.ports = folder, [1]
            for name in ("wal/0-0.wal", "snap/1-1.snap", "wal/1-1.wal"):
                self.assertFalse(cluster.log_is_steady())
                path = os.path.join(cluster.home(0), "member", name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb"):
                    pass
            self.assertTrue(cluster.log_is_steady())


class Results(unittest.TestCase):
    def results(self, ours, theirs):
        pair = {"conclave": {"per_second": ours, "histogram": [[100, 50]]},
                "etcd": {"per_second": theirs, "histogram": [[1000, 50]],
                         "warnings": ["it used 51 %", "it used 52 %",
                                      "p99 and beyond rest on few requests: 1 of 2"]},
                "order": ["conclave", "etcd"], "rejected": ""}
        return {"begun": "2026-01-01 00:00", "versions": {"a": "conclave 1", "b": "etcd <3>"},
                "machine": {"processors": 2, "processor": "P", "kernel": "6", "mount": "ext4"},
                "rows": {"put@1": [pair, dict(pair, rejected="busy")],
                         "put@64": [dict(pair, rejected="others used 50 %")]}}

    def test_the_table_says_target_reached_and_shortfall(self):
        text = side.table(self.results(2000, 1000))
        self.assertRegex(text, r"put@1 +per second \(/s\) +2,000 +1,000 +2x +>= 2.5x +>= 3x +"
                               r"short by 20%")
        self.assertRegex(text, r"p99 \(us\) +100 +1,000 +0.1x +<= 0.5x +<= 0.35x +aim met")
        self.assertIn("put@64: not measured: others used 50 %", text)
        self.assertIn("2 pairs were thrown away", text)
        self.assertIn("put@1, etcd: it used 51 % (and 1 more warnings)", text)
        self.assertIn("tails that rest on fewer than 20,000 requests: put@1", text)

    def test_a_target_of_none_at_all_is_met_by_none(self):
        figure = Figure("elections", "n", is_ratio=False, target=0)
        self.assertEqual(figure.judge([({"n": 0}, {})])["verdict"], "target met")
        self.assertEqual(figure.judge([({"n": 2}, {})])["verdict"], "short")

    def test_the_picture_is_well_formed_and_has_a_bar_for_each_ratio(self):
        results = self.results(2000, 1000)
        drawing = chart.draw(side.judge(results)[0], results)
        xml.etree.ElementTree.fromstring(drawing)
        self.assertEqual(drawing.count("<rect"), 2)
        self.assertIn("prefers-color-scheme: dark", drawing)
        self.assertIn(">10x<", drawing)  # a tenth of the time is ten times as good

    def test_every_row_has_a_name_of_its_own_and_an_unknown_one_is_refused(self):
        self.assertEqual(len({row.name for row in side.ALL_ROWS}), len(side.ALL_ROWS))
        with self.assertRaises(SystemExit) as refused:
            side.choose_rows("put@1,nothing")
        self.assertIn("no row 'nothing'", str(refused.exception))


class Generator(unittest.TestCase):
    """Against a script in the place of `conclave bench`."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.script = os.path.join(self.folder, "generator")
        with open(self.script, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n"
                    f"echo \"$*\" >> {self.folder}/calls\n"
                    f"[ \"$1\" != keepalive ] || {{ echo 'no leases' >&2; exit 1; }}\n"
                    f"echo '{json.dumps(ANSWER)}'\n")
        os.chmod(self.script, stat.S_IRWXU)

    def options(self):
        return rows.Options(1, 1, 10, [self.script], self.folder, 1, 1)

    def cluster(self):
        """One "member": this process."""
        class Fake:
            name, ports, dir = "conclave", [1, 2, 3], self.folder

            def __init__(self, *_):
                self.closed = False
                Fake.last = self

            def leader(self):
                return 1

            def leads(self, i):
                return i == 1

            def url(self, i):
                return f"http://127.0.0.1:{self.ports[i]}"

            def pids(self):
                return [os.getpid()] * 3

            def log_is_steady(self):
                self.asked = getattr(self, "asked", 0) + 1
                return self.asked > 2

            def log_written(self):
                return None

            def snapshots_of_log(self):
                return [(27200, 100), (54400, 100)]

            def cut_log(self):
                self.cut = True

            def close(self):
                self.closed = True
        return Fake

    def test_a_round_fills_warms_up_and_measures_at_the_leader(self):
        fake = self.cluster()
        told = rows.load(fake, self.options(), "put", "--connections", 64, payload=272)
        self.assertEqual((told["per_second"], told["p99_us"], told["histogram"]),
                         (500.0, 20, [[10, 900], [20, 100]]))
        self.assertIn("written_per_payload", told)
        self.assertNotIn("log_per_payload", told)
        self.assertEqual(told["snapshots_per_payload"], 1.5)
        self.assertTrue(fake.last.closed and fake.last.cut)
        with open(f"{self.folder}/calls", encoding="utf-8") as f:
            calls = f.read().splitlines()
        self.assertEqual(len(calls), 5)  # two of them until the log is in its steady state
        self.assertIn("range --endpoints http://127.0.0.1:2", calls[0])
        self.assertIn("--prefill", calls[0])
        self.assertTrue(calls[2].startswith("put ") and calls[2].endswith("--streams 10"))
        self.assertTrue(calls[4].startswith("put ") and calls[4].endswith("--connections 64"))

    def test_a_log_that_never_is_in_its_steady_state_is_trouble(self):
        fake = self.cluster()
        with mock.patch.object(written, "PATIENCE", 0), \
                mock.patch.object(fake, "log_is_steady", lambda self: False), \
                self.assertRaises(clusters.Trouble):
            rows.load(fake, self.options(), "put", payload=272)
        self.assertTrue(fake.last.closed)

    def test_a_generator_that_fails_is_trouble_and_the_cluster_goes(self):
        fake = self.cluster()
        with self.assertRaises(clusters.Trouble) as trouble:
            rows.load(fake, self.options(), "keepalive")
        self.assertEqual(str(trouble.exception), "the generator ended with 1: no leases")
        self.assertTrue(fake.last.closed)


class OneClient(unittest.TestCase):
    """Drivers of others than etcd, against a socket that answers what they would."""

    def serve(self, answer):
        """`answer(bytes that came)` to each request of one connection; its port."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def run():
            c, _ = server.accept()
            with c:
                while data := c.recv(4096):
                    c.sendall(answer(data))
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return server.getsockname()[1]

    def test_it_asks_for_so_long_and_counts_what_was_not_warming_up(self):
        asked = []
        with mock.patch.object(one_client, "WARM_UP", 0.05):
            told = one_client.ask_one_by_one(lambda n: asked.append(n) or time.sleep(0.01), 0.1)
        self.assertEqual(asked, list(range(len(asked))))
        self.assertEqual(sum(count for _, count in told["histogram"]), told["requests"])
        self.assertLess(told["requests"], len(asked))
        self.assertGreaterEqual(min(us for us, _ in told["histogram"]), 10000)
        self.assertEqual([one_client.rounded(us) for us in (7, 999, 1001, 123456)],
                         [7, 999, 1010, 124000])

    def test_a_zookeeper_that_refuses_is_trouble(self):
        answers = [bytes(37), struct.pack(">iqi", 1, 9, 0), struct.pack(">iqi", 2, 9, -101)]
        heard = []

        def answer(data):
            heard.append(data)
            return one_client.zoo_bytes(answers.pop(0))
        client = one_client.Zoo(self.serve(answer))
        client.create("/a", b"1")
        with self.assertRaises(clusters.Trouble) as trouble:
            client.put("/b", b"2")
        client.close()
        self.assertIn("-101", str(trouble.exception))
        self.assertEqual([len(data) - 4 for data in heard],
                         [int.from_bytes(data[:4], "big") for data in heard])

    def test_the_naive_store_keeps_the_whole_map_in_three_files(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with mock.patch.object(rivals, "KEYS", 3):
            cluster = rivals.Naive(folder.name)
            try:
                client = one_client.Http(cluster.ports[cluster.leader()])
                client.put("new", b'"1"')
                client.close()
                for i in range(3):
                    with open(f"{cluster.dir}/map-{i}", encoding="utf-8") as f:
                        kept = json.load(f)
                    self.assertEqual((len(kept), kept["new"]), (4, '"1"'))
            finally:
                cluster.close()


class Burdens(unittest.TestCase):
    def test_a_slope_is_that_of_the_nearest_line(self):
        self.assertAlmostEqual(burdens.slope([(0, 5), (1, 7), (2, 9)]), 2)
        self.assertAlmostEqual(burdens.slope([(0, 1), (1, 0), (2, 1), (3, 0), (4, 1)]), 0)

    def test_a_limit_of_open_files_that_is_too_low_is_trouble(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        burdens.allow_files(100)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
        burdens.allow_files(150)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (150, limits[1]))
        with mock.patch.object(resource, "getrlimit", lambda _: (100, 200)), \
                self.assertRaises(clusters.Trouble):
            burdens.allow_files(201)

    def test_no_more_keys_than_fit(self):
        self.assertEqual(burdens.affordable(10), 10)
        self.assertLess(burdens.affordable(10**12), 10**12)

    def test_rows_without_their_package_say_so_and_the_others_go_on(self):
        class Absent(clusters.Cluster):
            name, binary = "absent", "/nowhere/absent"
        row = rows.Row("r", None, [Figure("f", "x")], against=Absent)
        kept = []
        with redirect_stderr(io.StringIO()) as said, \
                mock.patch.object(clusters.Conclave, "binary", sys.executable):
            self.assertEqual(side.measure_row(row, 1, None, 1, False, kept.append), [])
        self.assertIn("there is no absent here", said.getvalue())
        with mock.patch.object(side, "ALL_ROWS", [row]):
            _, missing = side.judge({"rows": {"r": kept[0]}})
        self.assertEqual(missing, [("r", "there is no absent here; ./setup --bench installs it")])

    def test_what_takes_an_hour_is_measured_only_when_it_is_named(self):
        self.assertNotIn("overwrites", [row.name for row in side.choose_rows(None)])
        self.assertEqual([row.name for row in side.choose_rows("overwrites")], ["overwrites"])


class Parsers(unittest.TestCase):
    def test_syncs_are_counted_from_straces_table(self):
        report = ("% time     seconds  usecs/call     calls    errors syscall\n"
                  "------ ----------- ----------- --------- --------- ----------------\n"
                  " 99.00    1.234567         100      1200           fdatasync\n"
                  "  1.00    0.000100          10        10         2 fsync\n"
                  "  0.50    0.000050          10         5           pwritev2\n"
                  "  0.00    0.000000           0         7           msync\n"
                  "100.00    1.234667                  1217         2 total\n")
        self.assertEqual(rows.count_syncs(report), 1215)

    def test_an_answer_is_taken_when_it_is_whole(self):
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        self.assertEqual(prober.whole_answer(whole), (200, b""))
        self.assertEqual(prober.whole_answer(whole[:-1]), (None, whole[:-1]))
        chunked = b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        self.assertEqual(prober.whole_answer(chunked), (503, b""))
        self.assertEqual(prober.whole_answer(chunked[:-2]), (None, chunked[:-2]))


class Watches(unittest.TestCase):
    """Against a socket that answers what a server of HTTP/2 would."""

    def answer(self, *frames):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        heard = []

        def serve():
            c, _ = server.accept()
            with c:
                c.sendall(b"".join(frames))
                while data := c.recv(4096):
                    heard.append(data)
        thread = threading.Thread(target=serve)
        thread.start()
        return server.getsockname()[1], thread, heard

    def test_a_watch_is_there_when_its_first_message_is(self):
        frame = idle_watches.frame
        port, thread, heard = self.answer(
            frame(idle_watches.SETTINGS, 0, 0, b"123456"),
            frame(idle_watches.HEADERS, idle_watches.END_HEADERS, 1, b"x"),
            frame(idle_watches.DATA, 0, 1, b"\0\0\0\0\x02ab\0\0\0"),
            frame(idle_watches.DATA, 0, 1, b"\0\x01c"))
        idle_watches.Watch(port, 7, 2).close()
        thread.join()
        sent = b"".join(heard)
        self.assertTrue(sent.startswith(b"PRI * HTTP/2.0"))
        self.assertIn(b"idle/00000007", sent)
        self.assertIn(b"idle/00000008", sent)
        self.assertIn(frame(idle_watches.SETTINGS, idle_watches.ACK, 0), sent)

    def test_a_connection_without_calls_is_there_when_the_server_has_spoken(self):
        frame = idle_watches.frame
        port, thread, heard = self.answer(frame(idle_watches.SETTINGS, 0, 0))
        idle_watches.Idle(port).close()
        thread.join()
        self.assertTrue(b"".join(heard).endswith(
            frame(idle_watches.SETTINGS, 0, 0) +
            frame(idle_watches.SETTINGS, idle_watches.ACK, 0)))

    def test_one_that_is_refused_or_cut_off_is_trouble(self):
        for frames in ([idle_watches.frame(idle_watches.GOAWAY, 0, 0, b"12345678")],
                       [b"\0\0"]):
            port, thread, _ = self.answer(*frames)
            with self.assertRaises((clusters.Trouble, OSError)):
                with mock.patch.object(idle_watches, "SECONDS", 1):
                    idle_watches.Watch(port, 7)
            thread.join()


class Outage(unittest.TestCase):
    """Against a server that answers 503 for a while after the event."""

    def setUp(self):
        case = self
        case.down_until = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(503 if time.monotonic() < case.down_until else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def fail_for(self, seconds):
        self.down_until = time.monotonic() + seconds

    def test_an_outage_is_seen_as_at_least_as_long_as_it_is(self):
        port = self.server.server_address[1]
        self.assertGreaterEqual(prober.outage_ms([port], lambda: self.fail_for(0.2)), 200)
        self.assertGreaterEqual(prober.longest_gap_ms([port], lambda: self.fail_for(0.2)), 200)

    def test_an_outage_that_does_not_end_is_trouble(self):
        with self.assertRaises(clusters.Trouble):
            prober.outage_ms([self.server.server_address[1]], lambda: self.fail_for(60), 0.3)


if __name__ == "__main__":
    unittest.main()
