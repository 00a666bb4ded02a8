"""Scores files: prints the answer, and writes the CSV, the JSON, the maps and the report.

What is measured is not lost: a distance is kept, and in the CSV's rows, before the next one is measured, and an output
that cannot be written costs only itself.
"""

import argparse
import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pim_jax.console import Printer, one_line
from pim_jax.data import isolated
from pim_jax.evaluation import answer, processes, progress
from pim_jax.evaluation.compare import Match
from pim_jax.evaluation.comparison import Comparison
from pim_jax.evaluation.measure import Measured, by_size, stream
from pim_jax.evaluation.outputs import CsvOutput, attempt, listed
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.store import Store
from pim_jax.metrics import MapMetric, Metric
from pim_jax.writing import replacing

COLUMNS = (
    *("reference", "distorted", "distance", "height", "width", "weights", "digest"),
    *("candidate", "image", "bytes", "bits_per_pixel"),
)
LISTED = 100  # of many pairs that failed, how many are printed


def run(
    metrics: Mapping[str, Metric],
    pairs: Sequence[Match],
    args: argparse.Namespace,
    command: str,
    out: Printer,
    say: Callable[[str], None],
    reader: isolated.Reader,
) -> int:
    """Scores pairs of files, prints and writes the results.

    Args:
      metrics: what to score with, by name.
      pairs: what to score.
      args: `a`, `batch`, `csv`, `json`, `maps` and `report` of the command line.
      command: the command line, for the report.
      out: prints a result.
      say: prints a message to standard error.
      reader: reads the files.

    Returns:
      the exit status: 0; 1 if a pair could not be scored or an output not be written; 130 if interrupted; 141 if
      nobody reads what is printed, and nothing else was asked for.
    """
    for name, metric in metrics.items():
        out(f"# {name} {metric.digest}")
    comparison = Comparison.of(pairs, list(metrics))
    with Store(say=say) as store, CsvOutput(args.csv if processes.first() else None, COLUMNS, say) as table:
        maps = _Maps(args.maps, metrics, comparison, say)
        try:
            show = _printing(out, comparison, args)
            _measure(metrics, comparison, args, store, reader, maps, table, show, say)
            maps.agree()
            written = []
            if processes.first():
                if args.a.is_dir():
                    _answer(comparison, out, say)
                written += _write(metrics, comparison, args, command, table, say)
            written.append(maps.draw())
            if args.report and processes.first():
                written.append(attempt(say, _report, args.report, comparison, metrics, command, maps.brightest, say))
        except BrokenPipeError:
            return 141  # as a process that SIGPIPE ends
        except KeyboardInterrupt:
            where = f"; the rows so far are in {table.kept}" if table.kept else ""
            again = "" if args.maps else ". Run the same command again, and it goes on from here"
            say(f"interrupted{where}{again}")
            return 130
    failed = comparison.problems
    if failed and processes.first():
        say(f"error: {len(failed)} of {len(pairs)} pairs could not be scored:{_reasons(comparison)}")
    return 0 if all(written) and not failed else 1


def mapped(metrics: Mapping[str, Metric]) -> str | None:
    """The name of the first metric that tells where images differ."""
    return next((name for name, metric in metrics.items() if isinstance(metric, MapMetric)), None)


def _measure(metrics, comparison: Comparison, args, store, reader, maps: "_Maps", table, show, say) -> None:
    """Fills the comparison. Every result is kept before the next one is measured."""
    pairs = _Pairs(comparison.pairs)
    mine = processes.share(len(pairs))
    with progress.bar(len(mine), "looking at the files", say) as bar:
        groups, failed = by_size(pairs, mine, reader=reader, seen=bar.update)
    if len(groups) > 1:
        say(f"the images come in {len(groups)} sizes, each of which is compiled once")
    with progress.bar(len(mine), "scoring", say) as bar:
        wanted = mapped(metrics) if args.maps else None
        results = stream(metrics, pairs, groups, store, reader=reader, batch=args.batch, mapped=wanted)
        for result in itertools.chain(failed, results):
            comparison.add(result, _bytes(comparison.pairs[result.index].distorted))
            table.add(_rows(comparison, metrics, [result.index]))
            maps.add(result)
            bar.update()
            show(result, bar)
    if len(mine) < len(pairs):
        own = [comparison.result(index) for index in mine]
        for result in processes.gathered(own):
            comparison.add(result, _bytes(comparison.pairs[result.index].distorted))


