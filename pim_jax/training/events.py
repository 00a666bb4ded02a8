"""TensorBoard events of a run, which show the rows of its log, if the library tensorboardX is installed.

The library's own `SummaryWriter` hands events to a thread. A full disk ends that thread, and the program then waits
forever for room in the queue. So events are written here at once, and a full disk is an error.
"""

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path


class Events:
    """A file of events.

    Args:
      folder: gets the file. Earlier files of events there are removed.
      rows: of the log, a dict with a whole "step" and more for each, which are written first.

    Raises:
      OSError: they cannot be written.
    """

    def __init__(self, folder: Path, rows: Sequence[dict]):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = EventsWriter(str(folder / "events"))
        # A TensorBoard that is running forgets what it has read.
        self._file.write_event(Event(wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))
        for row in rows:
            self._add(row)
        self._file.flush()

    def write(self, row: dict) -> None:
        """Writes the numbers of one row.

        Raises:
          OSError: they cannot be written.
        """
        self._add(row)
        self._file.flush()

    def close(self) -> None:
        """Closes the file.

        Raises:
          OSError: what was refused before cannot be written.
        """
        self._file.close()

    def _add(self, row: dict) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "step" and isinstance(value, int | float)
        ]
        self._file.write_event(Event(wall_time=time.time(), step=row["step"], summary=Summary(value=values)))


def open_events(folder: Path, rows: Sequence[dict]) -> Events | None:
    """The events of a run, or None without the library."""
    return Events(folder, rows) if importlib.util.find_spec("tensorboardX") else None
