"""The benchmarks of `eval.py`: one data set, several metrics, one table.

    python eval.py --benchmark iqa --data tid2013/ --metrics pim,psnr,lpips-alex-lin --report tid2013.html

Standard output holds the metrics' identities and the table, in Markdown. Distances are kept in the user's cache folder,
so that an interrupted run goes on where it stopped.
"""

import argparse
import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pim_jax import baselines, metrics
from pim_jax.evaluation import datasets, markdown, report, store
from pim_jax.evaluation.datasets.benchmark import Benchmark
from pim_jax.evaluation.measure import measure
from pim_jax.evaluation.store import Store
from pim_jax.files import replacing
from pim_jax.metrics import MapMetric, Metric

LISTED = 10  # of a long list of problems, how many are printed


def run(args: argparse.Namespace, command: str, say: Callable[[str], None]) -> int:
    """Runs a benchmark.

    Args:
      args: `benchmark`, `data`, `metrics`, `ckpt`, `shift`, `allow_missing`, `csv` and `report` of the command line.
      command: the command line, for the report.
      say: prints a message to standard error.

    Returns:
      the exit status: 0, 1 if a picture or a metric had to be left out, 130 if interrupted.

    Raises:
      OSError, ValueError: the arguments or the data are not as they should be, and nothing was measured.
    """
    for path in (args.csv, args.report):
        if path and path.exists() and path.resolve().is_relative_to(args.data.resolve()):
            raise ValueError(f"{path} is a file of the data set and would be overwritten; write the results elsewhere")
    benchmark = datasets.read(args.benchmark, args.data, shifts=args.shift or (0,), allow_missing=args.allow_missing)
    loaded, skipped = _load(args.metrics or ["pim"], args.ckpt)
    for name, reason in skipped.items():
        say(f"{name} is skipped: {reason}")
    print(
        f"# {benchmark.title}", *(f"# {name}: {identity!r}" for name, identity in loaded.items()), sep="\n", flush=True
    )
    try:
        with (
            Store(store.path()) as kept,
            tqdm(total=len(benchmark.pairs), unit="pair", disable=None) as bar,
        ):
            distances, problems = measure(loaded, benchmark.pairs, kept, progress=bar.update)
    except KeyboardInterrupt:
        say("interrupted: run the same command again, and it goes on from here")
        return 130
    for name in [name for name, values in distances.items() if np.isnan(values).all()]:
        del distances[name]
        skipped[name] = next(
            (why for what, why in problems.items() if what.startswith(f"{name}: ")), "nothing was measured"
        )
    if not distances:
        raise ValueError("no metric measured any pair: " + _listed({**skipped, **problems}))

    scores = {name: benchmark.scores(values) for name, values in distances.items()}
    print(markdown.tables(scores))
    print(*(f"# {note}" for note in benchmark.notes), sep="\n", flush=True)
    if args.csv:
        _write_csv(args.csv, benchmark, distances)
    if args.report:
        report.of_benchmark(
            args.report,
            benchmark,
            distances,
            scores,
            metrics={name: repr(loaded[name]) for name in distances},
            skipped=skipped,
            unread=problems,
            command=command,
            mapped=next((m for m in loaded.values() if isinstance(m, MapMetric)), None),
        )
    if problems:
        say(f"error: {len(problems)} could not be measured:{_listed(problems)}")
    return 1 if problems or skipped else 0


def _load(names: list[str], ckpt: str) -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics by the name to show, and the reasons for those that this machine cannot run."""
    loaded, skipped = {}, {}
    for name in names:
        try:
            found = metrics.load(ckpt if name == "pim" else name)
        except (ImportError, OSError) as error:
            if name.lower() not in baselines.NAMES:
                raise
            skipped[name] = str(error)  # what it needs is not on this machine
            continue
        shown = found.name if found.name not in loaded else name
        loaded[shown] = found
    return loaded, skipped


def _listed(problems: Mapping[str, str]) -> str:
    lines = [f"\n  {what}: {why}" for what, why in problems.items()]
    more = f"\n  and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
    return "".join(lines[:LISTED]) + more


def _write_csv(path: Path, benchmark: Benchmark, distances: Mapping[str, np.ndarray]) -> None:
    """Every pair with its distance by every metric."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["reference", "reference_treatment", "distorted", "distorted_treatment", *distances])
        for pair, *values in zip(benchmark.pairs, *distances.values(), strict=True):
            pictures = (text for picture in pair for text in (picture.path, picture.treatment))
            table.writerow([*pictures, *(f"{value:.9g}" for value in values)])
