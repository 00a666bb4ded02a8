"""The benchmarks of `eval.py`: one data set, several metrics, one table.

    python eval.py --benchmark iqa --data tid2013/ --metrics pim,psnr,lpips-alex-lin --report tid2013.html

Standard output holds the metrics' identities and the table, in Markdown. A distance is kept in the user's cache folder
and in the CSV's rows once it is measured, so that an interrupted run goes on where it stopped.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pim_jax.console import Printer
from pim_jax.data import isolated
from pim_jax.evaluation import datasets, loading, markdown, outputs, progress, report
from pim_jax.evaluation.datasets.benchmark import Benchmark, Resamples
from pim_jax.evaluation.measure import Measured, measure
from pim_jax.evaluation.outputs import CsvOutput, attempt
from pim_jax.evaluation.store import Store
from pim_jax.metrics import MapMetric, Metric

COLUMNS = ("reference", "reference_treatment", "distorted", "distorted_treatment")  # and one for each metric
LISTED = 10  # of a long list of problems, how many are printed


def run(args: argparse.Namespace, command: str, out: Printer, say: Callable[[str], None]) -> int:
    """Runs a benchmark.

    Args:
      args: `benchmark`, `data`, `metrics`, `ckpt`, `shift`, `allow_missing`, `higher_is`, `csv` and `report` of the
        command line.
      command: the command line, for the report.
      out: prints a result.
      say: prints a message to standard error.

    Returns:
      the exit status: 0; 1 if a picture or a metric had to be left out, or an output not be written; 130 if
      interrupted.

    Raises:
      OSError, ValueError: the arguments or the data are not as they should be, and nothing was measured.
    """
    inputs = [args.data, Path(args.ckpt)]
    outputs.check_places(args.csv, args.report, inputs)
    benchmark = datasets.read(
        args.benchmark,
        args.data,
        shifts=args.shift or (0,),
        allow_missing=args.allow_missing,
        higher_is=args.higher_is,
    )
    inputs += {picture.path for pair in benchmark.pairs for picture in pair}  # also under other names, as by links
    outputs.check_places(args.csv, args.report, inputs)
    loaded, skipped = loading.load(args.metrics or ["pim"], args.ckpt)
    for name, reason in skipped.items():
        say(f"{name} is skipped: {reason}")
    out("\n".join([f"# {benchmark.title}", *(f"# {name}: {metric!r}" for name, metric in loaded.items())]))
    with CsvOutput(args.csv, [*COLUMNS, *loaded], say) as table:
        try:

            def add(result: Measured) -> None:  # to the table, as they are measured
                if result.distances:
                    of = {name: {result.index: result.distances.get(name, math.nan)} for name in loaded}
                    table.add(_rows(benchmark, of, [result.index]))

            distances, problems = measured(benchmark, loaded, say, done=add)
            _drop_unmeasured(distances, skipped, problems)
            resamples = Resamples(benchmark)
            scores = {name: resamples.scores(values) for name, values in distances.items()}
            out(markdown.tables(scores))
            gaps = resamples.differences(distances)
            if gaps:
                out(
                    f"\nDifferences from {next(iter(distances))} on the same resamples:\n\n{markdown.differences(gaps)}"
                )
            out("\n".join(f"# {note}" for note in benchmark.notes))
            for doubt in benchmark.doubts(scores):
                say(f"warning: {doubt}")
            rows = _rows(benchmark, distances, range(len(benchmark.pairs)))
            written = [attempt(say, table.finish, rows, header=[*COLUMNS, *distances])]
            if args.report:
                of_metrics = {name: repr(loaded[name]) for name in distances}
                mapped = next((metric for metric in loaded.values() if isinstance(metric, MapMetric)), None)
                about = {"metrics": of_metrics, "skipped": skipped, "unread": problems, "mapped": mapped, "gaps": gaps}
                written += [
                    attempt(
                        say, report.of_benchmark, args.report, benchmark, distances, scores, command=command, **about
                    )
                ]
        except KeyboardInterrupt:
            where = f"; the rows so far are in {table.kept}" if table.kept else ""
            say(f"interrupted{where}. Run the same command again, and it goes on from here")
            return 130
    if problems:
        say(f"error: {len(problems)} could not be measured:{_listed(problems)}")
    return 1 if problems or skipped or not all(written) else 0


def measured(
    benchmark: Benchmark,
    loaded: Mapping[str, Metric],
    say: Callable[[str], None],
    *,
    done: Callable[[Measured], Any] = lambda result: None,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Measures all pairs of a benchmark, those that were not measured before, and shows how far it is.

    Args:
      benchmark: the pairs.
      loaded: metrics by name.
      say: prints a message to standard error.
      done: called with each result as soon as it is there.

    Returns:
      as `measure.measure`.
    """
    with (
        isolated.Reader() as reader,
        Store(say=say) as kept,
        progress.bar(len(benchmark.pairs), "measuring", say) as bar,
    ):

        def count(result: Measured) -> None:
            done(result)
            bar.update()

        return measure(loaded, benchmark.pairs, kept, reader=reader, done=count)


def _drop_unmeasured(distances: dict[str, np.ndarray], skipped: dict[str, str], problems: Mapping[str, str]) -> None:
    """Moves the metrics that measured nothing to those that are skipped.

    Raises:
      ValueError: no other is left.
    """
    for name in [name for name, values in distances.items() if np.isnan(values).all()]:
        del distances[name]
        skipped[name] = next(
            (why for what, why in problems.items() if what.startswith(f"{name}: ")), "nothing was measured"
        )
    if not distances:
        raise ValueError("no metric measured any pair: " + _listed({**skipped, **problems}))


def _listed(problems: Mapping[str, str]) -> str:
    return outputs.listed([f"{what}: {why}" for what, why in problems.items()], LISTED)


def _rows(benchmark: Benchmark, distances: Mapping[str, Mapping[int, float]], indices: Iterable[int]) -> Iterator[list]:
    """Rows of pairs with their distances by every metric."""
    for index in indices:
        pictures = (text for picture in benchmark.pairs[index] for text in (picture.path, picture.treatment))
        yield [*pictures, *(f"{values[index]:.9g}" for values in distances.values())]
