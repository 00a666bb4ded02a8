"""What a comparison says is what its distances say, computed here in another way."""

import json
from pathlib import Path

import numpy as np
import pytest

from pim_jax import baselines
from pim_jax.evaluation import answer
from pim_jax.evaluation.compare import Candidate, Match
from pim_jax.evaluation.comparison import Comparison
from pim_jax.evaluation.curves import Curve, bd_rate
from pim_jax.evaluation.measure import Measured
from pim_jax.evaluation.statistics import bootstrap


def compared(table, candidates, rates=None, suffix="jpg", metrics=("PSNR",)):
    """[images, candidates] distances, NaN for pairs that are not there; bytes by candidate of pictures of 80 x 100."""
    places = [(i, j) for i, j in np.ndindex(*np.shape(table)) if not np.isnan(table[i][j])]
    matches = [
        Match(f"{i:03}", Path(f"r/{i}.png"), Path(f"{candidates[j]}/{i}.{suffix}"), candidates[j]) for i, j in places
    ]
    found = Comparison.of(matches, list(metrics))
    for index, (i, j) in enumerate(places):
        distances = {name: float(table[i][j]) * (place + 1) for place, name in enumerate(metrics)}
        found.add(Measured(index, (80, 100), distances, {}), 1000 * (rates[j] if rates else 1))
    return found


FLAT = [Candidate(name) for name in "abc"]
CODECS = [Candidate(codec, quality) for codec in ("jpeg", "webp") for quality in ("10", "50", "90")]


