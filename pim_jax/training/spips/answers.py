"""What people said of pairs of images, in the form that SPIPS is trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pim_jax.evaluation.datasets import bapps, iqa
from pim_jax.evaluation.datasets.bapps import TwoAlternatives
from pim_jax.evaluation.datasets.rated import Rated
from pim_jax.evaluation.pictures import Pair

STEEPNESS = 3.0  # an image that is a standard deviation closer is preferred by 95 in 100
_QUESTIONS = 4_000  # of one rated set; with all pairs of images of a reference, training only takes longer


class Answers(NamedTuple):
    """People's answers about pairs of a reference and a distorted image.

    Attributes:
      title: of the data set.
      pairs: the images.
      reference: [pairs] the number of the pair's reference; no reference is both trained on and tested with.
      scores: [pairs] how different people find the pair, in standard deviations from the mean; NaN if not asked.
      questions: [questions, 2] two pairs of one reference.
      second: [questions] the share of people to whom the second pair is the closer.
    """

    title: str
    pairs: Sequence[Pair]
    reference: np.ndarray
    scores: np.ndarray
    questions: np.ndarray
    second: np.ndarray


def read(data: Path) -> Answers:
    """Reads scores of images (as the benchmark `iqa`) or answers about two (BAPPS, as the benchmark `bapps-2afc`).

    Args:
      data: the folder of the data set as distributed; for scores also a CSV file.

    Raises:
      FileNotFoundError, ValueError: it is not as expected, or has fewer than three references.
    """
    if not data.exists():
        raise FileNotFoundError(f"--data {data} does not exist")
    answers = of_triplets(bapps.read_2afc(data)) if (data / "2afc").is_dir() else of_scores(iqa.read(data))
    if (count := len(np.unique(answers.reference))) < 3:
        raise ValueError(f"{data} has {count} reference images: to train, to stop early and to test takes at least 3")
    return answers


def of_scores(rated: Rated) -> Answers:
    """The answers of a rated set. Scores of two images of a reference also say which of them people would prefer."""
    different = -rated.sign * np.array([rating.score for rating in rated.ratings])
    scores = (different - different.mean()) / (different.std() or 1)
    reference = _numbers([pair.reference for pair in rated.pairs])
    first, second = np.nonzero(np.triu(reference[:, None] == reference, 1))
    chosen = np.random.default_rng(0).permutation(len(first))[:_QUESTIONS]
    questions = np.stack([first[chosen], second[chosen]], axis=1)
    gaps = scores[questions[:, 0]] - scores[questions[:, 1]]
    return Answers(rated.title, rated.pairs, reference, scores, questions, 1 / (1 + np.exp(-STEEPNESS * gaps)))


def of_triplets(triplets: TwoAlternatives) -> Answers:
    """The answers of BAPPS: no scores, and one question for each reference."""
    pairs = triplets.pairs
    questions = np.arange(len(pairs)).reshape(-1, 2)
    reference = np.repeat(np.arange(len(questions)), 2)
    return Answers(triplets.title, pairs, reference, np.full(len(pairs), np.nan), questions, triplets.judge)


def _numbers(items: Sequence) -> np.ndarray:
    number = {item: i for i, item in enumerate(dict.fromkeys(items))}
    return np.array([number[item] for item in items])
