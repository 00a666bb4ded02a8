"""Draws how well metrics agree with people against the time that they take: python docs/agreement_and_time.py

It draws what was measured and is kept beside this file: agreement in agreement.md, and time in times.json, which this
command made. `METRICS` are names of weights, and `PEERS` those of the literature:

    python benchmarks/peers.py METRICS --peers PEERS --sizes 512x768 --figures forward --out docs/times.json

A dot is a metric. Its time is the median, in JAX or PyTorch, whichever is faster. Its agreement is the pooled
SROCC.
"""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from pictures import save

from pim_jax.console import Printer

DOCS = Path(__file__).parent
TIMES = DOCS / "times.json"
AGREEMENT = DOCS / "agreement.md"
DATA = ("TID2013", "RAID")  # sections of that page
OWN, OTHERS = "tab:red", "0.35"
SIZE = [512, 768]  # of the pair that is timed
INCHES = 3.9, 7.6  # so that it is read at 390 pixels, the width of a telephone
# Where a label may be: (points from its dot, angle).
PLACES = [(distance, turn * math.pi / 8) for distance in range(5, 85, 4) for turn in (0, 8, 4, 12, *range(16))]
WITH_LINE = 9  # points from its dot to a label that needs a line to it
# How many points farther from its dot a label may as well be, as hide a square point, or seem to belong to another dot.
HIDDEN, UNCLEAR = 10, 12
LINE = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}


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
        f"seconds for a pair of {height} x {width}\n({machine['processor']}, {cores(machine)})", fontsize=8
    )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # from here on things stay where they are, so labels fit
    for axes, found in zip(panels, agreements.values(), strict=True):
        label(axes, {name: (seconds[name], value) for name, value in found.items() if name in seconds}, own)
    return figure


def label(axes: Axes, dots: dict[str, tuple[float, float]], own: set[str]) -> None:
    """Writes the name of every dot beside it, where no other name, dot or line is."""
    scale = axes.figure.dpi / 72

    def write(name: str, offset: np.ndarray, line: dict | None = None) -> Annotation:
        style = {"color": OWN if name in own else OTHERS, "fontweight": "bold" if name in own else "normal"}
        centred = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
        return axes.annotate(name, dots[name], offset / scale, arrowprops=line, **centred, **style)

    halves = []
    for name in dots:
        text = write(name, np.zeros(2))
        halves.append(np.array(text.get_window_extent().size) / 2 + scale)
        text.remove()
    centres = axes.transData.transform(list(dots.values()))
    bounds = axes.get_window_extent().extents
    # Who comes first has most room, so several orders are tried. Our own always come first.
    orders = [np.argsort(sign * axis) for axis in centres.T for sign in (1, -1)]
    orders += [np.random.default_rng(seed).permutation(len(dots)) for seed in range(12)]
    names = list(dots)
    orders = [sorted(order, key=lambda index: names[index] not in own) for order in orders]
    layouts = [layout(order, centres, halves, bounds, scale) for order in orders]
    best = min(layouts, key=lambda places: sum(place.cost for place in places.values()))
    for index, place in best.items():
        write(names[index], place.offset, LINE if place.distance >= WITH_LINE else None)


class Place(NamedTuple):
    """Where a label may be.

    Attributes:
      cost: the less, the better.
      distance: from the dot to the label, in points.
      offset: from the dot to the middle of the label, in pixels.
      boxes: of the label and of pieces of its line, [n, 4]: left, bottom, right, top.
    """

    cost: float
    distance: float
    offset: np.ndarray
    boxes: np.ndarray


def layout(order: list[int], centres: np.ndarray, halves: list[np.ndarray], bounds, scale: float) -> dict[int, Place]:
    """Places for the labels of all dots, found one after the other.

    Args:
      order: of the dots.
      centres: [dots, 2], in pixels.
      halves: of the sizes of labels.
      bounds: left, bottom, right, top of where labels may be.
      scale: pixels in a point.
    """
    taken = around(centres, 3 * scale)
    places = {}
    for index in order:
        others = np.delete(centres, index, axis=0)
        places[index] = find(centres[index], others, halves[index], taken, bounds, scale)
        taken = np.concatenate([taken, places[index].boxes])
    return places


def find(dot: np.ndarray, others: np.ndarray, half: np.ndarray, taken: np.ndarray, bounds, scale: float) -> Place:
    """The best place for a label: near its dot, and where it hides nothing."""
    best = None
    for distance, angle in PLACES:
        if best and distance >= best.cost:
            break
        offset = np.array([math.cos(angle), math.sin(angle)]) * (distance * scale + half)
        boxes = around(dot + offset, half)[None]
        if distance >= WITH_LINE:
            steps = np.linspace(0, 1, max(2, round(np.hypot(*offset) / (2 * scale))))[:, None]
            outside = (np.abs(offset * (steps - 1)) > half).any(1) & (np.hypot(*(steps * offset).T) > 4 * scale)
            boxes = np.concatenate([boxes, around(dot + steps[outside] * offset, scale / 2)])
            unclear = False
        else:  # without a line it belongs to the dot that is nearest
            gaps = np.hypot(*np.maximum(np.abs(others - dot - offset) - half, 0).T)
            unclear = (gaps < 2 * distance * scale).any()
        cost = distance + UNCLEAR * unclear + HIDDEN * hidden(boxes, taken, bounds) / scale**2
        if best is None or cost < best.cost:
            best = Place(cost, distance, offset, boxes)
    return best


def around(centres: np.ndarray, reach: float | np.ndarray) -> np.ndarray:
    """Boxes [..., 4] around points [..., 2]."""
    return np.concatenate([centres - reach, centres + reach], axis=-1)


def hidden(boxes: np.ndarray, taken: np.ndarray, bounds: np.ndarray) -> float:
    """How many square pixels of boxes are over others or out of bounds."""

    def shared(others):
        ends = np.minimum(boxes[:, None, 2:], others[:, 2:]), np.maximum(boxes[:, None, :2], others[:, :2])
        return np.maximum(ends[0] - ends[1], 0).prod(-1).sum()

    outside = (boxes[:, 2:] - boxes[:, :2]).prod(-1).sum() - shared(bounds[None])
    return shared(taken) + round(outside, 3)


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


def cores(machine: dict) -> str:
    return "one core" if machine["cores"] == 1 else f"{machine['cores']} cores"


def own_metrics(times: dict) -> set[str]:
    return {row["metric"] for row in times["metrics"] if row["is_weights"]}


def agreement(page: str, data: str) -> dict[str, float]:
    """The pooled SROCC by metric, from the first table of a data set's section of docs/agreement.md."""
    section = page.partition(f"\n## {data}\n")[2]
    _, _, table = section.partition("\n|")
    table, _, _ = table.partition("\n\n")
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    column = header.index("pooled")
    return {row[0]: float(row[column].partition(" ")[0]) for row in rows}


def main():
    if missing := [path for path in (TIMES, AGREEMENT) if not path.is_file()]:
        sys.exit(f"error: {missing[0]} is not there: this file's first lines say what it is")
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    page = AGREEMENT.read_text(encoding="utf-8")
    agreements = {data: agreement(page, data) for data in DATA}
    say = Printer(sys.stderr)
    for data, found in agreements.items():
        if without := sorted(set(found) ^ set(medians(times))):
            say(f"{data}: only time or only agreement was measured, so not drawn: {', '.join(without)}")
    save(draw(times, agreements), "agreement-and-time.png")


if __name__ == "__main__":
    main()
