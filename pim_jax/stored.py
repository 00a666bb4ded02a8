"""Weights on disk. Orbax reads and writes them. It takes a second to import, so it is imported where it is used.

Weights may come from anyone. Nothing in them is ever executed: they are JSON, and arrays that tensorstore reads. The
sizes that they state are checked before memory is taken for them.

Weights are a folder with the items `params` (the arrays) and `about` (JSON: what they are). A checkpoint of a training
run is such a folder too, with the item `optimizer` beside them; a run's working directory holds the newest few under
`checkpoints/<step>`. On disk orbax writes under a temporary name and renames, so a folder with its final name is
complete. In a bucket nothing can be renamed; there, a complete folder has a file that says so.
"""

import functools
import logging
import math
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from pim_jax import configuration, console, files, provenance

CHECKPOINTS = "checkpoints"  # of a run, within its working directory

# Bounds on weights from strangers; pim-5 has 96 layers with 2 million parameters, and a few kilobytes of `about`.
MAX_LAYERS = 1000
MAX_PARAMETERS = 2**27
MAX_ABOUT_BYTES = 2**20
_METADATA_BYTES = 500_000  # what orbax writes besides the arrays, rounded up
_MAX_BYTES = 2 * 4 * MAX_PARAMETERS  # of the files: the arrays and, generously, what surrounds them

Params = dict  # a tree of float32 arrays


class Weights(NamedTuple):
    """Parameters with what is known of them.

    Attributes:
      model: the configuration of the networks, a frozen dataclass; for PIM a `ModelConfig`.
      params: the parameters, numpy float32.
      about: what is known of them, as JSON: "name" and "model"; "metric", which metric they are of, unless it is PIM;
        if they were trained also "training", "data", "commit" and "step".
      digest: the SHA-256 of the parameters, see `pim_jax.provenance.digest`.
    """

    model: Any
    params: Params
    about: dict
    digest: str


class Format(NamedTuple):
    """What the weights of a metric look like.

    Attributes:
      model: the type of the configuration, a frozen dataclass.
      shapes: a function from a configuration to its parameters, as a tree of `jax.ShapeDtypeStruct`. It raises
        ValueError if they are too large, before it builds anything.
    """

    model: type
    shapes: Callable[[Any], Params]


def bundled() -> tuple[str, ...]:
    """The names of the weights in the package.

    Examples:
      >>> "pim-1" in bundled()
      True
    """
    return tuple(sorted(entry.name for entry in _bundle().iterdir() if entry.joinpath("params").is_dir()))


def bundled_folder(name: str) -> AbstractContextManager[Path]:
    """A context that gives the folder of weights in the package, for one of `bundled`."""
    return resources.as_file(_bundle() / name)


def load(weights: str | Path, formats: Mapping[str, Format]) -> Weights:
    """Returns weights by their name in the package, or from a folder.

    Args:
      weights: one of `bundled`, or a place as for `read`, on disk or in a bucket ("gs://bucket/path").
      formats: the formats to accept, by the metric that the weights say they are of; "pim" if they do not say.

    Raises:
      FileNotFoundError: no bundled weights and no folder have that name.
      OSError: the bucket cannot be reached.
      ValueError: as `read`; or bundled weights are damaged.
    """
    if str(weights) in bundled():
        with bundled_folder(str(weights)) as directory:
            stored = read(directory, formats)
        _check_bundled(str(weights), stored.digest)
        return stored
    if files.exists(place(weights)):
        return read(weights, formats)
    raise FileNotFoundError(f"{weights} is neither a folder nor the name of bundled weights ({', '.join(bundled())})")


