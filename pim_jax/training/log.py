"""What a run tells: lines, a progress bar on a terminal, `metrics.jsonl`, TensorBoard events if tensorboardX is."""

import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

from tqdm import tqdm

from pim_jax.files import in_bucket, place, replacing

_FILE = "metrics.jsonl"


class Log:
    """Writes metrics of a run; a context that closes its files.

    Args:
      workdir: `metrics.jsonl` goes there, and TensorBoard events if it is on disk.
      step: steps done so far. Lines of later steps, which a killed run left, are removed: they are about to be written
        again.
      steps: steps in all, for the progress bar.
      writes: False for a process that leaves all this to another one.
    """

    def __init__(self, workdir: str | Path, *, step: int, steps: int, writes: bool = True):
        workdir = place(workdir)
        self._writes, self._path = writes, workdir / _FILE
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not (writes and sys.stderr.isatty()))
        self._file = self._events = None
        if writes:
            kept = _until(self._path, step)
            if in_bucket(workdir):  # where nothing can be appended
                self._file = io.StringIO(kept)
                self._file.seek(0, io.SEEK_END)
            else:
                with replacing(self._path) as temporary:
                    temporary.write_text(kept)
                self._file = self._path.open("a")
                self._events = _event_writer(workdir, step)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()
        with contextlib.suppress(OSError):
            self.keep()
        for file in (self._file, self._events):
            if file:
                with contextlib.suppress(OSError):  # every line was flushed; what a full disk refused is refused again
                    file.close()

    def advance(self) -> None:
        """Moves the progress bar by one step."""
        self._bar.update()

    def say(self, line: str) -> None:
        """Prints a line, above the progress bar if there is one."""
        if not self._writes:
            return
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records the metrics of a step."""
        if not self._writes:
            return
        self.say(f"step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()
        for name, value in metrics.items() if self._events else ():
            self._events.add_scalar(name, value, step)

    def keep(self) -> None:
        """Writes the lines so far to a bucket; on disk each is written at once. To be called with every checkpoint.

        Raises:
          OSError: they cannot be written.
        """
        if not isinstance(self._file, io.StringIO):
            return
        try:
            self._path.write_text(self._file.getvalue())
        except Exception as error:  # the libraries for buckets have no common one
            raise OSError(f"{self._path} cannot be written: {error}") from error


def read(workdir: str | Path) -> list[dict]:
    """Returns the lines of a run's `metrics.jsonl`; a last line that a killed run cut short is left out."""
    rows = []
    for line in (place(workdir) / _FILE).read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _until(path, step: int) -> str:
    rows = read(path.parent) if path.exists() else []
    return "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step)


def _event_writer(workdir: Path, step: int):
    if importlib.util.find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
