"""The curves of training runs: each number of their logs against the step, as a picture and in letters."""

import itertools
import string
from collections.abc import Mapping, Sequence

import numpy as np
import uniplot
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pim_jax.training import log

PANELS = {
    "loss": "loss",
    "I": "I, nats: what z tells of both frames",
    "Rx": "Rx, nats: what z has of x alone",
    "Ry": "Ry, nats: what z has of y alone",
    "beta": "β, the weight of Rx + Ry",
    "pairs_per_second": "pairs per second",
}
_IN_LETTERS = (("I", "Rx"), ("loss", "Ry"))  # panels beside each other
_FALL = ("Rx", "Ry")  # they begin thousands of times higher than they end
_ASCII = str.maketrans("┌┐└┘─│┤├", "++++-|++")


def draw(runs: Mapping[str, Sequence[dict]], *, title: str, saved: Sequence[int] = ()) -> Figure:
    """Draws the numbers of `PANELS`, all runs in one panel. A value that is missing or not finite leaves a gap.

    Args:
      runs: by name, rows of the log: {"step": 10, "loss": 0.1, ...}.
      title: of the figure.
      saved: the steps of the checkpoints, which are marked by lines.

    Examples:
      >>> figure = draw({"a run": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]}, title="a run")
      >>> figure.axes[0].lines[0].get_ydata().tolist()
      [2.0, 1.0]
    """
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False, wrap=True)
    panels = figure.subplots(2, 3, sharex=True)
    for axes, (name, label) in zip(panels.flat, PANELS.items(), strict=True):
        prepare(axes, label)
        for step in saved:
            axes.axvline(step, color="0.6", linestyle=":", linewidth=1, zorder=0)
        least = []
        for style, rows in zip(styles(), runs.values(), strict=False):
            values = [_finite(row.get(name)) for row in rows]
            if np.isfinite(values).any():
                least.append(np.nanmin(values))
                marker = "." if len(rows) < 50 else None
                axes.plot([row["step"] for row in rows], values, linewidth=1.2, marker=marker, **style)
        if not least:
            axes.text(0.5, 0.5, "not in the log", ha="center", color="0.5", fontsize=8, transform=axes.transAxes)
        elif name in _FALL and min(least) > 0:
            axes.set_yscale("log")
    for axes in panels[-1]:
        axes.set_xlabel("step; dotted lines are checkpoints" if len(saved) else "step", fontsize=8)
    legend(figure, list(runs))
    return figure


def styles():
    """Colours and dashes that tell many lines apart, without end."""
    for dashes in itertools.cycle(("-", "--", "-.", ":")):
        yield from ({"color": colour, "linestyle": dashes} for colour in colormaps["tab10"].colors)


def prepare(axes, label: str) -> None:
    """Gives a panel its title, grid and whole steps."""
    axes.set_title(label, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.92")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Says below the panels which line is whose, if there are several."""
    if len(names) < 2:
        return
    axes = figure.axes[0]
    lines = [axes.plot([], [], **style)[0] for style, _ in zip(styles(), names, strict=False)]
    found = figure.legend(lines, names, loc="outside lower center", ncols=min(len(names), 6), fontsize=8, frameon=False)
    for text in found.get_texts():
        text.set_parse_math(False)


def in_letters(runs: Mapping[str, Sequence[dict]], *, width: int) -> str:
    """Draws the terms of the objective for a terminal, each run in a letter of its own.

    Args:
      runs: as for `draw`.
      width: of a line, in letters; at least 60 are used.

    Returns:
      lines of ASCII; nothing if no run has such a term.

    Examples:
      >>> shown = in_letters({"one": [{"step": 1, "I": 0.0}, {"step": 9, "I": 2.0}], "two": []}, width=60)
      >>> shown.splitlines()[-1], "aa" in shown, "bb" in shown
      ('a one   b two', True, False)
    """
    letters = dict(zip(runs, itertools.cycle(string.ascii_letters)))
    lines = []
    for row in _IN_LETTERS:
        panels = [panel for name in row if (panel := _panel(name, runs, letters, max(width, 60) // len(row) - 12))]
        height = max(map(len, panels), default=0)
        filled = [[*panel, *[""] * (height - len(panel))] for panel in panels]
        columns = [[line.ljust(max(map(len, panel))) for line in panel] for panel in filled]
        lines += [" ".join(parts).rstrip() for parts in zip(*columns, strict=True)]
    return "\n".join([*lines, "   ".join(f"{letters[name]} {name}" for name in runs)]) if lines else ""


def _panel(name: str, runs: Mapping[str, Sequence[dict]], letters: Mapping[str, str], width: int) -> list[str]:
    found = {run: [row for row in rows if log.is_number(row.get(name))] for run, rows in runs.items()}
    # No more rows than letters in a line: each takes some time.
    found = {run: rows[:: -(-len(rows) // width)] for run, rows in found.items() if rows}
    if not found:
        return []
    ys = [[row[name] for row in rows] for rows in found.values()]
    logarithmic = name in _FALL and min(map(min, ys)) > 0
    return uniplot.plot_to_string(
        xs=[[row["step"] for row in rows] for rows in found.values()],
        ys=ys,
        title=f"{name}, logarithmic" if logarithmic else name,
        lines=True,
        width=width,
        height=10,
        y_as_log=logarithmic,
        character_set="ascii",
        force_ascii_characters=[letters[run] for run in found],
        color=False,
    ).translate(_ASCII).splitlines()  # fmt: skip


def _finite(value) -> float:
    return float(value) if log.is_number(value) else np.nan