class _Pairs(Sequence):
    """Matches as pairs of pictures, made as they are asked for: there may be very many."""

    def __init__(self, matches: Sequence[Match]):
        self._matches = matches

    def __len__(self):
        return len(self._matches)

    def __getitem__(self, index: int) -> Pair:
        match = self._matches[index]
        return Pair(Picture(match.reference), Picture(match.distorted))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _printing(out: Printer, comparison: Comparison, args: argparse.Namespace) -> Callable[[Measured, tqdm], None]:
    several = len(comparison.candidates) > 1

    def show(result: Measured, bar: tqdm) -> None:
        pair = comparison.pairs[result.index]
        if result.distances and not (several and args.a.is_dir()):
            name = pair.distorted.name if several else pair.name
            with bar.external_write_mode(file=sys.stdout):
                out(one_line(name) + _columns(comparison, result.distances))
        if out.closed and not (args.csv or args.json or args.maps or args.report):
            raise BrokenPipeError  # nobody wants to know

    return show


def _columns(comparison: Comparison, values: Mapping[str, float]) -> str:
    """A column for each metric, "-" where it measured nothing."""
    return "".join(f"\t{values[name]:.6g}" if name in values else "\t-" for name in comparison.distances)


def _measured(comparison: Comparison) -> str:
    """How many images each mean is of: one number if it is the same for all metrics, else one for each."""
    counts = [int((~np.isnan(distances)).sum()) for distances in comparison.distances.values()]
    return ", ".join(map(str, counts if len({*counts}) > 1 else counts[:1]))


def _answer(comparison: Comparison, out: Printer, say: Callable[[str], None]) -> None:
    if comparison.is_empty:
        return
    if len(comparison.candidates) > 1:
        out("\n" + answer.text(comparison))
    else:
        [row] = comparison.rows
        means = {name: spread.mean.value for name, spread in row.spreads.items()}
        out(f"mean of {_measured(comparison)}{_columns(comparison, means)}")
        for line in answer.lines(row):
            out(f"# {line}")
    for doubt in comparison.doubts if len(comparison.candidates) > 1 else ():
        say(f"warning: {one_line(doubt)}")


def _write(metrics, comparison: Comparison, args, command: str, table: CsvOutput, say) -> list[bool]:
    """Writes the numbers, which take no time, before the pictures; whether each file could be written."""
    everything = _rows(comparison, metrics, range(len(comparison.pairs)))
    written = [comparison.is_empty or attempt(say, table.finish, everything)]
    if args.json:
        written.append(attempt(say, _write_json, args.json, comparison, metrics, command))
    return written


def _write_json(path: Path, comparison: Comparison, metrics: Mapping[str, Metric], command: str) -> None:
    from pim_jax.evaluation import made

    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(answer.as_json(comparison, metrics, made.of(command)))


def _report(path: Path, comparison: Comparison, metrics, command: str, brightest: float, say) -> None:
    # Here, not above: it takes matplotlib, which scores alone do not.
    from pim_jax.evaluation import report

    report.of_comparison(
        path, comparison, metrics, command=command, mapped=mapped(metrics), brightest=brightest, say=say
    )


