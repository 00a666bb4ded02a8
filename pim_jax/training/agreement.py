"""Agreement with people along training runs: of every checkpoint that is there, as it was trained or whitened.

Distances are kept by `pim_jax.evaluation.store`, so that a look at a run that has gone on measures its new checkpoints
alone.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from pim_jax import metrics
from pim_jax.evaluation import benchmark_run, markdown, progress
from pim_jax.evaluation.datasets.benchmark import Benchmark, Resamples
from pim_jax.evaluation.statistics import Estimate
from pim_jax.metric import Pim
from pim_jax.training import curves, whiten
from pim_jax.training.summary import Summary

Scores = Mapping[str, Estimate]  # by column


class Agreement(NamedTuple):
    """How well checkpoints agree with people.

    A checkpoint is the name of its run and its step, which is None for weights that do not say it.

    Attributes:
      title: what they were measured on.
      scores: by checkpoint.
      gaps: by checkpoint of every run but the first: by how much it agrees better than the first run at that step, with
        paired intervals.
      problems: what could not be measured, and why.
    """

    title: str
    scores: dict[tuple[str, int | None], Scores]
    gaps: dict[tuple[str, int | None], Scores]
    problems: dict[str, str]

    @property
    def columns(self) -> list[str]:
        """The main columns of the scores."""
        return list(next(iter(self.scores.values())))[: markdown.MAIN_COLUMNS]

    def last(self) -> dict[str, dict[str, float]]:
        """The agreement of the newest checkpoint of every run, by run and main column."""
        newest = {run: scores for (run, _), scores in self.scores.items()}
        return {run: {column: scores[column].value for column in self.columns} for run, scores in newest.items()}

    def tables(self) -> str:
        """Agreement by checkpoint, and what it gains on the first run at the same step, in Markdown."""
        tables = [_table(self.scores, self.columns)]
        if self.gaps:
            first = next(run for run, _ in self.scores)
            tables += [f"Differences from {first} at the same step, on the same resamples:"]
            tables += [_table(self.gaps, self.columns)]
        return "\n\n".join(tables)


def along(
    found: Mapping[str, Summary], benchmark: Benchmark, say: Callable[[str], None], *, whitened_by: Path | None = None
) -> Agreement:
    """Measures the agreement of all checkpoints of runs with a benchmark.

    Args:
      found: runs by name.
      benchmark: with human answers.
      say: prints a message to standard error.
      whitened_by: a training set, to whiten every checkpoint by; None for weights as they were trained.

    Raises:
      FileNotFoundError, ValueError: there is no checkpoint; weights cannot be whitened; or nothing could be measured.
    """
    places = {
        (run, stored.step): stored.path for run, of in found.items() for stored in of.stored if not stored.problem
    }
    if not places:
        raise ValueError("there is no checkpoint yet whose agreement could be measured")
    loaded = {named(checkpoint): _metric(path, whitened_by) for checkpoint, path in places.items()}
    distances, problems = benchmark_run.measured(benchmark, loaded, say)
    measured = {
        checkpoint: values for checkpoint in places if not np.isnan(values := distances[named(checkpoint)]).all()
    }
    if not measured:
        raise ValueError(f"no pair could be measured: {next(iter(problems.values()))}")
    first = next(iter(found))
    resamples, scores, gaps = Resamples(benchmark), {}, {}
    with progress.bar(len(measured), "resampling for the intervals", say, unit="checkpoint") as bar:
        for (run, step), values in measured.items():
            scores[run, step] = resamples.scores(values)
            if run != first and (first, step) in measured:
                gaps[run, step] = resamples.difference(values, measured[first, step])
            bar.update()
    title = benchmark.title + (f", whitened by {whitened_by}" if whitened_by else "")
    return Agreement(title, scores, gaps, problems)


def named(checkpoint: tuple[str, int | None]) -> str:
    """What a checkpoint is called.

    Examples:
      >>> named(("runs/a", 500)), named(("pim-1", None))
      ('runs/a@500', 'pim-1')
    """
    run, step = checkpoint
    return run if step is None else f"{run}@{step}"


def draw(agreement: Agreement) -> Figure:
    """Draws the main columns over the steps, with their intervals, and below them the differences from the first run.

    Weights that do not say their step are a line across the panel.
    """
    columns, runs = agreement.columns, list(dict.fromkeys(run for run, _ in agreement.scores))
    kinds = [("", agreement.scores)]
    if agreement.gaps:
        kinds.append((f",\nminus that of {runs[0]}", agreement.gaps))
    figure = Figure(figsize=(1 + 2.9 * len(columns), 0.9 + 2.6 * len(kinds)), layout="constrained")
    title = f"Agreement with people, {agreement.title}. Bars are 95 % intervals."
    figure.suptitle(title, fontsize=10, parse_math=False, wrap=True)
    panels = figure.subplots(len(kinds), len(columns), sharex=True, squeeze=False)
    steps = [step for _, step in agreement.scores if step is not None]
    reach = 0.012 * (max(steps, default=0) - min(steps, default=0))  # apart, so that no interval hides another
    for (what, scores), row in zip(kinds, panels, strict=True):
        for column, axes in zip(columns, row, strict=True):
            curves.prepare(axes, column + what)
            if scores is agreement.gaps:
                axes.axhline(0, color="0.4", linewidth=1)
            for place, (run, style) in enumerate(zip(runs, curves.styles(), strict=False)):
                _line(axes, run, scores, column, reach * (place - (len(runs) - 1) / 2), style)
    for axes in panels[-1]:
        axes.set_xlabel("step", fontsize=8)
    curves.legend(figure, runs)
    return figure


def _line(axes, run: str, scores: Mapping, column: str, shift: float, style: dict) -> None:
    found = [(step, score[column]) for (name, step), score in scores.items() if name == run]
    for _, estimate in (pair for pair in found if pair[0] is None):
        axes.axhline(estimate.value, linewidth=1.2, **style)
    if at := [pair for pair in found if pair[0] is not None]:
        steps, estimates = (np.array(values, float) for values in zip(*at, strict=True))
        reach = np.nan_to_num(np.abs(estimates[:, 1:] - estimates[:, :1]).T)
        axes.errorbar(steps + shift, estimates[:, 0], reach, marker=".", capsize=2.5, linewidth=1.2, **style)


def _table(scores: Mapping[tuple[str, int | None], Scores], columns: list[str]) -> str:
    rows = ([named(checkpoint), *(markdown.cell(of[c]) for c in columns)] for checkpoint, of in scores.items())
    return markdown.table([["", *columns], *rows])


def _metric(path: Path, whitened_by: Path | None) -> metrics.Metric:
    loaded = metrics.load(path)
    if not whitened_by:
        return loaded
    if not isinstance(loaded, Pim):
        raise ValueError(f"only weights of PIM are whitened, and {path} are of another metric")
    return whiten.whitened(loaded, whitened_by)
