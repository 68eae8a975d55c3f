"""Statistics of paired rounds: medians of ratios, merged histograms, and how sure they are."""
import itertools
import math
import random
import statistics

RESAMPLES = 2000
CONFIDENCE = 0.95


class Cumulated:
    """A histogram as the counts up to each of `bounds`, which several share: an interval looks into
    thousands of merged ones, and none of them is made."""

    def __init__(self, histogram, bounds):
        counts = dict(histogram)
        self.bounds = bounds
        self.up_to = list(itertools.accumulate(counts.get(bound, 0) for bound in bounds))


def cumulate(histograms):
    """Each of them, a sorted list of [upper bound, count], over the bounds of all."""
    bounds = sorted({upper for histogram in histograms for upper, _ in histogram})
    return [Cumulated(histogram, bounds) for histogram in histograms]


def quantile(cumulated, q):
    """The upper bound below which the share `q` of all of them together lies; None of nothing.
    All have the same bounds."""
    counts = [c.up_to for c in cumulated]
    total = sum(c[-1] for c in counts if c)
    if total == 0:
        return None
    wanted = max(math.ceil(q * total), 1)
    low, high = 0, len(counts[0]) - 1
    while low < high:
        middle = (low + high) // 2
        if sum([c[middle] for c in counts]) >= wanted:
            high = middle
        else:
            low = middle + 1
    return cumulated[0].bounds[low]


def rank(values, q):
    """The value at the share `q` of a list: the smallest that as many are not above."""
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def ratio(a, b):
    return a / b if a is not None and b else None


def interval(items, estimate, seed=1):
    """(estimate of all, low, high): the interval that 95 % of resamples of `items` lie in. An
    estimate does not depend on their order."""
    whole = estimate(items)
    rng = random.Random(seed)
    known = {}
    seen = []
    for _ in range(RESAMPLES):
        drawn = tuple(sorted(rng.choices(range(len(items)), k=len(items))))
        if drawn not in known:
            known[drawn] = estimate([items[i] for i in drawn])
        seen.append(known[drawn])
    seen = sorted(e for e in seen if e is not None)
    if whole is None or not seen:
        return None, None, None
    tail = (1 - CONFIDENCE) / 2
    return whole, seen[int(tail * (len(seen) - 1))], seen[math.ceil((1 - tail) * (len(seen) - 1))]


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


class Figure:
    """One line of the table: what of a row is looked at, and what it should be.

    `of`: None = a number of each round, of which the median is taken (of the ratios within each
    pair, where it is a ratio); a share = that quantile of the histograms (or the lists of times) of
    all rounds together."""

    def __init__(self, label, key, is_ratio=True, higher=False, target=None, aim=None, of=None,
                 unit=""):
        self.label, self.key, self.is_ratio, self.higher = label, key, is_ratio, higher
        self.target, self.aim, self.of, self.unit = target, aim, of, unit

    def value(self, rounds):
        """Of one system, over its rounds."""
        values = [r[self.key] for r in rounds if r.get(self.key) is not None]
        if not values:
            return None
        if self.of is None:
            return median(values)
        if isinstance(values[0], Cumulated):
            return quantile(values, self.of)
        return rank([v for times in values for v in times], self.of)

    def samples(self, pairs):
        """Of the histograms that a tail comes from: the fewer of both systems; None = no tail."""
        if self.of is None or self.key != "histogram":
            return None
        counts = [sum(count for r in rounds for _, count in r.get(self.key) or [])
                  for rounds in ([o for o, _ in pairs], [t for _, t in pairs])]
        return min(counts)

    def cumulated(self, pairs):
        """The same pairs, with nothing but this figure's own values, and histograms cumulated."""
        rounds = [r for pair in pairs for r in pair if r.get(self.key)]
        values = {id(r): r[self.key] for r in rounds}
        if self.key == "histogram":
            values = dict(zip(values, cumulate(list(values.values()))))
        return [tuple({self.key: values[id(r)]} if id(r) in values else {} for r in pair)
                for pair in pairs]

    def estimate(self, pairs):
        """What is compared with the target, of [(ours, theirs)]."""
        if not self.is_ratio:
            return self.value([ours for ours, _ in pairs])
        if self.of is None:
            return median([ratio(ours.get(self.key), theirs.get(self.key))
                           for ours, theirs in pairs])
        return ratio(self.value([ours for ours, _ in pairs]),
                     self.value([theirs for _, theirs in pairs]))

    def judge(self, pairs):
        """{ours, theirs, reached, low, high, shortfall, verdict}."""
        samples = self.samples(pairs)
        if self.of is not None:
            pairs = self.cumulated(pairs)
        reached, low, high = interval(pairs, self.estimate) if pairs else (None, None, None)
        told = {"label": self.label, "unit": self.unit, "is_ratio": self.is_ratio,
                "higher": self.higher, "target": self.target, "aim": self.aim, "reached": reached,
                "low": low, "high": high, "shortfall": None, "pairs": len(pairs),
                "ours": self.value([o for o, _ in pairs]),
                "theirs": self.value([t for _, t in pairs if t])}
        told["samples"] = samples
        told["verdict"] = self.verdict(told)
        if reached is not None and self.target and not self.holds(reached, self.target):
            told["shortfall"] = (1 - reached / self.target if self.higher
                                 else reached / self.target - 1)
        return told

    def holds(self, value, bound):
        return value >= bound if self.higher else value <= bound

    def verdict(self, told):
        """A target is met when the worse end of the interval meets it."""
        if told["reached"] is None:
            return "not measured"
        if self.target is None:
            return ""
        worse = told["low"] if self.higher else told["high"]
        if self.aim is not None and self.holds(worse, self.aim):
            return "aim met"
        if self.holds(worse, self.target):
            return "target met"
        return "not surely" if self.holds(told["reached"], self.target) else "short"
