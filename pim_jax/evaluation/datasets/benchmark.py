"""What a benchmark is: pairs of pictures to measure, and what their distances say."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.figure import Figure

from pim_jax.evaluation import statistics
from pim_jax.evaluation.pictures import Pair
from pim_jax.evaluation.statistics import Estimate, Resampled


class Disagreement(NamedTuple):
    """A case in which a metric and people differ.

    Attributes:
      pairs: indices into the benchmark's pairs of what to show: one pair, or the two of a triplet.
      text: what people said and what the metric said.
    """

    pairs: tuple[int, ...]
    text: str


class Benchmark(Protocol):
    """A data set with human answers, read from a folder.

    Distances come as [pairs] float64 in the order of `pairs`; a pair that could not be measured is NaN, and what
    depends on it is left out.

    Attributes:
      title: what was read, such as "TID2013: 840 images of 14 types, 12 references".
      notes: lines that say how to read the columns of `scores`.
      pairs: every pair to measure, without repeats, those of one reference one after the other.
      higher_is_better: whether a metric with a higher score is better; if not, scores only describe it.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    higher_is_better: bool

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """How well one metric does, by column, the most important first."""
        ...

    def resampled(self, distances: np.ndarray) -> Resampled:
        """What `scores` are of any part of the set; not there where nobody answered."""
        ...

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Plots of several metrics' distances (by metric's name), by caption."""
        ...

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """The worst cases of one metric, worst first, at most a dozen; none where there are no human answers."""
        ...

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """What the `scores` of all metrics make doubtful in the data, such as the direction of the ratings."""
        ...


def differences(benchmark: Benchmark, distances: Mapping[str, np.ndarray]) -> dict[str, dict[str, Estimate]]:
    """How much better each metric is than the first, on the pairs that both measured.

    Args:
      benchmark: where it says how people answered; another has no differences.
      distances: [pairs] by metric.

    Returns:
      by each metric but the first, its `scores` minus those of the first.
    """
    if not benchmark.higher_is_better:
        return {}
    first, *others = distances
    found = {}
    for name in others:
        both = ~np.isnan(distances[name]) & ~np.isnan(distances[first])
        of = (benchmark.resampled(np.where(both, distances[metric], np.nan)) for metric in (name, first))
        found[name] = statistics.difference(*of)
    return found


def contradicted(scores: Mapping[str, Mapping[str, Estimate]], column: str, *, chance: float, advice: str) -> list[str]:
    """Says so if most metrics agree with people less than chance would: then the data are suspected, not the metrics.

    Args:
      scores: by metric, then by column.
      column: of agreement with people.
      chance: the agreement of a metric that guesses. A metric is below it if its interval is, where it has one.
      advice: what to check.

    Returns:
      a line, or none.

    Examples:
      >>> scores = {"PSNR": {"SROCC": Estimate(-0.6, -0.7, -0.5)}, "pim-1": {"SROCC": Estimate(-0.8)}}
      >>> contradicted(scores, "SROCC", chance=0, advice="check the direction")
      ['2 of 2 metrics contradict people (SROCC below 0): check the direction']
    """
    found = [row[column] for row in scores.values() if not math.isnan(row[column].value)]
    below = [value < chance and not high >= chance for value, _, high in found]
    if not below or 2 * sum(below) <= len(below):
        return []
    metrics = "the metric contradicts" if len(below) == 1 else f"{sum(below)} of {len(below)} metrics contradict"
    return [f"{metrics} people ({column} below {chance:g}): {advice}"]
