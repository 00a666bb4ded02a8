"""What was measured of candidates, and what it says: which is closer to the originals, at what rate, how surely."""

import dataclasses
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pim_jax.data import kinds
from pim_jax.evaluation import curves, statistics
from pim_jax.evaluation.compare import Candidate, Match
from pim_jax.evaluation.curves import Curve
from pim_jax.evaluation.measure import Measured
from pim_jax.evaluation.statistics import Estimate

FEW = 6  # candidates, up to which each is compared with each
# Formats that decoded pictures are stored in: the size of such a file is not the codec's rate.
_DECODED = frozenset({"PNG", "BMP", "TIFF", "PPM", "TGA", "QOI", "SGI", "PCX"})


class Spread(NamedTuple):
    """The distances of a candidate's images by one metric: their mean, their median, and the two that stand out."""

    mean: Estimate
    median: float
    best: Match
    worst: Match


class Row(NamedTuple):
    """A candidate.

    Attributes:
      count: of images that every metric measured.
      bits_per_pixel: the mean, from the files' sizes.
      spreads: by metric; those that measured nothing are not there.
    """

    candidate: Candidate
    count: int
    bits_per_pixel: Estimate
    spreads: dict[str, Spread]


class Gap(NamedTuple):
    """The difference of two candidates by one metric: the mean of first minus second, and which images are closer."""

    mean: Estimate
    first_closer: int
    second_closer: int


class Difference(NamedTuple):
    """Two candidates on the images that both have."""

    first: Candidate
    second: Candidate
    count: int
    gaps: dict[str, Gap]


class Saving(NamedTuple):
    """The rate of a codec against another's at the same distance, by metric.

    Attributes:
      rates: BD-rate in per cent, below 0 where the codec needs less.
      overlaps: the share of the distances that both curves have.
    """

    codec: str
    anchor: str
    rates: dict[str, Estimate]
    overlaps: dict[str, float]


