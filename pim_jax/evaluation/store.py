"""Distances measured earlier, kept on disk, so that a run that was stopped goes on and a repeated one is quick."""

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from pim_jax import cache


def path() -> Path:
    """The file in the user's cache folder where distances are kept between runs.

    Raises:
      OSError: the user has no home folder.

    Example:
      >>> path().name
      'distances.sqlite'
    """
    return cache.folder() / "distances.sqlite"


class Store:
    """A file of distances by metric and by the content of the two pictures.

    Several processes may use one file at once. A metric is known by a text that its caller makes: it must change with
    whatever changes a distance.

    Args:
      path: the file, made if need be with its folder.

    Raises:
      ValueError: the file is no such store, or cannot be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with Store(Path(folder) / "distances.sqlite") as store:
      ...         store.put("PSNR", [("a", "b", -31.5)])
      ...     with Store(Path(folder) / "distances.sqlite") as store:
      ...         print(store.get("PSNR", [("a", "b"), ("a", "c")]))
      [-31.5, None]
    """

    def __init__(self, path: Path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS distances (metric TEXT, reference TEXT, distorted TEXT, distance REAL,"
                " PRIMARY KEY (metric, reference, distorted)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise ValueError(
                f"{path}, where measured distances are kept, cannot be used ({error}): remove it, or name another "
                "folder for such files with the environment variable XDG_CACHE_HOME"
            ) from None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_):
        self._database.close()

    def get(self, metric: str, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The distances of pairs of pictures, given by fingerprint; None where there is none."""
        query = "SELECT distance FROM distances WHERE metric = ? AND reference = ? AND distorted = ?"
        rows = (self._database.execute(query, (metric, *pair)).fetchone() for pair in pairs)
        return [row[0] if row else None for row in rows]

    def put(self, metric: str, rows: Iterable[tuple[str, str, float]]) -> None:
        """Keeps distances, (reference, distorted, distance) each: all of them or, if the process dies, none."""
        with contextlib.closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany("INSERT OR REPLACE INTO distances VALUES (?, ?, ?, ?)", ((metric, *row) for row in rows))
            cursor.execute("COMMIT")
