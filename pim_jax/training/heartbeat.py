"""Whether a run is alive: a small file that it renews while it lives, and that says in the end how it ended.

A process that is killed writes no end. Its file is no longer renewed, and the age of the file tells. A thread renews
it, because a step, a compilation and a save may each take minutes.
"""

import contextlib
import json
import math
import threading
import time
from pathlib import Path
from typing import NamedTuple

from etils import epath

from pim_jax.files import in_bucket, place
from pim_jax.writing import replacing

FILE = "heartbeat.json"
SECONDS = 10.0  # between two beats
SECONDS_IN_BUCKET = 60.0  # every write there is paid for
MISSED = 6  # beats after which a run is taken for dead
_MOST = 500  # letters of an error
STATES = ("running", "stalled", "finished", "stopped", "not finite", "failed")


class Beat(NamedTuple):
    """What the file of a run says.

    Attributes:
      state: one of `STATES`. "running" and "stalled" hold for as long as the run is alive.
      step: steps done.
      reason: why it ended, empty if there is nothing to say.
      seconds: between two beats.
      age: seconds since the last beat. It is negative where the clock of the file's disk is ahead of this machine's.
    """

    state: str
    step: int
    reason: str
    seconds: float
    age: float

    @property
    def ended(self) -> bool:
        """Whether the run has said how it ended."""
        return self.state not in ("running", "stalled")

    @property
    def alive(self) -> bool:
        """Whether the run has neither ended nor missed too many beats."""
        return not self.ended and self.age < MISSED * self.seconds


class Heartbeat:
    """Renews the file of a run. It is a context: `end` must be called within, and an exception does so by itself.

    A file that cannot be written is left as it is: training is worth more than its sign of life.

    Args:
      workdir: of the run, on disk or in a bucket.
      step: steps done so far.
      minutes: without a step, after which the run is said to be stalled; three times as long before the first one,
        which compiles. 0 for never.
      writes: whether this process writes the file; of several processes one does.
    """

    def __init__(self, workdir: str | Path, *, step: int, minutes: float, writes: bool = True):
        self._path = place(workdir) / FILE
        self._seconds = SECONDS_IN_BUCKET if in_bucket(self._path) else SECONDS
        self._step, self._since, self._patience = step, time.monotonic(), 3 * 60 * (minutes or math.inf)
        self._minutes, self._writes = minutes, writes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="heartbeat")

    def __enter__(self):
        if self._writes:
            self._write("running")
            self._thread.start()
        return self

    def __exit__(self, kind, error, traceback):
        if kind and not self._ended.is_set():
            self.end("failed", " ".join(str(error).split())[:_MOST] or kind.__name__)

    def step(self, done: int) -> None:
        """Tells that so many steps are done."""
        self._step, self._since, self._patience = done, time.monotonic(), 60 * (self._minutes or math.inf)

    def end(self, state: str, reason: str = "") -> None:
        """Tells how the run ended.

        Args:
          state: one of `STATES`.
          reason: in words.
        """
        self._ended.set()
        if self._writes:
            self._thread.join()  # or a late beat would say again that the run is alive
            self._write(state, reason)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds):
            self._write("stalled" if time.monotonic() - self._since > self._patience else "running")

    def _write(self, state: str, reason: str = "") -> None:
        text = json.dumps({"state": state, "step": self._step, "reason": reason, "seconds": self._seconds})
        with contextlib.suppress(Exception):  # the libraries for buckets have no common one
            if in_bucket(self._path):
                self._path.write_text(text)
                return
            with replacing(self._path) as temporary:
                temporary.write_text(text)


def read(workdir: str | Path) -> Beat | None:
    """Returns what the file of a run says, or None if there is none, or one that says nothing.

    Args:
      workdir: of the run, on disk or in a bucket.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as workdir:
      ...     with Heartbeat(workdir, step=7, minutes=10) as heartbeat:
      ...         heartbeat.end("stopped", "SIGTERM")
      ...     read(workdir).state, read(workdir).step, read(workdir).reason
      ('stopped', 7, 'SIGTERM')
    """
    path = place(workdir) / FILE
    try:
        if not path.is_file():
            return None
        age = time.time() - epath.Path(path).stat().mtime
        said = json.loads(path.read_bytes())
        beat = Beat(said["state"], said["step"], said["reason"], said["seconds"], age)
    except Exception:  # anyone may have written it, and the libraries for buckets have no common error
        return None
    kinds = type(beat.step) is int and isinstance(beat.reason, str) and isinstance(beat.seconds, int | float)
    return beat if kinds and beat.state in STATES else None
