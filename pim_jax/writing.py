"""The one way to write an output: a regular file appears whole or not at all, a stream is written to."""

import errno
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pim_jax import console

_HELD = re.compile(r"/dev/(std(out|err)|fd/\d+)|/proc/(self|\d+)/fd/\d+")  # what a process holds open


def output(text: str) -> Path:
    """A file to write, as a command line names it: "-" is standard output. For `argparse`.

    Examples:
      >>> output("-"), output("./-")
      (PosixPath('/dev/stdout'), PosixPath('-'))
    """
    return Path("/dev/stdout" if text == "-" else text)


def is_stdout(path: Path) -> bool:
    """Whether a file to write is standard output."""
    return path.as_posix() in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_stream(path: Path) -> bool:
    """Whether what is there is written to and not replaced: a pipe, a FIFO, a device, what a process holds open."""
    # os.path, not Path: of a name that is too long, there is no such file.
    return bool(_HELD.fullmatch(path.as_posix())) or (os.path.exists(path) and not os.path.isfile(path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The one way to write an output: a temporary file, which becomes the output once the block ends without an error.

    A regular file is replaced, whole or not at all; of a symbolic link, the file that it leads to. A stream (see
    `is_stream`) is written to. If its reader has gone, the rest is dropped: who reads decides how much.

    Args:
      path: the file to write; its folder is made if need be.

    Returns:
      a context manager that gives the temporary path.

    Raises:
      OSError: it cannot be written; the message names it, and says so where the disk is full.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with replacing(Path(folder) / "a.txt") as temporary:
      ...         _ = temporary.write_text("whole")
      ...     [(file.name, file.read_text()) for file in Path(folder).iterdir()]
      [('a.txt', 'whole')]
    """
    stream = is_stream(path)
    folder = Path(tempfile.gettempdir()) if stream else target(path).parent
    # A name of one length: that of the output may be as long as a name can be.
    temporary = folder / f".pim_jax-{uuid.uuid4().hex[:12]}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield temporary
        if stream:
            _send(temporary, path)
        else:
            os.replace(temporary, target(path))
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(temporary), os.fspath(path)):
            raise  # of something else that was done in the block
        raise unwritten(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def target(path: Path) -> Path:
    """The file that is written under a name, once symbolic links are followed."""
    return Path(os.path.realpath(path))


def unwritten(path: Path, error: OSError) -> OSError:
    """An error that says of which output it is, in one line.

    Examples:
      >>> print(unwritten(Path("a.csv"), OSError(errno.ENOSPC, "No space left on device")))
      a.csv cannot be written: the disk is full
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    found = OSError(f"{path} cannot be written: {'the disk is full' if full else error.strerror or error}")
    found.errno = error.errno
    return found


def _send(file: Path, stream: Path) -> None:
    with open(file, "rb") as content, suppress(BrokenPipeError):
        if not is_stdout(stream):
            with open(stream, "ab") as output:
                shutil.copyfileobj(content, output)
        elif sys.stdout is not None:
            try:
                sys.stdout.flush()
                shutil.copyfileobj(content, sys.stdout.buffer)
                sys.stdout.flush()
            except OSError:
                console.mute(sys.stdout)
                raise


def check_outputs(outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path]) -> None:
    """Checks, before any work, that outputs can be written and that none replaces an input or another output.

    Args:
      outputs: what each is, such as the option that names it, and where it goes.
      inputs: files that are read, and folders: files that are there already are read too.

    Raises:
      ValueError: one is a folder, or in a folder that cannot be made or written; or two names mean one file, also by
        symbolic or hard links.

    Examples:
      >>> check_outputs([("--csv", Path("a")), ("--report", Path("./a"))], [])
      Traceback (most recent call last):
      ValueError: --report a and --csv a are one file: give each a name of its own
    """
    outputs, inputs = list(outputs), list(inputs)
    read = {key for path in inputs for key in _identities(path)}
    folders = [target(path) for path in inputs if path.is_dir()]
    written = {}
    if sys.stdout is not None and not any(is_stdout(path) for _, path in outputs):
        written = {key: "standard output" for key in _identities(Path("/dev/stdout"))}
    for option, path in outputs:
        _check_place(option, path)
        keys = _identities(path)
        within = path.exists() and any(target(path).is_relative_to(folder) for folder in folders)
        if within or not keys.isdisjoint(read):
            raise ValueError(f"{option} {path} is an input and would be overwritten; write the results elsewhere")
        if common := keys & written.keys():
            raise ValueError(f"{option} {path} and {written[common.pop()]} are one file: give each a name of its own")
        written |= {key: f"{option} {path}" for key in keys}


def _identities(path: Path) -> set[Hashable]:
    """What is equal for two names of one file."""
    try:
        status = os.fstat(1) if is_stdout(path) else path.stat()
    except OSError:
        return {target(path)}  # it is not there yet
    if path.exists() and path.samefile(os.devnull):
        return set()  # anything may go there
    return {target(path), (status.st_dev, status.st_ino)}


def _check_place(option: str, path: Path) -> None:
    try:
        problem = None if is_stdout(path) else _problem(path)
    except OSError as error:  # such as a name that is too long
        problem = f"cannot be written: {error.strerror}"
    if problem:
        raise ValueError(f"{option} {path} {problem}")


def _problem(path: Path) -> str | None:
    """What keeps a file from being written, as far as it shows before."""
    if path.is_dir():
        return "is a folder; name a file"
    if path.is_socket():
        return "is a socket; name a file"
    if target(path).is_symlink():
        return "is a symbolic link that leads to itself"
    place = path if is_stream(path) else target(path).parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not is_stream(path) and not place.is_dir():
        return f"cannot be made: {place} is a file and no folder"
    if not os.access(place, os.W_OK):
        return f"cannot be written: {place} is read-only, or somebody else's"
    return None
