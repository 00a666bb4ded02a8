"""Draws how well metrics agree with people against the time that they take: python docs/agreement_and_time.py

It draws what was measured and is kept beside this file. These commands made the files, on one machine. `METRICS` are
names of weights, and `PEERS` those of the literature:

    python benchmarks/peers.py METRICS --peers PEERS --sizes 512x768 --figures forward --out docs/times.json
    python eval.py --benchmark iqa --data tid2013 --metrics METRICS,PEERS > docs/agreement-tid2013.md
    python eval.py --benchmark raid --data raid --metrics METRICS,PEERS > docs/agreement-raid.md

A dot is a metric. Its time is the median, in JAX or PyTorch, whichever is faster. Its agreement is the SROCC of all
images.
"""

import json
import math
import statistics
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from pictures import save

from pim_jax.console import Printer

DOCS = Path(__file__).parent
TIMES = DOCS / "times.json"
AGREEMENTS = (DOCS / "agreement-tid2013.md", DOCS / "agreement-raid.md")
OWN, OTHERS = "tab:red", "0.35"
SIZE = [512, 768]  # of the pair that is timed
INCHES = 3.9, 6.6  # so that it is read at 390 pixels, the width of a telephone
# Where a label may be: (points from its dot, angle). The first place that is free is taken.
PLACES = [(distance, turn * math.pi / 8) for distance in range(5, 85, 4) for turn in (0, 8, 4, 12, *range(16))]
WITH_LINE = 9  # points from its dot to a label that needs a line to it


def draw(times: dict, agreements: dict[str, dict[str, float]]) -> Figure:
    """A panel for every data set, one above the other.

    Args:
      times: what `benchmarks/peers.py` wrote.
      agreements: SROCC by metric, by data set.
    """
    seconds, own = medians(times), own_metrics(times)
    figure = Figure(figsize=INCHES, dpi=200, layout="constrained")
    panels = figure.subplots(len(agreements), sharex=True, squeeze=False)[:, 0]
    for axes, (data, found) in zip(panels, agreements.items(), strict=True):
        dots = {name: (seconds[name], value) for name, value in found.items() if name in seconds}
        for name, dot in dots.items():
            axes.plot(*dot, "o", color=OWN if name in own else OTHERS, markersize=5 if name in own else 4)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.margins(0.12)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, which="both")
        axes.set_title(f"{data}: agreement with people (SROCC)", loc="left", fontsize=9)
    machine, (height, width) = times["machine"], SIZE
    panels[-1].set_xlabel(
        f"seconds for a pair of {height} x {width}\n({machine['processor']}, {machine['cores']} cores)", fontsize=8
    )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # from here on things stay where they are, so labels fit
    for axes, found in zip(panels, agreements.values(), strict=True):
        label(axes, {name: (seconds[name], value) for name, value in found.items() if name in seconds}, own)
    return figure


def label(axes: Axes, dots: dict[str, tuple[float, float]], own: set[str]) -> None:
    """Writes the name of every dot beside it, where no other name or dot is."""
    scale = axes.figure.dpi / 72
    centres = axes.transData.transform(list(dots.values()))
    taken = [Bbox.from_bounds(x - 3 * scale, y - 3 * scale, 6 * scale, 6 * scale) for x, y in centres]
    for name in sorted(dots, key=lambda name: name not in own):  # our own first: they get the nearest places
        style = {"color": OWN if name in own else OTHERS, "fontweight": "bold" if name in own else "normal"}
        centred = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
        text = axes.annotate(name, dots[name], (0, 0), **centred, **style)
        box = text.get_window_extent().padded(scale)
        text.remove()
        places = [(distance, *shift(box, scale, distance, angle)) for distance, angle in PLACES]
        hides = [hidden(box.translated(right, up), taken, axes.get_window_extent()) for _, right, up in places]
        distance, right, up = places[hides.index(min(hides))]
        line = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        arrow = line if distance >= WITH_LINE else None
        axes.annotate(name, dots[name], (right / scale, up / scale), arrowprops=arrow, **centred, **style)
        taken.append(box.translated(right, up))


def shift(box: Bbox, scale: float, distance: float, angle: float) -> tuple[float, float]:
    """How far to move a label that is centred on its dot, so that its nearest edge is `distance` points away."""
    return (
        math.cos(angle) * (distance * scale + box.width / 2),
        math.sin(angle) * (distance * scale + box.height / 2),
    )


def hidden(box: Bbox, taken: list[Bbox], within: Bbox) -> float:
    """How many square pixels of a box are over others or out of bounds."""
    shared = [common for other in taken if (common := Bbox.intersection(box, other))]
    inside = Bbox.intersection(box, within)
    return sum(map(area, shared)) + round(area(box) - (area(inside) if inside else 0), 3)


def area(box: Bbox) -> float:
    return box.width * box.height


def medians(times: dict) -> dict[str, float]:
    """The seconds of a distance by metric, of the faster framework. Turn 0 compiles, and does not count."""
    found = {}
    for row in times["measurements"]:
        if row["figure"] == "forward" and row["size"] == SIZE and row["turn"] > 0:
            found.setdefault((row["metric"], row["framework"]), []).append(row["value"])
    fastest = {}
    for (metric, _), values in found.items():
        fastest[metric] = min(statistics.median(values), fastest.get(metric, float("inf")))
    return fastest


def own_metrics(times: dict) -> set[str]:
    return {row["metric"] for row in times["metrics"] if row["is_weights"]}


def agreement(page: str) -> tuple[str, dict[str, float]]:
    """The name of the data set and the SROCC of every metric, from what `eval.py --benchmark` prints."""
    lines = page.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    column = rows[0].index("SROCC")
    end = next((i for i, row in enumerate(rows) if i and row[0] == ""), len(rows))  # another table follows
    data = lines[0].removeprefix("# ").partition(":")[0]
    return data, {row[0]: float(row[column].partition(" ")[0]) for row in rows[2:end]}


def main():
    if missing := [path for path in (TIMES, *AGREEMENTS) if not path.is_file()]:
        sys.exit(f"error: {missing[0]} is not there: this file's first lines have the command that measures it")
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    agreements = dict(agreement(path.read_text(encoding="utf-8")) for path in AGREEMENTS)
    say = Printer(sys.stderr)
    for data, found in agreements.items():
        if without := sorted(set(found) ^ set(medians(times))):
            say(f"{data}: only time or only agreement was measured, so not drawn: {', '.join(without)}")
    save(draw(times, agreements), "agreement-and-time.png")


if __name__ == "__main__":
    main()
