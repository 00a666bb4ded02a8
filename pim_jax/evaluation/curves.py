"""Rate-distance curves of codecs, and how much rate one needs against another (Bjøntegaard's delta)."""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from pim_jax.evaluation.statistics import Estimate

OVERLAP = 0.5  # of the distances of two curves, below which their BD-rate says little


class Curve(NamedTuple):
    """A codec at several qualities.

    Attributes:
      rates: [qualities] bits per pixel, above 0.
      distances: [qualities] mean distances.
    """

    rates: np.ndarray
    distances: np.ndarray

    @property
    def falls(self) -> bool:
        """Whether every higher rate has a lower distance."""
        return bool((np.diff(np.asarray(self.distances)[np.argsort(self.rates)]) < 0).all())


def bd_rate(anchor: Curve, test: Curve) -> float:
    """How much more rate the test needs than the anchor for the same distance, on average.

    The logarithm of the rate is interpolated over the distance by piecewise cubic Hermite polynomials, as in the common
    test conditions of JVET, and integrated over the distances that both curves have.

    Args:
      anchor, test: at least two qualities each.

    Returns:
      per cent, above -100; below 0 where the test needs less. NaN where the curves share no distance, or a curve has
      one distance twice.

    References:
      Bjøntegaard, Calculation of average PSNR differences between RD-curves, VCEG-M33, 2001; Herglotz et al., The
      Bjøntegaard bible, 2023, for the package that computes it.

    Examples:
      >>> curve = Curve(np.array([0.25, 0.5, 1.0]), np.array([0.9, 0.5, 0.2]))
      >>> round(bd_rate(curve, Curve(1.1 * curve.rates, curve.distances)), 6)
      10.0
    """
    import bjontegaard  # here, not above: it takes pyplot

    if not overlap(anchor, test) > 0:
        return float("nan")
    ordered = []
    for curve in (anchor, test):
        order = np.argsort(curve.distances)[::-1]  # the package takes qualities, in rising order
        ordered += [np.asarray(curve.rates)[order], -np.asarray(curve.distances)[order]]
    try:
        return float(bjontegaard.bd_rate(*ordered, "pchip", require_matching_points=False, min_overlap=0))
    except ValueError:  # a distance that a curve has twice
        return float("nan")


def overlap(anchor: Curve, test: Curve) -> float:
    """The share of the distances of two curves that both have, 0 to 1; NaN where one is not known.

    Examples:
      >>> overlap(Curve([1, 2], [0.4, 0.0]), Curve([1, 2], [0.6, 0.2]))
      0.33333333333333337
    """
    lows, highs = ([f(curve.distances) for curve in (anchor, test)] for f in (np.min, np.max))
    whole = max(highs) - min(lows)
    return float(max(min(highs) - max(lows), 0) / whole) if whole else float("nan")


def draw(
    points: Mapping[str, Sequence[tuple[Estimate, Estimate]]], *, y_label: str, x_label: str = "bits per pixel"
) -> Figure:
    """Draws the curve of each codec, with the intervals of its distances.

    Args:
      points: by codec: rate and distance at each quality.
      y_label, x_label: of the axes.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["tab10"].colors
    for place, (codec, estimates) in enumerate(points.items()):
        rates, distances = (np.array(values, float) for values in zip(*estimates, strict=True))  # [qualities, 3]
        order = np.argsort(rates[:, 0])
        rates, distances = rates[order], distances[order]
        reach = np.nan_to_num(np.abs(distances[:, 1:] - distances[:, :1]).T)
        style = {"marker": "osD^vP*X"[place % 8], "markersize": 5, "capsize": 2.5, "linewidth": 1.5}
        axes.errorbar(rates[:, 0], distances[:, 0], reach, label=codec, color=colours[place % 10], **style)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label, parse_math=False)
    axes.set_xlim(left=0)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that begins with "_" is left out of legends
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)
    return figure
