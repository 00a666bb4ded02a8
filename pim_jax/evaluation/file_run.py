"""Scores files: prints a line for every pair, and writes the CSV, the maps and the report."""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pim_jax.data import isolated
from pim_jax.evaluation import compare
from pim_jax.evaluation.compare import Match, Result
from pim_jax.files import replacing
from pim_jax.metrics import Metric


def run(
    metric: Metric,
    pairs: Sequence[Match],
    args: argparse.Namespace,
    command: str,
    say: Callable[[str], None],
    reader: isolated.Reader,
) -> int:
    """Scores pairs of files, prints and writes the results.

    Args:
      metric: what to score with.
      pairs: what to score.
      args: `a`, `batch`, `csv`, `maps` and `report` of the command line.
      command: the command line, for the report.
      say: prints a message to standard error.
      reader: reads the files.

    Returns:
      the exit status: 0, or 1 if a pair could not be scored.

    Raises:
      OSError: a result cannot be written.
    """
    print(f"# {metric.name} {metric.digest}")
    groups, failed = compare.by_size(pairs, reader.size)
    if len(groups) > 1:
        say(f"the images come in {len(groups)} sizes, each of which is compiled once")
    scored, brightest = [], 0.0
    quiet = len(pairs) < 10 or None  # None: a bar on a terminal only
    with tqdm(total=len(pairs), initial=len(failed), unit="pair", disable=quiet) as progress:
        for result in compare.score(
            metric, groups, batch=args.batch, with_maps=args.maps is not None, read=reader.read
        ):
            progress.update()
            if result.error:
                failed.append(result)
                continue
            progress.write(f"{result.pair.name}\t{result.distance:.6g}", file=sys.stdout)
            if args.maps:
                brightest = max(brightest, float(result.map.max()))
                _save_map(map_path(args.maps, result.pair, ".npy"), result.map)
            scored.append(result._replace(map=None))
    scored.sort(key=lambda result: result.pair.name)

    if scored and args.a.is_dir():
        print(f"mean of {len(scored)}\t{np.mean([result.distance for result in scored]):.6g}")
    if scored and args.csv:
        _write_csv(args.csv, scored, metric)
    if args.report:
        from pim_jax.evaluation import report

        report.of_comparison(args.report, [*scored, *failed], command=command, metric=metric)
    if args.maps:
        # Drawn last, on one scale, so that the pictures of a run can be compared with each other.
        for result in tqdm(scored, desc="drawing maps", unit="map", disable=quiet):
            _draw_map(map_path(args.maps, result.pair, ".png"), result, metric, brightest or 1.0)
    if failed:
        reasons = "".join(f"\n  {result.pair.name}: {result.error}" for result in failed)
        say(f"error: {len(failed)} of {len(pairs)} pairs could not be scored:{reasons}")
    return 1 if failed else 0


def _write_csv(path: Path, results: list[Result], metric: Metric) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["reference", "distorted", "distance", "height", "width", "weights", "digest"])
        for pair, size, distance, *_ in results:
            # nine digits give back the float32 exactly
            table.writerow([pair.reference, pair.distorted, f"{distance:.9g}", *size, metric.name, metric.digest])


def map_path(folder: Path, pair: Match, suffix: str) -> Path:
    """Where the map of a pair goes: ".npy" for its values, ".png" for the picture."""
    return folder / f"{pair.name}{suffix}"


def _save_map(path: Path, values: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, values.astype(np.float32))


def _draw_map(path: Path, result: Result, metric: Metric, maximum: float) -> None:
    # Here, not above: it takes matplotlib, which scores alone do not.
    from pim_jax.evaluation import maps

    maps.draw(
        np.load(path.with_suffix(".npy")),
        path,
        maximum=maximum,
        title=result.pair.name,
        subtitle=f"distance {result.distance:.6g}   {metric.name} {metric.digest}",
        text={
            "Title": result.pair.name,
            "Distance": f"{result.distance:.9g}",
            "Weights": f"{metric.name} {metric.digest}",
            "Scale": f"0 to {maximum:.9g}",
        },
    )
