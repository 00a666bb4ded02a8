"""What a run of `eval.py` writes: checked before any work, and none of it lost, whatever ends the run."""

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pim_jax import writing
from pim_jax.console import printable

_LONGEST = 255  # bytes of a file's name, on all common file systems
_SUFFIX = ".partial"
_AT_ONCE = 1000  # rows that are encoded together


def partial(path: Path) -> Path:
    """Where rows are before the file is whole: `NAME.partial` beside it, or a shorter name where that is too long.

    Examples:
      >>> partial(Path("/tmp/scores.csv")).name
      'scores.csv.partial'
    """
    name = writing.target(path).name
    while len(os.fsencode(name)) > _LONGEST - len(_SUFFIX):
        name = name[:-1]
    return writing.target(path).with_name(name + _SUFFIX)


def check_places(
    csv: Path | None,
    report: Path | None,
    inputs: Iterable[Path],
    *,
    json: Path | None = None,
    maps: Iterable[Path] = (),
) -> None:
    """Checks, before any work, that outputs can be written and that none replaces an input or another output.

    Args:
      csv, report, json: of the command line.
      inputs: as for `writing.check_outputs`.
      maps: the files of all maps.

    Raises:
      ValueError: as `writing.check_outputs`.
    """
    outputs = [("--maps", path) for path in maps]
    if report:
        outputs.append(("--report", report))
    if json:
        outputs.append(("--json", json))
    if csv:
        outputs.append(("--csv", csv))
    if csv and not writing.is_stream(csv):
        outputs.append(("--csv", partial(csv)))
    writing.check_outputs(outputs, inputs)


def attempt(say: Callable[[str], None], write: Callable, *args, **options) -> bool:
    """Writes an output by `write(*args, **options)`. One that cannot be written costs only itself: it is said why.

    Returns:
      whether it was written.
    """
    try:
        write(*args, **options)
    except OSError as error:
        say(f"error: {error}")
        return False
    return True


class CsvOutput:
    r"""A CSV file in UTF-8, whole or not there; while it grows, its rows are in `partial(path)`.

    A row is on the disk as soon as it is added. `finish` writes the whole file and removes the other one. Without it,
    because the run ended early, the rows stay where they are. A stream, such as standard output, gets all rows at the
    end. Bytes of file names that are not UTF-8 are written as `\xNN`.

    Args:
      path: the file or stream; None writes nothing.
      header: the names of the columns.
      say: prints a message, such as that there is no room for the rows.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "a.csv"
      ...     with CsvOutput(path, ["name", "distance"], print) as table:
      ...         table.add([["x", 1]])
      ...         before = path.exists(), partial(path).exists()
      ...         table.finish([["x", 1]])
      ...     before, [file.name for file in Path(folder).iterdir()]
      ((False, True), ['a.csv'])
    """

    def __init__(self, path: Path | None, header: Sequence[str], say: Callable[[str], None]):
        self._path, self._header, self._say = path, header, say
        self._grows = path is not None and not writing.is_stream(path)
        self._file = None

    def __enter__(self) -> "CsvOutput":
        return self

    def __exit__(self, *exception):
        if self._file:
            self._file.close()

    @property
    def kept(self) -> Path | None:
        """The file that holds the rows so far; None before the first, and once the whole file is there."""
        return partial(self._path) if self._file else None

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Adds rows; where they cannot be written, says so once, and `finish` still tries to."""
        rows = list(rows)
        if not self._grows or not rows:
            return
        try:
            if not self._file:
                self._file = _begin(partial(self._path))
                _append(self._file, [self._header])
            _append(self._file, rows)
        except OSError as error:
            self._grows = False
            self._say(f"{writing.unwritten(partial(self._path), error)}; the run goes on")

    def finish(self, rows: Iterable[Sequence[Any]], *, header: Sequence[str] | None = None) -> None:
        """Writes the whole file.

        Args:
          rows: all of them, in their final order.
          header: the names of the columns, where some turned out to be empty and are left out.

        Raises:
          OSError: it cannot be written; what was added stays.
        """
        if self._path is None:
            return
        whole = itertools.chain([header or self._header], rows)
        with writing.replacing(self._path) as temporary, open(temporary, "wb") as file:
            while some := list(itertools.islice(whole, _AT_ONCE)):
                file.write(_encoded(some))
        if self._file:
            self._file.close()
            self._file = None
            partial(self._path).unlink(missing_ok=True)


def _begin(path: Path) -> io.FileIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # an earlier run's
    return open(path, "ab", buffering=0)  # no buffer: what is written is on the disk, or raises an error here


def _append(file: io.FileIO, rows: Iterable[Sequence[Any]]) -> None:
    """Adds whole rows: none is cut off where the disk is full."""
    content, start = memoryview(_encoded(rows)), file.tell()
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        file.truncate(start)
        raise


def _encoded(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([printable(str(cell)) for cell in row] for row in rows)
    return text.getvalue().encode()


def listed(lines: Sequence[str], most: int) -> str:
    """Indented lines below a message, at most so many, and how many more there are.

    Examples:
      >>> listed(["a: gone", "b: gone", "c: gone"], 2)
      '\\n  a: gone\\n  b: gone\\n  and 1 more'
    """
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "".join(f"\n  {line}" for line in [*lines[:most], *more])
