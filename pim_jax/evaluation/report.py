"""Reports: what was measured, in one HTML file with plots, pictures and how it was made."""

import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from pim_jax.console import printable
from pim_jax.evaluation import page, pictures
from pim_jax.evaluation.compare import Result
from pim_jax.evaluation.datasets.benchmark import Benchmark
from pim_jax.evaluation.markdown import MAIN_COLUMNS, number
from pim_jax.evaluation.page import Cell
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate
from pim_jax.metrics import MapMetric, Metric
from pim_jax.writing import replacing

WORST = 12  # cases shown as pictures
FEW = 10  # distances, up to which a histogram says less than the table


class _Case(NamedTuple):
    """Pairs to show together, and what to say of them."""

    text: str
    pairs: Sequence[Pair]


class _View(NamedTuple):
    """A pair as the page shows it, but for the map's colours, which wait for the other maps."""

    reference: str
    distorted: str
    map: np.ndarray | None


def of_benchmark(
    path: Path,
    benchmark: Benchmark,
    distances: Mapping[str, np.ndarray],
    scores: Mapping[str, Mapping[str, Estimate]],
    *,
    metrics: Mapping[str, str],
    skipped: Mapping[str, str],
    unread: Mapping[str, str],
    command: str,
    mapped: MapMetric | None,
) -> None:
    """Writes the report of a benchmark: scores, plots, and the worst disagreements of a metric with people.

    Args:
      path: the HTML file, replaced once the new one is whole. Bytes of names that are no text are shown
        as escapes.
      benchmark: what was measured.
      distances: [pairs] float64 by metric, at least one.
      scores: `benchmark.scores` by metric.
      metrics: what each metric is, its `repr`, by the same names.
      skipped: why a metric was left out, by name.
      unread: why a picture or pair was left out.
      command: the command line.
      mapped: draws the maps; if it is None or measured nothing, there are none, and the disagreements are those of the
        first metric.

    Raises:
      OSError: the file cannot be written.
    """
    with_map = [name for name in distances if metrics[name] == repr(mapped)]
    judged = next(iter(with_map or distances))
    cases = [
        _Case(text, [benchmark.pairs[index] for index in indices])
        for indices, text in benchmark.disagreements(distances[judged])[:WORST]
    ]
    sections = {
        "Scores": _scores(scores, benchmark.higher_is_better)
        + page.bullets([*benchmark.doubts(scores), *benchmark.notes]),
        "Plots": "".join(page.plot(figure, caption) for caption, figure in benchmark.figures(distances).items()),
        f"Worst disagreements of {judged} with people": _cases(cases, mapped if with_map else None, {}),
        "Metrics left out": page.definitions(skipped),
        f"Not measured: {len(unread)}": page.definitions(unread),
        "How this was made": page.definitions({**_made(command), **metrics}),
    }
    _write(path, page.document(benchmark.title, sections))


def of_comparison(path: Path, results: Sequence[Result], *, command: str, metric: Metric) -> None:
    """Writes the report of pairs of images: their distances, and those that differ most as pictures.

    Args:
      path: the HTML file, replaced once the new one is whole. Bytes of names that are no text are shown
        as escapes.
      results: of `compare.score`; those with an error are listed. Maps that are missing are computed, if the
        metric has any.
      command: the command line.
      metric: what measured the distances.

    Raises:
      OSError: the file cannot be written.
    """
    scored = sorted((result for result in results if not result.error), key=lambda result: -result.distance)
    failed = {result.pair.name: result.error for result in results if result.error}
    distances = np.array([result.distance for result in scored])
    mapped = metric if isinstance(metric, MapMetric) else None
    cases, maps = [], {}
    for result in scored[:WORST]:
        pair = Pair(Picture(result.pair.reference), Picture(result.pair.distorted))
        cases.append(_Case(f"{result.pair.name}: distance {result.distance:.6g}", [pair]))
        if result.map is not None:
            maps[pair] = result.map
    sections = {
        "Distances": _summary(distances, len(failed)),
        "Largest distances" if len(scored) > WORST else "Pictures": _cases(cases, mapped, maps),
        "Every pair": _every_pair(scored),
        f"Not measured: {len(failed)}": page.definitions(failed),
        "How this was made": page.definitions({**_made(command), metric.name: repr(metric)}),
    }
    _write(path, page.document(f"Distances of {_count(len(results))} by {metric.name}", sections))


def _scores(scores: Mapping[str, Mapping[str, Estimate]], higher_is_better: bool) -> str:
    """The main columns, a metric per row; below the others, a metric per column."""
    columns = list(next(iter(scores.values())))
    main, others = columns[:MAIN_COLUMNS], columns[MAIN_COLUMNS:]
    cells = {(name, column): _cell(scores, name, column, higher_is_better) for name in scores for column in columns}
    text = "Small figures are 95 % confidence intervals."
    if higher_is_better and len(scores) > 1:
        text += " The highest value of each kind is in bold."
    html = page.paragraphs(text)
    html += page.table("Scores", "Metric", main, ((name, [cells[name, c] for c in main]) for name in scores))
    if others:
        rows = ((column, [cells[name, column] for name in scores]) for column in others)
        html += page.table("Further scores", "", list(scores), rows)
    return html


