"""Scores of several metrics as text."""

import math
from collections.abc import Callable, Mapping

from pim_jax.evaluation.statistics import Estimate

MAIN_COLUMNS = 4  # how many of a benchmark's columns are shown with their intervals


def tables(scores: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Returns the main columns with intervals, a metric per row; and below them the others, a metric per column.

    Args:
      scores: by metric, then by column, the most important first; all metrics have the same columns.

    Examples:
      >>> print(tables({"PSNR": {"SROCC": Estimate(0.64, 0.6, 0.68)}, "pim-1": {"SROCC": Estimate(0.7)}}))
      |       | SROCC                |
      |-------|----------------------|
      | PSNR  | 0.640 [0.600, 0.680] |
      | pim-1 | 0.700                |
    """
    columns = list(next(iter(scores.values())))
    main, others = columns[:MAIN_COLUMNS], columns[MAIN_COLUMNS:]
    tables = [table([["", *main], *([name, *(cell(row[c]) for c in main)] for name, row in scores.items())])]
    if others:
        rows = ([column, *(score(row[column].value) for row in scores.values())] for column in others)
        tables.append(table([["", *scores], *rows]))
    return "\n\n".join(tables)


def differences(gaps: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Returns how much better metrics are than another, a metric per row, in the main columns.

    Examples:
      >>> print(differences({"pim-1": {"SROCC": Estimate(0.06, 0.01, 0.11)}}))
      |       | SROCC                |
      |-------|----------------------|
      | pim-1 | 0.060 [0.010, 0.110] |
    """
    columns = list(next(iter(gaps.values())))[:MAIN_COLUMNS]
    return table([["", *columns], *([name, *(cell(row[c]) for c in columns)] for name, row in gaps.items())])


def score(value: float) -> str:
    """A score with the digits that mean something.

    Examples:
      >>> score(0.0123456), score(-31.5), score(float("nan"))
      ('0.012', '-31.50', '-')
    """
    return "-" if math.isnan(value) else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def cell(estimate: Estimate, number: Callable[[float], str] = score) -> str:
    """A figure with its interval, if there is one.

    Args:
      estimate: the figure.
      number: writes a number.
    """
    value, low, high = map(number, estimate)
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


def table(rows: list[list[str]]) -> str:
    """Rows of texts, the first of which is the header, as a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
