"""CSV tables of data sets, with errors that say where they are wrong."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers.

    Raises:
      ValueError: a column is missing.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, skipinitialspace=True)
        if missing := [column for column in columns if column not in (table.fieldnames or [])]:
            raise ValueError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(columns)}")
        yield from ((table.line_num, row) for row in table)


def number(text: str, path: Path, line: int) -> float:
    """A finite number from a table, or a ValueError that says where it is not one."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{path}, line {line}: {text!r} is not a number")
    return value
