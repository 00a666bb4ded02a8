"""Scores files: prints a line for every pair, and writes the CSV, the maps and the report.

What is measured is not lost: a distance is printed, kept and in the CSV's rows before the next one is measured, and an
output that cannot be written costs only itself.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pim_jax.console import Printer, one_line
from pim_jax.data import isolated
from pim_jax.evaluation import compare
from pim_jax.evaluation.compare import Match, Result
from pim_jax.evaluation.outputs import CsvOutput, attempt
from pim_jax.evaluation.store import Store
from pim_jax.metrics import Metric
from pim_jax.writing import replacing

COLUMNS = ("reference", "distorted", "distance", "height", "width", "weights", "digest")


def run(
    metric: Metric,
    pairs: Sequence[Match],
    args: argparse.Namespace,
    command: str,
    out: Printer,
    say: Callable[[str], None],
    reader: isolated.Reader,
) -> int:
    """Scores pairs of files, prints and writes the results.

    Args:
      metric: what to score with.
      pairs: what to score.
      args: `a`, `batch`, `csv`, `maps` and `report` of the command line.
      command: the command line, for the report.
      out: prints a result.
      say: prints a message to standard error.
      reader: reads the files.

    Returns:
      the exit status: 0; 1 if a pair could not be scored or an output not be written; 130 if interrupted; 141 if
      nobody reads what is printed, and nothing else was asked for.
    """
    out(f"# {metric.name} {metric.digest}")
    groups, failed = compare.by_size(pairs, reader.size)
    if len(groups) > 1:
        say(f"the images come in {len(groups)} sizes, each of which is compiled once")
    with Store(say=say) as store, CsvOutput(args.csv, COLUMNS, say) as table:
        maps = _Maps(args.maps, metric, say)
        results = compare.score(
            metric, groups, batch=args.batch, with_maps=bool(args.maps), read=reader.read, store=store
        )
        try:
            with _bar(pairs, "scoring", initial=len(failed)) as bar:
                scored = _collect(results, failed, metric, table, maps, bar, _printing(out, bar, args))
            if scored and args.a.is_dir():
                out(f"mean of {len(scored)}\t{np.mean([result.distance for result in scored]):.6g}")
            written = [not scored or attempt(say, table.finish, [_row(result, metric) for result in scored])]
            if args.report:
                written += [attempt(say, _report, args.report, [*scored, *failed], command, metric)]
            written += [maps.draw(scored)]
        except BrokenPipeError:
            return 141  # as a process that SIGPIPE ends
        except KeyboardInterrupt:
            where = f"; the rows so far are in {table.kept}" if table.kept else ""
            again = "" if args.maps else ". Run the same command again, and it goes on from here"
            say(f"interrupted{where}{again}")
            return 130
    if failed:
        reasons = "".join(f"\n  {one_line(f'{result.pair.name}: {result.error}')}" for result in failed)
        say(f"error: {len(failed)} of {len(pairs)} pairs could not be scored:{reasons}")
    return 0 if all(written) and not failed else 1


def _collect(results, failed: list[Result], metric: Metric, table: CsvOutput, maps: "_Maps", bar, show) -> list[Result]:
    """What was scored, by name and without its maps; every result is kept before the next one is measured."""
    scored = []
    for result in results:
        bar.update()
        if result.error:
            failed.append(result)
            continue
        table.add([_row(result, metric)])
        maps.add(result)
        show(result)
        scored.append(result._replace(map=None))
    return sorted(scored, key=lambda result: result.pair.name)


def _printing(out: Printer, bar: tqdm, args: argparse.Namespace) -> Callable[[Result], None]:
    def show(result: Result) -> None:
        with bar.external_write_mode(file=sys.stdout):
            out(f"{one_line(result.pair.name)}\t{result.distance:.6g}")
        if out.closed and not (args.csv or args.maps or args.report):
            raise BrokenPipeError  # nobody wants to know

    return show


def _report(path: Path, results: Sequence[Result], command: str, metric: Metric) -> None:
    # Here, not above: it takes matplotlib, which scores alone do not.
    from pim_jax.evaluation import report

    report.of_comparison(path, results, command=command, metric=metric)


def _bar(things: Sequence, what: str, *, initial: int = 0) -> tqdm:
    # Of few pairs none; else on a terminal only, which is what None means.
    return tqdm(total=len(things), initial=initial, desc=what, unit="pair", disable=len(things) < 10 or None)


def _row(result: Result, metric: Metric) -> list:
    # nine digits give back the float32 exactly
    distance = f"{result.distance:.9g}"
    return [result.pair.reference, result.pair.distorted, distance, *result.size, metric.name, metric.digest]


class _Maps:
    """The maps of a run: their values as they are measured, their pictures at the end, when the scale is known."""

    def __init__(self, folder: Path | None, metric: Metric, say: Callable[[str], None]):
        self._folder, self._metric, self._say = folder, metric, say
        self._brightest, self._written = 0.0, True

    def add(self, result: Result) -> None:
        """Writes the values of a map; after one that cannot be written, no more."""
        if not self._folder or not self._written:
            return
        self._brightest = max(self._brightest, float(result.map.max()))
        content = io.BytesIO()  # numpy.save to a file does not say that a disk is full
        np.save(content, result.map.astype(np.float32))
        try:
            with replacing(map_path(self._folder, result.pair, ".npy")) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            self._stop(error)

    def draw(self, results: Sequence[Result]) -> bool:
        """Draws all maps on one scale, so that they can be compared; whether all could be written."""
        if self._folder and self._written:
            try:
                with _bar(results, "drawing maps") as bar:
                    for result in results:
                        _draw_map(self._folder, result, self._metric, self._brightest or 1.0)
                        bar.update()
            except OSError as error:
                self._stop(error)
        return self._written

    def _stop(self, error: OSError) -> None:
        self._written = False
        self._say(f"error: {error}; no more maps are written")


def map_path(folder: Path, pair: Match, suffix: str) -> Path:
    """Where the map of a pair goes: ".npy" for its values, ".png" for the picture."""
    return folder / f"{pair.name}{suffix}"


def _draw_map(folder: Path, result: Result, metric: Metric, maximum: float) -> None:
    from pim_jax.evaluation import maps  # here, as above

    maps.draw(
        np.load(map_path(folder, result.pair, ".npy")),
        map_path(folder, result.pair, ".png"),
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
