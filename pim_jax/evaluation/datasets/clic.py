"""Codecs compared by people: CLIC, the challenge on learned image compression, and what is like it (Table 2)."""

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from pim_jax.evaluation import compare, scatter, statistics
from pim_jax.evaluation.datasets import find, table
from pim_jax.evaluation.datasets.bapps import worst_triplets
from pim_jax.evaluation.datasets.benchmark import Disagreement, contradicted
from pim_jax.evaluation.datasets.table import Row
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate, Resampled, two_alternative_agreement
from pim_jax.files import is_system_file

_LISTED = 3  # of many missing images, how many an error names
_PREFERRED = {"a": 0, "0": 0, "b": 1, "1": 1}
_TREE = """Expected
  {0}/elo.csv (method,elo) and {0}/images.csv (reference,decoded,method; file names relative to the folder),
    or, in place of images.csv, {0}/originals/1.png ... and {0}/METHOD/1.jpg ... for each method;
  and, or in place of elo.csv, {0}/answers.csv (reference,a,b,preferred; the last is a or b) or CLIC's {0}/oracle.csv"""


class Decoded(NamedTuple):
    """An image that a method decoded, and its original."""

    reference: Path
    decoded: Path
    method: str


class Question(NamedTuple):
    """Which of two decoded images is closer to the original?"""

    reference: Path
    a: Path
    b: Path