def write(directory: str | Path, model: Any, params: Params, *, name: str, **about: Any) -> None:
    """Writes weights alone, as a folder that `read` reads.

    Args:
      directory: must not exist.
      model: the networks.
      params: parameters of `model`.
      name: what the weights are called.
      **about: more JSON values to keep beside them.

    Raises:
      OSError: they cannot be written; the message says why.
      ValueError: their name is no text of one line.
    """
    ocp = _orbax()
    about = {"name": name, "model": configuration.to_json(model), **about}
    _check_about(about)
    args = ocp.args.Composite(
        params=ocp.args.StandardSave(jax.tree.map(np.asarray, params)), about=ocp.args.JsonSave(about)
    )
    directory = Path(directory).absolute()
    with checkpointer() as writer:
        try:
            check_room(directory, params)
            writer.save(directory, args=args)
        except Exception as error:  # orbax and tensorstore raise many kinds
            raise OSError(f"{directory} cannot be written: {first_line(error)}") from error


def read(directory: str | Path, formats: Mapping[str, Format]) -> Weights:
    """Reads weights from a folder of `write`, a checkpoint, or a run's working directory (its newest).

    Args:
      directory: the folder; or RUN@STEP, see `place`.
      formats: as for `load`.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no weights, damaged ones, weights of another metric, or larger ones than `MAX_LAYERS` and
        `MAX_PARAMETERS` allow; or the run has no checkpoint of that step.
    """
    ocp, path = _orbax(), weights_folder(place(directory))
    with checkpointer() as reader:
        try:
            check_files(path / "about", MAX_ABOUT_BYTES)
            check_files(path / "params", _MAX_BYTES)
            about = reader.restore(path, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            _check_about(about)
            metric = about.get("metric", "pim")
            if metric not in formats:
                raise ValueError(f"they are of the metric {metric}, not {' or '.join(formats)}")
            model = configuration.from_json(formats[metric].model, about["model"])
            params = _restore_params(reader, path, formats[metric].shapes(model))
        except Exception as error:  # orbax and tensorstore raise many kinds for a damaged folder
            raise ValueError(f"the weights in {directory} cannot be read: {first_line(error)}") from error
    return Weights(model, params, about, provenance.digest(params))


def place(name: str | os.PathLike) -> Path:
    """A folder by its name, on disk or in a bucket; for RUN@STEP, the checkpoint of a run after so many steps.

    Args:
      name: as for `files.place`. A folder that is called so comes first.

    Raises:
      ValueError: the run has no checkpoint of that step; or as `files.place`.

    Examples:
      >>> place("runs/pim1").name
      'pim1'
    """
    folder = files.place(name)
    run, _, step = os.fspath(name).rpartition("@")
    if not (run and step.isdecimal()) or files.exists(folder) or not files.exists(files.place(run)):
        return folder
    steps = {int(checkpoint.name): checkpoint for checkpoint in of_run(run)}
    if int(step) not in steps:
        there = f"those of steps {', '.join(map(str, steps))}" if steps else "none"
        raise ValueError(f"{run} has no checkpoint of step {step}, but {there}")
    return steps[int(step)]


def of_run(workdir: str | Path) -> list[Path]:
    """Returns the folders of a run's checkpoints that are complete, oldest first."""
    ocp = _orbax()
    steps = [entry for entry in files.place(workdir).glob(f"{CHECKPOINTS}/*") if entry.name.isdecimal()]
    complete = [entry for entry in steps if ocp.utils.is_checkpoint_finalized(entry)]
    return sorted(complete, key=lambda entry: int(entry.name))


def check_name(path: Path) -> None:
    """Raises ValueError if no weights can be in a folder of this name: tensorstore takes only valid Unicode."""
    if re.search("[\udc80-\udcff]", os.fspath(path)):  # how Python holds bytes that are not UTF-8
        shown = console.one_line(os.fspath(path))
        raise ValueError(f"the name of the folder {shown} is not UTF-8, so no weights can be there: rename it")


def weights_folder(path: Path) -> Path:
    """Returns the folder of the weights in `path`: itself, or the newest checkpoint of a run.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no weights, or its name is not UTF-8.
    """
    check_name(path)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    if (path / "params").is_dir():
        return path
    if not (found := of_run(path)):
        raise ValueError(
            f"{path} holds no weights: neither params/ nor checkpoints/<step>/, as train.py and convert write"
        )
    return found[-1]


def check_files(directory: Path, most: int) -> None:
    """Raises ValueError if a folder holds more bytes than `most`, or a pipe, which would be waited for."""
    if not files.in_bucket(directory):
        odd = [file.name for file in directory.rglob("*") if not (file.is_dir() or file.is_file())]
        if odd:
            raise ValueError(f"{odd[0]} in {directory.name} is not a plain file")
    if (size := files.size(directory)) > most:
        raise ValueError(f"{directory.name} has {size:,} bytes; at most {most:,} are read")


def check_room(directory: Path, tree: Any) -> None:
    """Raises OSError if a disk has no room for arrays. Orbax would print pages of tracebacks instead.

    Args:
      directory: where they are to be written. It may not be there yet.
      tree: the arrays.
    """
    if files.in_bucket(directory):
        return
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + _METADATA_BYTES
    there = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if (free := shutil.disk_usage(there).free) < needed:
        raise OSError(f"it needs {needed / 1e6:.1f} MB, and the disk has {free / 1e6:.1f} MB left")


def by_name(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a tree with their names."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path), leaf


@functools.cache
def hide_echoes() -> None:
    """Hides, from now on, the errors that follow the first: orbax raises at the first array that fails.

    It also closes its event loop. Tensorstore's threads go on reporting the other arrays to that loop for a while, each
    with a traceback. The loop then complains of every report that nobody took, and of every array that it never read.
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


def first_line(error: Exception) -> str:
    """The first line of an error, without tensorstore's specification of the array."""
    line = str(error).strip().partition("\n")[0].partition(" [tensorstore_spec")[0]  # which is a page long
    return line or type(error).__name__


def checkpointer():
    """Returns a reader and writer of folders with several items."""
    hide_echoes()
    ocp = _orbax()
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _orbax() -> ModuleType:
    """Imports orbax. Whoever brings parameters of their own need not wait for it."""
    import orbax.checkpoint

    return orbax.checkpoint


def _bundle():
    return resources.files("pim_jax").joinpath("weights")


def _check_bundled(name: str, digest: str) -> None:
    wanted = _bundle().joinpath(name, "SHA256").read_text().strip()
    if digest != wanted:
        raise ValueError(f"the bundled weights {name} are damaged: SHA-256 {digest}, not {wanted}; reinstall pim-jax")


def _restore_params(reader, path, shapes):
    ocp = _orbax()
    # As numpy, so that neither the mesh nor the devices of the run that saved them matter.
    _check_arrays(path / "params", shapes)
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    args = ocp.args.Composite(params=ocp.args.PyTreeRestore(shapes, restore_args=restore_args))
    return reader.restore(path, args=args).params


def _check_about(about: Any) -> None:
    if not isinstance(about, dict) or not {"name", "model"} <= about.keys():
        raise ValueError("about/ does not say what they are")
    if not isinstance(about["name"], str) or re.search(r"[\x00-\x1f\x7f-\x9f]", about["name"]):  # it is printed
        raise ValueError(f"their name is {about['name']!r:.40}, which is no text of one line")


def _check_arrays(directory: Path, shapes: Params) -> None:
    """Checks, by their headers alone, that the stored arrays are those of the model, before memory is taken."""
    wanted = dict(by_name(shapes))
    if (count := sum(leaf.size for leaf in wanted.values())) > MAX_PARAMETERS:
        raise ValueError(f"they are {count:,} numbers; at most {MAX_PARAMETERS:,} are read")
    stored = dict(by_name(_orbax().PyTreeCheckpointHandler().metadata(directory).tree))
    if odd := sorted(stored.keys() ^ wanted.keys()):
        raise ValueError(f"{odd[0]} is {'missing' if odd[0] in wanted else 'no part of the model'}")
    for name, want in wanted.items():
        have = stored[name]
        if (have.shape, have.dtype) != (want.shape, want.dtype):
            raise ValueError(f"{name} is {have.dtype}{have.shape}, not {want.dtype}{want.shape}")
        if math.prod(have.storage.chunk_shape) > want.size:
            raise ValueError(f"{name} is stored in chunks of {have.storage.chunk_shape}, larger than itself")
