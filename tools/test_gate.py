"""tools/gate.py counts the right things and refuses what is slower: `python3 tools/test_gate.py`.

That the whole chain does, with a store that was made slower, is tools/run-tests' part `bench`."""
import io
import json
import os
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gate  # noqa: E402

# A room calls a library, which calls back into another room; the harness calls both, and is called.
DUMP = """\
positions: line
events: Ir
summary: 1000

ob=/build/gate
fl=../bench/gate/gate_load.c
fn=run
10 500
cfi=../src/net/http.c
cfn=parse
calls=7 20
11 190
cob=/lib/libc.so
cfi=string.c
cfn=memcpy
calls=1 1
12 40

fl=../src/net/http.c
fn=parse
20 30
fi=../src/base/slice.h
21 5
fe=../src/net/http.c
cob=/lib/libc.so
cfi=string.c
cfn=memcpy
calls=2 1
22 100
cfi=../test/unit/net/fake_loop.c
cfn=fake_write
calls=1 1
23 55

ob=/lib/libc.so
fl=string.c
fn=memcpy
1 60
cob=/build/gate
cfi=../src/kv/kv.c
cfn=compare
calls=1 5
2 40
1 40

ob=/build/gate
fl=../src/kv/kv.c
fn=compare
5 40
"""


def place(obj, path):
    if obj != "/build/gate":
        return gate.LIBRARIES
    return path.split("/")[2] if path.startswith("../src/") else gate.HARNESS


class Counts(unittest.TestCase):
    def test_rooms_and_what_libraries_do_for_them_are_counted_and_the_harness_is_not(self):
        counts = gate.parse_counts(DUMP.splitlines(True), place)
        # 30 and 5 of an inlined function; memcpy for net without the 40 that it called back.
        self.assertEqual(counts, {"net": 35, "kv": 40, gate.LIBRARIES: 60})

    def test_a_place_is_a_room_a_library_or_the_harness(self):
        with tempfile.TemporaryDirectory(dir=gate.ROOT, prefix="build-") as build:
            program = os.path.join(build, "gate")
            def where(path, obj=program):
                return gate.place_of(program, build, obj, path)
            self.assertEqual(where("../src/raft/raft.c"), "raft")
            self.assertEqual(where("./build/../src/raft/raft.c"), "raft")
            self.assertEqual(where("./build/../bench/gate/gate.c"), gate.HARNESS)
            self.assertEqual(where(os.path.join(gate.ROOT, "src/kv/kv.c")), "kv")
            self.assertEqual(where("src/api/proto/etcd_rpc.pb-c.c"), "api")
            self.assertEqual(where("../test/unit/wal/fake_disk.c"), gate.HARNESS)
            self.assertEqual(where("../bench/gate/gate.c"), gate.HARNESS)
            self.assertEqual(where("/usr/share/llhttp/api.c"), gate.LIBRARIES)
            self.assertEqual(where("../src/raft/raft.c", "/lib/libc.so.6"), gate.LIBRARIES)


class Comparison(unittest.TestCase):
    def wrong(self, baseline, seen):
        return [row[3] for row in gate.compare(baseline, seen)]

    def test_five_percent_more_pass_and_six_do_not(self):
        self.assertEqual(self.wrong({"put": 1000}, {"put": 1050}), [""])
        self.assertEqual(self.wrong({"put": 1000}, {"put": 500}), [""])
        self.assertIn("takes 6.0% more", self.wrong({"put": 1000}, {"put": 1060})[0])

    def test_an_operation_without_a_baseline_or_without_a_count_fails(self):
        self.assertEqual(self.wrong({}, {"put": 1}), ["has no baseline"])
        self.assertEqual(self.wrong({"put": 1}, {}), ["is not measured any more"])
        self.assertIn("is not counted", self.wrong({"put": 1}, {"put": 0})[0])


class Main(unittest.TestCase):
    """Exit codes, with what callgrind says made up."""

    def run_main(self, baselines, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "baseline.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(baselines, f)
            out = io.StringIO()
            with mock.patch.multiple(
                    gate, BASELINE_FILE=path, conditions=lambda build: "gcc 1",
                    read_baselines=lambda: baselines,
                    measure=lambda *_: [("put", {"raft": 60.0, gate.LIBRARIES: 50.0})]), \
                    mock.patch.object(gate.shutil, "which", lambda name: name), \
                    mock.patch.object(sys, "argv", ["gate.py", *arguments]), redirect_stdout(out):
                code = gate.main()
            with open(path, encoding="utf-8") as f:
                return code, out.getvalue(), json.load(f)

    def test_the_same_passes_and_more_fails(self):
        self.assertEqual(self.run_main({"gcc 1": {"put": 108}})[0], 0)
        code, out, _ = self.run_main({"gcc 1": {"put": 100}})
        self.assertEqual(code, 1)
        self.assertIn("FAILED: takes 10.0% more", out)

    def test_another_compiler_is_no_pass(self):
        code, out, _ = self.run_main({"gcc 2": {"put": 110}})
        self.assertEqual(code, 3)
        self.assertIn("no baseline for gcc 1", out)

    def test_write_renews_one_baseline_and_keeps_the_others(self):
        code, _, written = self.run_main({"gcc 1": {"put": 1}, "gcc 2": {"put": 2}}, "--write")
        self.assertEqual((code, written), (0, {"gcc 1": {"put": 110}, "gcc 2": {"put": 2}}))


if __name__ == "__main__":
    unittest.main()
