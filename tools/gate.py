#!/usr/bin/env python3
"""Instructions per operation against a committed baseline: a change that makes a path slower fails.

    tools/gate.py [BUILD]             measure, print, compare: exit 1 when one takes 5 % more
    tools/gate.py [BUILD] --write     the same, and make what was seen the baseline
    tools/gate.py [BUILD] --program gate_slower    another build of the same work

bench/gate/gate.c does a fixed amount of work through whole members on virtual time; callgrind
counts its instructions, the same ones in every run. Counted are the rooms of src/ and what the
libraries do for them; the fakes of disk, network and clock are not, nor is what they ask libraries
for, nor the kernel. A count is bound to compiler, options and C library, and there is one baseline
for each.
"""
import argparse
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASELINE_FILE = os.path.join(ROOT, "bench/gate/baseline.json")
ALLOWANCE = 0.05
LIBRARIES = "libraries"
HARNESS = "harness"


# --- what callgrind says --------------------------------------------------------------------------

def place_of(program, build, obj, path):
    """Whose a function is: a room of src/, the libraries, or the harness that drives it all."""
    if os.path.realpath(obj) != os.path.realpath(program):
        return LIBRARIES
    # meson.build makes what was compiled in BUILD say that it was in ./build.
    full = os.path.normpath(os.path.join(build, path.removeprefix("./build/")))
    for top in (build, ROOT):
        room = re.match(r"src/([^/]+)/", os.path.relpath(full, top))
        if room:
            return room.group(1)
    return HARNESS if os.path.relpath(full, ROOT).startswith(("bench/", "test/")) else LIBRARIES


def parse_counts(lines, place):
    """{place: instructions} of one dump of callgrind, written without compression.

    A room's are its own; those of the libraries are what rooms had done by them, without what they
    called back into the rooms."""
    counts = {}
    obj = path = callee_obj = callee_path = None
    caller = callee = None

    def add(name, count):
        counts[name] = counts.get(name, 0) + count

    for line in lines:
        key, separator, value = line.rstrip("\n").partition("=")
        if separator and key in ("ob", "fl", "fn", "cob", "cfi", "cfl", "cfn", "calls"):
            if key == "ob":
                obj = value
            elif key == "fl":
                path = value
            elif key == "fn":
                caller = place(obj, path)
                callee_obj = callee_path = None
            elif key == "cob":
                callee_obj = value
            elif key in ("cfi", "cfl"):
                callee_path = value
            elif key == "cfn":
                callee = place(callee_obj or obj, callee_path or path)
                callee_obj = callee_path = None
            continue
        numbers = re.fullmatch(r"\d+ (\d+)", line.rstrip("\n"))
        if not numbers or caller is None:
            continue
        count = int(numbers.group(1))
        if callee is None:
            if caller not in (LIBRARIES, HARNESS):
                add(caller, count)
        else:  # what a call took, all in all
            if callee == LIBRARIES and caller not in (LIBRARIES, HARNESS):
                add(LIBRARIES, count)
            elif caller == LIBRARIES and callee not in (LIBRARIES, HARNESS):
                add(LIBRARIES, -count)
            callee = None
    return counts


def measure(build, program, names):
    """[(operation, {place: instructions an operation})] in the order of the work."""
    build = os.path.abspath(build)
    path = os.path.join(build, "bench/gate", program)
    with tempfile.TemporaryDirectory() as folder:
        # Nothing of this machine's own: the C library picks its paths by the processor.
        environment = {"PATH": os.environ["PATH"], "LD_BIND_NOW": "1",
                       "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM"}
        out = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
             "--toggle-collect=measured", "--dump-after=measured", "--compress-strings=no",
             "--compress-pos=no", path, *names],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        if out.returncode != 0:
            sys.exit(f"gate: {program} failed under valgrind:\n{out.stderr[-2000:]}")
        dumps = sorted(glob.glob(f"{folder}/out.*"), key=lambda name: int(name.rsplit(".", 1)[1]))
        work = [line.split() for line in out.stdout.splitlines()]
        if len(dumps) != len(work):
            sys.exit(f"gate: {len(work)} pieces of work, and {len(dumps)} counts of callgrind's")
        result = []
        for (name, operations), dump in zip(work, dumps):
            with open(dump, encoding="utf-8") as f:
                counts = parse_counts(f, lambda o, p: place_of(path, build, o, p))
            result.append((name, {k: v / int(operations) for k, v in counts.items()}))
        return result


