"""Differences are of the same resamples as scores, and nothing is resampled twice."""

from pathlib import Path

import numpy as np
import pytest

from pim_jax.evaluation import statistics
from pim_jax.evaluation.datasets.bapps import TwoAlternatives
from pim_jax.evaluation.datasets.benchmark import Resamples
from pim_jax.evaluation.pictures import Pair, Picture

TRIPLETS = 40


@pytest.fixture
def benchmark():
    pairs = [Pair(Picture(Path(f"{i}.png")), Picture(Path(f"{i}-{p}.png"))) for i in range(TRIPLETS) for p in (0, 1)]
    kinds, judge = np.array(["CNN", "Trad."] * (TRIPLETS // 2)), np.random.default_rng(0).random(TRIPLETS)
    return TwoAlternatives("a part of BAPPS", [], pairs, (0,), kinds, judge)


@pytest.fixture
def distances():
    found = np.random.default_rng(1).random((3, 2 * TRIPLETS))
    found[2, [10, 11, 50]] = np.nan
    return dict(zip(("A", "B", "holed"), found, strict=True))


def as_text(scores):  # as which NaN equals NaN
    return {column: str(estimate) for column, estimate in scores.items()}


def test_scores_are_those_of_the_benchmark(benchmark, distances):
    found = Resamples(benchmark).scores(distances["holed"])
    assert as_text(found) == as_text(benchmark.scores(distances["holed"]))


def test_a_difference_is_that_of_both_metrics_on_each_resample_of_what_both_measured(benchmark, distances):
    found = Resamples(benchmark).differences(distances)
    assert [*found] == ["B", "holed"]
    for name, scores in found.items():
        both = ~np.isnan(distances[name])
        this, first = (benchmark.resampled(np.where(both, distances[metric], np.nan)) for metric in (name, "A"))

        def minus(chosen, this=this, first=first):
            other = first.statistic(chosen)
            return {column: value - other[column] for column, value in this.statistic(chosen).items()}

        assert as_text(scores) == as_text(statistics.bootstrap(minus, this.groups))


def test_the_distances_of_a_metric_are_resampled_once(benchmark, distances, monkeypatch):
    count, draw = [], statistics.draw
    monkeypatch.setattr(statistics, "draw", lambda *arguments: count.append(1) or draw(*arguments))
    resamples, whole = Resamples(benchmark), {name: distances[name] for name in "AB"}
    for values in whole.values():
        resamples.scores(values)
    resamples.differences(whole)
    assert len(count) == 2
    resamples.difference(distances["B"], distances["holed"])  # each on what both measured
    assert len(count) == 4
