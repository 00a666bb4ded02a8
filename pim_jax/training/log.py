"""The log of a run: lines and a progress bar on the terminal, `metrics.jsonl`, and TensorBoard events.

The events tell what `read` reads, and no more: a run that goes on writes those of its earlier steps again.
"""

import contextlib
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from pim_jax import console
from pim_jax.files import exists, in_bucket, place
from pim_jax.training.events import open_events
from pim_jax.writing import replacing

FILE, EVENTS = "metrics.jsonl", "tensorboard"
LAST = 10  # rows that tell how a run ends, of a short log only the last fifth


class Log:
    """Writes the metrics of a run. It is a context, which closes its files.

    Args:
      workdir: gets `metrics.jsonl`, and TensorBoard events if it is on disk.
      step: steps done so far. Rows of later steps, which a killed run has left, are removed: these steps will be done
        again.
      steps: steps in all, for the progress bar.
      writes: whether this process writes the log; of several processes one does.
    """

    def __init__(self, workdir: str | Path, *, step: int, steps: int, writes: bool = True):
        workdir = place(workdir)
        self._writes, self._path, self._print = writes, workdir / FILE, console.Printer(sys.stdout)
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not (writes and sys.stderr.isatty()))
        self._file = self._events = None
        if writes:
            before = read(workdir)
            rows = [row for row in before.rows if row["step"] <= step]
            kept = "".join(json.dumps(row) + "\n" for row in rows)
            if in_bucket(workdir):  # nothing can be appended there
                self._file = io.StringIO(kept)
                self._file.seek(0, io.SEEK_END)
            else:
                with replacing(self._path) as temporary:
                    temporary.write_text(kept)
                self._file = self._path.open("a")
                self._events = open_events(workdir / EVENTS, rows)
            if before.damaged:
                self.say(f"{self._path}: damaged and removed: {', '.join(f'line {n}' for n in before.damaged[:10])}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()
        with contextlib.suppress(OSError):
            self.keep()
        for file in (self._file, self._events):
            if file:
                with contextlib.suppress(OSError):  # every line was flushed, or a full disk has refused it already
                    file.close()

    def advance(self) -> None:
        """Moves the progress bar by one step."""
        self._bar.update()

    def say(self, line: str) -> None:
        """Prints a line, above the progress bar if there is one. It does not matter whether anybody reads it."""
        if not self._writes:
            return
        with self._bar.external_write_mode(file=sys.stdout):
            self._print(console.one_line(line))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records the metrics of a step.

        Raises:
          OSError: they cannot be written.
        """
        if not self._writes:
            return
        self.say(f"step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()
        if self._events:
            self._events.write({"step": step, **metrics})

    def keep(self) -> None:
        """Writes the lines so far to a bucket. On disk each line is written at once. Call it with every checkpoint.

        Raises:
          OSError: they cannot be written.
        """
        if not isinstance(self._file, io.StringIO):
            return
        try:
            self._path.write_text(self._file.getvalue())
        except Exception as error:  # the libraries for buckets have no common one
            raise OSError(f"{self._path} cannot be written: {error}") from error


class Lines(NamedTuple):
    """What `metrics.jsonl` holds.

    Attributes:
      rows: what was measured, a dict with a whole "step" and more for each line.
      damaged: the numbers of the lines that are no such row, from 1. A last line that is still being written, or that a
        killed run cut short, is not among them.
    """

    rows: list[dict]
    damaged: list[int]


def read(workdir: str | Path) -> Lines:
    """Reads the log of a run.

    Args:
      workdir: of the run, on disk or in a bucket.

    Returns:
      its lines; none if there is no log.

    Raises:
      OSError: it cannot be read.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as workdir:
      ...     _ = (Path(workdir) / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\\n[]\\n{"step": 2, "lo')
      ...     read(workdir)
      Lines(rows=[{'step': 1, 'loss': 0.5}], damaged=[2])
    """
    path = place(workdir) / FILE
    if not exists(path):
        return Lines([], [])
    *lines, unfinished = path.read_bytes().decode(errors="replace").split("\n")
    found = [_row(line) for line in lines]
    rows = [row for row in (*found, _row(unfinished)) if row]
    return Lines(rows, [number for number, row in enumerate(found, start=1) if not row])


def ending(rows: Sequence[dict]) -> dict[str, float]:
    """How the numbers of a run end: the mean of each over its last rows. Values that are not finite are left out.

    Args:
      rows: of `read`.

    Examples:
      >>> ending([{"step": step, "I": step / 10} for step in range(1, 11)])
      {'step': 9.5, 'I': 0.95}
    """
    last = rows[-max(1, min(LAST, len(rows) // 5)) :]
    values = {name: [row[name] for row in last if is_number(row.get(name))] for row in last for name in row}
    return {name: math.fsum(found) / len(found) for name, found in values.items() if found}


def is_number(value: Any) -> bool:
    """Whether a value of a row is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _row(line: str) -> dict | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("step")) is int else None
