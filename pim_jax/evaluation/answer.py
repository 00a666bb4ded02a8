"""What a comparison says, as text for people and as JSON for programs."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pim_jax.console import one_line
from pim_jax.evaluation.comparison import Comparison, Row, Spread
from pim_jax.evaluation.markdown import cell, table
from pim_jax.evaluation.statistics import Estimate
from pim_jax.metrics import Metric

MOST_DIFFERENCES = 30  # that are printed; all are in the JSON file


def four_digits(value: float) -> str:
    """A distance or a rate.

    Examples:
      >>> four_digits(0.0123456), four_digits(-31.5), four_digits(float("nan"))
      ('0.01235', '-31.50', '-')
    """
    return "-" if math.isnan(value) else f"{value:#.4g}".removesuffix(".")


def percent(estimate: Estimate) -> str:
    """A difference in per cent with its interval, if there is one.

    Examples:
      >>> percent(Estimate(-12.34, -15.0, -9.96))
      '-12.3 % [-15.0, -10.0]'
    """
    if math.isnan(estimate.value):
        return "-"
    interval = "" if math.isnan(estimate.low) else f" [{estimate.low:+.1f}, {estimate.high:+.1f}]"
    return f"{estimate.value:+.1f} %{interval}"


def text(comparison: Comparison) -> str:
    """The answer for a terminal, in Markdown: candidates, their differences, and what codecs save."""
    metrics = list(comparison.distances)
    first = metrics[0]
    header = ["", "images", "bit/pixel", *metrics, f"median {first}", f"worst by {first}"]
    rows = []
    for row in comparison.rows:
        spreads = [row.spreads.get(name) for name in metrics]
        means = [cell(spread.mean, four_digits) if spread else "-" for spread in spreads]
        ends = [four_digits(spreads[0].median), one_line(spreads[0].worst.name)] if spreads[0] else ["-", "-"]
        rate = four_digits(row.bits_per_pixel.value)
        rows.append([one_line(str(row.candidate)), str(row.count), rate, *means, *ends])
    parts = ["Mean distances with 95 % intervals that resample the images; lower is closer.", table([header, *rows])]
    if comparison.differences:
        parts += ["Differences on the same images: first minus second, and how many images are closer to the original."]
        parts += [table([["", "images", *metrics], *_differences(comparison)])]
    if len(comparison.differences) > MOST_DIFFERENCES:
        parts += [f"{len(comparison.differences) - MOST_DIFFERENCES} more differences are in what --json writes."]
    if comparison.savings:
        rows = [
            [
                one_line(f"{saving.codec} against {saving.anchor}"),
                *(percent(saving.rates.get(m, Estimate(math.nan))) for m in metrics),
            ]
            for saving in comparison.savings
        ]
        parts += ["BD-rate: the bits that a codec needs more, or less, for the same distance."]
        parts += [table([["", *metrics], *rows])]
    return "\n\n".join(parts)


def lines(row: Row) -> Iterator[str]:
    """What there is to say of a single candidate besides its means."""
    for name, (mean, median, _, worst) in row.spreads.items():
        _, low, high = map(four_digits, mean)
        interval = "" if math.isnan(mean.low) else f"95 % interval {low} to {high}, "
        yield f"{name}: {interval}median {four_digits(median)}, worst {one_line(worst.name)}"
    yield f"{four_digits(row.bits_per_pixel.value)} bits per pixel"


def _differences(comparison: Comparison) -> Iterator[list[str]]:
    for difference in comparison.differences[:MOST_DIFFERENCES]:
        cells = []
        for name in comparison.distances:
            gap = difference.gaps.get(name)
            cells.append(f"{cell(gap.mean, four_digits)}, {gap.first_closer} : {gap.second_closer}" if gap else "-")
        yield [one_line(f"{difference.first} - {difference.second}"), str(difference.count), *cells]


def as_json(comparison: Comparison, metrics: Mapping[str, Metric], made: Mapping[str, str]) -> Iterator[str]:
    """All that was measured and all that follows from it, as the parts of one JSON text; what is not known is null.

    Args:
      comparison: what was measured.
      metrics: by name.
      made: how: the command, the versions and so on.
    """
    names = list(comparison.distances)
    head = {
        "made": made,
        "metrics": {name: {"digest": metrics[name].digest, "is": repr(metrics[name])} for name in names},
        "candidates": [
            {
                "candidate": str(row.candidate),
                "codec": row.candidate.codec,
                "quality": row.candidate.quality,
                "images": row.count,
                "bits_per_pixel": _estimate(row.bits_per_pixel),
                "metrics": {name: _spread(spread) for name, spread in row.spreads.items()},
            }
            for row in comparison.rows
        ],
        "differences": [
            {
                "first": str(difference.first),
                "second": str(difference.second),
                "images": difference.count,
                "metrics": {
                    name: {**_estimate(gap.mean), "first_closer": gap.first_closer, "second_closer": gap.second_closer}
                    for name, gap in difference.gaps.items()
                },
            }
            for difference in comparison.differences
        ],
        "bd_rates": [
            {
                "codec": saving.codec,
                "anchor": saving.anchor,
                "metrics": {
                    name: {**_estimate(rate), "overlap": _finite(saving.overlaps[name])}
                    for name, rate in saving.rates.items()
                },
            }
            for saving in comparison.savings
        ],
        "doubts": comparison.doubts,
    }
    yield json.dumps(head, indent=1)[:-2] + ',\n "pairs": ['
    rates = comparison.bits_per_pixel
    for index, pair in enumerate(comparison.pairs):
        height, width = map(int, comparison.sizes[index])
        values = {name: _finite(comparison.distances[name][index]) for name in names}
        row = {
            "image": pair.name,
            "candidate": str(pair.candidate),
            "reference": str(pair.reference),
            "distorted": str(pair.distorted),
            "height": height or None,
            "width": width or None,
            "bytes": int(comparison.bytes[index]),
            "bits_per_pixel": _finite(rates[index]),
            "distances": values,
        }
        if index in comparison.problems:
            row["problems"] = comparison.problems[index]
        yield (",\n  " if index else "\n  ") + json.dumps(row)
    yield "\n ]\n}\n"


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return dict(zip(("mean", "low", "high"), map(_finite, estimate), strict=True))


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        **_estimate(spread.mean),
        "median": spread.median,
        "best": spread.best.name,
        "worst": spread.worst.name,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
