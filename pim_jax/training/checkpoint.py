"""Checkpoints and weights on disk: the only module that imports orbax.

Weights may come from anyone. Nothing of them is ever executed (JSON, and arrays that tensorstore reads; no
pickles), and what they claim of their size is checked before it is believed.

A checkpoint is a folder with the items `params`, `optimizer` (training only) and `about` (JSON: what the weights are).
A run's working directory holds the newest few under `checkpoints/<step>`; bundled and converted weights are one such
folder. On disk orbax writes under a temporary name and renames, so a folder with its final name is complete; in a
bucket, where nothing can be renamed, a complete one has a file that says so.
"""

import contextlib
import functools
import hashlib
import logging
import math
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from pim_jax import files
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import config as configuration
from pim_jax.training.step import State

_FOLDER = "checkpoints"
_METADATA_BYTES = 500_000  # what orbax writes besides the arrays, rounded up

# Bounds on weights from strangers; pim-5 has 96 layers with 2 million parameters, and a few kilobytes of `about`.
MAX_LAYERS = 1000
MAX_PARAMETERS = 2**27
MAX_ABOUT_BYTES = 2**20
_MAX_BYTES = 2 * 4 * MAX_PARAMETERS  # of the files: the arrays and, generously, what surrounds them


class Weights(NamedTuple):
    """Parameters with what is known of them."""

    model: Any  # a configuration: of PIM, ModelConfig
    params: pim.Params  # numpy float32
    about: dict  # "name", "model", "metric" unless it is PIM, and for trained ones "training", "data", "commit", "step"
    digest: str  # hexadecimal SHA-256 of the parameters


class Format(NamedTuple):
    """What the weights of a metric look like."""

    model: type  # the configuration, a frozen dataclass
    shapes: Callable[[Any], pim.Params]  # of its parameters, a tree of jax.ShapeDtypeStruct; ValueError if too large


def _pim_shapes(model: ModelConfig) -> pim.Params:
    # Before anything is built of them, however many scales, members and layers a file claims.
    layers = model.members * model.multiscale.count * (len(model.widths) + 4 * model.layers)
    if layers > MAX_LAYERS:
        raise ValueError(f"their networks have about {layers:,} layers; at most {MAX_LAYERS:,} are read")
    return pim.shapes(model)


PIM = {"pim": Format(ModelConfig, _pim_shapes)}


@contextlib.contextmanager
def manager(workdir: str | Path, *, keep: int) -> Iterator[ocp.CheckpointManager]:
    """A context with the checkpoints of a run, for writing; its end waits for the last save.

    After an exception only a single process waits: others, with which it would have to finish, may be gone.

    Raises:
      OSError: a checkpoint cannot be written; the message says why, and which is the last that was.
    """
    directory = files.place(workdir) / _FOLDER
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        enable_async_checkpointing=True,
        cleanup_tmp_directories=True,  # what a killed run was writing
    )
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax raises its errors, and logs them with tracebacks too
    _hide_echoes()
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


def newest(manager: ocp.CheckpointManager) -> dict | None:
    """Returns what is known of the newest checkpoint, its `about`, or None if there is none.

    Raises:
      ValueError: it is damaged.
    """
    if manager.latest_step() is None:
        return None
    return _restore(manager, about=ocp.args.JsonRestore()).about


