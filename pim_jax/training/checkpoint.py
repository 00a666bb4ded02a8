"""Checkpoints and weights on disk: the only module that imports orbax.

A checkpoint is a folder with the items `params`, `optimizer` (training only) and `about` (JSON: what the weights are).
A run's working directory holds the newest few under `checkpoints/<step>`; bundled and converted weights are one such
folder. Orbax writes under a temporary name and renames, so a folder with its final name is complete.
"""

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import config as configuration
from pim_jax.training.step import State

_FOLDER = "checkpoints"
_METADATA_BYTES = 500_000  # what orbax writes besides the arrays, rounded up


class Weights(NamedTuple):
    """Parameters with what is known of them."""

    model: ModelConfig
    params: pim.Params  # numpy float32
    about: dict  # "name", "model", and for trained ones "training", "data", "commit", "step"
    digest: str  # hexadecimal SHA-256 of the parameters


@contextlib.contextmanager
def manager(workdir: str | Path, *, keep: int) -> Iterator[ocp.CheckpointManager]:
    """A context with the checkpoints of a run, for writing; its end waits for the last save.

    It does not after an exception: the other processes, with which it would have to finish, may be gone.

    Raises:
      OSError: a checkpoint cannot be written; the message says why, and which is the last that was.
    """
    directory = Path(workdir).absolute() / _FOLDER
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        enable_async_checkpointing=True,
        cleanup_tmp_directories=True,  # what a killed run was writing
    )
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax raises its errors, and logs them with tracebacks too
    with _writing(directory):
        opened = ocp.CheckpointManager(directory, options=options)
    yield opened
    with _writing(directory):
        opened.close()


def save(manager: ocp.CheckpointManager, state: State, about: dict) -> None:
    """Starts writing a checkpoint and returns; `about` must be JSON. Raises OSError if this or the last one fails."""
    # Copied, because the next step donates the state's buffers while orbax is still writing.
    params, optimizer = jax.tree.map(jnp.copy, (state.params, state.optimizer))
    args = ocp.args.Composite(
        params=ocp.args.StandardSave(params),
        optimizer=ocp.args.StandardSave(optimizer),
        about=ocp.args.JsonSave(about),
    )
    with _writing(manager.directory):
        _check_room(manager.directory, (params, optimizer))
        manager.save(int(state.step), args=args)


def check(manager: ocp.CheckpointManager) -> None:
    """Raises OSError if the checkpoint that is being written has failed so far."""
    with _writing(manager.directory):
        manager.check_for_errors()


def wait(manager: ocp.CheckpointManager) -> None:
    """Returns when the checkpoint that is being written is complete. Raises OSError if it fails."""
    with _writing(manager.directory):
        manager.wait_until_finished()


def restore(manager: ocp.CheckpointManager, state: State) -> tuple[State, dict] | None:
    """Returns the newest checkpoint as (state, about), or None if there is none.

    Args:
      manager: from `manager`.
      state: a state of the same configuration; its shapes and shardings are used, not its values.
    """
    step = manager.latest_step()
    if step is None:
        return None
    args = ocp.args.Composite(
        params=ocp.args.StandardRestore(state.params),
        optimizer=ocp.args.StandardRestore(state.optimizer),
        about=ocp.args.JsonRestore(),
    )
    stored = manager.restore(step, args=args)
    done = jax.device_put(np.int32(step), state.step.sharding)
    return State(done, stored.params, stored.optimizer), stored.about


def save_weights(directory: str | Path, model: ModelConfig, params: pim.Params, *, name: str, **about: Any) -> None:
    """Writes weights alone, as a folder that `load_weights` reads.

    Args:
      directory: must not exist.
      model: the networks.
      params: parameters of `model`.
      name: what the weights are called.
      **about: more JSON values to keep beside them.
    """
    args = ocp.args.Composite(
        params=ocp.args.StandardSave(jax.tree.map(np.asarray, params)),
        about=ocp.args.JsonSave({"name": name, "model": configuration.to_json(model), **about}),
    )
    with _checkpointer() as checkpointer:
        checkpointer.save(Path(directory).absolute(), args=args)


def load_weights(directory: str | Path) -> Weights:
    """Reads weights from a folder of `save_weights`, a checkpoint, or a run's working directory (its newest).

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no weights, or damaged ones.
    """
    path = _newest(Path(directory).absolute())
    with _checkpointer() as checkpointer:
        try:
            about = checkpointer.restore(path, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            model = configuration.from_json(ModelConfig, about["model"])
            params = _restore_params(checkpointer, path, model)
        except Exception as error:  # orbax and tensorstore raise many kinds for a damaged folder
            raise ValueError(f"the weights in {directory} cannot be read: {_first_line(error)}") from error
    return Weights(model, params, about, digest(params))


def digest(params: pim.Params) -> str:
    """Returns the SHA-256 of names, shapes and values, in hexadecimal: equal exactly for equal weights."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf, np.dtype("<f4"))
        sha.update(f"{jax.tree_util.keystr(path)}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def _check_room(directory: Path, tree) -> None:
    # Asked first, because orbax's threads print pages of tracebacks on a full disk.
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + _METADATA_BYTES
    if (free := shutil.disk_usage(directory).free) < needed:
        raise OSError(f"it needs {needed / 1e6:.1f} MB, and the disk has {free / 1e6:.1f} MB left")


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or the other processes, not of the disk
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds
        last = max(_steps(directory), default=None)
        kept = "there is no complete one yet" if last is None else f"the last complete one is of step {last}"
        raise OSError(
            f"a checkpoint cannot be written to {directory} ({_first_line(error)}); {kept}. "
            "Make room or choose another --workdir, and run again to continue"
        ) from error


def _restore_params(checkpointer, path, model):
    # As numpy, so that neither the mesh nor the devices of the run that saved them matter.
    shapes = pim.shapes(model)
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    args = ocp.args.Composite(params=ocp.args.PyTreeRestore(shapes, restore_args=restore_args))
    params = checkpointer.restore(path, args=args).params
    for (name, want), have in zip(jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(params), strict=True):
        if (have.shape, have.dtype) != (want.shape, want.dtype):
            raise ValueError(f"{jax.tree_util.keystr(name)} is {have.dtype}{have.shape}, not {want.dtype}{want.shape}")
    return params


def _newest(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    if (path / "params").is_dir():
        return path
    steps = _steps(path / _FOLDER)
    if not steps:
        raise ValueError(
            f"{path} holds no weights: neither params/ nor checkpoints/<step>/, as train.py and convert write"
        )
    return path / _FOLDER / str(max(steps))


def _steps(directory: Path) -> list[int]:
    return [int(entry.name) for entry in directory.iterdir() if entry.name.isdigit()] if directory.is_dir() else []


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
