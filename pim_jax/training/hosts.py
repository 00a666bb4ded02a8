"""Several processes that train together: how they find each other, agree on things, and leave.

Every process runs the same program on its own devices. All must know at the same step what they do next. Otherwise some
wait for ever in a collective operation that the others never enter.
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

HEARTBEAT_SECONDS = 60  # a process that was silent for so long is taken for dead; the others then end
JOIN_SECONDS = 300
_LAG = 2  # steps from a wish to stop to the stop: the flag's all-reduce must not make a step wait for the last one
_TEXT_BYTES = 2048

T = TypeVar("T")


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of a run. It must be called before anything else of JAX.

    Without arguments the launcher says which processes there are: Slurm's srun, Open MPI's mpirun, or the runtime of a
    TPU pod. A program that was started on its own stays on its own.

    Args:
      coordinator: "host:port" of process 0. The port must be free.
      processes: the number of processes.
      process: the number of this one, from 0.

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
    # This service would catch SIGTERM before us, and orbax would then save at a step of its own choice.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            # Where the arguments say all, Slurm is not asked: it would leave each process one device.
            cluster_detection_method="deactivate" if all(given) else None,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        # libtpu may be installed where there is no TPU. But processes that each believed to be alone would do harm.
        if any(given) or launched:
            raise ValueError(
                f"the launcher does not say enough to find the other processes ({error}): give --coordinator, "
                "--processes and --process"
            ) from error


def leave() -> None:
    """Ends the connection to the other processes. It waits until all of them do."""
    jax.distributed.shutdown()


def leave_alone(status: int) -> NoReturn:
    """Ends this process at once, for a reason that the others do not know.

    The usual way out would wait for the others, which wait for this one. It would also wait for threads that still have
    something to write.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def together(call: Callable[[], T]) -> T:
    """Returns `call()`, or fails on every process if it failed on one. So none waits for one that has left.

    Args:
      call: a function that may raise ValueError or OSError. It must not enter a collective operation.

    Raises:
      ValueError: it raised one of these on some process. The message says on which, unless it was on all.

    Examples:
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


def check_same(what: str, text: str) -> None:
    """Raises ValueError on every process if they differ in `text`.

    Args:
      what: what the text stands for, in the message.
      text: of this process.

    Examples:
      >>> check_same("the data", "a hash")
    """
    texts = _gather(text)
    if len(set(texts)) > 1:
        raise ValueError(f"{what} must be the same on every process: {_by_process(texts)}")


def _gather(text: str) -> list[str]:
    """The text of each process, in their order. The end of a long text is cut off."""
    if jax.process_count() == 1:
        return [text]
    said = np.frombuffer(text.encode()[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"), np.uint8)
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in multihost_utils.process_allgather(said)]


def _by_process(texts: list[str]) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(f"process {process}: {text}" for process, text in enumerate(texts) if text)


class Agreement:
    """Makes all processes stop at the same step once one of them wishes to stop.

    A single process stops at once. Several pass a flag through the step, which adds one number to its all-reduce. They
    look at the result two steps later, so that the host need not wait for the device. The flag has no program of its
    own: started between the programs of more devices than the CPU has threads, it could stop them for ever.

    Args:
      step: (state, batch) -> (state, metrics), as `pim_jax.training.step.make` returns.
      mesh: all devices of all processes.
      wish: whether this process wishes to stop.
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
        """Takes the given step, and returns what it returns."""
        if jax.process_count() == 1:
            return self._step(state, batch)
        wishes = np.full(jax.local_device_count(), self._wish())
        wishes = jax.make_array_from_process_local_data(self._sharding, wishes)
        state, metrics, flag = self._step_and_flag(state, batch, wishes)
        self._flags.append(flag)
        return state, metrics

    def stop(self) -> bool:
        """Whether to stop now. It must be called once before every step."""
        if jax.process_count() == 1:
            return self._wish()
        return len(self._flags) > _LAG and bool(self._flags.popleft())
