"""Reports: what was measured, in one HTML file with plots, pictures and how it was made."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from pim_jax.console import printable
from pim_jax.evaluation import answer, curves, made, page, pictures, progress
from pim_jax.evaluation.compare import Candidate, Match
from pim_jax.evaluation.comparison import FEW, Comparison, Saving
from pim_jax.evaluation.datasets.benchmark import Benchmark
from pim_jax.evaluation.markdown import MAIN_COLUMNS, cell, score
from pim_jax.evaluation.page import Cell
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate
from pim_jax.metrics import MapMetric, Metric
from pim_jax.writing import replacing

WORST = 12  # cases shown as pictures
CONTESTS = 6  # images on which candidates differ most, shown as pictures
RIVALS = 4  # candidates side by side, at most
ROWS = 1000  # of the table of every pair: browsers are slow with more
HISTOGRAM = 10  # distances, up to which a histogram says less than the table


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
    gaps: Mapping[str, Mapping[str, Estimate]] | None = None,
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
      gaps: how much better each metric is than the first, as `datasets.benchmark.differences`.

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
        + _gaps(gaps or {}, next(iter(distances)))
        + page.bullets([*benchmark.doubts(scores), *benchmark.notes]),
        "Plots": "".join(page.plot(figure, caption) for caption, figure in benchmark.figures(distances).items()),
        f"Worst disagreements of {judged} with people": _cases(cases, mapped if with_map else None),
        "Metrics left out": page.definitions(skipped),
        f"Not measured: {len(unread)}": page.definitions(unread),
        "How this was made": page.definitions({**made.of(command), **metrics}),
    }
    _write(path, page.document(benchmark.title, sections))


def of_comparison(
    path: Path,
    comparison: Comparison,
    metrics: Mapping[str, Metric],
    *,
    command: str,
    mapped: str | None,
    brightest: float = 0.0,
    say: Callable[[str], None] = lambda message: None,
) -> None:
    """Writes the report of files: the answer first, then curves, tables, and the images to look at.

    Args:
      path: the HTML file, replaced once the new one is whole. Bytes of names that are no text are shown as escapes.
      comparison: what was measured. Maps are computed, if a metric has any.
      metrics: what measured the distances, by name.
      command: the command line.
      mapped: the name of the metric that draws the maps; None for no maps.
      brightest: the value of the brightest colour of maps that are drawn elsewhere; 0 for none.
      say: told how far the drawing is, where standard error is no terminal.

    Raises:
      OSError: the file cannot be written.
    """
    several = len(comparison.candidates) > 1
    gallery = _Gallery(comparison, metrics[mapped] if mapped else None, brightest)
    sections: dict[str, Callable[[], str]] = {}
    if several:
        contests, ends = _contests(comparison), _ends(comparison)
        wanted = [index for _, indices in contests for index in indices] + [i for _, some in ends for i in some]
        gallery.load(wanted, say)
        sections = {
            "Answer": _answer(comparison),
            "Rate and distance": _curves(comparison),
            "Differences on the same images": _differences(comparison),
            "Where candidates differ most": gallery.about(contests) + "".join(map(gallery.contest, contests)),
            "Best and worst of each candidate": "".join(gallery.of_candidate(*end) for end in ends),
        }
    else:
        order = _order(comparison, range(len(comparison.pairs)))
        worst = order[::-1][:WORST]
        gallery.load(worst, say)
        heading = "Largest distances" if len(order) > WORST else "Pictures"
        sections = {
            "Distances": _summary(comparison),
            heading: gallery.about(worst) + "".join(map(gallery.case, worst)),
        }
    failed = {_name(comparison, index): "; ".join(why.values()) for index, why in comparison.problems.items()}
    about = {name: repr(metric) for name, metric in metrics.items()}
    sections |= {
        "Every pair": _every_pair(comparison),
        f"Not measured: {len(failed)}": page.definitions(failed),
        "How this was made": page.definitions({**made.of(command), **about}),
    }
    _write(path, page.document(_title(comparison), sections))


def _title(comparison: Comparison) -> str:
    of = f"{len(comparison.candidates)} candidates" if len(comparison.candidates) > 1 else ""
    count = _count(len(comparison.pairs))
    names = ", ".join(comparison.distances)
    return f"{of}: distances of {count} by {names}" if of else f"Distances of {count} by {names}"


def _name(comparison: Comparison, index: int) -> str:
    pair = comparison.pairs[index]
    return f"{pair.name}, {pair.candidate}" if len(comparison.candidates) > 1 else pair.name


def _answer(comparison: Comparison) -> str:
    """What a reader wants to know first."""
    if comparison.is_empty:
        return page.paragraphs("No pair could be measured.")
    first, rows = next(iter(comparison.distances)), comparison.rows
    lines = [
        _saved(saving, first)
        for saving in comparison.savings
        if first in saving.rates and not math.isnan(saving.rates[first].value)
    ]
    best = rows[0]
    lines.append(
        f"{best.candidate} is closest to the originals by {first}: "
        f"{cell(best.spreads[first].mean, answer.four_digits)}, "
        f"at {answer.four_digits(best.bits_per_pixel.value)} bits per pixel."
    )
    html = page.bullets(lines)
    html += page.paragraphs(
        "Lower distances are closer; 0 is for equal images. A distance has no unit. Intervals are of 95 % and resample "
        "the images. Click on a column's heading to sort."
    )
    html += page.bullets(f"Warning: {doubt}." for doubt in comparison.doubts)
    columns = ["Images", "Bits per pixel", *comparison.distances, f"Median {first}", "Worst image"]
    table = []
    for row in rows:
        cells = [_figure(row.count, str(row.count)), _figure(row.bits_per_pixel.value)]
        for name in comparison.distances:
            spread = row.spreads.get(name)
            cells.append(_estimate(spread.mean, answer.four_digits) if spread else Cell("-"))
        spread = row.spreads.get(first)
        cells += [_figure(spread.median), Cell(spread.worst.name)] if spread else [Cell("-"), Cell("-")]
        table.append((str(row.candidate), cells))
    return html + page.table("Candidates, the closest first", "Candidate", columns, table, sortable=True)


def _saved(saving: Saving, metric: str) -> str:
    value, low, high = saving.rates[metric]
    interval = "" if math.isnan(low) else f" (95 % interval of the change: {low:+.1f} to {high:+.1f} %)"
    return (
        f"{saving.codec} needs {abs(value):.1f} % {'fewer' if value < 0 else 'more'} bits than {saving.anchor} for the "
        f"same distance by {metric}{interval}."
    )


def _figure(value: float, text: str | None = None) -> Cell:
    return Cell(answer.four_digits(value) if text is None else text, value=value)


def _estimate(estimate: Estimate, shown: Callable[[float], str], strong: bool = False) -> Cell:
    interval = "" if math.isnan(estimate.low) else f"[{shown(estimate.low)}, {shown(estimate.high)}]"
    return Cell(shown(estimate.value), interval, strong, estimate.value)


def _curves(comparison: Comparison) -> str:
    html = ""
    if comparison.savings:
        rows = [
            (
                f"{saving.codec} against {saving.anchor}",
                [_estimate(rate, lambda value: f"{value:+.1f} %") for rate in saving.rates.values()],
            )
            for saving in comparison.savings
        ]
        html += page.paragraphs(
            "BD-rate: how many more bits a codec needs for the same distance, on average over the distances that both "
            "curves have; below 0 it needs fewer."
        )
        html += page.table("BD-rate", "Codec", list(comparison.savings[0].rates), rows, sortable=True)
    for name, points in comparison.points.items():
        figure = curves.draw(points, y_label=f"mean distance by {name} (lower is closer)")
        html += page.plot(figure, f"Rate and distance by {name}, with 95 % intervals over images")
    return html


def _differences(comparison: Comparison) -> str:
    if not comparison.differences:
        return ""
    names = list(comparison.distances)
    columns = ["Images", *(heading for name in names for heading in (name, "Closer in"))]
    rows = []
    for difference in comparison.differences:
        cells = [_figure(difference.count, str(difference.count))]
        for name in names:
            gap = difference.gaps.get(name)
            if not gap:
                cells += [Cell("-"), Cell("-")]
                continue
            sure = gap.mean.low > 0 or gap.mean.high < 0
            cells.append(_estimate(gap.mean, answer.four_digits, sure))
            cells.append(Cell(f"{gap.first_closer} : {gap.second_closer}", value=gap.first_closer - gap.second_closer))
        rows.append((f"{difference.first} \N{MINUS SIGN} {difference.second}", cells))
    text = (
        "First candidate minus second: below 0 the first is closer. Bold where the interval does not hold 0. "
        "\N{LEFT DOUBLE QUOTATION MARK}Closer in\N{RIGHT DOUBLE QUOTATION MARK} counts the images on which the first, "
        "and the second, is closer."
    )
    return page.paragraphs(text) + page.table("Paired differences", "Candidates", columns, rows, sortable=True)


def _order(comparison: Comparison, indices: Sequence[int]) -> list[int]:
    """Those that the first metric measured, the closest first."""
    values = next(iter(comparison.distances.values()))
    return sorted((index for index in indices if not math.isnan(values[index])), key=lambda index: values[index])


def _contests(comparison: Comparison) -> list[tuple[str, list[int]]]:
    """The images on which candidates differ most, by the first metric: what to say of each, and its pairs."""
    values = next(iter(comparison.distances.values()))
    of_image: dict[str, dict[Candidate, int]] = {}
    for index, pair in enumerate(comparison.pairs):
        if not math.isnan(values[index]):
            of_image.setdefault(pair.name, {})[pair.candidate] = index
    found = []
    for step in comparison.steps:
        for name, some in of_image.items():
            indices = sorted((some[c] for c in step if c in some), key=lambda index: values[index])
            if len(indices) > 1:
                found.append((values[indices[-1]] - values[indices[0]], name, indices))
    best: dict[str, tuple] = {}
    for contest in sorted(found, key=lambda contest: -contest[0]):
        best.setdefault(contest[1], contest)
    return [
        (
            f"{name}: {comparison.pairs[indices[0]].candidate} is closest, {comparison.pairs[indices[-1]].candidate} "
            "farthest",
            indices if len(indices) <= RIVALS else [*indices[: RIVALS - 1], indices[-1]],
        )
        for _, name, indices in list(best.values())[:CONTESTS]
    ]


def _ends(comparison: Comparison) -> list[tuple[Candidate, list[int]]]:
    """The best and the worst pairs of each candidate, in the order of the answer."""
    members: dict[Candidate, list[int]] = {}
    for index, pair in enumerate(comparison.pairs):
        members.setdefault(pair.candidate, []).append(index)
    worst = 1 if len(members) > FEW else 3
    found = []
    for row in comparison.rows:
        order = _order(comparison, members[row.candidate])
        found.append((row.candidate, list(dict.fromkeys([*order[:1], *order[::-1][:worst]]))))
    return [(candidate, indices) for candidate, indices in found if indices]


class _Gallery:
    """Pictures of pairs and their maps, all on one scale.

    Args:
      comparison: what was measured.
      metric: draws the maps; None for none.
      brightest: the value of the brightest colour; 0 for the largest of the maps that are shown.
    """

    def __init__(self, comparison: Comparison, metric: MapMetric | None, brightest: float):
        self._comparison, self._metric, self._brightest = comparison, metric, brightest
        self._views: dict[int, _View | str] = {}

    def load(self, indices: Sequence[int], say: Callable[[str], None]) -> None:
        """Reads the pictures of pairs and computes their maps."""
        indices = list(dict.fromkeys(indices))
        paths = [path.absolute() for i in indices for path in self._comparison.pairs[i][1:3]]
        common = os.path.commonpath([path.parent for path in paths]) if paths else ""
        with progress.bar(len(indices), "drawing the report", say, unit="picture") as bar:
            for index in indices:
                match = self._comparison.pairs[index]
                pair = Pair(Picture(match.reference), Picture(match.distorted))
                try:
                    self._views[index] = _view(pair, self._role(match), common, self._metric)
                except (OSError, ValueError, RuntimeError) as error:  # it is gone, or there is too little memory
                    self._views[index] = str(error).splitlines()[0]
                bar.update()
        self._maximum = self._brightest or _brightest(v.map for v in self._views.values() if isinstance(v, _View))

    def about(self, shown: Sequence) -> str:
        """What to know of the pictures."""
        return _about_pictures(self._metric) if shown else ""

    def case(self, index: int) -> str:
        """A reference, what was made of it, and the map."""
        view, pair = self._views[index], self._comparison.pairs[index]
        name = next(iter(self._comparison.distances))
        text = f"{_name(self._comparison, index)}: distance {self._comparison.distances[name][index]:.6g}"
        if isinstance(view, str):
            return page.case(f"{text} (not shown: {view})", [])
        return page.case(text, _drawn([view], self._metric, self._maximum, self._of(pair)))

    def contest(self, contest: tuple[str, Sequence[int]]) -> str:
        """A reference, and what several candidates made of it, side by side."""
        text, indices = contest
        views = [self._views[index] for index in indices]
        if any(isinstance(view, str) for view in views):
            reason = next(view for view in views if isinstance(view, str))
            return page.case(f"{text} (not shown: {reason})", [])
        name = next(iter(self._comparison.distances))
        rivals = []
        for index, view in zip(indices, views, strict=True):
            pair = self._comparison.pairs[index]
            figures = self._comparison.distances[name][index], self._comparison.rate(index)
            distance, rate = map(answer.four_digits, figures)
            caption = f"{pair.candidate}: {distance}, {rate} bit/pixel"
            rivals.append((caption, view.distorted, self._map(view, pair)))
        return page.contest(text, views[0].reference, rivals)

    def of_candidate(self, candidate: Candidate, indices: Sequence[int]) -> str:
        """The best and the worst of a candidate, under its name."""
        return page.group(str(candidate), "".join(map(self.case, indices)))

    def _map(self, view: _View, pair: Match) -> str:
        if view.map is None:
            return ""
        return page.distance_map(view.map, maximum=self._maximum, caption=f"Map of {self._of(pair)}")

    def _of(self, pair: Match) -> str:
        if not self._metric:
            return ""
        return f"{self._metric.name}, {pair.candidate}" if len(self._comparison.candidates) > 1 else self._metric.name

    def _role(self, match: Match) -> str:
        return str(match.candidate) if len(self._comparison.candidates) > 1 else "Distorted"


def _about_pictures(metric: MapMetric | None) -> str:
    about = (
        f"Pictures of more than {page.SHOWN} pixels a side are shrunk for display, and those that take much space are "
        "stored as JPEG; distances and maps are of the original pixels."
    )
    if metric:
        about += f" Maps show where {metric.name} finds a difference, all on one scale of colours."
    return page.paragraphs(about)


def _brightest(maps) -> float:
    # An estimate of a distance (pim-5) may be below 0.
    tops = [float(values.max()) for values in maps if values is not None]
    return max((top for top in tops if top > 0), default=1.0)


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


def _gaps(gaps: Mapping[str, Mapping[str, Estimate]], first: str) -> str:
    """Differences of metrics from the first, in bold where the interval does not hold 0."""
    if not gaps:
        return ""
    columns = list(next(iter(gaps.values())))[:MAIN_COLUMNS]
    rows = (
        (name, [_estimate(row[c], score, row[c].low > 0 or row[c].high < 0) for c in columns])
        for name, row in gaps.items()
    )
    return page.table(f"Differences from {first} on the same resamples", "Metric", columns, rows)


def _cell(scores: Mapping[str, Mapping[str, Estimate]], name: str, column: str, higher_is_better: bool) -> Cell:
    value, low, high = scores[name][column]
    values = [row[column].value for row in scores.values()]
    best = higher_is_better and len(values) > 1 and not math.isnan(value) and score(value) == score(np.nanmax(values))
    interval = "" if math.isnan(low) else f"[{score(low)}, {score(high)}]"
    return Cell(score(value), interval, best)


def _cases(cases: Sequence[_Case], mapped: MapMetric | None) -> str:
    """The cases as pictures, their maps on one scale."""
    if not cases:
        return ""
    paths = [picture.path.absolute() for case in cases for pair in case.pairs for picture in pair]
    common = os.path.commonpath([path.parent for path in paths])
    texts, views = [], []
    for text, pairs in cases:
        roles = ("Distorted",) if len(pairs) == 1 else ("First", "Second")
        try:
            found = [_view(pair, role, common, mapped) for pair, role in zip(pairs, roles, strict=True)]
        except (OSError, ValueError, RuntimeError) as error:  # a picture is gone, or there is too little memory
            text, found = f"{text} (not shown: {str(error).splitlines()[0]})", []
        texts.append(text)
        views.append(found)
    maximum = _brightest(view.map for found in views for view in found)
    of = mapped.name if mapped else ""
    drawn = (page.case(text, _drawn(found, mapped, maximum, of)) for text, found in zip(texts, views, strict=True))
    return _about_pictures(mapped) + "".join(drawn)


def _view(pair: Pair, role: str, common: str, mapped: MapMetric | None) -> _View:
    x, y = map(pictures.read, pair)
    return _View(
        page.picture("reference", x, _caption("Reference", pair.reference, common, x)),
        page.picture("distorted", y, _caption(role, pair.distorted, common, y)),
        np.asarray(mapped.distance_map(x, y)) if mapped else None,
    )


def _caption(role: str, picture: Picture, common: str, pixels: np.ndarray) -> str:
    name = Picture(Path(os.path.relpath(picture.path, common)), picture.change)
    return f"{role}: {name}, {_size(*pixels.shape[:2])}"


def _drawn(views: Sequence[_View], mapped: MapMetric | None, maximum: float, of: str) -> Iterator[str]:
    """The pictures of a case; a reference that they share is shown once."""
    last = None
    for view in views:
        if view.reference != last:
            yield view.reference
        yield view.distorted
        if view.map is not None:
            yield page.distance_map(view.map, maximum=maximum, caption=f"Map of {of}")
        last = view.reference


def _summary(comparison: Comparison) -> str:
    if comparison.is_empty:
        return page.paragraphs("No pair could be measured.")
    [row] = comparison.rows
    html = page.paragraphs(
        "Lower is closer; 0 is for equal images. A distance has no unit. The interval is of 95 % and resamples the "
        "images."
    )
    names = list(row.spreads)
    values = {name: comparison.distances[name][~np.isnan(comparison.distances[name])] for name in names}
    rows = [("Pairs", [Cell(str(len(values[name]))) for name in names])]
    rows += [("Not measured", [Cell(str(len(comparison.pairs) - len(values[name]))) for name in names])]
    rows += [("Mean", [_estimate(row.spreads[name].mean, lambda value: f"{value:.6g}") for name in names])]
    for what, of in {"Median": np.median, "Smallest": np.min, "Largest": np.max}.items():
        rows.append((what, [Cell(f"{of(values[name]):.6g}") for name in names]))
    rows.append(("Bits per pixel", [_figure(row.bits_per_pixel.value)] + [Cell("")] * (len(names) - 1)))
    html += page.table("Summary", "", ["Distance"] if len(names) == 1 else names, rows)
    for name in names:
        if len(values[name]) > HISTOGRAM:
            html += page.plot(_histogram(values[name]), f"How many pairs have which distance by {name}")
    return html


def _histogram(distances: np.ndarray) -> Figure:
    figure = Figure(figsize=(6.4, 3))
    axes = figure.add_subplot()
    axes.hist(distances, bins=round(2 * distances.size ** (1 / 3)), color="#4a6fa5")  # Rice's rule
    axes.set(xlabel="distance", ylabel="pairs")
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    return figure


def _every_pair(comparison: Comparison) -> str:
    order = _order(comparison, range(len(comparison.pairs)))[::-1]
    several = len(comparison.candidates) > 1
    rows = []
    for index in order[:ROWS]:
        pair = comparison.pairs[index]
        cells = [Cell(str(pair.candidate))] if several else []
        for values in comparison.distances.values():
            value = float(values[index])
            cells.append(Cell("-" if math.isnan(value) else f"{value:.6g}", value=value))
        cells += [_figure(comparison.rate(index)), Cell(_size(*comparison.sizes[index]))]
        rows.append((pair.name, cells))
    if not rows:
        return ""
    names = list(comparison.distances)
    columns = [*(["Candidate"] if several else []), *(names if several or len(names) > 1 else ["Distance"])]
    columns += ["Bits per pixel", "Width x height"]
    html = page.table("Every pair, the largest distance first", "Pair", columns, rows, sortable=True)
    if len(order) > ROWS:
        html = page.paragraphs(f"The {ROWS} largest of {len(order)} distances; --csv and --json write all.") + html
    return html


def _size(height: int, width: int) -> str:
    return f"{width}x{height}"


def _count(pairs: int) -> str:
    return "1 pair of images" if pairs == 1 else f"{pairs} pairs of images"


def _write(path: Path, html: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(printable(html), encoding="utf-8")
