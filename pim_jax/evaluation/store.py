"""Distances measured earlier, kept on disk, so that a run that was stopped goes on and a repeated one is quick."""

import contextlib
import functools
import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

_SOURCES = (
    "metric.py",
    "model",
    "data/images.py",
    "evaluation/baselines",
    "evaluation/corruptions.py",
    "evaluation/pictures.py",
    "inputs.py",
    "spips",
)


class Store:
    """A file of distances by metric and by the content of the two pictures.

    Several processes may use one file at once. A metric is known by its `repr`, which names its weights and their
    digest, together with a digest of the code that computes it: a change of either measures anew.

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
        key = _key(metric)
        query = "SELECT distance FROM distances WHERE metric = ? AND reference = ? AND distorted = ?"
        rows = (self._database.execute(query, (key, *pair)).fetchone() for pair in pairs)
        return [row[0] if row else None for row in rows]

    def put(self, metric: str, rows: Iterable[tuple[str, str, float]]) -> None:
        """Keeps distances, (reference, distorted, distance) each: all of them or, if the process dies, none."""
        key = _key(metric)
        with contextlib.closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany("INSERT OR REPLACE INTO distances VALUES (?, ?, ?, ?)", ((key, *row) for row in rows))
            cursor.execute("COMMIT")


def _key(metric: str) -> str:
    return f"{metric} {code_digest()}"


@functools.cache
def code_digest(sources: tuple[str, ...] = _SOURCES) -> str:
    """A digest of source files, to tell what one version of the code computed from what another did.

    Args:
      sources: files and folders of the package; by default all that a distance depends on.

    Returns:
      12 hexadecimal digits.

    Example:
      >>> code_digest(("files.py",)) == code_digest(("files.py",)) != code_digest(("metric.py",))
      True
    """
    package = resources.files("pim_jax")
    digest = hashlib.sha256()
    for source in sources:
        with resources.as_file(package / source) as path:
            files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            for file in files:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
