"""Checkpoints and weights on disk: the only module that imports orbax.

A checkpoint is a folder with the items `params`, `optimizer` (training only) and `about` (JSON: what the weights are).
A run's working directory holds the newest few under `checkpoints/<step>`; bundled and converted weights are one such
folder. Orbax writes under a temporary name and renames, so a folder with its final name is complete.
"""

import hashlib
from collections.abc import Callable, Mapping
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


class Weights(NamedTuple):
    """Parameters with what is known of them."""

    model: Any  # a configuration: of PIM, ModelConfig
    params: pim.Params  # numpy float32
    about: dict  # "name", "model", "metric" unless it is PIM, and for trained ones "training", "data", "commit", "step"
    digest: str  # hexadecimal SHA-256 of the parameters


class Format(NamedTuple):
    """What the weights of a metric look like."""

    model: type  # the configuration, a frozen dataclass
    shapes: Callable[[Any], pim.Params]  # of its parameters, a tree of jax.ShapeDtypeStruct


PIM = {"pim": Format(ModelConfig, pim.shapes)}


def manager(workdir: str | Path, *, keep: int) -> ocp.CheckpointManager:
    """Opens the checkpoints of a run for writing; close it, or use it as a context, to wait for the last save."""
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
    return ocp.CheckpointManager(Path(workdir).absolute() / _FOLDER, options=options)


def save(manager: ocp.CheckpointManager, state: State, about: dict) -> None:
    """Starts writing a checkpoint and returns; `about` must be JSON."""
    # Copied, because the next step donates the state's buffers while orbax is still writing.
    params, optimizer = jax.tree.map(jnp.copy, (state.params, state.optimizer))
    args = ocp.args.Composite(
        params=ocp.args.StandardSave(params),
        optimizer=ocp.args.StandardSave(optimizer),
        about=ocp.args.JsonSave(about),
    )
    manager.save(int(state.step), args=args)


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


def save_weights(directory: str | Path, model: Any, params: pim.Params, *, name: str, **about: Any) -> None:
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


def load_weights(directory: str | Path, formats: Mapping[str, Format] = PIM) -> Weights:
    """Reads weights from a folder of `save_weights`, a checkpoint, or a run's working directory (its newest).

    Args:
      directory: the folder.
      formats: what the weights may be of, by metric ("metric" in what is known of them).

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no weights, or damaged ones, or weights of another metric.
    """
    path = _newest(Path(directory).absolute())
    with _checkpointer() as checkpointer:
        try:
            about = checkpointer.restore(path, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            metric = about.get("metric", "pim")
            if metric not in formats:
                raise ValueError(f"they are of the metric {metric}, not {' or '.join(formats)}")
            model = configuration.from_json(formats[metric].model, about["model"])
            params = _restore_params(checkpointer, path, formats[metric].shapes(model))
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


def _restore_params(checkpointer, path, shapes):
    # As numpy, so that neither the mesh nor the devices of the run that saved them matter.
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
    steps = [int(entry.name) for entry in path.glob(f"{_FOLDER}/*") if entry.name.isdigit()]
    if not steps:
        raise ValueError(
            f"{path} holds no weights: neither params/ nor checkpoints/<step>/, as train.py and convert write"
        )
    return path / _FOLDER / str(max(steps))


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