# --- the baseline ---------------------------------------------------------------------------------

def conditions(build):
    """What a count is bound to, in words."""
    def output_of(*command):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    compiler = output_of(os.path.join(build, "bench/gate/gate"), "--compiler").strip()
    options = {o["name"]: o["value"]
               for o in json.loads(output_of("meson", "introspect", "--buildoptions", build))}
    lto = ", lto" if options.get("b_lto") else ""
    sanitizer = options.get("b_sanitize", "none")
    sanitizer = "" if sanitizer == "none" else f", {sanitizer}"
    checks = ", dchecks" if options.get("dchecks") else ""
    libc = " ".join(platform.libc_ver())
    return (f"{compiler} -O{options['optimization']}{lto}{sanitizer}{checks}, {libc}, "
            f"{platform.machine()}")


def read_baselines(path=BASELINE_FILE):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def compare(baseline, seen):
    """[(operation, before or None, now, what is wrong or '')], also for what is gone."""
    rows = []
    for name, now in seen.items():
        before = baseline.get(name)
        wrong = ""
        if before is None:
            wrong = "has no baseline"
        elif now == 0:
            wrong = "is not counted: nothing in it was found to be ours"
        elif now > before * (1 + ALLOWANCE):
            wrong = f"takes {now / before - 1:.1%} more, {ALLOWANCE:.0%} are allowed"
        rows.append((name, before, now, wrong))
    rows += [(name, before, None, "is not measured any more")
             for name, before in baseline.items() if name not in seen]
    return rows


def print_rooms(measured):
    places = sorted({place for _, counts in measured for place in counts} - {LIBRARIES})
    places.append(LIBRARIES)
    print("instructions per operation " + "".join(f"{p:>10}" for p in places))
    for name, counts in measured:
        print(f"{name:<27}" + "".join(f"{counts.get(p, 0):>10,.0f}" for p in places))


def print_comparison(rows):
    print(f"\n{'':<16}{'baseline':>10}{'now':>10}{'change':>9}")
    for name, before, now, wrong in rows:
        change = f"{now / before - 1:+.1%}" if before and now else ""
        print(f"{name:<16}{before or 0:>10,.0f}{now or 0:>10,.0f}{change:>9}"
              f"{'   FAILED: ' + wrong if wrong else ''}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--program", default="gate")
    parser.add_argument("--only", help="this operation alone; the others' baselines do not count")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("gate: there is no valgrind; ./setup installs it")
    key = conditions(options.build)
    baselines = read_baselines()
    if key not in baselines and not options.write:
        print(f"gate: no baseline for {key}: NOTHING WAS COMPARED.\n"
              f"      There are some for: {'; '.join(baselines) or 'nothing'}.\n"
              f"      `make bench-baseline`, on a commit that is known to be good, adds one.")
        return 3
    measured = measure(options.build, options.program, [options.only] if options.only else [])
    seen = {name: round(sum(counts.values())) for name, counts in measured}
    print_rooms(measured)
    if options.write:
        baselines[key] = seen
        with open(BASELINE_FILE, "w", encoding="utf-8") as f:
            json.dump(baselines, f, indent=1)
            f.write("\n")
    baseline = {name: count for name, count in baselines[key].items()
                if not options.only or name == options.only}
    rows = compare(baseline, seen)
    print_comparison(rows)
    failed = sum(1 for row in rows if row[3])
    print(f"gate: {len(rows) - failed} operations take no more than before, {failed} do; {key}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
