"""Libraries that only a part of this package needs, and what to install where one is missing."""

import contextlib
from collections.abc import Iterator
from importlib import metadata


@contextlib.contextmanager
def command(extra: str) -> Iterator[None]:
    """A context for the imports of a command, which ends with one line where a library is not installed.

    Args:
      extra: the extra of this package that has the command's libraries.

    Raises:
      SystemExit: a library is missing.

    Examples:
      >>> with command("eval"):
      ...     import no_such_library
      Traceback (most recent call last):
      SystemExit: no_such_library is not installed: pip install 'pim-jax[eval]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SystemExit(_advice(error.name, extra)) from None


def version(library: str) -> str:
    """The name and version of a library of the extra `benchmarks`, such as "dm-pix 0.4.5".

    Args:
      library: its name on PyPI.

    Raises:
      ImportError: it is not installed; the message says how to install it.

    Examples:
      >>> version("numpy").startswith("numpy ")
      True
    """
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        raise ImportError(_advice(library, "benchmarks")) from None


def _advice(library: str, extra: str) -> str:
    return f"{library} is not installed: pip install 'pim-jax[{extra}]'"
