"""Runs tasks in processes of this machine, so that a decoder that crashes takes down one task and not the program."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from pim_jax.data.sources import BadArguments

Progress = Callable[[int, int], None]  # takes how many tasks are done, and of how many


class Task(Protocol):
    """Work whose result is a file, so that one look says whether it is done. It can be pickled."""

    @property
    def done(self) -> bool:
        """Whether the result is there."""

    def run(self) -> None:
        """Does the work. Run twice, it leaves the same result."""

    def give_up(self) -> None:
        """Is called instead, where a process died each time that it ran the task."""


class Engine(Protocol):
    """A way to run many tasks."""

    def run(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Runs the tasks that are not done.

        Args:
          tasks: the tasks, in order.
          progress: called with the number of tasks that are done, and of all.

        Raises:
          OSError: a result cannot be written.
        """


class Pool:
    """An engine of so many processes, which start when they are needed; a context that ends them.

    Examples:
      >>> with Pool(2) as pool:
      ...     pool.run([], lambda done, total: None)
    """

    def __init__(self, workers: int):
        if workers < 1:
            raise BadArguments(f"--workers {workers}: must be at least 1.")
        self._workers, self._executor = workers, None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._end()

    def run(self, tasks: Sequence[Task], progress: Progress) -> None:
        """See `Engine`.

        Tasks are started in order, so when one takes its process (and with it the pool) down, the first ones that are
        not done were running: each of them is tried again alone.
        """

        def undone() -> list[Task]:
            remaining = [task for task in tasks if not task.done]
            progress(len(tasks) - len(remaining), len(tasks))
            return remaining

        while remaining := undone():
            done = len(tasks) - len(remaining)
            if not self._run(remaining, lambda more, done=done: progress(done + more, len(tasks))):
                for suspect in undone()[: self._workers]:
                    if not self._run([suspect], lambda more: None):
                        suspect.give_up()

    def _run(self, tasks: list[Task], progress: Callable[[int], None]) -> bool:
        """Runs tasks and returns whether all processes lived to the end."""
        self._executor = self._executor or processes(self._workers)
        try:
            futures = [self._executor.submit(task.run) for task in tasks]
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done)
        except BrokenProcessPool:
            self._end()
            return False
        except BaseException:  # Ctrl-C, or a full disk: an hour-long video in another worker must not delay the exit
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        return True

    def _end(self) -> None:
        if self._executor:
            self._executor.shutdown()
        self._executor = None


def processes(count: int) -> ProcessPoolExecutor:
    """An executor of `count` processes that end with this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Without this a killed run leaves workers behind that wait for work for ever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