@dataclasses.dataclass(eq=False)
class Comparison:
    """What was measured.

    Attributes:
      pairs: what was to be measured.
      distances: [pairs] float64 by metric, NaN where there is none.
      sizes: [pairs, 2] heights and widths, 0 where the pictures do not open.
      bytes: [pairs] of the files that were scored.
      problems: what went wrong, by index of the pair.
    """

    pairs: Sequence[Match]
    distances: dict[str, np.ndarray]
    sizes: np.ndarray
    bytes: np.ndarray
    problems: dict[int, dict[str, str]]

    @classmethod
    def of(cls, pairs: Sequence[Match], metrics: Sequence[str]) -> "Comparison":
        """One to which nothing was added yet."""
        distances = {name: np.full(len(pairs), np.nan) for name in metrics}
        return cls(pairs, distances, np.zeros((len(pairs), 2), np.int32), np.zeros(len(pairs), np.int64), {})

    def add(self, result: Measured, size_in_bytes: int) -> None:
        """Adds what came of a pair."""
        for name, distance in result.distances.items():
            self.distances[name][result.index] = distance
        if result.size:
            self.sizes[result.index] = result.size
        self.bytes[result.index] = size_in_bytes
        if result.problems:
            self.problems[result.index] = result.problems

    def result(self, index: int) -> Measured:
        """What was added of a pair, but for its map."""
        distances = {name: float(values[index]) for name, values in self.distances.items()}
        distances = {name: distance for name, distance in distances.items() if not math.isnan(distance)}
        size = (int(self.sizes[index, 0]), int(self.sizes[index, 1])) if self.sizes[index].all() else None
        return Measured(index, size, distances, self.problems.get(index, {}))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return all(np.isnan(values).all() for values in self.distances.values())

    def rate(self, index: int) -> float:
        """The bits per pixel of a pair; NaN where the pictures do not open."""
        return float(_bits_per_pixel(self.bytes[index], self.sizes[index]))

    @property
    def bits_per_pixel(self) -> np.ndarray:
        """[pairs] float64, NaN where the pictures do not open."""
        return _bits_per_pixel(self.bytes, self.sizes)

    @functools.cached_property
    def candidates(self) -> list[Candidate]:
        """In the order given."""
        return list(dict.fromkeys(pair.candidate for pair in self.pairs))

    @functools.cached_property
    def codecs(self) -> dict[str, list[Candidate]]:
        """The codecs that have several qualities."""
        found = defaultdict(list)
        for candidate in self.candidates:
            if candidate.quality:
                found[candidate.codec].append(candidate)
        return {codec: members for codec, members in found.items() if len(members) > 1}

    @functools.cached_property
    def steps(self) -> list[list[Candidate]]:
        """The candidates to hold against each other: those of one quality step, or all where there are no steps.

        A step is of one name where all codecs have the same names of qualities, else of one rank by rate.
        """
        if len(self.codecs) < 2:
            return [self.candidates]
        if len({frozenset(c.quality for c in members) for members in self.codecs.values()}) == 1:
            names = [candidate.quality for candidate in next(iter(self.codecs.values()))]
            return [[c for members in self.codecs.values() for c in members if c.quality == name] for name in names]
        rate = {row.candidate: row.bits_per_pixel.value for row in self.rows}
        ranked = [sorted(members, key=rate.get) for members in self.codecs.values()]
        return [[c for c in step if c] for step in itertools.zip_longest(*ranked)]

    @functools.cached_property
    def rows(self) -> list[Row]:
        """The candidates, the closest by the first metric first; those that nothing was measured of last."""
        rates = _mean_estimates(self._table(self.bits_per_pixel))
        found = []
        for place, candidate in enumerate(self.candidates):
            members = np.flatnonzero(self._columns == place)
            spreads = {}
            for name, values in self.distances.items():
                measured = members[~np.isnan(values[members])]
                if measured.size:
                    order = measured[np.argsort(values[measured], kind="stable")]
                    ends = (self.pairs[order[0]], self.pairs[order[-1]])
                    spreads[name] = Spread(self._means[name][place], float(np.median(values[measured])), *ends)
            whole = np.all([~np.isnan(values[members]) for values in self.distances.values()], axis=0)
            found.append(Row(candidate, int(whole.sum()), rates[place], spreads))
        first = next(iter(self.distances))
        return sorted(found, key=lambda row: row.spreads[first].mean.value if first in row.spreads else math.inf)

    @functools.cached_property
    def differences(self) -> list[Difference]:
        """Every two candidates of one quality step; or, without steps, every two of few, or all against the best."""
        places = [[self.candidates.index(candidate) for candidate in contest] for contest in self._contests]
        gaps, counts = [{} for _ in places], np.zeros(len(places), int)
        for name, values in self.distances.items():
            table = self._table(values)
            columns = np.stack([table[:, a] - table[:, b] for a, b in places], 1) if places else table[:, :0]
            counts = np.maximum(counts, (~np.isnan(columns)).sum(0))
            for found, column, estimate in zip(gaps, columns.T, _mean_estimates(columns), strict=True):
                if not np.isnan(estimate.value):
                    found[name] = Gap(estimate, int((column < 0).sum()), int((column > 0).sum()))
        contests = zip(self._contests, counts, gaps, strict=True)
        return [Difference(*contest, int(count), found) for contest, count, found in contests if found]

    @functools.cached_property
    def savings(self) -> list[Saving]:
        """The BD-rates of all codecs against the first; none where fewer than two have several qualities."""
        anchor, *others = self.codecs or [""]
        found = []
        for codec in others:
            rates, overlaps = {}, {}
            for name in self.distances:
                of = self._curves(name)
                if of is None:
                    continue
                images = len(self._images)
                two = [of(member, np.ones(images)) for member in (anchor, codec)]
                overlaps[name] = curves.overlap(*two)
                rates[name] = statistics.bootstrap(
                    lambda chosen, of=of, images=images, codec=codec: {
                        "BD": curves.bd_rate(
                            *(of(member, np.bincount(chosen, minlength=images)) for member in (anchor, codec))
                        )
                    },
                    np.arange(images),
                )["BD"]
            found.append(Saving(codec, anchor, rates, overlaps))
        return found

    @functools.cached_property
    def points(self) -> dict[str, dict[str, list[tuple[Estimate, Estimate]]]]:
        """Rates and distances at the qualities of each codec, by metric and codec."""
        rows = {row.candidate: row for row in self.rows}
        found = {}
        for name in self.distances:
            of_codecs = {
                codec: [(rows[c].bits_per_pixel, rows[c].spreads[name].mean) for c in cs if name in rows[c].spreads]
                for codec, cs in self.codecs.items()
            }
            found[name] = {codec: points for codec, points in of_codecs.items() if points}
        return {name: of_codecs for name, of_codecs in found.items() if of_codecs}

    @functools.cached_property
    def doubts(self) -> list[str]:
        """What makes the answer doubtful."""
        found = []
        counts = {row.count for row in self.rows}
        if len(counts) > 1:
            found.append(
                f"candidates have {min(counts)} to {max(counts)} images: their means are of different images; their "
                "differences are of the images that both have"
            )
        decoded = defaultdict(list)
        for candidate in self.candidates:
            example = next(pair for pair in self.pairs if pair.candidate == candidate)
            if (kind := kinds.kind(example.distorted)) in _DECODED:
                decoded[kind].append(str(candidate))
        for kind, names in decoded.items():
            found.append(
                f"bits per pixel are from the sizes of {kind} files ({_listed(names)}): of pictures that a codec "
                "decoded they are not its rate"
            )
        for saving in self.savings:
            for name, share in saving.overlaps.items():
                between = f"{saving.codec} and {saving.anchor} by {name}"
                if not share > 0:
                    found.append(f"the curves of {between} share no distance: there is no BD-rate")
                elif share < curves.OVERLAP:
                    found.append(
                        f"the curves of {between} share only {share:.0%} of their distances: their BD-rate says little"
                    )
        for name in self.distances:
            of = self._curves(name) if self.savings else None
            falls = [codec for codec in self.codecs if of and not of(codec, np.ones(len(self._images))).falls]
            if falls:
                found.append(f"by {name}, more bits are not always closer: {_listed(falls)}")
        return found

    @functools.cached_property
    def _images(self) -> list[str]:
        return list(dict.fromkeys(pair.name for pair in self.pairs))

    @functools.cached_property
    def _lines(self) -> np.ndarray:
        """[pairs] the place of the image's name."""
        places = {name: place for place, name in enumerate(self._images)}
        return np.array([places[pair.name] for pair in self.pairs], int)

    @functools.cached_property
    def _columns(self) -> np.ndarray:
        """[pairs] the place of the candidate."""
        places = {candidate: place for place, candidate in enumerate(self.candidates)}
        return np.array([places[pair.candidate] for pair in self.pairs], int)

    def _table(self, values: np.ndarray) -> np.ndarray:
        """[pairs] -> [images, candidates], NaN where there is none."""
        table = np.full((len(self._images), len(self.candidates)), np.nan)
        table[self._lines, self._columns] = values
        return table

    @functools.cached_property
    def _contests(self) -> list[tuple[Candidate, Candidate]]:
        if len(self.codecs) > 1 or len(self.candidates) <= FEW:
            return [two for step in self.steps for two in itertools.combinations(step, 2)]
        means = [estimate.value for estimate in self._means[next(iter(self.distances))]]
        best = self.candidates[0 if np.isnan(means).all() else int(np.nanargmin(means))]
        return [(best, other) for other in self.candidates if other != best]

    @functools.cached_property
    def _means(self) -> dict[str, list[Estimate]]:
        """The mean distances of the candidates, by metric."""
        return {name: _mean_estimates(self._table(values)) for name, values in self.distances.items()}

    @functools.cache  # noqa: B019  as long as the comparison itself
    def _curves(self, name: str) -> Callable[[str, np.ndarray], Curve] | None:
        """A function of a codec and the images' weights; None if no image was measured at every quality of all."""
        rates, distances = self._table(self.bits_per_pixel), self._table(self.distances[name])
        members = [self.candidates.index(c) for of_codec in self.codecs.values() for c in of_codec]
        whole = ~np.isnan(distances[:, members]).any(1)
        if not whole.any():
            return None

        def of(codec: str, weights: np.ndarray) -> Curve:
            chosen = [self.candidates.index(candidate) for candidate in self.codecs[codec]]
            share = weights[whole] / max(1, weights[whole].sum())
            return Curve(share @ rates[whole][:, chosen], share @ distances[whole][:, chosen])

        return of


def _bits_per_pixel(sizes_in_bytes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of files [...] of pictures [..., 2]; NaN for pictures of no size."""
    pixels = sizes.prod(-1, dtype=np.int64)
    return np.divide(8.0 * sizes_in_bytes, pixels, out=np.full(pixels.shape, np.nan), where=pixels > 0)


def _mean_estimates(columns: np.ndarray) -> list[Estimate]:
    """The mean of each column of [images, columns], NaN left out, with intervals that resample the images."""
    there = ~np.isnan(columns)
    values, there = np.where(there, columns, 0), there.astype(float)

    def statistic(chosen: np.ndarray) -> Mapping[int, float]:
        weights = np.bincount(chosen, minlength=len(values)).astype(float)
        counts = weights @ there
        means = np.divide(weights @ values, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return dict(enumerate(means))

    return list(statistics.bootstrap(statistic, np.arange(len(values))).values()) if columns.size else []


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
