"""Libraries that only a part of this package needs, and what to install where one is missing."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from importlib import metadata


@contextlib.contextmanager
def command(extra: str) -> Iterator[None]:
    """A context for the imports of a command, which ends with one line where a library is not installed.

    Imports take seconds, and libraries make other errors of Ctrl-C, or swallow it. So it is seen to after them.

    Args:
      extra: the extra of this package that has the command's libraries.

    Raises:
      SystemExit: a library is missing, or Ctrl-C was pressed: then with the status 130.

    Examples:
      >>> with command("eval"):
      ...     import no_such_library
      Traceback (most recent call last):
      SystemExit: no_such_library is not installed: pip install 'pim-jax[eval]'
      >>> with command("eval"):
      ...     signal.raise_signal(signal.SIGINT)
      Traceback (most recent call last):
      SystemExit: 130
    """
    try:
        with _interrupted_after():
            yield
    except ModuleNotFoundError as error:
        raise SystemExit(_advice(error.name, extra)) from None


@contextlib.contextmanager
def _interrupted_after() -> Iterator[None]:
    """A context after which the program ends if Ctrl-C was pressed in it."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C is ignored, or not for this thread to see to
        return
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise SystemExit(130)


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
