"""Images that people rated: how well distances agree with the ratings."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from pim_jax.evaluation import scatter, statistics
from pim_jax.evaluation.datasets import shifts as shifting
from pim_jax.evaluation.datasets.benchmark import Disagreement, contradicted
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate, Resampled

_WORST = 12
_LISTED = 3  # of many missing images, how many an error names


class Rating(NamedTuple):
    """A distorted image, its reference, what people said and the kind of distortion.

    Attributes:
      place: where the rating is written, such as "scores.csv, row 3".
    """

    reference: Path
    distorted: Path
    score: float
    kind: str
    place: str


@dataclasses.dataclass(frozen=True, eq=False)
class Rated:
    """Images that people rated, each with its reference.

    Attributes:
      title, notes, pairs: see `benchmark.Benchmark`. The pairs are [ratings, shifts].
      shifts: pixels, the first 0.
      ratings: as published.
      scale: what the published scores are, such as "MOS".
      sign: 1 if a higher score means closer to the reference, -1 if a lower one does.
      kinds: what the kinds of distortion are called, "types" or "transformations".
      if_contradicted: what to check if most metrics contradict the ratings.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    shifts: Sequence[int]
    ratings: Sequence[Rating]
    scale: str
    sign: int
    kinds: str
    if_contradicted: str = "check that its scores are as published"
    higher_is_better = True

    def resampled(self, distances: np.ndarray) -> Resampled:
        """SROCC, KROCC and PLCC of all images, and SROCC within each kind. Intervals resample the references."""
        distances = distances.reshape(-1, len(self.shifts)).T
        measured = np.flatnonzero(~np.isnan(distances).any(0))
        distances, people = distances[:, measured], self._people()[measured]
        names = list(dict.fromkeys(rating.kind for rating in self.ratings))
        kind = np.array([names.index(self.ratings[i].kind) for i in measured], int)
        overall = statistics.correlations(distances[0], people)

        def columns(chosen):
            found = overall(chosen)
            shifted = {
                f"SROCC, shift {shift}": statistics.spearman(row[chosen], people[chosen]) - found["SROCC"]
                for shift, row in zip(self.shifts[1:], distances[1:], strict=True)
            }
            within = statistics.spearman_within(distances[0, chosen], people[chosen], kind[chosen], len(names))
            defined = within[~np.isnan(within)]
            mean = {f"SROCC, mean of {self.kinds}": np.mean(defined) if defined.size else np.nan}
            of_kinds = {f"SROCC, {name}": value for name, value in zip(names, within, strict=True)}
            return found | (mean | shifted | of_kinds if len(names) > 1 else shifted)

        return Resampled(columns, np.array([str(self.ratings[i].reference) for i in measured]))

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """As `resampled`, of all items, with intervals."""
        return statistics.bootstrap(*self.resampled(distances))

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """For every metric, the distance by the published score."""
        shown = {name: values[:: len(self.shifts)] for name, values in distances.items()}
        better = "higher" if self.sign > 0 else "lower"
        return scatter.captioned(
            f"Distances and what people said, {len(self.ratings)} images.",
            [rating.score for rating in self.ratings],
            shown,
            [rating.kind for rating in self.ratings],
            x_label=f"{self.scale} ({better} is closer)",
            y_label="distance",
        )

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """The images whose ranks by the metric and by people differ most."""
        distances = distances[:: len(self.shifts)]
        measured = np.flatnonzero(~np.isnan(distances))
        by_metric, by_people = stats.rankdata(distances[measured]), stats.rankdata(-self._people()[measured])
        worst = np.argsort(-np.abs(by_metric - by_people), kind="stable")[:_WORST]
        return [
            Disagreement(
                (int(measured[i]) * len(self.shifts),),
                f"{rating.distorted.name}, {rating.kind}. People: rank {by_people[i]:.0f} of {len(measured)} "
                f"({rating.score:.4g}), metric: rank {by_metric[i]:.0f} ({distances[measured[i]]:.4g})",
            )
            for i, rating in ((i, self.ratings[measured[i]]) for i in worst)
        ]

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """Says so if most metrics rank the images the other way round than people."""
        return contradicted(scores, "SROCC", chance=0, advice=self.if_contradicted)

    def _people(self) -> np.ndarray:
        return self.sign * np.array([rating.score for rating in self.ratings])


def select(
    name: str,
    ratings: Sequence[Rating],
    *,
    scale: str,
    sign: int,
    kinds: str,
    shifts: Sequence[int],
    allow_missing: bool,
    if_contradicted: str = Rated.if_contradicted,
) -> Rated:
    """The benchmark of the ratings whose images are there.

    Args:
      name: of the data set.
      ratings: as published.
      scale, sign, kinds, if_contradicted: see `Rated`.
      shifts: also measure with the references shifted by so many pixels; 0 is always measured.
      allow_missing: leaves out ratings whose images are not there, instead of refusing.

    Raises:
      FileNotFoundError: images are missing and may not be, or all are.
      ValueError: a pair is rated twice, or a shift is not a number of pixels.
    """
    shifts = shifting.with_unshifted(shifts)
    if not ratings:
        raise ValueError(f"{name}: there is no rating of a distorted image")
    places = {path: rating.place for rating in reversed(ratings) for path in rating[:2]}
    missing = [path for path in reversed(places) if not os.path.isfile(path)]
    gone = set(missing)
    present = [rating for rating in ratings if not gone & {*rating[:2]}]
    if missing and not (allow_missing and present):
        named = ", ".join(f"{path} ({places[path]})" for path in missing[:_LISTED])
        advice = "; add them, or leave them out with --allow-missing" if present else ""
        raise FileNotFoundError(
            f"{len(missing)} of the {len(places)} images of {name} are missing, such as {named}{advice}"
        )
    _check_rated_once(present)
    count = len({rating.kind for rating in present})
    title = f"{name}: {len(present)} images{f' of {count} {kinds}' if count > 1 else ''}"
    title += f", {len({rating.reference for rating in present})} references"
    if len(present) < len(ratings):
        title += f" ({len(ratings) - len(present)} of {len(ratings)} images are not here)"
    return Rated(
        title=title,
        notes=_notes(kinds if count > 1 else None, shifts),
        pairs=[
            Pair(shifting.picture(rating.reference, shift), Picture(rating.distorted))
            for rating in present
            for shift in shifts
        ],
        shifts=shifts,
        ratings=present,
        scale=scale,
        sign=sign,
        kinds=kinds,
        if_contradicted=if_contradicted,
    )


def _check_rated_once(ratings: Sequence[Rating]) -> None:
    places = {}
    for rating in ratings:
        images = rating[:2]
        if images in places:
            raise ValueError(
                f"{rating.place}: {rating.distorted.name} with the reference {rating.reference.name} is rated twice, "
                f"before in {places[images]}; keep one, such as their mean"
            )
        places[images] = rating.place


def _notes(kinds: str | None, shifts: Sequence[int]) -> list[str]:
    notes = [
        "SROCC and KROCC are Spearman's and Kendall's rank correlation of distances with what people said. PLCC is "
        "their linear correlation after a logistic function of five parameters was fitted. 1 is perfect. Intervals "
        "resample the references, each with all of its images."
    ]
    if kinds:
        notes.append(
            f"SROCC, KROCC and PLCC take all {kinds} together, as if on one scale; the mean of {kinds} needs no common "
            "scale."
        )
    if len(shifts) > 1:
        notes.append("'SROCC, shift k' is the change of SROCC when the references are shifted by k pixels.")
    return notes
