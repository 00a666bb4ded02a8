"""What a run tells: lines, a progress bar on a terminal, `metrics.jsonl`, TensorBoard events if tensorboardX is."""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path

from tqdm import tqdm

from pim_jax.files import replacing

_FILE = "metrics.jsonl"


class Log:
    """Writes metrics of a run; a context that closes its files.

    Args:
      workdir: `metrics.jsonl` and TensorBoard events go there.
      step: steps done so far. Lines of later steps, which a killed run left, are removed: they are about to be written
        again.
      steps: steps in all, for the progress bar.
      writes: False for a process that leaves all this to another one.
    """

    def __init__(self, workdir: str | Path, *, step: int, steps: int, writes: bool = True):
        workdir = Path(workdir)
        self._writes = writes
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not (writes and sys.stderr.isatty()))
        self._file = self._events = None
        if writes:
            _forget_after(workdir / _FILE, step)
            self._file = (workdir / _FILE).open("a")
            self._events = _event_writer(workdir, step)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()
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


def read(workdir: str | Path) -> list[dict]:
    """Returns the lines of a run's `metrics.jsonl`; a last line that a killed run cut short is left out."""
    rows = []
    for line in (Path(workdir) / _FILE).read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _forget_after(path: Path, step: int):
    if not path.exists():
        return
    kept = [row for row in read(path.parent) if row["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))


def _event_writer(workdir: Path, step: int):
    if importlib.util.find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
