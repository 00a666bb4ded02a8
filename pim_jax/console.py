"""What commands print: names of any bytes, in any locale, into pipes whose reader may be gone."""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TextIO

_UNDECODED = re.compile("[\udc80-\udcff]+")  # how Python holds the bytes of a file name that its locale cannot decode
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def command() -> str:
    """What this program was started as, for its messages: "eval.py", "pim-eval" or "python -m pim_jax.eval".

    Before Python 3.14 argparse calls `python -m pim_jax.inspect` "inspect.py", which nobody can start.
    """
    module = getattr(sys.modules["__main__"], "__spec__", None)  # only `python -m` sets it
    return f"python -m {module.name}" if module and module.name.startswith("pim_jax.") else Path(sys.argv[0]).name


def printable(text: str) -> str:
    r"""Text that is valid Unicode: bytes that the locale could not decode are read as UTF-8, or become `\xNN`.

    Args:
      text: such as the name of a file, or a message with one in it.

    Examples:
      >>> printable(os.fsdecode(b"caf\xe9.png")), printable("\udce6\udc97\udca5.png")
      ('caf\\xe9.png', '日.png')
    """
    found = _UNDECODED.sub(
        lambda run: run[0].encode("ascii", "surrogateescape").decode("utf-8", "backslashreplace"), text
    )
    return found.encode("utf-8", "backslashreplace").decode()


def one_line(name: str) -> str:
    r"""A name for a line of output: `printable`, with control characters such as a line's end as `\xNN`.

    Examples:
      >>> one_line("a\nb")
      'a\\x0ab'
    """
    return _CONTROL.sub(lambda letter: f"\\x{ord(letter[0]):02x}", printable(name))


def lines(text: str) -> str:
    r"""Text for the terminal whose lines stay lines: each as `one_line`.

    Examples:
      >>> lines("expected:\n  a\tb")
      'expected:\n  a\\x09b'
    """
    return "\n".join(map(one_line, text.split("\n")))


class Printer:
    """Prints lines to a stream at once, until nobody reads them.

    What the stream's encoding lacks is escaped. When the reader of a pipe is gone (`| head -1`), nothing more is
    printed and nothing fails; so too when the stream cannot be written, and then `problem` says why.

    Args:
      stream: such as `sys.stdout`, which is None where the process has none.

    Attributes:
      closed: whether what is printed goes nowhere.
      problem: the error of a stream that cannot be written, such as a file on a full disk; else None.

    Examples:
      >>> import sys
      >>> Printer(sys.stdout)("a line")
      a line
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream
        self.closed = stream is None
        self.problem: OSError | None = None

    def __call__(self, text: str) -> None:
        if self.closed:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        fitting = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(fitting + "\n")
            self._stream.flush()
        except OSError as error:
            self.closed = True
            self.problem = None if isinstance(error, BrokenPipeError) else error
            mute(self._stream)


def printers() -> tuple[Printer, Printer]:
    """What every command begins with: printers to standard output and standard error.

    For each standard stream that the process was started without, as by `2>&-` in a shell, the null device is opened.
    Libraries and the processes that this one starts expect all three; and the next file to be opened would be taken for
    the one that is missing.

    Examples:
      >>> out, errors = printers()
      >>> out("a line")
      a line
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  it takes the lowest number that is free, and stays open
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    return Printer(sys.stdout), Printer(sys.stderr)


def mute(stream: TextIO) -> None:
    """Lets nothing that is still written to a stream go anywhere, or fail: Python writes what is left when it ends."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