def _rows(comparison: Comparison, metrics: Mapping[str, Metric], indices: Iterable[int]) -> Iterator[list]:
    """A row for every distance of some pairs."""
    for index in indices:
        pair, (height, width) = comparison.pairs[index], comparison.sizes[index]
        for name, metric in metrics.items():
            distance = comparison.distances[name][index]
            if np.isnan(distance):
                continue
            # nine digits give back the float32 exactly
            of_metric = [f"{distance:.9g}", height, width, name, metric.digest]
            of_file = [pair.candidate, pair.name, comparison.bytes[index], f"{comparison.rate(index):.6g}"]
            yield [pair.reference, pair.distorted, *of_metric, *of_file]


def _reasons(comparison: Comparison) -> str:
    several, many = len(comparison.candidates) > 1, len(comparison.distances) > 1
    lines = []
    for index, problems in sorted(comparison.problems.items()):
        pair = comparison.pairs[index]
        name = f"{pair.candidate}/{pair.name}" if several else pair.name
        for what, why in problems.items():
            metric = what.partition(": ")[0]
            of = f"{metric}: " if many and metric in comparison.distances else ""
            lines.append(one_line(f"{name}: {of}{why}"))
    return listed(lines, LISTED)


class _Maps:
    """The maps of a run: their values as they are measured, their pictures at the end, when the scale is known.

    Attributes:
      brightest: the largest value so far.
    """

    def __init__(self, folder: Path | None, metrics: Mapping[str, Metric], comparison: Comparison, say):
        self.brightest = 0.0
        self._metric, self._metrics = mapped(metrics), metrics
        self._folder, self._comparison, self._say = folder, comparison, say
        self._drawn: list[int] = []
        self._written = True

    def add(self, result: Measured) -> None:
        """Writes the values of a map; after one that cannot be written, no more."""
        if result.map is None or not self._written:
            return
        self.brightest = max(self.brightest, float(result.map.max()))
        content = io.BytesIO()  # numpy.save to a file does not say that a disk is full
        np.save(content, result.map.astype(np.float32))
        try:
            with replacing(self._path(result.index, ".npy")) as temporary:
                temporary.write_bytes(content.getbuffer())
            self._drawn.append(result.index)
        except OSError as error:
            self._stop(error)

    def agree(self) -> None:
        """Makes the scale one for all processes."""
        if self._folder:
            self.brightest = processes.largest(self.brightest)

    def draw(self) -> bool:
        """Draws all maps on one scale, so that they can be compared; whether all could be written."""
        if self._folder and self._written:
            try:
                with progress.bar(len(self._drawn), "drawing maps", self._say) as bar:
                    for index in self._drawn:
                        self._draw(index)
                        bar.update()
            except OSError as error:
                self._stop(error)
        return self._written

    def _draw(self, index: int) -> None:
        from pim_jax.evaluation import maps  # here, as above

        pair, distance = self._comparison.pairs[index], self._comparison.distances[self._metric][index]
        several = len(self._comparison.candidates) > 1
        maximum, weights = self.brightest or 1.0, f"{self._metric} {self._metrics[self._metric].digest}"
        maps.draw(
            np.load(self._path(index, ".npy")),
            self._path(index, ".png"),
            maximum=maximum,
            title=f"{pair.name}, {pair.candidate}" if several else pair.name,
            subtitle=f"distance {distance:.6g}   {weights}",
            text={
                "Title": pair.name,
                "Candidate": str(pair.candidate),
                "Distance": f"{distance:.9g}",
                "Weights": weights,
                "Scale": f"0 to {maximum:.9g}",
            },
        )

    def _path(self, index: int, suffix: str) -> Path:
        return map_path(self._folder, self._comparison.pairs[index], suffix, len(self._comparison.candidates) > 1)

    def _stop(self, error: OSError) -> None:
        self._written = False
        self._say(f"error: {error}; no more maps are written")


def map_path(folder: Path, pair: Match, suffix: str, several: bool) -> Path:
    """Where the map of a pair goes: ".npy" for its values, ".png" for the picture; of several candidates, to theirs."""
    return (folder / str(pair.candidate) if several else folder) / f"{pair.name}{suffix}"
