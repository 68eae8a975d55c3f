#!/usr/bin/env python3
"""Three members of conclave and three of etcd, side by side on this machine: `make bench`.

    bench/side.py [--rows put@64,million] [--pairs 9] [--seconds 4] [--quick] [--name NAME]
    bench/side.py --resume bench/results/X.json [--rows ...]   what a run that was stopped lacks
    bench/side.py --list                      the rows, and about how long each takes
    bench/side.py --show bench/results/X.json the table of a run that is over
    bench/side.py --show X.json --svg F.svg   and its picture

A pair is a round of each, A B in one pair and B A in the next, each with a cluster and data of its
own while the other system is stopped. A round begins when the machine is idle, and its pair is
thrown away, and tried again, when others used more than 10 % of it meanwhile. All that was seen is
kept in bench/results/NAME.json.

Some rows are of conclave alone, or beside Redis, ZooKeeper or a naive store; the table says how
those differ. What is not installed is left out, with a word."""
import argparse
import datetime
import hashlib
import json
import os
import sys
import time

import burdens
import chart
import clusters
import machine
import rivals
import rows
from clusters import Conclave, Etcd, Trouble

ROOT = clusters.ROOT
RESULTS = os.path.join(ROOT, "bench", "results")
ATTEMPTS_PER_PAIR = 3
P99_SAMPLES_MIN = 20000
FEW_SAMPLES = "rest on few requests"
ALL_ROWS = rows.ROWS + burdens.ROWS + rivals.ROWS
ALL_SYSTEMS = list(dict.fromkeys([Conclave, *(row.against for row in ALL_ROWS)]))
START_SECONDS = 2.5  # of a cluster, and until the machine is idle


# --- rounds ---------------------------------------------------------------------------------------

def systems_of(row):
    return [Conclave] if row.alone else [Conclave, row.against]


def one_round(row, system, options, patience):
    """What was measured, with `rejected`: why it may not count, or ''."""
    was_idle = machine.wait_idle(patience)
    around = machine.Surroundings([])
    result = row.measure(system, options)
    result.setdefault("surroundings", around.end())
    rejected = ""
    if not was_idle:
        rejected = f"the machine was not idle within {patience:g} s"
    elif result["surroundings"]["foreign_cpu"] > machine.FOREIGN_CPU_MAX:
        rejected = f"others used {result['surroundings']['foreign_cpu']:.0%} of the processors"
    return dict(result, rejected=rejected)


def one_pair(row, number, options, patience):
    """{system's name: round}, with `order` and `rejected`."""
    systems = systems_of(row)[::1 if number % 2 == 0 else -1]
    pair = {"order": [s.name for s in systems], "rejected": ""}
    for system in systems:
        try:
            pair[system.name] = one_round(row, system, options, patience)
            pair["rejected"] = pair["rejected"] or pair[system.name]["rejected"]
        except Trouble as e:
            pair["failed"] = f"{system.name}: {e}"
            break
    return pair


def rounds_of(row, wanted):
    return min(wanted, row.rounds_max or wanted)


def expected_seconds(row, options):
    """Of a pair, about."""
    beside = row.beside(options) if callable(row.beside) else row.beside
    return len(systems_of(row)) * (START_SECONDS + options.seconds + beside)


def measure_row(row, wanted, options, patience, keep_busy, done, pairs=()):
    """Pairs until `wanted` of them count, those of before among them; `done(pairs)` after each."""
    absent = [s for s in systems_of(row) if not s.is_there()]
    if absent:
        why = f"there is no {absent[0].name} here; ./setup --bench installs it"
        print(f"{row.name}: {why}", file=sys.stderr, flush=True)
        done([{"order": [], "rejected": "", "failed": why}])
        return []
    wanted = rounds_of(row, wanted)
    pairs = list(pairs)
    for number in range(len(pairs), len(pairs) + wanted * ATTEMPTS_PER_PAIR):
        if len(kept_pairs(pairs)) >= wanted:
            break
        pair = one_pair(row, number, options, patience)
        if keep_busy and pair["rejected"]:
            pair["kept_busy"], pair["rejected"] = pair["rejected"], ""
        pairs.append(pair)
        done(pairs)
        told = pair.get("failed") or pair["rejected"] or pair.get("kept_busy") or ""
        print(f"{row.name}: pair {len(kept_pairs(pairs))} of {wanted}"
              f"{', ' + told if told else ''}", file=sys.stderr, flush=True)
        if pair.get("failed") and number > 0:
            break
    return pairs


def kept_pairs(pairs):
    return [p for p in pairs if not p.get("failed") and not p["rejected"]]


# --- the table ------------------------------------------------------------------------------------

