"""Statistics of paired rounds: medians of ratios, merged histograms, and how sure they are."""
import math
import random
import statistics

RESAMPLES = 2000
CONFIDENCE = 0.95


def merge(histograms):
    """One histogram, as the sorted list of [upper bound, count] that each of them is."""
    counts = {}
    for histogram in histograms:
        for upper, count in histogram:
            counts[upper] = counts.get(upper, 0) + count
    return sorted(counts.items())


def quantile(histogram, q):
    """The upper bound below which the share `q` of all lies; None of an empty one."""
    total = sum(count for _, count in histogram)
    wanted, seen = math.ceil(q * total), 0
    for upper, count in histogram:
        seen += count
        if count > 0 and seen >= max(wanted, 1):
            return upper
    return None


def rank(values, q):
    """The value at the share `q` of a list: the smallest that as many are not above."""
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def ratio(a, b):
    return a / b if a is not None and b else None


def interval(items, estimate, seed=1):
    """(estimate of all, low, high): the interval that 95 % of resamples of `items` lie in."""
    whole = estimate(items)
    rng = random.Random(seed)
    seen = sorted(e for e in (estimate(rng.choices(items, k=len(items)))
                              for _ in range(RESAMPLES)) if e is not None)
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
        if isinstance(values[0][0], (int, float)):
            return rank([v for times in values for v in times], self.of)
        return quantile(merge(values), self.of)

    def samples(self, pairs):
        """Of the histograms that a tail comes from: the fewer of both systems; None = no tail."""
        if self.of is None or self.key != "histogram":
            return None
        counts = [sum(count for r in rounds for _, count in r.get(self.key) or [])
                  for rounds in ([o for o, _ in pairs], [t for _, t in pairs])]
        return min(counts)

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
        reached, low, high = interval(pairs, self.estimate) if pairs else (None, None, None)
        told = {"label": self.label, "unit": self.unit, "is_ratio": self.is_ratio,
                "higher": self.higher, "target": self.target, "aim": self.aim, "reached": reached,
                "low": low, "high": high, "shortfall": None, "pairs": len(pairs),
                "ours": self.value([o for o, _ in pairs]),
                "theirs": self.value([t for _, t in pairs if t])}
        told["samples"] = self.samples(pairs)
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
