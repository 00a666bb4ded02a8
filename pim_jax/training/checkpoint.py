"""Checkpoints of a training run: the state after a step, written while training goes on.

`pim_jax.stored` describes the format.
"""

import contextlib
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from pim_jax import files, metrics, stored
from pim_jax.stored import MAX_PARAMETERS, Weights, first_line
from pim_jax.training.step import State

_MAX_OPTIMIZER_BYTES = 4 * 4 * MAX_PARAMETERS  # of the files: two moments and, generously, what surrounds them


@contextlib.contextmanager
def manager(workdir: str | Path, *, keep: int) -> Iterator[ocp.CheckpointManager]:
    """A context for writing the checkpoints of a run. Its end waits for the last save.

    After an exception, one of several processes does not wait: the others may be gone, and it cannot finish alone.

    Raises:
      OSError: a checkpoint cannot be written. The message says why, and which is the last that was written.
    """
    directory = files.place(workdir) / stored.CHECKPOINTS
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        enable_async_checkpointing=True,
        cleanup_tmp_directories=True,  # what a killed run was writing
    )
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax raises its errors, and logs them with tracebacks too
    stored.hide_echoes()
    with _writing(directory):
        opened = ocp.CheckpointManager(directory, options=options)
    try:
        yield opened
    except Exception:
        if jax.process_count() == 1:
            with contextlib.suppress(Exception):  # the first one counts
                opened.close()
        raise
    with _writing(directory):
        opened.close()


def save(manager: ocp.CheckpointManager, state: State, about: dict) -> None:
    """Starts writing a checkpoint, and returns while it is being written.

    Args:
      manager: from `manager`.
      state: the state to write.
      about: JSON: what the weights are.

    Raises:
      OSError: this checkpoint cannot be written, or the one before could not.
    """
    # Copied, because the next step donates the state's buffers while orbax is still writing.
    params, optimizer = jax.tree.map(jnp.copy, (state.params, state.optimizer))
    args = ocp.args.Composite(
        params=ocp.args.StandardSave(params),
        optimizer=ocp.args.StandardSave(optimizer),
        about=ocp.args.JsonSave(about),
    )
    with _writing(manager.directory):
        stored.check_room(manager.directory, (params, optimizer))
        manager.save(int(state.step), args=args)


def check_saving(manager: ocp.CheckpointManager) -> None:
    """Raises OSError if writing the last checkpoint has failed."""
    with _writing(manager.directory):
        manager.check_for_errors()


def wait(manager: ocp.CheckpointManager) -> None:
    """Returns when the checkpoint that is being written is complete. Raises OSError if it fails."""
    with _writing(manager.directory):
        manager.wait_until_finished()


def newest(workdir: str | Path) -> dict | None:
    """Returns the `about` of the newest checkpoint of a run, or None if there is no checkpoint.

    Raises:
      ValueError: it is damaged.
    """
    if not (complete := stored.of_run(workdir)):
        return None
    with _reading(complete):
        # Not through orbax, whose readers wait for those of the other processes.
        about = json.loads((complete[-1] / "about" / "metadata").read_bytes())
        if not (isinstance(about, dict) and {"training", "data"} <= about.keys()):
            raise ValueError("about/ does not say what it is")
        return about


def restore(manager: ocp.CheckpointManager, state: State) -> State:
    """Returns the state of the newest checkpoint.

    Args:
      manager: from `manager`; there must be a checkpoint.
      state: a state of the same configuration. Its shapes and shardings are used, its values are not.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    args = ocp.args.Composite(
        params=ocp.args.StandardRestore(state.params),
        optimizer=ocp.args.StandardRestore(state.optimizer),
    )
    with _reading(stored.of_run(manager.directory.parent)):
        found = manager.restore(manager.latest_step(), args=args)
    done = jax.device_put(np.int32(manager.latest_step()), state.step.sharding)
    return State(done, found.params, found.optimizer)


def load_whole(directory: str | Path) -> tuple[Weights, Any]:
    """Reads all of a checkpoint: its weights, and the optimizer's state as a tree of numpy arrays (None without one).

    Raises:
      FileNotFoundError, ValueError: as `pim_jax.stored.read`.
    """
    weights, path = stored.read(directory, metrics.FORMATS), stored.weights_folder(stored.place(directory))
    if not (path / "optimizer").is_dir():
        return weights, None
    with stored.checkpointer() as reader:
        try:
            stored.check_files(path / "optimizer", _MAX_OPTIMIZER_BYTES)
            tree = ocp.PyTreeCheckpointHandler().metadata(path / "optimizer").tree
            for name, leaf in stored.by_name(tree):
                if max(math.prod(leaf.shape), math.prod(leaf.storage.chunk_shape)) > MAX_PARAMETERS:
                    raise ValueError(f"{name} has shape {leaf.shape}; at most {MAX_PARAMETERS:,} numbers are read")
            restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            args = ocp.args.Composite(optimizer=ocp.args.PyTreeRestore(restore_args=restore_args))
            return weights, reader.restore(path, args=args).optimizer
        except Exception as error:
            raise ValueError(f"the optimizer in {directory} cannot be read: {first_line(error)}") from error


@contextlib.contextmanager
def _reading(complete: list[Path]) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or the other processes, not of the disk
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds
        then = f"continue from step {complete[-2].name}" if len(complete) > 1 else "begin again"
        raise ValueError(f"{complete[-1]} is damaged ({first_line(error)}): remove this folder to {then}") from error


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or the other processes, not of the disk
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds
        complete = stored.of_run(directory.parent)
        kept = f"the last complete one is of step {complete[-1].name}" if complete else "there is no complete one yet"
        raise OSError(
            f"a checkpoint cannot be written to {directory} ({first_line(error)}); {kept}. "
            "Make room or choose another --workdir, and run again to continue"
        ) from error