def judge(results):
    """[(row's name, what Figure.judge told)] and [(row's name, why it has no figures)]."""
    told, missing = [], []
    for row in ALL_ROWS:
        if row.name not in results["rows"]:
            continue
        other = row.against.name
        pairs = results["rows"][row.name]
        kept = [(p["conclave"], p.get(other, {})) for p in kept_pairs(pairs)]
        if not kept:
            why = next((p.get("failed") or p["rejected"] for p in reversed(pairs)), "no round")
            missing.append((row.name, why))
            continue
        told += [(row.name, dict(figure.judge(kept), other=other)) for figure in row.figures]
    return told, missing


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def reached_text(f):
    if f["reached"] is None:
        return "-"
    unit = "x" if f["is_ratio"] else ""
    text = f"{number(f['reached'])}{unit}"
    if f["low"] is not None and f["low"] != f["high"]:
        text += f" [{number(f['low'])}, {number(f['high'])}]"
    return text


def bound_text(f, bound):
    if bound is None:
        return ""
    return f"{'>=' if f['higher'] else '<='} {number(bound)}{'x' if f['is_ratio'] else ''}"


def notes(results, told):
    """What there is to distrust: once for each row and system, with how often."""
    found = {}
    for name, pairs in results["rows"].items():
        for p in kept_pairs(pairs):
            for system in p["order"]:
                for warning in p[system].get("warnings", []):
                    if FEW_SAMPLES not in warning:  # of one round; what counts is all of them
                        found.setdefault((name, system), []).append(warning)
    lines = [f"{name}, {system}: {texts[0]}" +
             (f" (and {len(texts) - 1} more warnings)" if len(texts) > 1 else "")
             for (name, system), texts in found.items()]
    lines += [f"{row.name}: beside {row.against.name}: {row.differs}"
              for row in ALL_ROWS if row.differs and results["rows"].get(row.name)]
    few = sorted({name for name, f in told if f["samples"] and f["samples"] < P99_SAMPLES_MIN})
    if few:
        lines.append(f"tails that rest on fewer than {P99_SAMPLES_MIN:,} requests: "
                     f"{', '.join(few)}")
    return lines


HEADINGS = ("row", "what", "conclave", "the other", "reached [95 %]", "target", "aim", "verdict")


def table(results):
    told, missing = judge(results)
    lines = [HEADINGS]
    last = None
    for name, f in told:
        verdict = f["verdict"]
        if f["shortfall"] is not None:
            verdict += (f" by {f['shortfall']:.0%}" if f["shortfall"] < 1 else
                        f", {number(f['reached'] / f['target'])} times the target")
        lines.append((name if name != last else "", f"{f['label']} ({f['unit']})",
                      number(f["ours"]), number(f["theirs"]), reached_text(f),
                      bound_text(f, f["target"]), bound_text(f, f["aim"]), verdict))
        last = name
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    text = ["  ".join(cell.rjust(w) if i in (2, 3) else cell.ljust(w)
                      for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
            for line in lines]
    text.insert(1, "-" * len(max(text, key=len)))
    text += [f"{name}: not measured: {why}" for name, why in missing]
    m = results["machine"]
    text.append(f"{results['begun']}: {', '.join(results['versions'].values())}; "
                f"{m['processors']} x {m['processor']}, Linux {m['kernel']}, {m['mount']}")
    busy = sum("kept_busy" in p for pairs in results["rows"].values() for p in pairs)
    rejected = sum(bool(p["rejected"]) for pairs in results["rows"].values() for p in pairs)
    text += notes(results, told)
    if busy:
        text.append(f"{busy} PAIRS COUNT ALTHOUGH THE MACHINE WAS BUSY: no figure here is to be "
                    "trusted (--any-load)")
    if rejected:
        text.append(f"{rejected} pairs were thrown away: others used the machine")
    return "\n".join(text)


# --- main -----------------------------------------------------------------------------------------

def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", help="these alone, by commas")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--seconds", type=float, help="of a round")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--keys", type=int, help="of the row `million`")
    parser.add_argument("--many", type=int, help="keys of the row `keys`")
    parser.add_argument("--overwrite-seconds", type=float, help="of the row `overwrites`")
    parser.add_argument("--quick", action="store_true", help="a few minutes, for a first look")
    parser.add_argument("--any-load", action="store_true", help="count pairs of a busy machine too")
    parser.add_argument("--patience", type=float, help="seconds to wait for an idle machine")
    parser.add_argument("--binary", default=Conclave.binary)
    parser.add_argument("--generator", help="what speaks `conclave bench`; the binary by default")
    parser.add_argument("--data", default=os.path.join(ROOT, "build", "bench-data"),
                        help="where the members keep theirs: a real disk")
    parser.add_argument("--name", help="of the file in bench/results")
    parser.add_argument("--resume", metavar="FILE", help="go on with a run that was stopped")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--show", metavar="FILE")
    parser.add_argument("--svg", metavar="FILE")
    o = parser.parse_args(arguments)
    for name, quick, full in (("pairs", 1, 9), ("seconds", 2, 4), ("kills", 5, 30),
                              ("keys", 100000, 1000000), ("patience", 10, 120),
                              ("many", 100000, 10000000), ("overwrite_seconds", 120, 3600)):
        if getattr(o, name) is None:
            setattr(o, name, quick if o.quick else full)
    return o


