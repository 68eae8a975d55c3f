"""`make bench` as far as it goes without another system: what the harness asks of `conclave bench`
is what that prints."""
import os
import subprocess
import sys

from harness import BINARY, ROOT

SIDE = os.path.join(ROOT, "bench", "side.py")


def side(*arguments):
    done = subprocess.run([sys.executable, SIDE, *arguments], capture_output=True, text=True,
                          timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_of_our_own_is_measured_and_shown(tmp_path):
    name = f"test-{os.getpid()}"
    kept = os.path.join(ROOT, "bench", "results", f"{name}.json")
    try:
        for _ in range(5):
            out = side("--quick", "--any-load", "--patience", "0", "--seconds", "1", "--rows",
                       "http-get@64", "--binary", BINARY, "--data", str(tmp_path), "--name", name)
            if "leadership changed" not in out:  # on a busy machine; then it is no measurement
                break
        assert "http-get@64  per second (/s)" in out
        # What was seen is kept, and shown again; the members' data went with them.
        assert os.listdir(tmp_path) == []
        assert side("--show", kept, "--svg", str(tmp_path / "side.svg")) in out
        assert (tmp_path / "side.svg").read_text().startswith("<svg")
    finally:
        if os.path.exists(kept):
            os.unlink(kept)
