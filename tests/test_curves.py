"""BD-rates are those that others compute, and curves that do not fit together are told."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from pim_jax.evaluation import curves
from pim_jax.evaluation.curves import Curve
from pim_jax.evaluation.statistics import Estimate

# The example in the README of the package bjontegaard: x265 at two presets.
ANCHOR = Curve(np.array([9487.76, 4593.60, 2486.44, 1358.24]), -np.array([40.037, 38.615, 36.845, 34.851]))
TEST = Curve(np.array([9787.80, 4469.00, 2451.52, 1356.24]), -np.array([40.121, 38.651, 36.970, 34.987]))


def by_trapezoids(anchor, test):
    """The definition, integrated in a hundred thousand steps."""
    low = max(min(-curve.distances) for curve in (anchor, test))
    high = min(max(-curve.distances) for curve in (anchor, test))
    places, logs = np.linspace(low, high, 100_001), []
    for curve in (anchor, test):
        order = np.argsort(-curve.distances)
        logs.append(PchipInterpolator(-curve.distances[order], np.log(curve.rates[order]))(places))
    return 100 * np.expm1(np.trapezoid(logs[1] - logs[0], places) / (high - low))


def test_is_the_definition():
    found = curves.bd_rate(ANCHOR, TEST)
    assert found == pytest.approx(by_trapezoids(ANCHOR, TEST), abs=1e-6)
    assert -5 < found < -2


@pytest.mark.parametrize(("factor", "percent"), [(2.0, 100.0), (0.5, -50.0)])
def test_twice_the_rate_is_100_percent_more(factor, percent):
    """The test of google/compare-codecs."""
    line = Curve(np.array([10.0, 20, 30, 40]), -np.array([10.0, 20, 30, 40]))
    assert curves.bd_rate(line, Curve(factor * line.rates, line.distances)) == pytest.approx(percent)


def test_the_order_and_the_number_of_qualities_do_not_matter():
    shuffled = Curve(TEST.rates[[2, 0, 3, 1]], TEST.distances[[2, 0, 3, 1]])
    assert curves.bd_rate(ANCHOR, shuffled) == curves.bd_rate(ANCHOR, TEST)
    more = Curve(np.append(TEST.rates, 20000.0), np.append(TEST.distances, -42.0))
    assert curves.bd_rate(ANCHOR, more) == pytest.approx(by_trapezoids(ANCHOR, more), abs=1e-6)


def test_curves_without_a_common_distance_have_no_rate():
    far = Curve(TEST.rates, TEST.distances + 100)
    assert curves.overlap(ANCHOR, far) == 0 and np.isnan(curves.bd_rate(ANCHOR, far))
    flat = Curve(TEST.rates, np.full(4, -37.0))
    assert np.isnan(curves.bd_rate(ANCHOR, flat)) and not flat.falls


def test_a_curve_that_rises_is_told():
    assert ANCHOR.falls and not Curve(ANCHOR.rates, ANCHOR.distances[::-1]).falls


def test_every_codec_has_its_line_with_intervals():
    points = {
        name: [(Estimate(rate), Estimate(1 / rate, 0.9 / rate, 1.2 / rate)) for rate in (0.5, 0.25, 1.0)]
        for name in ("$a", "_b")
    }
    axes = curves.draw(points, y_label="d").axes[0]
    assert len(axes.containers) == 2
    line, _, (bars,) = axes.containers[0]
    np.testing.assert_allclose(line.get_data(), [[0.25, 0.5, 1.0], [4, 2, 1]])
    np.testing.assert_allclose(bars.get_segments()[0], [[0.25, 3.6], [0.25, 4.8]])
