"""BAPPS, the Berkeley-Adobe data set of perceptual patch similarity (section 3.1, Tables 1 and 3)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from pim_jax.evaluation import scatter, statistics
from pim_jax.evaluation.datasets import find
from pim_jax.evaluation.datasets import shifts as shifting
from pim_jax.evaluation.datasets.benchmark import Disagreement, contradicted
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate, Resampled

# The folders, and what Table 1 calls them.
_2AFC = {
    "traditional": "Trad.",
    "cnn": "CNN",
    "superres": "SuperRes",
    "deblur": "Deblur",
    "color": "Coloriz.",
    "frameinterp": "Interp.",
}
_JND = {"traditional": "Trad.", "cnn": "CNN"}

_PATCH = 64  # pixels a side: the authors shrink their files of 256 pixels to this size before they measure
_WORST = 12
_SHIFT_NOTE = "'All, shift k' is the change of All when the references are shifted by k pixels (Table 3)."


@dataclasses.dataclass(frozen=True, eq=False)
class TwoAlternatives:
    """BAPPS-2AFC: raters say which of two distorted patches is closer to a reference.

    Attributes:
      title, notes, pairs: see `benchmark.Benchmark`. The pairs are [triplets, shifts, 2].
      shifts: pixels, the first 0.
      categories: [triplets] as in Table 1.
      judge: [triplets] the fraction of raters to whom the second patch is closer.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    shifts: Sequence[int]
    categories: np.ndarray
    judge: np.ndarray
    higher_is_better = True

    def resampled(self, distances: np.ndarray) -> Resampled:
        """Per cent of raters who agree; All is the mean over triplets, as in Table 1. Intervals resample triplets."""
        d0, d1 = distances.reshape(-1, len(self.shifts), 2).T
        measured = ~np.isnan(d0 + d1).any(0)
        agree = statistics.two_alternative_agreement(d0[:, measured], d1[:, measured], self.judge[measured])
        change = agree[1:] - agree[:1]
        names = list(_2AFC.values())
        category = np.array([names.index(name) for name in self.categories[measured]], int)

        def columns(chosen):
            totals = np.bincount(category[chosen], agree[0, chosen], len(names))
            counts = np.bincount(category[chosen], minlength=len(names))
            means = np.where(counts, totals / np.maximum(counts, 1), np.nan)
            return {
                "All": totals.sum() / len(chosen) if len(chosen) else np.nan,
                **dict(zip(_shift_columns(self.shifts), _means(change, chosen), strict=True)),
                **dict(zip(names, means, strict=True)),
            }

        return Resampled(columns, np.arange(measured.sum()))

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """As `resampled`, of all items, with intervals."""
        return statistics.bootstrap(*self.resampled(distances))

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """For every metric, how much closer the second patch is, against the fraction of raters who say that it is."""
        # A few raters give a few fractions: moved a little, the points do not hide each other.
        fraction = self.judge + np.random.default_rng(0).uniform(-0.08, 0.08, len(self.judge))
        closer = {name: -statistics.rank_gap(*self._unshifted(values)) for name, values in distances.items()}
        labels = {"x_label": "fraction of raters to whom p1 is closer", "y_label": "rank of distance: p0 minus p1"}
        caption = (
            "Two patches compared by metrics and by raters. Agreement is to the lower left and to the upper right."
        )
        return scatter.captioned(caption, fraction, closer, list(self.categories), **labels)

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """The triplets on which raters agree most with each other and the metric contradicts them most firmly."""
        first = range(0, len(distances), 2 * len(self.shifts))
        return worst_triplets(*self._unshifted(distances), self.judge, [(i, i + 1) for i in first], self.categories)

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """Says so if most metrics agree with fewer than half of the raters."""
        return contradicted(scores, "All", chance=50, advice="check that judge holds the fraction of raters for p1")

    def _unshifted(self, distances: np.ndarray) -> np.ndarray:
        """[2, triplets]"""
        return distances.reshape(-1, len(self.shifts), 2)[:, 0].T


