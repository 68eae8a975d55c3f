"""The servers with nothing behind them: `python3 bench/test_floor.py BUILD`, which has been built.

What they take is worth nothing unless the generator, which checks every answer, accepts theirs."""
import os
import sys
import unittest
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import floor  # noqa: E402

BUILD = sys.argv.pop() if len(sys.argv) > 1 else os.path.join(floor.ROOT, "build")
OPTIONS = SimpleNamespace(generator=[os.path.join(BUILD, "conclave"), "bench"], seconds=0.1)


class Answers(unittest.TestCase):
    def check(self, door, operation, *flags):
        server = floor.Floor(os.path.join(BUILD, "bench/floor/floor"), door, operation)
        try:
            told = floor.generate(OPTIONS, operation, server.url, [server.process.pid], *flags,
                                  keys=1)
        finally:
            server.close()
        self.assertEqual((told["errors"], told["errors_by_kind"]), (0, {}))
        self.assertGreater(told["requests"], 0)
        self.assertGreater(told["servers"][0]["cpu_us_per_operation"], 0)

    def test_every_door_answers_every_operation(self):
        for door in floor.DOORS.values():
            for operation in ("put", "range", "serializable", "keepalive"):
                with self.subTest(door=door, operation=operation):
                    self.check(door, operation, *floor.conns(2))

    def test_many_requests_of_one_connection(self):
        for door in floor.DOORS.values():
            with self.subTest(door=door):
                self.check(door, "put", *floor.conns(1, 100))

    def test_a_server_that_ends_is_trouble(self):
        with self.assertRaisesRegex(floor.Trouble, "ended with 1"):
            floor.Floor(os.path.join(BUILD, "bench/floor/floor"), "window", "put")


if __name__ == "__main__":
    unittest.main()
