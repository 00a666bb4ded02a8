"""Distances measured earlier, kept on disk, so that a run that was stopped goes on and a repeated one is quick."""

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pim_jax import cache, provenance
from pim_jax.evaluation import pictures
from pim_jax.metrics import Metric

PATIENCE = 10  # seconds to wait for another process that writes


def path() -> Path:
    """The file in the user's cache folder where distances are kept between runs.

    Raises:
      OSError: the user has no home folder.

    Examples:
      >>> path().name
      'distances.sqlite'
    """
    return cache.folder() / "distances.sqlite"


def identity(metric: Metric) -> str:
    """A text that changes with whatever changes a distance between two files: weights, code, versions of libraries."""
    return f"{metric!r} {provenance.of(metric, pictures)}"


def content(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """A file of distances by metric and by the content of the two pictures.

    Several processes may use one file at once. A metric is known by a text that its caller makes: it must change with
    whatever changes a distance. A file that cannot be read or written costs nothing but itself: the store says so once,
    and has nothing or keeps nothing from there.

    Args:
      file: made if need be with its folder; by default `path()`.
      say: prints a message.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with Store(Path(folder) / "distances.sqlite") as store:
      ...         store.put("PSNR", [("a", "b", -31.5)])
      ...     with Store(Path(folder) / "distances.sqlite") as store:
      ...         print(store.get("PSNR", [("a", "b"), ("a", "c")]))
      [-31.5, None]
    """

    def __init__(self, file: Path | None = None, *, say: Callable[[str], None] = warnings.warn):
        self._say: Callable[[str], None] | None = say
        self._file, self._database, self._keeps = file, None, True
        try:
            self._file = file or path()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._file, timeout=PATIENCE, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS distances (metric TEXT, reference TEXT, distorted TEXT, distance REAL,"
                " PRIMARY KEY (metric, reference, distorted)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_):
        if self._database:
            self._database.close()

    def get(self, metric: str, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The distances of pairs of pictures, given by fingerprint; None where there is none."""
        query = "SELECT distance FROM distances WHERE metric = ? AND reference = ? AND distorted = ?"
        try:
            if self._database:
                rows = [self._database.execute(query, (metric, *pair)).fetchone() for pair in pairs]
                # SQLite keeps text in a column of numbers too, if somebody writes it there.
                return [row[0] if row and isinstance(row[0], float) else None for row in rows]
        except sqlite3.Error as error:
            self._give_up(error)
        return [None] * len(pairs)

    def put(self, metric: str, rows: Iterable[tuple[str, str, float]]) -> None:
        """Keeps distances, (reference, distorted, distance) each: all of them or, if the process dies, none."""
        if not self._keeps:
            return
        values = ((metric, *row) for row in rows)
        try:
            with self._database:  # commits, or rolls back
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR REPLACE INTO distances VALUES (?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            self._keeps = False  # what is there can still be read
            self._complain(error)

    def _give_up(self, error: Exception) -> None:
        if self._database:
            self._database.close()
        self._database, self._keeps = None, False
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        if self._say:
            self._say(
                f"distances are not kept, as {self._file or 'the cache folder'} cannot be used ({error}); the run goes "
                "on. Remove that file, or set XDG_CACHE_HOME to another folder for such files"
            )
        self._say = None