@dataclasses.dataclass(frozen=True, eq=False)
class JustNoticeable:
    """BAPPS-JND: raters say whether two patches that they see briefly are the same.

    Attributes:
      title, notes, pairs: see `benchmark.Benchmark`. The pairs are [patches, shifts].
      shifts: pixels, the first 0.
      categories: [patches] as in Table 1.
      same: [patches] the fraction of raters who took the two for the same.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    shifts: Sequence[int]
    categories: np.ndarray
    same: np.ndarray
    higher_is_better = True

    def resampled(self, distances: np.ndarray) -> Resampled:
        """mAP; All takes the pairs of both categories as one set, as in Table 1. Intervals resample pairs."""
        distances = distances.reshape(-1, len(self.shifts)).T
        measured = ~np.isnan(distances).any(0)
        distances, same, categories = distances[:, measured], self.same[measured], self.categories[measured]

        def precision(shift, chosen):
            return statistics.average_precision(distances[shift, chosen], same[chosen])

        def columns(chosen):
            all_pairs = precision(0, chosen)
            shifted = (precision(shift, chosen) - all_pairs for shift in range(1, len(distances)))
            return {
                "All": all_pairs,
                **dict(zip(_shift_columns(self.shifts), shifted, strict=True)),
                **{name: precision(0, chosen[categories[chosen] == name]) for name in _JND.values()},
            }

        return Resampled(columns, np.arange(len(same)))

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """As `resampled`, of all items, with intervals."""
        return statistics.bootstrap(*self.resampled(distances))

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """For every metric, the distance by the fraction of raters who took the patches for the same."""
        fraction = self.same + np.random.default_rng(0).uniform(-0.12, 0.12, len(self.same))
        shown = {name: values[:: len(self.shifts)] for name, values in distances.items()}
        labels = {"x_label": "fraction of raters who saw no difference", "y_label": "distance"}
        caption = "Distances of patches that raters took for the same, and of others."
        return scatter.captioned(caption, fraction, shown, list(self.categories), **labels)

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """Pairs taken for the same that are among the farthest, and pairs told apart that are among the nearest."""
        distances = distances[:: len(self.shifts)]
        ranks = stats.rankdata(distances, nan_policy="omit")
        count = np.sum(~np.isnan(ranks))
        wrong = np.abs(ranks / max(1, count) - (1 - self.same))
        return [
            Disagreement(
                (int(i) * len(self.shifts),),
                f"{self.categories[i]}: {self.same[i]:.0%} of raters saw no difference; of {count} pairs, nearest "
                f"first, the metric finds this number {ranks[i]:.0f} (distance {distances[i]:.4g})",
            )
            for i in np.argsort(-wrong, kind="stable")[: min(_WORST, count)]
        ]

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """None: what a metric that guesses would score depends on the raters."""
        return []


def read_2afc(folder: Path, shifts: Sequence[int] = (0,)) -> TwoAlternatives:
    """Reads the validation part of BAPPS-2AFC.

    The paper's All is the mean over triplets. The six categories of Table 1 have 4720, 4720, 10856, 9440, 4720 and 1888
    triplets. Their means, weighted by these numbers, give All within 0.03 (for PIM, "the best out of 5 repeats", within
    0.06). Unweighted, they are up to 0.5 off.

    Args:
      folder: the one that contains `2afc`, as distributed.
      shifts: also measure with the references shifted by so many pixels; 0 is always measured.

    Raises:
      FileNotFoundError, ValueError: a part is missing or is not as distributed. The message shows the expected folders.

    References:
      Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, 2018.
    """
    shifts = shifting.with_unshifted(shifts)
    parts = {name: _files(folder, "2afc/val", name, ("ref", "p0", "p1", "judge"), _2AFC) for name in _2AFC}
    triplets = [files for part in parts.values() for files in part]
    judge = np.array([read_fraction(files["judge"]) for files in triplets])
    majority = 100 * np.maximum(judge, 1 - judge).mean()
    return TwoAlternatives(
        title=f"BAPPS-2AFC: {len(triplets)} triplets of {len(parts)} kinds",
        notes=[
            "Per cent of raters who agree with the metric about which patch is closer to the reference. All is "
            f"the mean over triplets. Siding with the majority each time would give {majority:.2f}.",
            *([_SHIFT_NOTE] if len(shifts) > 1 else []),
        ],
        pairs=[
            Pair(
                shifting.picture(files["ref"], shift, _PATCH),
                Picture(files[side], side=_PATCH),
            )
            for files in triplets
            for shift in shifts
            for side in ("p0", "p1")
        ],
        shifts=shifts,
        categories=np.array([_2AFC[name] for name, part in parts.items() for _ in part]),
        judge=judge,
    )


def read_jnd(folder: Path, shifts: Sequence[int] = (0,)) -> JustNoticeable:
    """Reads BAPPS-JND.

    The paper's All is not the mean of its two columns (Table 1, LPIPS Alex: 59.47, not 57.37): both categories are
    scored as one set.

    Args:
      folder: the one that contains `jnd`, as distributed.
      shifts: also measure with the first patches shifted by so many pixels; 0 is always measured.

    Raises, References: as `read_2afc`.
    """
    shifts = shifting.with_unshifted(shifts)
    parts = {name: _files(folder, "jnd/val", name, ("p0", "p1", "same"), _JND) for name in _JND}
    pairs = [files for part in parts.values() for files in part]
    return JustNoticeable(
        title=f"BAPPS-JND: {len(pairs)} pairs of {len(parts)} kinds",
        notes=[
            "mAP, in per cent: how precisely small distances find the pairs that raters took for the same, averaged "
            "over recall.",
            *([_SHIFT_NOTE] if len(shifts) > 1 else []),
        ],
        pairs=[
            Pair(
                shifting.picture(files["p0"], shift, _PATCH),
                Picture(files["p1"], side=_PATCH),
            )
            for files in pairs
            for shift in shifts
        ],
        shifts=shifts,
        categories=np.array([_JND[name] for name, part in parts.items() for _ in part]),
        same=np.array([read_fraction(files["same"]) for files in pairs]),
    )


def worst_triplets(
    d0: np.ndarray, d1: np.ndarray, judge: np.ndarray, pairs: Sequence[tuple[int, int]], kinds: Sequence[str]
) -> list[Disagreement]:
    """The triplets on which raters and a metric contradict each other most firmly, worst first.

    Args:
      d0, d1: [triplets] distances of the two images from the reference, NaN where there is none.
      judge: [triplets] the fraction of raters to whom the second image is closer.
      pairs: [triplets] indices of the two pairs.
      kinds: [triplets] what the text begins with.
    """
    wrong = (2 * judge - 1) * statistics.rank_gap(d0, d1)
    found = []
    for i in np.argsort(-wrong, kind="stable")[:_WORST]:
        if wrong[i] > 0:
            closer, other = ("second", "first") if judge[i] > 0.5 else ("first", "second")
            text = (
                f"{kinds[i]}: {max(judge[i], 1 - judge[i]):.0%} of raters find the {closer} image closer, the metric "
            )
            found.append(Disagreement(pairs[i], text + f"the {other} (distances {d0[i]:.4g} and {d1[i]:.4g})"))
    return found


def _shift_columns(shifts: Sequence[int]) -> list[str]:
    return [f"All, shift {shift}" for shift in shifts[1:]]


def _means(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return rows[:, chosen].mean(1) if len(chosen) else np.full(len(rows), np.nan)


def _files(
    folder: Path, half: str, category: str, kinds: Sequence[str], categories: Mapping[str, str]
) -> list[dict[str, Path]]:
    """The files of each item of a category by kind, sorted by name; the last kind is that of the answers."""

    def refuse(problem):
        tree = f"{folder}/{half}/{{{','.join(categories)}}}"
        return FileNotFoundError(
            f"{folder} is not the folder that contains {half.split('/')[0]} as distributed: {problem}. Expected\n"
            f"  {tree}/{{{','.join(kinds[:-1])}}}/000000.png ...\n  {tree}/{kinds[-1]}/000000.npy ..."
        )

    place, found = find.by_path(folder), {}
    for kind in kinds:
        path, suffix = place(f"{half}/{category}/{kind}"), ".npy" if kind == kinds[-1] else ".png"
        found[kind] = find.by_suffix(path, suffix)
        if not found[kind]:
            raise refuse(f"{path} has no {suffix} file")
    names = set().union(*found.values())
    for kind, files in found.items():
        if missing := sorted(names - files.keys()):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise refuse(f"{place(f'{half}/{category}/{kind}')} lacks {missing[0]}{more}")
    return [{kind: files[name] for kind, files in found.items()} for name in sorted(names)]


def read_fraction(path: Path) -> float:
    """Reads a file of raters' answers.

    Args:
      path: an .npy file with one number.

    Returns:
      the fraction of raters, 0 to 1.

    Raises:
      ValueError: it holds something else, or is damaged.
    """
    try:
        # Mapped, not loaded: a damaged header may claim any size.
        value = np.lib.format.open_memmap(path, mode="r").item()
    except Exception as error:  # a damaged header makes NumPy raise almost anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} does not hold one number of NumPy's format: {reason}") from error
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{path} holds {value!r:.100}; it should be a fraction of raters, 0 to 1")
    return float(value)
