"""What a benchmark is: pairs of pictures to measure, and what their distances say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.figure import Figure

from pim_jax.evaluation.pictures import Pair
from pim_jax.evaluation.statistics import Estimate


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

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Plots of several metrics' distances (by metric's name), by caption."""
        ...

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """The worst cases of one metric, worst first, at most a dozen; none where there are no human answers."""
        ...