def random_table(images=12, candidates=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(0, 1, (images, 1)) + rng.normal(0, 0.1, (images, candidates)) + 0.1 * np.arange(candidates)


def test_rows_have_means_medians_and_the_images_that_stand_out_sorted_by_the_first_metric():
    table = random_table()[:, ::-1]
    found = compared(table, FLAT, metrics=("PSNR", "SSIM"))
    assert [str(row.candidate) for row in found.rows] == ["c", "b", "a"]
    for row in found.rows:
        column = table[:, "abc".index(str(row.candidate))]
        for factor, name in ((1, "PSNR"), (2, "SSIM")):
            spread = row.spreads[name]
            assert spread.mean.value == pytest.approx(factor * column.mean())
            wanted = bootstrap(lambda chosen, column=column: {"m": column[chosen].mean()}, np.arange(12))["m"]
            assert spread.mean.low == pytest.approx(factor * wanted.low)
            assert spread.median == pytest.approx(factor * np.median(column))
            assert (spread.best.name, spread.worst.name) == (f"{column.argmin():03}", f"{column.argmax():03}")
        assert (row.count, row.bits_per_pixel.value) == (12, 1.0)


def test_differences_are_paired():
    """Images differ much more than candidates: the difference is sure, though the intervals of the means overlap."""
    table = random_table()
    found = compared(table, FLAT)
    assert [(str(d.first), str(d.second)) for d in found.differences] == [("a", "b"), ("a", "c"), ("b", "c")]
    gap = found.differences[1].gaps["PSNR"]
    column = table[:, 0] - table[:, 2]
    assert gap.mean.value == pytest.approx(column.mean()) and gap.mean.high < 0
    assert (gap.first_closer, gap.second_closer) == ((column < 0).sum(), (column > 0).sum())
    first, second = (row.spreads["PSNR"].mean for row in (found.rows[0], found.rows[-1]))
    assert first.high > second.low


def test_images_that_one_candidate_lacks_are_in_no_difference_and_told():
    table = random_table(images=6)
    table[4:, 1] = np.nan
    found = compared(table, FLAT)
    assert [row.count for row in found.rows] == [6, 4, 6] or {row.count for row in found.rows} == {4, 6}
    difference = found.differences[0]
    assert difference.count == 4
    assert difference.gaps["PSNR"].mean.value == pytest.approx((table[:4, 0] - table[:4, 1]).mean())
    assert any("candidates have 4 to 6 images" in doubt for doubt in found.doubts)


def test_many_candidates_are_held_against_the_best():
    many = [Candidate(str(i)) for i in range(9)]
    found = compared(random_table(candidates=9), many)
    assert {str(d.first) for d in found.differences} == {str(found.rows[0].candidate)}
    assert len(found.differences) == 8


def test_codecs_are_compared_step_by_step():
    found = compared(random_table(candidates=6), CODECS, rates=[1, 2, 3] * 2)
    assert [(str(d.first), str(d.second)) for d in found.differences] == [
        (f"jpeg/{q}", f"webp/{q}") for q in ("10", "50", "90")
    ]
    others = [*CODECS[:3], *(Candidate("webp", quality) for quality in ("x", "a", "q"))]
    found = compared(random_table(candidates=6), others, rates=[1, 2, 3, 9, 1, 3])
    assert [str(d.second) for d in found.differences] == ["webp/a", "webp/q", "webp/x"]  # by rate


def test_bd_rates_are_of_the_mean_curves_with_intervals_over_images():
    rng = np.random.default_rng(0)
    level = np.array([3.0, 2.0, 1.0, 2.6, 1.7, 0.8])
    table = level * rng.lognormal(0, 0.2, (20, 1)) + rng.normal(0, 0.02, (20, 6))
    rates = [1, 2, 4, 1, 2, 4]
    found = compared(table, CODECS, rates)
    [saving] = found.savings
    assert (saving.codec, saving.anchor) == ("webp", "jpeg")

    def of(rows):
        means = table[rows].mean(0)
        return bd_rate(*(Curve(np.array(rates[k : k + 3], float), means[k : k + 3]) for k in (0, 3)))

    estimate = saving.rates["PSNR"]
    assert estimate.value == pytest.approx(of(np.arange(20)))
    assert estimate.low < estimate.value < estimate.high < 0
    wanted = bootstrap(lambda chosen: {"BD": of(chosen)}, np.arange(20))["BD"]
    assert estimate == pytest.approx(wanted)
    assert list(found.points["PSNR"]) == ["jpeg", "webp"] and len(found.points["PSNR"]["jpeg"]) == 3


def test_curves_that_hardly_overlap_or_rise_are_told():
    level = np.array([3.0, 2.0, 1.0, 1.2, 0.7, 0.8])
    found = compared(np.tile(level, (5, 1)), CODECS, [1, 2, 4] * 2)
    said = "\n".join(found.doubts)
    assert "the curves of webp and jpeg by PSNR share only 9% of their distances" in said
    assert "by PSNR, more bits are not always closer: webp" in said
    apart = compared(np.tile([3.0, 2, 1, 0.3, 0.2, 0.1], (5, 1)), CODECS, [1, 2, 4] * 2)
    assert any("share no distance" in doubt for doubt in apart.doubts)


def test_the_size_of_decoded_pictures_is_not_taken_for_a_rate_in_silence():
    assert any(
        "from the sizes of PNG files (a, b, c)" in d for d in compared(random_table(), FLAT, suffix="png").doubts
    )
    assert compared(random_table(), FLAT).doubts == []


def test_text_and_json_say_the_same():
    found = compared(random_table(images=5), FLAT, metrics=("PSNR", "SSIM"))
    text = answer.text(found)
    metrics = {name: baselines.load(name) for name in ("PSNR", "SSIM")}
    read = json.loads("".join(answer.as_json(found, metrics, {"Command": "eval.py"})))
    assert [row["candidate"] for row in read["candidates"]] == ["a", "b", "c"]
    for row in read["candidates"]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['candidate']} "))
        for name in ("PSNR", "SSIM"):
            mean, low, high = (answer.four_digits(row["metrics"][name][key]) for key in ("mean", "low", "high"))
            assert f"{mean} [{low}, {high}]" in line
    assert len(read["pairs"]) == 15 and len(read["differences"]) == 3
    assert read["pairs"][1] == {
        **{"image": "000", "candidate": "b", "reference": "r/0.png", "distorted": "b/0.jpg"},
        **{"height": 80, "width": 100, "bytes": 1000, "bits_per_pixel": 1.0},
        "distances": {name: values[1] for name, values in found.distances.items()},
    }
    assert read["metrics"]["PSNR"]["digest"] == metrics["PSNR"].digest


def test_one_image_has_no_interval():
    [row, *_] = compared(random_table(images=1), FLAT).rows
    assert np.isnan(row.spreads["PSNR"].mean.low)
    assert "[" not in answer.text(compared(random_table(images=1), FLAT))
