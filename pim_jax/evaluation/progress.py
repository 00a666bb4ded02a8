"""How far a run is: a bar on a terminal, a line a minute elsewhere, such as in the log of a batch job."""

import io
import sys
from collections.abc import Callable

from tqdm import tqdm

SECONDS = 60  # between two lines


def bar(total: int, what: str, say: Callable[[str], None], *, unit: str = "pair") -> tqdm:
    """Shows how many of `total` are done, how quickly, and how long the rest will take.

    Args:
      total: how many there are.
      what: what is done, such as "scoring".
      say: prints a line to standard error, where that is no terminal.
      unit: what is counted.

    Examples:
      >>> with bar(2, "scoring", print) as shown:
      ...     shown.update()
    """
    # The first second, or minute, says nothing: most runs are over by then.
    if sys.stderr.isatty():
        return tqdm(total=total, desc=what, unit=unit, delay=1, dynamic_ncols=True)
    return _Lines(say, total=total, desc=what, unit=unit)


class _Lines(tqdm):
    def __init__(self, say: Callable[[str], None], **options):
        self._say = say
        super().__init__(
            **options, file=io.StringIO(), delay=SECONDS, mininterval=SECONDS, miniters=1, maxinterval=0, leave=False
        )

    def display(self, msg=None, pos=None):
        state = self.format_dict
        if msg == "" or not state["n"]:  # the end, which clears a bar
            return
        rate = state["rate"] or state["n"] / state["elapsed"]
        left = self.format_interval((state["total"] - state["n"]) / rate)
        self._say(f"{self.desc}: {state['n']} of {state['total']}, {rate:.3g} {self.unit}s a second, {left} left")
