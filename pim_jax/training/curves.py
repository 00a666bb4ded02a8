"""The curves of a training run: each number of its log against the step, in a panel of its own."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PANELS = {
    "loss": "loss",
    "I": "I, nats: what z tells of both frames",
    "Rx": "Rx, nats: what z has of x alone",
    "Ry": "Ry, nats: what z has of y alone",
    "beta": "β, the weight of Rx + Ry",
    "pairs_per_second": "pairs per second",
}


def draw(rows: Sequence[dict], *, title: str, saved: Sequence[int] = ()) -> Figure:
    """Draws the numbers of `PANELS`. A value that is missing or not finite leaves a gap.

    Args:
      rows: of the log: {"step": 10, "loss": 0.1, ...}.
      title: of the figure.
      saved: the steps of the checkpoints, which are marked by lines.

    Example:
      >>> figure = draw([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], title="a run")
      >>> figure.axes[0].lines[0].get_ydata().tolist()
      [2.0, 1.0]
    """
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False, wrap=True)
    panels = figure.subplots(2, 3, sharex=True)
    steps = [row["step"] for row in rows]
    for axes, (name, label) in zip(panels.flat, PANELS.items(), strict=True):
        axes.set_title(label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(color="0.92")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        for step in saved:
            axes.axvline(step, color="0.6", linestyle=":", linewidth=1, zorder=0)
        values = [_finite(row.get(name)) for row in rows]
        if np.isfinite(values).any():
            axes.plot(steps, values, color="tab:blue", linewidth=1.2, marker="." if len(rows) < 50 else None)
            if name in ("Rx", "Ry") and np.nanmin(values) > 0:  # they begin thousands of times higher than they end
                axes.set_yscale("log")
        else:
            axes.text(0.5, 0.5, "not in the log", ha="center", color="0.5", fontsize=8, transform=axes.transAxes)
    for axes in panels[-1]:
        axes.set_xlabel("step; dotted lines are checkpoints" if len(saved) else "step", fontsize=8)
    return figure


def _finite(value) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else np.nan
