"""Reads image files in a process of its own, so that one on which a decoder crashes or hangs is an error like others.

Decoders are native code. `images` refuses what it can see to be wrong; a fault of theirs would take the whole program
down, without a word on which file it was. The process starts with the first file, and again after a crash.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np

from pim_jax.data import images

PATIENCE = 300  # seconds for one file; the largest that are read take seconds


class Reader:
    """`images.read` and `images.size` behind a process; a context that ends it.

    Examples:
      >>> from PIL import Image
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".png") as file, Reader() as reader:
      ...     Image.new("L", (4, 2), 255).save(file.name)
      ...     print(reader.size(file.name), reader.read(file.name).mean())
      (2, 4) 1.0
    """

    def __init__(self):
        self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._end()

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """As `images.read`; a crash, and a hang of `PATIENCE`, is a ValueError that names the file too."""
        height, width = self._ask("read", path)
        pixels = np.empty((height, width, 3), np.float32)
        if self._process.stdout.readinto(memoryview(pixels).cast("B")) != pixels.nbytes:
            raise self._lost(path, hung=False)
        return pixels

    def size(self, path: str | os.PathLike) -> tuple[int, int]:
        """As `images.size`, with the same addition."""
        height, width = self._ask("size", path)
        return height, width

    def _ask(self, question: str, path: str | os.PathLike) -> list[int]:
        process = self._process = self._process or _start()
        hung = threading.Event()
        watchdog = threading.Timer(PATIENCE, lambda: (hung.set(), process.kill()))
        watchdog.daemon = True  # Ctrl-C may come before `try`, and the program would wait for the timer at its end
        watchdog.start()
        try:
            process.stdin.write(json.dumps([question, os.fspath(path)]).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            watchdog.cancel()
        if not answer:
            raise self._lost(path, hung.is_set())
        kind, content = json.loads(answer)
        if kind != "size":
            raise {"missing": FileNotFoundError, "refused": ValueError}[kind](content)
        return content

    def _lost(self, path: str | os.PathLike, hung: bool) -> ValueError:
        status = self._process.wait()
        self._end()
        cause = signal.Signals(-status).name if status < 0 else f"status {status}"
        reason = f"its decoder was not done after {PATIENCE} s" if hung else f"its decoder crashed ({cause})"
        return ValueError(f"{path} cannot be read as an image: {reason}")

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process = None


def _start() -> subprocess.Popen:
    program = f"import sys; sys.path[:] = {sys.path!r}; from pim_jax.data import isolated; isolated.serve()"
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def serve() -> None:
    """What the process does: answers each question on standard input, until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then closes the input
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints is no answer
    for line in sys.stdin.buffer:
        question, path = json.loads(line)
        pixels = None
        try:
            if question == "read":
                pixels = images.read(path)
            answer = ["size", images.size(path) if pixels is None else pixels.shape[:2]]
        except FileNotFoundError as error:
            answer = ["missing", str(error)]
        except (OSError, ValueError) as error:
            answer = ["refused", str(error)]
        answers.write(json.dumps(answer).encode() + b"\n")
        if pixels is not None:
            answers.write(memoryview(np.ascontiguousarray(pixels)).cast("B"))
        answers.flush()
