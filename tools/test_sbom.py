"""tools/sbom.py tells what is in a build, and notices what nobody has given a reason for:
`python3 tools/test_sbom.py`."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sbom  # noqa: E402

TABLE = """# D
## In the program
| library | package | versions | licence | reads | why |
|---|---|---|---|---|---|
| libuv | `libuv1-dev` | 1 | MIT | | the loop |
| OpenSSL | `libssl-dev` | 3 | Apache-2.0 | TLS | TLS |
## To test
| more | `x` | 1 | MIT | | no library |
"""
MESON = "threads_dep = dependency('threads')\nx = dependency('libuv')\ny = dependency('libssl')\n" \
    "z = dependency('libcrypto')\n"
CONTROL = "Source: c\nBuild-Depends: meson,\n libuv1-dev,\n libssl-dev (>= 3.0),\n" \
    " libtest-dev <!nocheck>,\nStandards-Version: 4\n"


def disagreements(table=TABLE, meson=MESON, control=CONTROL):
    return sbom.disagreements(sbom.table(table), meson, control)


class Table(unittest.TestCase):
    def test_those_that_agree(self):
        self.assertEqual(disagreements(), [])

    def test_a_new_library_wants_a_reason(self):
        found = disagreements(meson=MESON + "w = dependency('libnew')\n")
        self.assertEqual(found, [f"libnew is used in meson.build and has no line in {sbom.TABLE}"])
        found = disagreements(control=CONTROL.replace(" libuv1-dev,", " libuv1-dev,\n libnew-dev,"))
        self.assertEqual(found, ["libnew-dev is in debian/control and has no line in "
                                 + sbom.TABLE])
        self.assertEqual(len(disagreements(table=TABLE.replace("the loop", ""))), 1)

    def test_one_that_is_gone_is_noticed(self):
        found = disagreements(meson=MESON.replace("libuv", "threads"))
        self.assertEqual(found, [f"libuv has a line in {sbom.TABLE} and is not used in "
                                 "meson.build"])
        self.assertEqual(len(disagreements(control=CONTROL.replace(" libuv1-dev,\n", ""))), 1)

    def test_the_repository_agrees_with_itself(self):
        rows = sbom.table(sbom.read(sbom.TABLE))
        self.assertGreater(len(rows), 10)
        self.assertEqual(sbom.disagreements(rows, sbom.read("meson.build"),
                                            sbom.read("debian/control")), [])


@unittest.skipUnless(os.path.exists(os.path.join(sbom.ROOT, "build/conclave")), "nothing is built")
class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = os.path.join(sbom.ROOT, "build/conclave")
        cls.rows = sbom.table(sbom.read(sbom.TABLE))
        cls.bill = sbom.bill(cls.program, cls.rows)

    def test_it_has_what_the_format_asks_for(self):
        self.assertEqual((self.bill["bomFormat"], self.bill["specVersion"], self.bill["version"]),
                         ("CycloneDX", "1.5", 1))
        self.assertRegex(self.bill["serialNumber"], "^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-"
                                                    "[0-9a-f]{12}$")
        parts = [self.bill["metadata"]["component"], *self.bill["components"]]
        refs = [p["bom-ref"] for p in parts]
        self.assertEqual(len(refs), len(set(refs)))
        for part in parts:
            self.assertIn(part["type"], ("application", "library"))
            self.assertTrue(part["name"] and part["version"])
            self.assertRegex(part["purl"], r"^pkg:(deb/debian|generic)/[a-z0-9.+-]+@[^ +]+$")
            self.assertRegex(part["hashes"][0]["content"], "^[0-9a-f]{64}$")
        told = [d["ref"] for d in self.bill["dependencies"]]
        self.assertEqual(sorted(told), sorted(refs))
        for d in self.bill["dependencies"]:
            self.assertLessEqual(set(d["dependsOn"]), set(refs))

    def test_every_library_is_in_it(self):
        files = {p["value"] for c in self.bill["components"] for p in c["properties"]
                 if p["name"] == "conclave:file"}
        self.assertLessEqual({n for n in sbom.needed(self.program) if n.startswith("lib")}, files)
        described = {c.get("description") for c in self.bill["components"]}
        self.assertEqual({row["why"] for row in self.rows.values()} - described, set())

    def test_the_same_build_has_the_same_bill(self):
        again = sbom.bill(self.program, self.rows)
        self.assertEqual(json.dumps(again), json.dumps(self.bill))


if __name__ == "__main__":
    unittest.main()
