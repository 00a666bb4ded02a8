"""Compares SPIPS on references that it never saw with other metrics on the same folds.

    python train.py configs/spips_alex.py --workdir runs/spips --data tid2013/
    python eval.py --benchmark iqa --data tid2013/ --metrics psnr,ms-ssim,lpips-alex-lin,pim-1 --csv tid2013.csv
    python benchmarks/spips_folds.py tid2013.csv runs/spips/held_out.csv [runs/other/held_out.csv ...]

It prints SROCC and PLCC as mean ± standard deviation over folds, and the SROCC of all pairs together.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from pim_jax.evaluation import statistics


def main(others: str, *runs: str):
    tables = {Path(run).parent.name: rows(run) for run in runs}
    first = next(iter(tables.values()))
    names = [row["distorted"] for row in first]
    folds = np.array([row["fold"] for row in first])
    closer = -np.array([float(row["score"]) for row in first])
    distances = {name: column(table, "distance", names) for name, table in tables.items()}
    measured = rows(others)
    columns = [name for name in measured[0] if not name.startswith(("reference", "distorted"))]
    distances = {name: column(measured, name, names) for name in columns} | distances
    for name, values in distances.items():
        parts = [(values[folds == fold], closer[folds == fold]) for fold in np.unique(folds)]
        cells = [spread([f(*part) for part in parts]) for f in (statistics.spearman, statistics.pearson_after_logistic)]
        print(f"| {name} | {' | '.join(cells)} | {statistics.spearman(values, closer):.3f} |")


def rows(path: str) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table: list[dict], name: str, pairs: list[str]) -> np.ndarray:
    """The values of one column in the order of `pairs`, by the name of the distorted image."""
    found = {Path(row["distorted"]).name: float(row[name]) for row in table}
    return np.array([found[pair] for pair in pairs])


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


if __name__ == "__main__":
    main(*sys.argv[1:])
