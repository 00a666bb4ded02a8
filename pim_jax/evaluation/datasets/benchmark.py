"""What a benchmark is: pairs of pictures to measure, and what their distances say."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.figure import Figure

from pim_jax.evaluation import statistics
from pim_jax.evaluation.pictures import Pair
from pim_jax.evaluation.statistics import Drawn, Estimate, Resampled


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


class Resamples:
    """Scores and their differences, with intervals. The distances of a metric are resampled once for all of these.

    Args:
      benchmark: which the distances are of.
    """

    def __init__(self, benchmark: Benchmark):
        self._benchmark = benchmark
        self._drawn: dict[bytes, Drawn] = {}  # by the distances

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """The benchmark's `scores`."""
        if not self._benchmark.higher_is_better:
            return self._benchmark.scores(distances)
        return statistics.intervals(self._draw(distances))

    def difference(self, distances: np.ndarray, others: np.ndarray) -> dict[str, Estimate]:
        """How much better a metric is than another on the pairs that both measured: its `scores` minus the other's.

        Args:
          distances, others: [pairs] of the one and the other, in a benchmark that says how people answered.
        """
        both = ~np.isnan(distances) & ~np.isnan(others)
        return statistics.difference(*(self._draw(np.where(both, values, np.nan)) for values in (distances, others)))

    def differences(self, distances: Mapping[str, np.ndarray]) -> dict[str, dict[str, Estimate]]:
        """The `difference` of each metric from the first; none in a benchmark that does not say how people answered.

        Args:
          distances: [pairs] by metric.
        """
        if not self._benchmark.higher_is_better:
            return {}
        first, *others = distances
        return {name: self.difference(distances[name], distances[first]) for name in others}

    def _draw(self, distances: np.ndarray) -> Drawn:
        key = distances.tobytes()
        if key not in self._drawn:
            self._drawn[key] = statistics.draw(*self._benchmark.resampled(distances))
        return self._drawn[key]


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
