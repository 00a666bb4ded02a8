"""Several processes that train together: how they find each other, agree on things, and leave.

Every process runs the same program on its own devices. Whatever decides what they do next must be known to all of them
at the same step, or some wait for ever in a collective operation that the others never enter.
"""

import collections
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

HEARTBEAT_SECONDS = 60  # a process that was silent for so long is taken for dead, and the others end
JOIN_SECONDS = 300
_LAG = 2  # steps from a wish to stop to the stop: the flag's all-reduce must not make a step wait for the last one
_TEXT_BYTES = 2048

T = TypeVar("T")


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of a run; to be called before anything else of JAX.

    Without arguments the launcher says who they are: Slurm's srun, Open MPI's mpirun, or the runtime of a TPU pod. A
    program that was started on its own stays on its own.

    Args:
      coordinator: "host:port" of process 0, where a free port must be.
      processes: their number.
      process: this one, 0 to processes - 1.

    Raises:
      ValueError: the arguments do not fit each other.
      RuntimeError: the processes did not find each other.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise ValueError("--coordinator, --processes and --process belong together")
    if all(given) and not 0 <= process < processes:
        raise ValueError(f"--process must be from 0 to --processes - 1 = {processes - 1}, not {process}")
    if all(given) and not coordinator.rpartition(":")[2].isdigit():
        raise ValueError(f"--coordinator is written HOST:PORT, not {coordinator!r}")
    launched = any(os.environ.get(name, "1") != "1" for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    if not any(given) and not launched and importlib.util.find_spec("libtpu") is None:
        return
    # Its handler of SIGTERM would come before ours, and orbax would save by it at a step of its own choice.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            # With all the rest said, launchers are not asked; Slurm's would leave each process one device.
            cluster_detection_method="deactivate" if all(given) else None,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        # libtpu may be installed where there is no TPU; but several that each believed to be alone would do harm.
        if any(given) or launched:
            raise ValueError(
                f"the launcher does not say enough to find the other processes ({error}): give --coordinator, "
                "--processes and --process"
            ) from error


def leave() -> None:
    """Ends the connection, when all processes do."""
    jax.distributed.shutdown()


def leave_alone(status: int) -> NoReturn:
    """Ends this process at once, for a reason that the others do not know.

    The usual way out would wait for the others, which wait for this one, and for threads with something left to write.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def together(call: Callable[[], T]) -> T:
    """Returns `call()`; fails on every process if it failed on any, so that none waits for one that has left.

    Args:
      call: a function that may raise ValueError or OSError, and enters no collective operation.

    Raises:
      ValueError: it did, somewhere; the message says where, unless it was everywhere.

    Example:
      >>> together(lambda: 1 + 1)
      2
    """
    try:
        result, problem = call(), ""
    except (ValueError, OSError) as error:
        result, problem = None, str(error)
    problems = _gather(problem)
    if any(problems):
        raise ValueError(_by_process(problems))
    return result


def same(what: str, text: str) -> None:
    """Raises ValueError on every process if `text`, which says what `what` is, is not the same on all."""
    texts = _gather(text)
    if len(set(texts)) > 1:
        raise ValueError(f"{what} must be the same on every process: {_by_process(texts)}")


def _gather(text: str) -> list[str]:
    """What each process said, by process; the end of a long text is cut off."""
    if jax.process_count() == 1:
        return [text]
    said = np.frombuffer(text.encode()[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"), np.uint8)
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in multihost_utils.process_allgather(said)]


def _by_process(texts: list[str]) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(f"process {process}: {text}" for process, text in enumerate(texts) if text)


class Agreement:
    """Turns what each process wishes into what all do at the same step: stopping.

    A single process does what it wishes at once. Several pass a flag through the step, which adds one number to its
    all-reduce, and look at the result two steps later, so that the host need not wait for the device. (A program of its
    own for the flag could be started between others of more devices than the CPU has threads, and stop them for ever.)

    Args:
      step: (state, batch) -> (state, metrics), as `pim_jax.training.step.make` returns.
      mesh: all devices of all processes.
      wish: says whether this process wishes to stop.
    """

    def __init__(self, step: Callable, mesh: Mesh, wish: Callable[[], bool]):
        self._step, self._wish = step, wish
        self._flags: collections.deque[jax.Array] = collections.deque()
        self._sharding = NamedSharding(mesh, PartitionSpec("data"))
        replicated = NamedSharding(mesh, PartitionSpec())

        def step_and_flag(state, batch, wishes):
            return *step(state, batch), wishes.any()

        self._step_and_flag = jax.jit(step_and_flag, donate_argnums=0, out_shardings=replicated)

    def step(self, state, batch):
        """Returns what the given step does."""
        if jax.process_count() == 1:
            return self._step(state, batch)
        wishes = np.full(jax.local_device_count(), self._wish())
        wishes = jax.make_array_from_process_local_data(self._sharding, wishes)
        state, metrics, flag = self._step_and_flag(state, batch, wishes)
        self._flags.append(flag)
        return state, metrics

    def stop(self) -> bool:
        """Whether to stop now; to be called once before every step."""
        if jax.process_count() == 1:
            return self._wish()
        return len(self._flags) > _LAG and bool(self._flags.popleft())
