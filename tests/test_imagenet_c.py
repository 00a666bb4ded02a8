"""Equivalent Gaussian noise of corruptions: with the mean squared error on real photographs, and by construction."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pim_jax.evaluation import pictures
from pim_jax.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from pim_jax.evaluation.datasets import imagenet_c
from pim_jax.evaluation.datasets.imagenet_c import LEVELS

PHOTOGRAPHS = Path(__file__).parents[1] / "pim_jax" / "assets" / "images" / "reference"
NAMES = [path.name for path in sorted(PHOTOGRAPHS.iterdir())]
CHANGES = len(CORRUPTIONS) * len(SEVERITIES)
PER_PHOTOGRAPH = CHANGES + len(LEVELS)


@pytest.fixture(scope="module")
def benchmark():
    pytest.importorskip("imagecorruptions", reason="needs the extra 'corruptions'")
    return imagenet_c.read(PHOTOGRAPHS)


def distances(change, level):
    """Of two photographs, from `change` [CHANGES] and `level` [levels]; those of the second are twice as large."""
    return (np.concatenate([change, level]) * [[1], [2]]).ravel()


def test_levels_are_those_of_the_paper():
    assert len(set(LEVELS)) == 40
    assert (LEVELS[0], LEVELS[-1]) == (0.01, 0.6)
    assert all(a < b < 1.13 * a for a, b in itertools.pairwise(LEVELS))


def test_every_photograph_is_paired_with_each_of_its_changes(benchmark):
    assert len(benchmark.pairs) == len(set(benchmark.pairs)) == 3 * PER_PHOTOGRAPH == 375
    for index, name in enumerate(NAMES):
        pairs = benchmark.pairs[125 * index : 125 * (index + 1)]
        assert {pair.reference for pair in pairs} == {pictures.Picture(PHOTOGRAPHS / name)}
        assert {pair.distorted.path for pair in pairs} == {PHOTOGRAPHS / name}
        changes = [pair.distorted.change for pair in pairs]
        assert changes[:CHANGES] == list(itertools.product(CORRUPTIONS, SEVERITIES))
        assert changes[CHANGES:] == [("noise", level) for level in LEVELS]
    assert benchmark.disagreements(np.zeros(375)) == []
    assert "3 photographs" in benchmark.title


def test_gaussian_noise_is_equivalent_to_itself(benchmark):
    """ImageNet-C's Gaussian noise has known standard deviations, so the nearest levels are known too."""
    errors = []
    for pair in benchmark.pairs:
        change = pair.distorted.change
        if change.name in ("noise", "gaussian_noise", "shift"):
            errors.append(np.mean((pictures.read(pair.distorted) - pictures.read(pair.reference)) ** 2, dtype=float))
        else:
            errors.append(0.0)
    found = benchmark.equivalent_noise(np.array(errors))
    np.testing.assert_allclose(found[0], (0.08, 0.12, 0.18, 0.26, 0.38), rtol=0.075)  # half a step, and chance
    # The independent computation of one entry: the mean over photographs of the error of a shift by three pixels.
    images = [np.asarray(Image.open(PHOTOGRAPHS / name).convert("RGB")) / 255 for name in NAMES]
    shifted = [np.concatenate([x[:, [0, 0, 0]], x[:, :-3]], axis=1) for x in images]
    error = np.mean([((a - b) ** 2).mean() for a, b in zip(images, shifted, strict=True)])
    by_level = np.reshape(errors, (3, -1))[:, CHANGES:].mean(0)
    assert found[CORRUPTIONS.index("shift"), 2] == min(LEVELS, key=lambda s: abs(by_level[LEVELS.index(s)] - error))
    assert benchmark.scores(np.array(errors))["gaussian_noise"].value == pytest.approx(found[0].mean())


@pytest.mark.parametrize("metric", [np.square, np.log, lambda level: 3 - 1 / (1 + level)])
def test_the_equivalent_level_is_found_in_any_unit(benchmark, metric):
    """A corruption as far away as the noise of a level, give or take a little, is equivalent to that level."""
    rng = np.random.default_rng(0)
    expected = rng.choice(LEVELS, CHANGES)
    measured = distances(metric(expected * rng.uniform(0.98, 1.02, CHANGES)), metric(np.array(LEVELS)))
    found = benchmark.equivalent_noise(measured)
    np.testing.assert_array_equal(found, expected.reshape(17, 5))
    scores = benchmark.scores(measured)
    assert {name: scores[name].value for name in CORRUPTIONS} == pytest.approx(
        dict(zip(CORRUPTIONS, found.mean(1), strict=True))
    )
    assert set(scores) == set(CORRUPTIONS)