def choose_rows(wanted):
    if not wanted:
        return [row for row in ALL_ROWS if not row.on_demand]
    by_name = {row.name: row for row in ALL_ROWS}
    unknown = [name for name in wanted.split(",") if name not in by_name]
    if unknown:
        sys.exit(f"side: there is no row '{unknown[0]}'; there are: {', '.join(by_name)}")
    return [by_name[name] for name in wanted.split(",")]


class Progress:
    """How long all of it will take: by what each row is expected to, corrected by what the pairs so
    far took."""

    def __init__(self, chosen, lacking, options):
        self.left = {row.name: lacking(row) * expected_seconds(row, options) for row in chosen}
        self.begun = time.monotonic()
        self.expected_so_far = 0.0

    def on_pair(self, row, lacking, options):
        left = lacking * expected_seconds(row, options)
        self.expected_so_far += max(self.left[row.name] - left, 0)
        self.left[row.name] = left
        print(f"side: {self.told()}", file=sys.stderr, flush=True)

    def told(self):
        took = time.monotonic() - self.begun
        factor = took / self.expected_so_far if self.expected_so_far else 1
        minutes = sum(self.left.values()) * factor / 60
        end = datetime.datetime.now() + datetime.timedelta(minutes=minutes)
        return f"about {minutes:.0f} minutes left, until {end.strftime('%H:%M')}"


def fingerprint(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def earlier(path, new):
    """The results of a run that was stopped, to go on with: of the same programs and machine."""
    with open(path, encoding="utf-8") as f:
        found = json.load(f)
    for name in ("fingerprint", "versions", "machine", "seconds"):
        if found.get(name) != new[name]:
            sys.exit(f"side: {path} has another '{name}' than this run: "
                     f"{found.get(name)}, now {new[name]}; begin a new one")
    return found


def save(results, path):
    """Whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(results, f)
        f.write("\n")
    os.replace(path + ".new", path)


def options_of(o):
    return rows.Options(o.seconds, o.kills, o.keys,
                        [o.generator] if o.generator else [Conclave.binary, "bench"], o.data,
                        10 if o.quick else 60, 10 if o.quick else 600, o.many,
                        o.overwrite_seconds)


def run(o, chosen):
    Conclave.binary = os.path.abspath(o.binary)
    systems = list(dict.fromkeys(s for row in chosen for s in systems_of(row)))
    for system in systems:
        if system in (Conclave, Etcd) and not system.is_there():
            sys.exit(f"side: there is no {system.binary}; `make bench` builds and installs it")
    os.makedirs(o.data, exist_ok=True)
    os.makedirs(RESULTS, exist_ok=True)
    begun = datetime.datetime.now()
    path = os.path.join(RESULTS, (o.name or begun.strftime("%Y-%m-%d-%H%M%S")) + ".json")
    options = options_of(o)
    results = {"begun": begun.strftime("%Y-%m-%d %H:%M"),
               "versions": {s.name: s.version() for s in ALL_SYSTEMS if s.is_there()},
               "fingerprint": fingerprint(Conclave.binary),
               "machine": machine.describe(o.data), "seconds": o.seconds, "rows": {}}
    if o.resume:
        path, results = o.resume, earlier(o.resume, results)
    if "tmpfs" in results["machine"]["mount"]:
        print(f"side: {o.data} is memory, no disk: give another --data", file=sys.stderr)
    seen = results["rows"]

    def lacking(row):
        return max(rounds_of(row, o.pairs) - len(kept_pairs(seen.get(row.name, []))), 0)
    progress = Progress(chosen, lacking, options)
    print(f"side: {progress.told()}", file=sys.stderr, flush=True)
    try:
        for row in chosen:
            def done(pairs, row=row):
                seen[row.name] = pairs
                save(results, path)
                progress.on_pair(row, lacking(row), options)
            before = [p for p in seen.get(row.name, []) if not p.get("failed")]
            measure_row(row, o.pairs, options, o.patience, o.any_load, done, before)
    except KeyboardInterrupt:
        print("side: stopped; what was seen so far:", file=sys.stderr)
    results["seconds_all"] = results.get("seconds_all", 0) + round(time.time() - begun.timestamp())
    save(results, path)
    print(f"raw results: {os.path.relpath(path)}\n")
    return results


def main(arguments=None):
    o = parse(arguments)
    if o.list:
        for row in ALL_ROWS:
            minutes = rounds_of(row, o.pairs) * expected_seconds(row, options_of(o)) / 60
            print(f"{row.name:20} about {minutes:3.0f} minutes"
                  f"{', when it is named' if row.on_demand else ''}")
        return 0
    if o.show:
        with open(o.show, encoding="utf-8") as f:
            results = json.load(f)
    else:
        results = run(o, choose_rows(o.rows))
    print(table(results))
    if o.svg:
        with open(o.svg, "w", encoding="utf-8") as f:
            f.write(chart.draw(judge(results)[0], results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
