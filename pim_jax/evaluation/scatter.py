"""Scatter plots of metrics against people: a panel per metric, two in a row, as many as a page holds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MANY = 1000  # points in a panel above which they are drawn as pixels
PANELS = 6  # in a figure at most, so that it fits a printed page


def captioned(
    caption: str, people: np.ndarray, metrics: Mapping[str, np.ndarray], *args, **kwargs
) -> dict[str, Figure]:
    """Draws as many figures as the panels need.

    Args:
      caption: of the figures; they are numbered if there are several.
      people, metrics, args, kwargs: as for `draw`.

    Returns:
      figures by caption.

    Example:
      >>> many = {f"metric {i}": [1, 2] for i in range(8)}
      >>> list(captioned("All", [1, 2], many, x_label="MOS", y_label="distance"))
      ['All (1 of 2)', 'All (2 of 2)']
    """
    names = list(metrics)
    pages = [names[start : start + PANELS] for start in range(0, len(names), PANELS)]
    numbers = [f" ({page} of {len(pages)})" if len(pages) > 1 else "" for page in range(1, len(pages) + 1)]
    return {
        caption + number: draw(people, {name: metrics[name] for name in page}, *args, **kwargs)
        for number, page in zip(numbers, pages, strict=True)
    }


def draw(
    people: np.ndarray,
    metrics: Mapping[str, np.ndarray],
    kinds: Sequence[str] | None = None,
    *,
    x_label: str,
    y_label: str,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draws a panel for every metric, people's answers to the right and the metric's upwards.

    Args:
      people: [n] what people said.
      metrics: [n] what each metric said, by its name; what is not finite is left out.
      kinds: [n] the kind of each point, such as a type of distortion, by colour; the legend is below.
      x_label: what people's answers are, with their direction.
      y_label: what the metrics' values are.
      labels: [n] texts to write beside the points, for a few points.

    Example:
      >>> figure = draw([1, 2], {"PSNR": [-30, -40]}, ["blur", "noise"], x_label="MOS", y_label="distance")
      >>> [axes.get_title() for axes in figure.axes]
      ['PSNR']
    """
    people, names = np.asarray(people, float), list(dict.fromkeys(kinds or []))
    colours = dict(zip(names, _colours(len(names)), strict=True))
    point_colours = [colours[kind] for kind in kinds] if kinds else ["tab:blue"] * len(people)
    columns = min(2, len(metrics))
    rows, legend_rows = -(-len(metrics) // columns), -(-len(names) // _LEGEND_COLUMNS)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows + 0.2 * legend_rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(metrics) :]:
        axes.remove()
    for i, (axes, (name, values)) in enumerate(zip(panels, metrics.items(), strict=False)):
        _panel(axes, people, np.asarray(values, float), np.array(point_colours, object), labels)
        axes.set_title(name, fontsize=10, parse_math=False)
        if i + columns >= len(metrics):  # nothing is below
            axes.set_xlabel(x_label, fontsize=8)
        if i % columns == 0:
            axes.set_ylabel(y_label, fontsize=8)
    if len(names) > 1:
        points = [Line2D([], [], marker="o", linestyle="", markersize=5, color=colours[name]) for name in names]
        figure.legend(points, names, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=8, frameon=False)
    return figure


_LEGEND_COLUMNS = 2


def _panel(axes, people, values, colours, labels) -> None:
    shown = np.flatnonzero(np.isfinite(people) & np.isfinite(values))
    many = len(shown) > MANY
    order = np.random.default_rng(0).permutation(shown)  # so that no kind hides the others
    size = np.clip(12 * np.sqrt(300 / max(1, len(shown))), 0.6, 12)
    style = {"s": size, "alpha": 0.4 if many else 0.8, "linewidths": 0, "rasterized": many}
    axes.scatter(people[order], values[order], c=list(colours[order]), **style)
    axes.tick_params(labelsize=8)
    if labels:
        axes.margins(0.1)
        for i in shown:  # towards the middle, where there is room
            side, align = (4, "left") if people[i] < people[shown].mean() else (-4, "right")
            text = {"fontsize": 6, "ha": align, "va": "center", "parse_math": False}
            axes.annotate(labels[i], (people[i], values[i]), (side, 0), textcoords="offset points", **text)


def _colours(count: int) -> list:
    if count <= 20:
        return list(colormaps["tab10" if count <= 10 else "tab20"].colors[:count])
    return [colormaps["turbo"](place) for place in np.linspace(0, 1, count)]
