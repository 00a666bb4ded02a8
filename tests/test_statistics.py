"""Each statistic against an independent computation: scipy's, a plain loop, or the closed form of a small case."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import optimize, stats

from pim_jax.evaluation import statistics
from pim_jax.evaluation.statistics import bootstrap


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ties(seed, n=200):
    """Distances and scores with many ties, of opposite direction."""
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, 12, n)
    return (12 - quality + rng.integers(-3, 4, n)).astype(float), (quality + rng.integers(-2, 3, n)) / 2


# Correlation


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlations_are_scipys_with_ties_and_the_opposite_sign(seed):
    distances, scores = ties(seed)
    np.testing.assert_allclose(statistics.spearman(distances, scores), -stats.spearmanr(distances, scores).statistic)
    np.testing.assert_allclose(statistics.kendall(distances, scores), -stats.kendalltau(distances, scores).statistic)
    np.testing.assert_allclose(statistics.pearson(distances, scores), stats.pearsonr(distances, scores).statistic)


def test_the_correlations_within_kinds_are_those_of_each_part_alone():
    distances, scores = ties(3)
    distances[0] = np.inf
    kinds = np.r_[0, 1, 1, 2 + np.arange(197) % 4]  # a single item and one with no ratings apart have no correlation
    scores[1:3] = 4
    alone = [statistics.spearman(distances[kinds == kind], scores[kinds == kind]) for kind in range(7)]
    np.testing.assert_allclose(statistics.spearman_within(distances, scores, kinds, 7), alone, rtol=1e-12)
    assert np.isnan(alone).tolist() == [True, True, False, False, False, False, True]


def test_perfect_agreement_is_one_and_the_reverse_is_minus_one():
    distances, scores = np.exp(np.arange(30.0)), -np.arange(30.0)
    for statistic in (statistics.spearman, statistics.kendall, statistics.pearson_after_logistic):
        np.testing.assert_allclose(statistic(np.log(distances), scores), 1)
        np.testing.assert_allclose(statistic(-np.log(distances), scores), -1)
    assert statistics.spearman(distances, scores) == statistics.kendall(distances, scores) == 1


@pytest.mark.parametrize("n", [0, 1, 8])
def test_a_constant_or_nothing_gives_nan(n):
    for statistic in (statistics.spearman, statistics.kendall, statistics.pearson_after_logistic):
        assert np.isnan(statistic(np.full(n, 0.1), np.arange(n)))
        assert np.isnan(statistic(np.arange(n), np.full(n, 0.1)))


def test_infinite_distances_keep_their_rank():
    distances, scores = np.array([-np.inf, 1, 2, 3, 4, 5, np.inf]), -np.arange(7.0)
    assert statistics.spearman(distances, scores) == statistics.kendall(distances, scores) == 1
    assert 0.95 < statistics.pearson_after_logistic(distances, scores) < 1


def five_parameter_logistic(x, a, s, c, b, e):
    return a * (0.5 - 1 / (1 + np.exp(s * (x - c)))) + b * x + e


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-4, 3), (500, -20)])
def test_the_logistic_fit_is_that_of_scipy_from_the_true_parameters(scale, shift):
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 1, 300)
    truth = (-4, 1.7, 2.2, -0.1, 5)
    y = five_parameter_logistic(x, *truth) + 0.4 * rng.standard_normal(300)
    best = five_parameter_logistic(x, *optimize.curve_fit(five_parameter_logistic, x, y, truth)[0])
    fitted = statistics.fit_logistic(scale * x + shift, y)
    np.testing.assert_allclose(fitted, best, atol=2e-3)
    plcc = statistics.pearson_after_logistic(scale * x + shift, y)
    np.testing.assert_allclose(plcc, np.corrcoef(best, y)[0, 1], atol=1e-6)


def test_the_logistic_fit_is_never_worse_than_a_straight_line_or_the_usual_start():
    for seed, spread in itertools.product(range(3), (0.3, 1.5)):
        rng = np.random.default_rng(seed)
        quality = rng.standard_normal(200)
        x, y = np.exp(-spread * quality), np.tanh(quality) + 0.3 * rng.standard_normal(200)
        plcc = statistics.pearson_after_logistic(x, y)
        assert plcc >= abs(np.corrcoef(x, y)[0, 1])
        start = (np.ptp(y), -1 / x.std(), np.median(x), 0, y.mean())
        usual = optimize.curve_fit(five_parameter_logistic, x, y, start, maxfev=20000)[0]
        assert plcc >= np.corrcoef(five_parameter_logistic(x, *usual), y)[0, 1] - 1e-5


def test_correlations_of_all_indices_are_those_of_the_whole_set():
    distances, scores = ties(0)
    assert statistics.correlations(distances, scores)(np.arange(200)) == {
        "SROCC": statistics.spearman(distances, scores),
        "KROCC": statistics.kendall(distances, scores),
        "PLCC": statistics.pearson_after_logistic(distances, scores),
    }


# Answers


def test_2afc_counts_the_raters_who_agree_one_by_one():
    rng = np.random.default_rng(0)
    d0, d1 = rng.integers(0, 6, (2, 400)).astype(float)
    for_second = rng.integers(0, 6, 400)  # of five raters
    agreeing = 0.0
    for a, b, votes in zip(d0, d1, for_second, strict=True):
        for prefers_second in [True] * votes + [False] * (5 - votes):
            agreeing += 0.5 if a == b else float(prefers_second == (b < a))
    found = statistics.two_alternative_agreement(d0, d1, for_second / 5)
    np.testing.assert_allclose(found.mean(), 100 * agreeing / (5 * 400), rtol=1e-14)
    assert (d0 == d1).sum() > 20


def authors_jnd_score(distances, same):
    """The published procedure, step by step: sort, accumulate, precision and recall, envelope, area."""
    same = [same[i] for i in sorted(range(len(distances)), key=lambda i: distances[i])]
    hits, misses, points = 0.0, 0.0, [(0.0, 0.0)]
    for value in same:
        hits, misses = hits + value, misses + 1 - value
        points.append((hits / sum(same), hits / (hits + misses)))
    points.append((1.0, 0.0))
    area = 0.0
    for i in range(1, len(points)):
        area += (points[i][0] - points[i - 1][0]) * max(precision for _, precision in points[i:])
    return area


@pytest.mark.parametrize("seed", range(4))
def test_jnd_scores_are_those_of_the_authors_procedure(seed):
    rng = np.random.default_rng(seed)
    same = rng.integers(0, 4, 300) / 3
    distances = rng.random(300) - 0.3 * same if seed else rng.integers(0, 30, 300).astype(float)
    found = statistics.average_precision(distances, same)
    np.testing.assert_allclose(found, 100 * authors_jnd_score(distances, same), rtol=1e-12)


def test_jnd_scores_of_simple_cases():
    assert statistics.average_precision([1, 2, 3, 4], [1, 1, 0, 0]) == 100
    np.testing.assert_allclose(statistics.average_precision([4, 3, 2, 1], [1, 1, 0, 0]), 50)
    np.testing.assert_allclose(statistics.average_precision([1, 2, 3], [1 / 3, 1 / 3, 1 / 3]), 100 / 3)
    assert np.isnan(statistics.average_precision([1, 2], [0, 0]))
    assert np.isnan(statistics.average_precision([], []))


def test_the_gap_in_ranks_counts_the_distances_between():
    d0, d1 = np.array([1.0, 5, 7, np.nan]), np.array([2.0, 3, 7, 100])
    # of the seven distances, ranked 1, 2, 3, 4, 5.5, 5.5 and 7
    np.testing.assert_allclose(statistics.rank_gap(d0, d1), [1 / 7, -1 / 7, 0, np.nan])


def bradley_terry(elo, n, rng):
    """Answers to n questions for each pair of methods."""
    wins = np.zeros((len(elo), len(elo)))
    for i, j in itertools.combinations(range(len(elo)), 2):
        wins[i, j] = rng.binomial(n, 1 / (1 + 10 ** ((elo[j] - elo[i]) / 400)))
        wins[j, i] = n - wins[i, j]
    return wins


def test_elo_recovers_known_strengths():
    truth = np.array([1100, 1400, 1450, 1600, 1950.0])
    found = statistics.elo(bradley_terry(truth, 4000, np.random.default_rng(0)))
    np.testing.assert_allclose(found, truth, atol=25)
    np.testing.assert_allclose(found.mean(), 1500)


@pytest.mark.parametrize(("won", "lost"), [(7, 3), (10, 0), (0, 1)])
def test_elo_of_two_methods_is_the_logarithm_of_their_odds(won, lost):
    high, low = statistics.elo(np.array([[0, won], [lost, 0]]))
    np.testing.assert_allclose(high - low, 400 * np.log10((won + 0.5) / (lost + 0.5)), atol=1e-3)


def test_elo_depends_neither_on_the_order_of_methods_nor_on_pairs_that_were_not_compared():
    wins = bradley_terry(np.array([1300, 1500, 1700.0, 1500]), 50, np.random.default_rng(1))
    wins[0, 3] = wins[3, 0] = 0
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(statistics.elo(wins)[order], statistics.elo(wins[np.ix_(order, order)]), atol=1e-3)


def test_elo_of_methods_that_nothing_connects_is_refused():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 3] = 5
    with pytest.raises(ValueError, match="never compared"):
        statistics.elo(wins)


# Confidence


def test_the_bootstrap_of_independent_values_has_the_width_of_the_standard_error():
    values = np.random.default_rng(0).standard_normal(400)
    found = bootstrap(lambda chosen: {"mean": values[chosen].mean()}, np.arange(400))["mean"]
    assert found.value == values.mean()
    np.testing.assert_allclose(found.high - found.low, 2 * 1.96 * values.std() / 20, rtol=0.1)
    np.testing.assert_allclose((found.high + found.low) / 2, values.mean(), atol=0.02)


def test_intervals_over_groups_hold_the_truth_and_those_over_items_do_not():
    groups = np.repeat(np.arange(20), 6)
    held = {"groups": 0, "items": 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(20)[groups] + 0.5 * rng.standard_normal(120)
        for name, by in (("groups", groups), ("items", np.arange(120))):
            found = bootstrap(lambda chosen, v=values: {"mean": v[chosen].mean()}, by, resamples=200, seed=seed)["mean"]
            held[name] += found.low <= 0 <= found.high
    assert 0.9 <= held["groups"] / 150 <= 0.99  # nominal: 0.95
    assert held["items"] / 150 < 0.7


def test_the_bootstrap_draws_whole_groups_of_any_size():
    groups = np.array(["b", "a", "b", "c", "b", "c"])
    members = {"a": {1}, "b": {0, 2, 4}, "c": {3, 5}}
    seen = []
    bootstrap(lambda chosen: seen.append(chosen) or {"n": len(chosen)}, groups, resamples=50)
    for chosen in seen[1:]:
        counts = np.bincount(chosen, minlength=6)
        per_group = [{counts[i] for i in items} for items in members.values()]
        assert all(len(found) == 1 for found in per_group)
        assert sum(found.pop() for found in per_group) == 3
    assert seen[0].tolist() == list(range(6))
    assert len({tuple(chosen) for chosen in seen}) > 10


def test_two_calls_agree_and_other_seeds_differ():
    values = np.random.default_rng(0).random(50)

    def interval(seed):
        return bootstrap(lambda chosen: {"mean": values[chosen].mean()}, np.arange(50), seed=seed)

    assert interval(0) == interval(0) != interval(1)


def test_what_is_not_defined_has_no_interval():
    found = bootstrap(lambda chosen: {"nan": np.nan, "one": 1.0}, np.arange(10))
    assert np.isnan(found["nan"]).all()
    assert found["one"] == (1, 1, 1)
    for items in (0, 5):
        only = bootstrap(lambda chosen: {"count": len(chosen)}, np.zeros(items, int))["count"]
        assert (only.value, np.isnan(only.low), np.isnan(only.high)) == (items, True, True)


def test_a_difference_that_every_item_shares_is_sure_though_the_intervals_overlap():
    hard = np.random.default_rng(0).normal(0, 1, 30)

    def mean(values):
        return statistics.draw(lambda chosen: {"mean": values[chosen].mean()}, np.arange(30))

    first, second = mean(hard + 0.1), mean(hard)
    gap = statistics.difference(first, second)["mean"]
    assert gap.value == pytest.approx(0.1) and gap.low == pytest.approx(0.1) and gap.high == pytest.approx(0.1)
    assert statistics.intervals(first)["mean"].low < statistics.intervals(second)["mean"].high
