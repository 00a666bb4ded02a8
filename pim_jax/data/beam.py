"""Runs tasks on Apache Beam, on this machine or on many (`pip install 'pim-jax[beam]'`)."""

import multiprocessing
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from pim_jax.data import pool
from pim_jax.data.pool import Progress, Task
from pim_jax.data.sources import BadArguments


class Beam:
    """An engine (see `pool.Engine`) of one pipeline for each call; a context, as `pool.Pool` is.

    Args:
      runner: the name of Beam's runner, such as "FnApiRunner".
      flags: Beam's own.
      shared: files and folders that every worker must see under the same name.

    Raises:
      ModuleNotFoundError: Beam is not installed.
      BadArguments: Beam does not know the runner or a flag.
    """

    def __init__(self, runner: str, flags: Sequence[str], shared: Sequence[Path]):
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions

        self._options = PipelineOptions([f"--runner={runner}", *flags])
        known = self._options.get_all_options().keys()
        if unknown := self._options.get_all_options(retain_unknown_options=True).keys() - known:
            raise BadArguments(f"--{min(unknown)}: neither this command nor Beam has such a flag.")
        try:
            apache_beam.Pipeline(options=self._options)
        except ValueError as error:
            raise BadArguments(f"--runner {runner}: {error}") from error
        self._shared = [os.path.abspath(path) for path in shared]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def run(self, tasks: Sequence[Task], progress: Progress) -> None:
        """See `pool.Engine`. Progress is told at the start and at the end; in between the runner shows its own."""
        import apache_beam

        undone = [task for task in tasks if not task.done]
        progress(len(tasks) - len(undone), len(tasks))
        if not undone:
            return
        try:
            with apache_beam.Pipeline(options=self._options) as pipeline:
                # Without the reshuffle the worker that makes the list would run all of it.
                listed = pipeline | apache_beam.Create(undone).with_output_types(Any) | apache_beam.Reshuffle()
                _ = listed | "Run" >> apache_beam.Map(partial(_run, self._shared)).with_input_types(Any)
        except KeyboardInterrupt:
            _interrupted.set()
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        except Exception as error:  # a worker's, as text: the runners have no common kind
            raise OSError((str(error).strip() or repr(error)).splitlines()[-1]) from error
        if lost := sum(not task.done for task in tasks):
            raise OSError(
                f"{lost} of {len(tasks)} sources or files are not there, though the runner has ended: see its log"
            )
        progress(len(tasks), len(tasks))


_interrupted = threading.Event()  # a runner on this machine has threads that go on, and the program waits for them
_here = threading.local()  # of a worker's thread: the process in which it runs tasks


def _run(shared: list[str], task: Task) -> None:
    """Runs a task in a process beside the worker's, because a decoder that crashes would end the pipeline."""
    if _interrupted.is_set():
        return
    for path in shared:
        if not os.path.lexists(path):
            raise OSError(f"{path} is not there on {socket.gethostname()}: all workers must see it")
    for _ in range(2):
        _here.process = getattr(_here, "process", None) or pool.processes(1)
        try:
            _here.process.submit(task.run).result()
            return
        except BrokenProcessPool:
            _here.process.shutdown()
            _here.process = None
            if _interrupted.is_set():
                return
    task.give_up()