def test_the_mean_over_photographs_is_what_is_compared(benchmark):
    """Not the mean of the levels that are nearest for each photograph."""
    first, second = np.zeros((2, PER_PHOTOGRAPH))
    first[CHANGES:], second[CHANGES:] = np.array(LEVELS), 10 * np.array(LEVELS)
    first[:CHANGES], second[:CHANGES] = 0.6, 0.1
    found = benchmark.equivalent_noise(np.concatenate([first, second]))
    assert set(found.ravel()) == {min(LEVELS, key=lambda level: abs(11 * level - 0.7))}


def test_beyond_the_levels_the_last_one_stands(benchmark):
    change = np.where(np.arange(CHANGES) % 2, 0.001, 0.99)
    found = benchmark.equivalent_noise(distances(change, np.array(LEVELS)))
    assert set(found.ravel()) == {0.01, 0.6}


def test_a_photograph_with_a_missing_distance_is_left_out(benchmark):
    rng = np.random.default_rng(1)
    measured = rng.uniform(0, 0.6, (3, PER_PHOTOGRAPH))
    measured[1, 7], kept = np.nan, measured[[0, 2]]
    np.testing.assert_array_equal(
        benchmark.equivalent_noise(measured.ravel()), benchmark.equivalent_noise(kept.ravel())
    )
    assert benchmark.scores(measured.ravel()) == benchmark.scores(kept.ravel())
    assert len(benchmark.figures({"some": measured.ravel()})) == 3


def test_without_photographs_there_is_no_score_and_with_one_no_interval(benchmark):
    nothing = np.full(3 * PER_PHOTOGRAPH, np.nan)
    assert all(np.isnan(estimate).all() for estimate in benchmark.scores(nothing).values())
    assert len(benchmark.figures({"some": nothing})) == 2
    one = np.linspace(0, 1, PER_PHOTOGRAPH)
    assert all(np.isfinite(e.value) and np.isnan(e.low) and np.isnan(e.high) for e in benchmark.scores(one).values())


def test_the_interval_resamples_photographs(benchmark):
    """Two photographs can be drawn in three ways, each often enough for the extremes to be the ends of the interval."""
    rng = np.random.default_rng(2)
    two = rng.uniform(0, 1, (2, PER_PHOTOGRAPH))
    draws = [benchmark.equivalent_noise(two[rows, :].ravel()).mean(1) for rows in ([0, 0], [0, 1], [1, 1])]
    for index, name in enumerate(CORRUPTIONS):
        value, low, high = benchmark.scores(two.ravel())[name]
        each = [draw[index] for draw in draws]
        assert (value, low, high) == pytest.approx((each[1], min(each), max(each)))


def test_figures_show_what_was_computed(benchmark):
    rng = np.random.default_rng(3)
    measured = {name: rng.uniform(0.01, 1, (3, PER_PHOTOGRAPH)).ravel() for name in ("one", "two")}
    measured["two"] -= 0.5
    few, all_, one, two = benchmark.figures(measured).values()
    for figure, names in (few, ("zoom", "fog")), (all_, CORRUPTIONS):
        for panel, name in zip(figure.axes, names, strict=False):
            assert panel.get_title() == name.replace("_", " ")
            for line, values in zip(panel.lines, measured.values(), strict=True):
                expected = benchmark.equivalent_noise(values)[CORRUPTIONS.index(name)]
                np.testing.assert_array_equal(line.get_xydata(), np.stack([SEVERITIES, expected], axis=1))
    assert [figure.axes[0].get_xscale() for figure in (one, two)] == ["log", "linear"]
    means = measured["two"].reshape(3, -1).mean(0)
    drawn = [line.get_xdata()[0] for line in two.axes[0].lines]
    assert set(means[:CHANGES]) <= set(drawn)
    assert means[-1] in drawn  # the strongest noise


def test_a_folder_without_photographs_is_an_error(tmp_path, benchmark):
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{folder}.*give a folder of photographs"):
            imagenet_c.read(folder)
    shutil.copy(PHOTOGRAPHS / "boats.png", tmp_path / "a.png")
    assert len(imagenet_c.read(tmp_path).pairs) == PER_PHOTOGRAPH
