"""The picture of a run: how many times as good as etcd, a bar for each ratio, with how sure it is
and what it should be. Plain SVG that follows the reader's light or dark setting."""
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 860, 300, 150, 16, 12, 64
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #57606a; font-size: 12px }
  .axis { stroke: #8c959f; stroke-width: 1 }
  .met { fill: #2da44e } .short { fill: #bf8700 } .plain { fill: #0969da }
  .sure { stroke: #24292f; stroke-width: 1.5 }
  .target { stroke: #cf222e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .axis { stroke: #656c76 }
    .met { fill: #3fb950 } .short { fill: #d29922 } .plain { fill: #4493f8 }
    .sure { stroke: #e6edf3 } .target { stroke: #f85149 }
  }"""


def better(figure, value):
    """As 'times as good': less time or CPU is as good as more of a rate."""
    if value is None:
        return None
    return value if figure["higher"] else 1 / value if value > 0 else None


def bars(judged):
    """[(name, times as good, low, high, target, kind)] of what is a ratio to etcd and was seen."""
    found = []
    for name, f in judged:
        reached = better(f, f["reached"])
        if not f["is_ratio"] or reached is None or f["unit"] == "" or f["other"] != "etcd":
            continue
        low, high = sorted(better(f, f[end]) or reached for end in ("low", "high"))
        kind = "plain"
        if f["target"] is not None:
            kind = "met" if f["verdict"] in ("target met", "aim met") else "short"
        found.append((f"{name} · {f['label']}", reached, low, high, better(f, f["target"]), kind))
    return found


def draw(judged, results):
    found = bars(judged)
    most = max([2.0] + [max(b[3], b[4] or 0) for b in found])
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + len(found) * (BAR + GAP) + 40
    bottom = TOP + len(found) * (BAR + GAP)

    def x(value):
        return f"{LEFT + value * scale:.1f}"

    title = "Times as good as etcd, same machine, same run"
    versions = escape(" and ".join(text for name, text in results["versions"].items()
                                   if name in ("conclave", "etcd")))
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'role="img" aria-label="conclave beside etcd">', f"<style>{STYLE}\n</style>",
             f'<text class="title" x="12" y="24">{title}</text>',
             f'<text class="quiet" x="12" y="44">{versions}, three members each, '
             f'{escape(results["begun"])}; red: the target</text>',
             f'<line class="axis" x1="{x(1)}" x2="{x(1)}" y1="{TOP - 6}" y2="{bottom}"/>',
             f'<text class="quiet" x="{x(1)}" y="{bottom + 18}" text-anchor="middle">'
             'etcd = 1</text>']
    for i, (name, reached, low, high, target, kind) in enumerate(found):
        y = TOP + i * (BAR + GAP)
        middle = y + BAR / 2
        lines += [f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
                  f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{reached * scale:.1f}" '
                  f'height="{BAR}" rx="2"/>',
                  f'<line class="sure" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>',
                  f'<text x="{float(x(max(high, target or 0))) + 8:.1f}" y="{y + 13}">'
                  f'{reached:.2g}x</text>']
        if target is not None:
            lines.append(f'<line class="target" x1="{x(target)}" x2="{x(target)}" y1="{y - 3}" '
                         f'y2="{y + BAR + 3}"/>')
    return "\n".join(lines + ["</svg>"]) + "\n"
