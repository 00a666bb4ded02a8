"""What happens to a run from outside its computation: signals, stalls, the memory it takes."""

import contextlib
import faulthandler
import resource
import signal
import sys
from collections.abc import Callable, Iterator

import jax


@contextlib.contextmanager
def caught_signals() -> Iterator[list[str]]:
    """A context that catches SIGINT and SIGTERM, and gives the list of the names of those that came.

    A second SIGINT acts as usual, for people who do not want to wait. A second SIGTERM changes nothing: launchers and
    schedulers send it twice, and end a grace period with SIGKILL.
    """
    caught: list[str] = []
    previous = {}

    def catch(number, frame):
        caught.append(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stalls(minutes: float) -> Iterator[Callable[[], None]]:
    """A context that prints on stderr where every thread is once no step was done for some minutes.

    It stops nothing. The first step compiles, so it may take three times as long.

    Args:
      minutes: how long; 0 for no watch.

    Returns:
      a context manager that gives a function to call at every step.
    """
    if not minutes:
        yield lambda: None
        return

    # The timer is C code. It needs neither the interpreter nor its lock, which may be what is stuck.
    faulthandler.dump_traceback_later(3 * 60 * minutes, file=sys.stderr)
    try:
        yield lambda: faulthandler.dump_traceback_later(60 * minutes, file=sys.stderr)
    finally:
        faulthandler.cancel_dump_traceback_later()


def memory() -> dict[str, float]:
    """The most memory used so far in GB: `memory_gb` by this process, `device_memory_gb` on its fullest device.

    Devices that do not count it, such as CPUs, are left out.

    Examples:
      >>> 0.05 < memory()["memory_gb"] < 1000
      True
    """
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    used = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    peaks = [stats["peak_bytes_in_use"] for device in jax.local_devices() if (stats := device.memory_stats())]
    return used | ({"device_memory_gb": max(peaks) / 1e9} if peaks else {})
