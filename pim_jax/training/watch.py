"""What a run says about itself from outside its computation: signals, stalls, memory."""

import contextlib
import faulthandler
import resource
import signal
import sys
from collections.abc import Callable, Iterator

import jax


@contextlib.contextmanager
def caught_signals() -> Iterator[list[str]]:
    """A list that SIGINT and SIGTERM join by name. A second SIGINT acts as usual, for whoever does not want to wait.

    A second SIGTERM changes nothing: launchers and schedulers send it twice, and end a grace period with SIGKILL.
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
    """Prints on stderr where every thread is once there was no step for some minutes. The run goes on, or waits on.

    The first step compiles, so it is given three times as long.

    Args:
      minutes: without a step; 0 for no watch.

    Returns:
      a context manager that gives a function to be called at every step.
    """
    if not minutes:
        yield lambda: None
        return

    # The timer is C code which needs neither the interpreter nor its lock: those may be what is stuck.
    faulthandler.dump_traceback_later(3 * 60 * minutes, file=sys.stderr)
    try:
        yield lambda: faulthandler.dump_traceback_later(60 * minutes, file=sys.stderr)
    finally:
        faulthandler.cancel_dump_traceback_later()


def memory() -> dict[str, float]:
    """The most memory used so far in GB: `memory_gb` of this process, `device_memory_gb` of its fullest device.

    Devices that do not count, such as a CPU, are left out.

    Example:
      >>> 0.05 < memory()["memory_gb"] < 1000
      True
    """
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    used = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    peaks = [stats["peak_bytes_in_use"] for device in jax.local_devices() if (stats := device.memory_stats())]
    return used | ({"device_memory_gb": max(peaks) / 1e9} if peaks else {})