@dataclasses.dataclass(frozen=True, eq=False)
class Codecs:
    """Decoded images of several methods, with what people think of the methods or of pairs of images.

    Attributes:
      title, notes, pairs: see `benchmark.Benchmark`.
      images: one for each of the first pairs; none if the methods are not known.
      elo: of every method in `images`.
      answers: for each question, how many raters preferred a, and how many b.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    images: Sequence[Decoded]
    elo: Mapping[str, float]
    answers: Mapping[Question, tuple[int, int]]
    higher_is_better = True

    def resampled(self, distances: np.ndarray) -> Resampled:
        """Spearman's correlation with Elo, and the agreement with answers in per cent. Intervals resample originals."""
        totals, counts = self._by_method(distances)
        elo = [self.elo[method] for method in self._methods()]
        agree, asked = self._agreement(distances)

        def columns(chosen):
            weights = np.bincount(chosen, minlength=len(totals))
            found = {}
            if self.images:
                found["Spearman with Elo"] = statistics.spearman(_ratio(weights @ totals, weights @ counts), elo)
            if self.answers:
                found["2AFC"] = float(_ratio(weights @ agree, weights @ asked))
            return found

        return Resampled(columns, np.arange(len(totals)))

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """As `resampled`, of all items, with intervals."""
        return statistics.bootstrap(*self.resampled(distances))

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """For every metric, the mean distance of every method by its Elo; none if the methods are not known."""
        if not self.images:
            return {}
        methods = self._methods()
        sums = {name: self._by_method(values) for name, values in distances.items()}
        prefix = _common_prefix(methods)
        shortened = f" Their names begin with {prefix}" if prefix else ""
        return scatter.captioned(
            f"Mean distances of {len(methods)} methods and their Elo scores.{shortened}",
            [self.elo[method] for method in methods],
            {name: _ratio(totals.sum(0), counts.sum(0)) for name, (totals, counts) in sums.items()},
            x_label="Elo (higher is preferred)",
            y_label="mean distance",
            labels=[method.removeprefix(prefix) for method in methods],
        )

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """The answers that most firmly contradict the metric; none if there are no answers."""
        pairs = self._questions()
        d0, d1 = distances[np.array(pairs, int).reshape(-1, 2)].T
        judge = np.array([b / (a + b) for a, b in self.answers.values()])
        names = [f"{question.a.name} or {question.b.name}" for question in self.answers]
        return worst_triplets(d0, d1, judge, pairs, names)

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """Says so if most metrics contradict the Elo scores or the answers."""
        found = []
        if self.images:
            advice = "check that higher Elo scores are of better methods"
            found += contradicted(scores, "Spearman with Elo", chance=0, advice=advice)
        if self.answers:
            advice = "check which of the images 'preferred' names"
            found += contradicted(scores, "2AFC", chance=50, advice=advice)
        return found

    def _methods(self) -> list[str]:
        return list(dict.fromkeys(image.method for image in self.images))

    def _originals(self) -> dict[Path, int]:
        return {path: i for i, path in enumerate(dict.fromkeys(pair.reference.path for pair in self.pairs))}

    def _by_method(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of distances and their counts, [originals, methods]; an original that lacks one counts for no method."""
        originals, methods = self._originals(), {method: i for i, method in enumerate(self._methods())}
        totals, counts = np.zeros((2, len(originals), len(methods)))
        for image, distance in zip(self.images, distances, strict=False):
            place = originals[image.reference], methods[image.method]
            totals[place] += distance
            counts[place] += 1
        whole = ~np.isnan(totals).any(1, keepdims=True)
        return np.where(whole, totals, 0), np.where(whole, counts, 0)

    def _agreement(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the agreement with answers, in per cent, and the counts of answers, [originals]."""
        originals = self._originals()
        totals, counts = np.zeros((2, len(originals)))
        for pairs, (question, (a, b)) in zip(self._questions(), self.answers.items(), strict=True):
            d0, d1 = distances[list(pairs)]
            if not np.isnan(d0 + d1):
                totals[originals[question.reference]] += a * two_alternative_agreement(d0, d1, 0)
                totals[originals[question.reference]] += b * two_alternative_agreement(d0, d1, 1)
                counts[originals[question.reference]] += a + b
        return totals, counts

    def _questions(self) -> list[tuple[int, int]]:
        """For each question, the indices of its two pairs."""
        index = {(pair.reference.path, pair.distorted.path): i for i, pair in enumerate(self.pairs)}
        return [
            (index[question.reference, question.a], index[question.reference, question.b]) for question in self.answers
        ]


def read(folder: Path, *, allow_missing: bool = False) -> Codecs:
    """Reads decoded images and what people think of them.

    * Elo scores are in `elo.csv`, columns `method,elo`. Methods without images are left out, and the title says so.
      If there is no `elo.csv`, they are computed from the answers (`statistics.elo`).
    * Images are listed in `images.csv`, columns `reference,decoded,method`; or they are in `originals/` and in one
      folder per method, paired by name without extension.
    * Answers are in `answers.csv`, columns `reference,a,b,preferred`: three file names, and which of the decoded images
      a and b is closer to the reference, "a" or "b" (or 0 or 1). CLIC's own `oracle.csv` has the same columns without a
      header. Its files are named by hashes and their methods are not known, so only the agreement is measured.

    File names are relative to the folder, in upper or lower case.

    Args:
      folder: with these files.
      allow_missing: leaves out images that are not there and their answers, instead of refusing.

    Raises:
      FileNotFoundError: files are missing.
      ValueError: a table is not as expected, lists something twice, or says nothing about the images.

    References:
      Section 3.1 and Table 2. CLIC 2021, perceptual metric track, for `oracle.csv`.
    """
    listed = sorted(_read_images(folder), key=lambda image: image.reference)  # so that an original is encoded once
    answers = _read_answers(folder)
    given = _read_elo(folder)
    if not answers and not (given and listed):
        raise FileNotFoundError(f"{folder} has no answers, or no Elo scores with images. {_TREE.format(folder)}")
    if given:
        listed = [image for image in listed if image.method in given]
        if not listed and not answers:
            raise ValueError(f"{folder} has no images of the methods in elo.csv. {_TREE.format(folder)}")
    images, answers = _present(folder, listed, answers, allow_missing)
    elo = given or (_elo_from_answers(images, answers) if images else {})
    asked = [(question.reference, path) for question in answers for path in (question.a, question.b)]
    pairs = dict.fromkeys([(image.reference, image.decoded) for image in images] + asked)
    methods, originals = {image.method for image in images}, {reference for reference, _ in pairs}
    return Codecs(
        title=_title(folder, methods, given, len(originals), len(pairs), int(np.sum(list(answers.values())))),
        notes=_notes(bool(images), bool(given), bool(answers)),
        pairs=[Pair(Picture(reference), Picture(decoded)) for reference, decoded in pairs],
        images=images,
        elo=elo,
        answers=answers,
    )


def _title(folder, methods, given, originals, images, answers) -> str:
    parts = []
    if methods:
        without = len(given) - len(methods) if given else 0
        parts.append(
            f"{len(methods)} methods" + (f" ({without} more have Elo scores but no images)" if without else "")
        )
    parts += [f"{originals} originals", f"{images} decoded images"] + ([f"{answers} answers"] if answers else [])
    return f"{folder.resolve().name}: {', '.join(parts)}"


def _notes(images: bool, given: bool, answers: bool) -> list[str]:
    notes = []
    if images:
        origin = "" if given else ", computed from the answers,"
        notes.append(
            "'Spearman with Elo' is the rank correlation of the methods' mean distances with their Elo scores, with "
            "the opposite sign: 1 is perfect, which is -1 in the paper's Table 2. Its interval resamples the "
            f"originals, not the few methods, and takes the Elo scores{origin} as exact."
        )
    if answers:
        notes.append("'2AFC' is the per cent of answers that agree with the metric; equal distances agree with half.")
    return notes


def _read_elo(folder: Path) -> dict[str, float]:
    path = find.by_path(folder)("elo.csv")
    found, places = {}, {}
    for row in table.read(path, {"method": str, "elo": float}) if path.is_file() else ():
        _check_once(places, row["method"], row.place, f"the method {row['method']}")
        found[row["method"]] = row["elo"]
    return found


def _read_images(folder: Path) -> list[Decoded]:
    file = find.by_path(folder)
    path = file("images.csv")
    if not path.is_file():
        return _images_in_folders(folder)
    found, places = [], {}
    for row in table.read(path, {"reference": str, "decoded": str, "method": str}):
        image = Decoded(file(row["reference"]), file(row["decoded"]), row["method"])
        _check_once(places, image[:2], row.place, f"the image {row['decoded']}")
        found.append(image)
    return found


def _images_in_folders(folder: Path) -> list[Decoded]:
    place = find.by_path(folder)("originals")
    if not place.is_dir():
        return []
    originals = compare.images_in(place)
    found = []
    for method in sorted(path for path in folder.iterdir() if path.is_dir() and path != place):
        decoded = {} if is_system_file(method.name) else compare.images_in(method)
        if decoded.keys() & originals.keys():
            found += [Decoded(path, decoded.get(name, method / name), method.name) for name, path in originals.items()]
    return found


def _check_once(places: dict, what: object, place: str, name: str) -> None:
    """Refuses a second row about the same thing, and keeps the place of the first."""
    if what in places:
        raise ValueError(f"{place}: {name} is listed twice, before in {places[what]}; keep one")
    places[what] = place


def _read_answers(folder: Path) -> dict[Question, tuple[int, int]]:
    """For each question, how many preferred a and how many b. Asked the other way round, it is the same question."""
    file, counts = find.by_path(folder), defaultdict(lambda: [0, 0])
    for row in _answer_rows(folder):
        side = _PREFERRED.get(row["preferred"].lower())
        if side is None:
            raise ValueError(f"{row.place}: preferred is {row['preferred']!r}; it should be a or b (or 0 or 1)")
        images = file(row["a"]), file(row["b"])
        question = Question(file(row["reference"]), *sorted(images))
        counts[question][0 if images[side] == question.a else 1] += 1
    return {question: tuple(count) for question, count in counts.items()}


def _answer_rows(folder: Path) -> list[Row]:
    columns = dict.fromkeys(("reference", "a", "b", "preferred"), str)
    for name, header in (("answers.csv", True), ("oracle.csv", False)):
        if (path := find.by_path(folder)(name)).is_file():
            return table.read(path, columns, header=header)
    return []


def _present(folder, images, answers, allow_missing):
    """The images and answers whose files are there."""
    files = {path for item in (*images, *answers) for path in item if isinstance(path, Path)}
    missing = sorted(path for path in files if not os.path.isfile(path))
    if missing and not allow_missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} images in {folder} are missing, such as "
            f"{', '.join(map(str, missing[:_LISTED]))}; add them, or leave them out with --allow-missing"
        )
    gone = set(missing)
    images = [image for image in images if not gone & set(image[:2])]
    answers = {question: count for question, count in answers.items() if not gone & set(question)}
    if not images and not answers:
        raise FileNotFoundError(f"none of the images in {folder} are there. {_TREE.format(folder)}")
    return images, answers


def _elo_from_answers(images: Sequence[Decoded], answers: Mapping[Question, tuple[int, int]]) -> dict[str, float]:
    method = {image.decoded: image.method for image in images}
    wins = Counter()
    for question, (prefer_a, prefer_b) in answers.items():
        a, b = method.get(question.a), method.get(question.b)
        if a and b and a != b:
            wins[a, b] += prefer_a
            wins[b, a] += prefer_b
    methods = list(dict.fromkeys(method.values()))
    elo = statistics.elo(np.array([[wins[a, b] for b in methods] for a in methods]))
    return dict(zip(methods, elo.tolist(), strict=True))


def _common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a hyphen."""
    parts = [name.split("-")[:-1] for name in names]
    shared = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))]
    return "".join(f"{part}-" for part in shared)


def _ratio(total, count):
    """The quotient, NaN where there is nothing to divide."""
    count = np.asarray(count, float)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
