"""Scatter plots of metrics against people: a panel per metric, two in a row, as many as a page holds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

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

    Examples:
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

    Examples:
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
    if labels:
        figure.draw_without_rendering()  # texts are placed among pixels, which the layout decides on
        figure.set_layout_engine("none")
        for axes, values in zip(panels, metrics.values(), strict=False):
            _label(axes, people, np.asarray(values, float), labels)
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
        axes.margins(0.15)


def _label(axes, people, values, labels: Sequence[str]) -> None:
    """Writes a text beside each point, where it hides neither a point nor another text, with a line if it is far."""
    shown = np.flatnonzero(np.isfinite(people) & np.isfinite(values))
    points = axes.transData.transform(np.stack([people[shown], values[shown]], 1))  # in pixels
    taken = [Bbox.from_extents(*(point - 2), *(point + 2)) for point in points]
    style = {"fontsize": 6, "ha": "center", "va": "center", "parse_math": False}
    scale = 72 / axes.figure.dpi
    for i, point in sorted(zip(shown, points, strict=True), key=lambda one: -one[1][1]):
        measured = axes.text(0, 0, labels[i], **style)
        width, height = measured.get_window_extent().size
        measured.remove()
        room = np.array([width, height]) / 2
        places = [reach * way + np.sign(np.round(way, 3)) * room for reach in _REACHES for way in _WAYS]
        boxes = [Bbox.from_extents(*(point + place - room), *(point + place + room)) for place in places]
        costs = [sum(box.overlaps(other) for other in taken) + 10 * (not _holds(axes.bbox, box)) for box in boxes]
        best = int(np.argmin(costs))  # the first of the best, which is the nearest
        taken.append(boxes[best])
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": 1, "relpos": (0.5, 0.5)}
        far = np.hypot(*places[best]) > np.hypot(*(room + _REACHES[1]))
        axes.annotate(
            labels[i],
            (people[i], values[i]),
            tuple(scale * places[best]),
            textcoords="offset points",
            arrowprops=line if far else None,
            **style,
        )


_REACHES = (4, 10, 18, 28, 40, 54, 70)  # pixels from a point to its text
_WAYS = [np.array([np.cos(angle), np.sin(angle)]) for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False)]


def _holds(outer: Bbox, inner: Bbox) -> bool:
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def _colours(count: int) -> list:
    if count <= 20:
        return list(colormaps["tab10" if count <= 10 else "tab20"].colors[:count])
    return [colormaps["turbo"](place) for place in np.linspace(0, 1, count)]
