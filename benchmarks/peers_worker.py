"""What the processes of `benchmarks/peers.py` have in common: they time what they are asked, one question at a time.

It imports no library but NumPy, because Python interpreters without JAX use it too.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Call = Callable[[], object]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def serve(load: Callable[[str], tuple[dict, Callable[[str, np.ndarray, np.ndarray], Call], Callable[[], int | None]]]):
    """Loads the metric that the first argument names, tells about it, and answers questions until they end.

    Questions and answers are lines of JSON. The question `["forward", 512, 768]` is answered by the seconds of one
    call, `["forward", 512, 768, "cpu"]` by those that the threads of the process ran, and `["memory"]` by the peak
    memory so far in bytes, or null. Instead of an answer there may be `{"error": …}`.

    Args:
      load: a function of the metric's name. It returns what to tell about it; a function of a figure and of two images,
        [H, W, 3] float32 in [0, 1], that makes a call which returns when its result is there; and a function that
        returns the peak memory.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer

    def answer(function: Callable, *args):
        try:
            found = function(*args)
        except Exception as error:  # libraries raise many kinds, such as for too little memory
            lines = str(error).splitlines()
            found = {"error": lines[0] if lines else type(error).__name__}
        print(json.dumps(found), file=answers, flush=True)
        return found

    loaded = []

    def begin():
        loaded.extend(load(sys.argv[1]))
        return loaded[0]

    if "error" in answer(begin):
        return
    _, make, peak = loaded

    @functools.lru_cache(maxsize=1)  # one is used several times, and then no more
    def call(figure: str, height: int, width: int) -> Call:
        return make(figure, *np.random.default_rng(0).random((2, height, width, 3), np.float32))

    def seconds(figure: str, height: int, width: int, clock: str = "wall") -> float:
        of_question, now = call(figure, height, width), CLOCKS[clock]
        start = now()
        of_question()
        return now() - start

    for line in sys.stdin:
        question = json.loads(line)
        answer(peak) if question == ["memory"] else answer(seconds, *question)


def resident_peak() -> int | None:
    """The peak resident memory of this process in bytes; None where there is no /proc.

    getrusage would not do: its peak starts at that of the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return None
    (kibibytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kibibytes) * 1024