def restore(manager: ocp.CheckpointManager, state: State) -> State:
    """Returns the state of the newest checkpoint.

    Args:
      manager: from `manager`; there must be a checkpoint.
      state: a state of the same configuration; its shapes and shardings are used, not its values.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    stored = _restore(
        manager,
        params=ocp.args.StandardRestore(state.params),
        optimizer=ocp.args.StandardRestore(state.optimizer),
    )
    done = jax.device_put(np.int32(manager.latest_step()), state.step.sharding)
    return State(done, stored.params, stored.optimizer)


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
      ValueError: it holds no weights, damaged ones, weights of another metric, or larger ones than `MAX_LAYERS` and
        `MAX_PARAMETERS` allow.
    """
    path = _newest(files.place(directory))
    with _checkpointer() as checkpointer:
        try:
            _check_files(path / "about", MAX_ABOUT_BYTES)
            _check_files(path / "params", _MAX_BYTES)
            about = checkpointer.restore(path, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            _check_about(about)
            metric = about.get("metric", "pim")
            if metric not in formats:
                raise ValueError(f"they are of the metric {metric}, not {' or '.join(formats)}")
            model = configuration.from_json(formats[metric].model, about["model"])
            params = _restore_params(checkpointer, path, formats[metric].shapes(model))
        except Exception as error:  # orbax and tensorstore raise many kinds for a damaged folder
            raise ValueError(f"the weights in {directory} cannot be read: {_first_line(error)}") from error
    return Weights(model, params, about, digest(params))


def load_whole(directory: str | Path) -> tuple[Weights, Any]:
    """Reads all of a checkpoint: its weights, and the optimizer's state as a tree of numpy arrays (None without one).

    Raises:
      FileNotFoundError, ValueError: as `load_weights`.
    """
    weights, path = load_weights(directory), _newest(files.place(directory))
    if not (path / "optimizer").is_dir():
        return weights, None
    with _checkpointer() as checkpointer:
        try:
            _check_files(path / "optimizer", 2 * _MAX_BYTES)
            stored = ocp.PyTreeCheckpointHandler().metadata(path / "optimizer").tree
            for name, leaf in _by_name(stored):
                if max(math.prod(leaf.shape), math.prod(leaf.storage.chunk_shape)) > MAX_PARAMETERS:
                    raise ValueError(f"{name} has shape {leaf.shape}; at most {MAX_PARAMETERS:,} numbers are read")
            restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
            args = ocp.args.Composite(optimizer=ocp.args.PyTreeRestore(restore_args=restore_args))
            return weights, checkpointer.restore(path, args=args).optimizer
        except Exception as error:
            raise ValueError(f"the optimizer in {directory} cannot be read: {_first_line(error)}") from error


def of_run(workdir: str | Path) -> list[Path]:
    """Returns the folders of a run's checkpoints that are complete, oldest first."""
    steps = [entry for entry in files.place(workdir).glob(f"{_FOLDER}/*") if entry.name.isdecimal()]
    complete = [entry for entry in steps if ocp.utils.is_checkpoint_finalized(entry)]
    return sorted(complete, key=lambda entry: int(entry.name))


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
    if files.in_bucket(directory):
        return
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + _METADATA_BYTES
    if (free := shutil.disk_usage(directory).free) < needed:
        raise OSError(f"it needs {needed / 1e6:.1f} MB, and the disk has {free / 1e6:.1f} MB left")


def _restore(manager, **items):
    try:
        return manager.restore(manager.latest_step(), args=ocp.args.Composite(**items))
    except jax.errors.JaxRuntimeError:  # of the devices or the other processes, not of the disk
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds
        complete = of_run(manager.directory.parent)
        then = f"continue from step {complete[-2].name}" if len(complete) > 1 else "begin again"
        raise ValueError(f"{complete[-1]} is damaged ({_first_line(error)}): remove this folder to {then}") from error


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or the other processes, not of the disk
        raise
    except Exception as error:  # orbax and tensorstore raise many kinds
        complete = of_run(directory.parent)
        kept = f"the last complete one is of step {complete[-1].name}" if complete else "there is no complete one yet"
        raise OSError(
            f"a checkpoint cannot be written to {directory} ({_first_line(error)}); {kept}. "
            "Make room or choose another --workdir, and run again to continue"
        ) from error


def _restore_params(checkpointer, path, shapes):
    # As numpy, so that neither the mesh nor the devices of the run that saved them matter.
    _check_arrays(path / "params", shapes)
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    args = ocp.args.Composite(params=ocp.args.PyTreeRestore(shapes, restore_args=restore_args))
    return checkpointer.restore(path, args=args).params


def _check_files(directory: Path, most: int) -> None:
    """Only plain files, since a pipe would be waited for, and not too many bytes of them."""
    if not files.in_bucket(directory):
        odd = [file.name for file in directory.rglob("*") if not (file.is_dir() or file.is_file())]
        if odd:
            raise ValueError(f"{odd[0]} in {directory.name} is not a plain file")
    if (size := files.size(directory)) > most:
        raise ValueError(f"{directory.name} has {size:,} bytes; at most {most:,} are read")


def _check_about(about: Any) -> None:
    if not isinstance(about, dict) or not {"name", "model"} <= about.keys():
        raise ValueError("about/ does not say what they are")
    if not isinstance(about["name"], str) or re.search(r"[\x00-\x1f\x7f-\x9f]", about["name"]):  # it is printed
        raise ValueError(f"their name is {about['name']!r:.40}, which is no text of one line")


def _check_arrays(directory: Path, shapes: pim.Params) -> None:
    """Compares the stored arrays, by their headers, with those that the model has, before memory is taken."""
    wanted = dict(_by_name(shapes))
    if (count := sum(leaf.size for leaf in wanted.values())) > MAX_PARAMETERS:
        raise ValueError(f"they are {count:,} numbers; at most {MAX_PARAMETERS:,} are read")
    stored = dict(_by_name(ocp.PyTreeCheckpointHandler().metadata(directory).tree))
    if odd := sorted(stored.keys() ^ wanted.keys()):
        raise ValueError(f"{odd[0]} is {'missing' if odd[0] in wanted else 'no part of the model'}")
    for name, want in wanted.items():
        have = stored[name]
        if (have.shape, have.dtype) != (want.shape, want.dtype):
            raise ValueError(f"{name} is {have.dtype}{have.shape}, not {want.dtype}{want.shape}")
        if math.prod(have.storage.chunk_shape) > want.size:
            raise ValueError(f"{name} is stored in chunks of {have.storage.chunk_shape}, larger than itself")


def _by_name(tree) -> Iterator[tuple[str, Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path), leaf


def _newest(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    if (path / "params").is_dir():
        return path
    if not (found := of_run(path)):
        raise ValueError(
            f"{path} holds no weights: neither params/ nor checkpoints/<step>/, as train.py and convert write"
        )
    return found[-1]


def _checkpointer() -> ocp.Checkpointer:
    _hide_echoes()
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


@functools.cache
def _hide_echoes() -> None:
    """Leaves one error of many, from now on: at the first array that fails, orbax raises, and closes its event loop.

    Tensorstore's threads go on reporting the other arrays to that loop for a while, each with a traceback about it,
    and the loop complains of every report that nobody took, and of every array that it never got to.
    """
    report = sys.unraisablehook

    def others(unraisable):
        if unraisable.object is not None or str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    def not_of_tensorstore(record):
        return not (record.exc_info and "tensorstore_spec" in str(record.exc_info[1]))

    sys.unraisablehook = others
    logging.getLogger("asyncio").addFilter(not_of_tensorstore)
    warnings.filterwarnings("ignore", "coroutine 'Store._get_array_metadatas' was never awaited", RuntimeWarning)


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].partition(" [tensorstore_spec")[0]  # which is a page long
    return line or type(error).__name__