def _cell(scores: Mapping[str, Mapping[str, Estimate]], name: str, column: str, higher_is_better: bool) -> Cell:
    value, low, high = scores[name][column]
    values = [row[column].value for row in scores.values()]
    best = higher_is_better and len(values) > 1 and not math.isnan(value) and number(value) == number(np.nanmax(values))
    interval = "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"
    return Cell(number(value), interval, best)


def _cases(cases: Sequence[_Case], mapped: MapMetric | None, maps: Mapping[Pair, np.ndarray]) -> str:
    """The cases as pictures, their maps on one scale; maps that are not given are computed."""
    if not cases:
        return ""
    paths = [picture.path.absolute() for case in cases for pair in case.pairs for picture in pair]
    common = os.path.commonpath([path.parent for path in paths])
    texts, views = [], []
    for text, pairs in cases:
        roles = ("Distorted",) if len(pairs) == 1 else ("First", "Second")
        try:
            found = [_view(pair, role, common, mapped, maps.get(pair)) for pair, role in zip(pairs, roles, strict=True)]
        except (OSError, ValueError, RuntimeError) as error:  # a picture is gone, or there is too little memory
            text, found = f"{text} (not shown: {str(error).splitlines()[0]})", []
        texts.append(text)
        views.append(found)
    # An estimate of a distance (pim-5) may be below 0.
    tops = [float(view.map.max()) for found in views for view in found if view.map is not None]
    maximum = max((top for top in tops if top > 0), default=1.0)
    about = (
        f"Pictures of more than {page.SHOWN} pixels a side are shrunk for display, and those that take much space are "
        "stored as JPEG; distances and maps are of the original pixels."
    )
    if mapped:
        about += f" Maps show where {mapped.name} finds a difference, all on one scale of colours."
    drawn = (page.case(text, _drawn(found, mapped, maximum)) for text, found in zip(texts, views, strict=True))
    return page.paragraphs(about) + "".join(drawn)


def _view(pair: Pair, role: str, common: str, mapped: MapMetric | None, values: np.ndarray | None) -> _View:
    x, y = map(pictures.read, pair)
    if values is None and mapped:
        values = np.asarray(mapped.distance_map(x, y))
    return _View(
        page.picture("reference", x, _caption("Reference", pair.reference, common, x)),
        page.picture("distorted", y, _caption(role, pair.distorted, common, y)),
        values,
    )


def _caption(role: str, picture: Picture, common: str, pixels: np.ndarray) -> str:
    name = Picture(Path(os.path.relpath(picture.path, common)), picture.change)
    return f"{role}: {name}, {_size(*pixels.shape[:2])}"


def _drawn(views: Sequence[_View], mapped: MapMetric | None, maximum: float) -> Iterator[str]:
    """The pictures of a case; a reference that they share is shown once."""
    last = None
    for view in views:
        if view.reference != last:
            yield view.reference
        yield view.distorted
        if view.map is not None:
            yield page.distance_map(view.map, maximum=maximum, caption=f"Map of {mapped.name}")
        last = view.reference


def _summary(distances: np.ndarray, failed: int) -> str:
    if not distances.size:
        return page.paragraphs("No pair could be measured.")
    figures = {
        "Mean": np.mean(distances),
        "Median": np.median(distances),
        "Smallest": np.min(distances),
        "Largest": np.max(distances),
    }
    html = page.paragraphs("Lower is closer; 0 is for equal images. A distance has no unit.")
    rows = [("Pairs", [Cell(str(distances.size))]), ("Not measured", [Cell(str(failed))])]
    rows += [(name, [Cell(f"{value:.6g}")]) for name, value in figures.items()]
    html += page.table("Summary", "", ["Distance"], rows)
    if distances.size > FEW:
        html += page.plot(_histogram(distances), "How many pairs have which distance")
    return html


def _histogram(distances: np.ndarray) -> Figure:
    figure = Figure(figsize=(6.4, 3))
    axes = figure.add_subplot()
    axes.hist(distances, bins=round(2 * distances.size ** (1 / 3)), color="#4a6fa5")  # Rice's rule
    axes.set(xlabel="distance", ylabel="pairs")
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    return figure


def _every_pair(scored: Sequence[Result]) -> str:
    if not scored:
        return ""
    rows = ((r.pair.name, [Cell(f"{r.distance:.6g}"), Cell(_size(*r.size))]) for r in scored)
    return page.table("Every pair, the largest distance first", "Pair", ["Distance", "Width x height"], rows)


def _made(command: str) -> dict[str, str]:
    device = jax.devices()[0]
    versions = [f"{package} {_version(package)}" for package in ("pim-jax", "jax", "numpy")]
    return {
        "Command": command,
        "Date": datetime.now().astimezone().isoformat(" ", "seconds"),
        "Versions": ", ".join([*versions, f"Python {platform.python_version()}"]),
        "Machine": f"{platform.platform()}, {device.platform}: {device.device_kind}",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"


def _size(height: int, width: int) -> str:
    return f"{width}x{height}"


def _count(pairs: int) -> str:
    return "1 pair of images" if pairs == 1 else f"{pairs} pairs of images"


def _write(path: Path, html: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(printable(html), encoding="utf-8")
