"""Files that appear under their name whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; the file written there takes its place once the block ends without an error.

    Args:
      path: the file to write; its folder is made if need be.

    Returns:
      a context manager that gives the temporary path.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with replacing(Path(folder) / "a.txt") as temporary:
      ...         _ = temporary.write_text("whole")
      ...     [(file.name, file.read_text()) for file in Path(folder).iterdir()]
      [('a.txt', 'whole')]
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
