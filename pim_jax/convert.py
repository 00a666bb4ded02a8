"""Converts the official TensorFlow checkpoints of PIM to ours, without TensorFlow.

    python -m pim_jax.convert pim-5.zip OUT

An archive is read in memory and never unpacked. Three of its members are looked up by name, and each has a bound on its
size.
"""

import argparse
import hashlib
import itertools
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import jax
import numpy as np

from pim_jax import console, tf_bundle
from pim_jax.model.pim import ModelConfig, Params
from pim_jax.stored import write

# From perceptual_quality/pim/loader.py of the official code.
OFFICIAL_SHA512 = {
    "pim-1": "436b4a95e667d8a4b6ee639f1d5d303585059b3f33075dbabbc9b1d0fb5008fa"
    "1509c046b80e2565c69e77f3ac396288eeb260cad8e316ea5c7e207b57ae68cb",
    "pim-5": "7939f9f9ed07650e9e290cac4e2cf559424795c26bb41f0641b7b77e93c96426"
    "8e5f4a8d6f0ba9a37d4407aef9973c04ee1dd88f1563643f0bc600a1a456aab3",
}

# An official archive has a handful of members, and the largest has 7 MB. The bounds keep hostile ones out of memory.
MAX_FILE_BYTES = 2**26
MAX_MEMBERS = 1000

_CONFIG, _INDEX, _DATA = "config.json", "weights.index", "weights.data-00000-of-00001"
# What zipfile raises for a damaged archive; OSError and OverflowError come from seeking to places that cannot be.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    UnicodeDecodeError,
)
_FIXED = {"num_channels": 3, "cnn": "Conv", "padding": "same"}
_PYRAMIDS = {"Steerable": "steerable", "Laplacian": "laplacian", None: "none"}
_COUNTS = {
    "nscales": "scales",
    "num_marginal_encoder_mixtures": "mixtures",
    "z_dim": "dimensions",
    "num_distribution_encoder_layers": "layers",
}
_KNOWN = {*_FIXED, *_COUNTS, "multiscale", "steerable_filter_type", "num_filters", "use_residual"}


def read(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads an official checkpoint as it is.

    Args:
      source: a zip file that holds one model, or the folder with config.json and weights.* that it unpacks to.

    Returns:
      The official settings, and the tensors by their TensorFlow names.

    Raises:
      ValueError: this is not an official checkpoint, or it is incomplete, damaged or too large.
      OSError: a file cannot be read.
    """
    files = _read_folder(source) if source.is_dir() else _read_archive(source)
    try:
        settings = json.loads(files[_CONFIG])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {_CONFIG} is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"its {_CONFIG} holds no settings, but {settings!r:.40}")
    return settings, tf_bundle.read(files[_INDEX], files[_DATA])


def to_model(settings: dict[str, Any], tensors: dict[str, np.ndarray]) -> tuple[ModelConfig, Params]:
    """Turns an official checkpoint into our configuration and parameters.

    Args:
      settings: the contents of config.json.
      tensors: the tensors by their TensorFlow names.

    Returns:
      The configuration, and the parameters as a nested dict of float32 arrays.

    Raises:
      ValueError: a setting has an unknown value, or the tensors are not exactly those that the settings call for.
    """
    config = _model_config(settings)
    unused = {name: tensor for name, tensor in tensors.items() if not _is_training_state(name)}
    params = {}
    for (part, band, layer), official, kernel_shape in _layers(config):
        params.setdefault(part, {}).setdefault(band, {})[layer] = {
            "kernel": _take(unused, f"{official}/kernel", kernel_shape),
            "bias": _take(unused, f"{official}/bias", kernel_shape[-1:]),
        }
    if unused:
        raise ValueError(f"its {_CONFIG} has no place for {len(unused)} of the tensors, such as {min(unused)!r}")
    return config, params


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    out, errors = console.printers()
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Converts an official TensorFlow checkpoint of PIM to ours."
    )
    parser.add_argument("source", metavar="SRC", type=Path, help="pim-1.zip, pim-5.zip, or the folder it unpacks to")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write; it must not exist yet")
    args = parser.parse_args(argv)
    if not (args.source.is_file() or args.source.is_dir()):
        parser.error(f"SRC {args.source} is not a file or a folder")
    if args.out.exists() or args.out.is_symlink():
        parser.error(f"OUT {args.out} exists already: remove it or give another name")

    try:
        digest = None if args.source.is_dir() else _sha512(args.source)
        official = next((name for name, known in OFFICIAL_SHA512.items() if digest == known), None)
        config, params = to_model(*read(args.source))
        name = f"official-{official}" if official else f"converted-{args.source.resolve().stem}"
        write(args.out, config, params, name=name, source=_origin(official, digest))
    except (ValueError, OSError) as error:
        errors(console.one_line(f"cannot convert {args.source}: {error}"))
        return 1

    tensors = jax.tree.leaves(params)
    out(console.one_line(f"{args.source} -> {args.out}"))
    out(f"source: {_origin(official, digest)}")
    out(f"model: {config}")
    out(f"parameters: {sum(tensor.size for tensor in tensors):,} in {len(tensors)} tensors")
    return 0


def _origin(official: str | None, digest: str | None) -> str:
    if digest is None:
        return "a folder, which cannot be checked: only the official zip files have a known sha512"
    return f"the official {official}.zip, by its sha512" if official else f"not an official archive: sha512 {digest}"


def _sha512(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha512").hexdigest()


def _read_folder(folder: Path) -> dict[str, bytes]:
    files = {}
    for name in (_CONFIG, _INDEX, _DATA):
        try:
            with (folder / name).open("rb") as stream:
                files[name] = _read_bounded(stream, name)
        except FileNotFoundError:
            raise ValueError(f"there is no {name} in it, so it is not an official checkpoint") from None
    return files


def _read_archive(file: Path) -> dict[str, bytes]:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB, so it is not an official archive")
    with file.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                if len(archive.infolist()) > MAX_MEMBERS:
                    raise ValueError(f"it has more than {MAX_MEMBERS} members, so it is not an official archive")
                return {name: _read_member(archive, name) for name in (_CONFIG, _INDEX, _DATA)}
        except _ZIP_ERRORS as error:
            raise ValueError(f"it is not a zip file, or a damaged one: {error}") from None


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Reads the one member of that name, at the top of the archive or in a folder there, as in pim-1/config.json."""
    paths = {info: PurePosixPath(info.filename).parts for info in archive.infolist()}
    found = [info for info, parts in paths.items() if parts[-1:] == (name,) and len(parts) <= 2 and ".." not in parts]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} files named {name}, where an official archive has one")
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or found[0].flag_bits & 1:
        raise ValueError(f"its {name} is encrypted or compressed in an unusual way: unpack it and give the folder")
    with archive.open(found[0]) as stream:
        return _read_bounded(stream, name)


def _read_bounded(stream: BinaryIO, name: str) -> bytes:
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"its {name} is larger than {MAX_FILE_BYTES >> 20} MiB, so it is not an official checkpoint")
    return content


def _model_config(settings: dict[str, Any]) -> ModelConfig:
    if unknown := settings.keys() - _KNOWN:
        raise ValueError(f"its {_CONFIG} has settings that the official code does not: {sorted(unknown)}")
    if missing := _KNOWN - settings.keys() - {"use_residual"}:
        raise ValueError(f"its {_CONFIG} lacks {sorted(missing)}")

    def check(name, holds, wanted):
        if not holds:
            raise ValueError(f"{name} in its {_CONFIG} must be {wanted}, not {settings[name]!r:.40}")

    for name, value in _FIXED.items():
        check(name, settings[name] == value, repr(value))
    for name in _COUNTS:
        check(name, _is_count(settings[name]), "a positive integer")
    check("multiscale", settings["multiscale"] in list(_PYRAMIDS), '"Steerable", "Laplacian" or null')
    filter_type, widths = settings["steerable_filter_type"], settings["num_filters"]
    check("steerable_filter_type", type(filter_type) is int and filter_type in (0, 1, 3, 5), "0, 1, 3 or 5")
    are_counts = isinstance(widths, list) and widths and all(map(_is_count, widths))
    check("num_filters", are_counts, "a list of positive integers")
    return ModelConfig(
        pyramid=_PYRAMIDS[settings["multiscale"]],
        orientations=filter_type + 1,
        laplacian_residual=bool(settings.get("use_residual", True)),
        widths=tuple(widths),
        head="released",
        **{ours: settings[name] for name, ours in _COUNTS.items()},
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _layers(config: ModelConfig) -> Iterator[tuple[tuple[str, str, str], str, tuple[int, ...]]]:
    """Yields our path, the official path and the shape of the kernel of every layer.

    This is a generator because settings may ask for any number of layers. The first missing one ends the search.
    """
    features, means = config.widths[-1], config.mixtures * config.dimensions
    for i in range(config.multiscale.count):
        band, cnn = f"band{i}", "frontend/cnn" if config.pyramid == "none" else f"frontend/cnns/{i}"
        for l, (before, after) in enumerate(itertools.pairwise((3, *config.widths))):
            yield ("frontend", band, f"conv{l}"), f"{cnn}/layer_with_weights-{l}", (5, 5, before, after)

        encoder = f"marginal_encoder/encoders/{i}"
        for l in range(config.layers):
            yield ("marginal", band, f"mean{l}"), f"{encoder}/base/{l}", (means if l else features, means)
        if config.mixtures > 1:
            for l in range(config.layers):
                before = config.mixtures if l else features
                yield ("marginal", band, f"logit{l}"), f"{encoder}/mix/{l}", (before, config.mixtures)
            yield ("marginal", band, "logit_out"), f"{encoder}/logit_layer", (config.mixtures, config.mixtures)

        encoder = f"joint_encoder/encoders/{i}"
        for l in range(config.layers):
            before = config.dimensions if l else features
            yield ("full", band, f"base{l}"), f"{encoder}/base/{l}", (before, config.dimensions)
            yield ("full", band, f"multiply{l}"), f"{encoder}/base_cond_mul/{l}", (features, config.dimensions)
            yield ("full", band, f"add{l}"), f"{encoder}/base_cond_add/{l}", (features, config.dimensions)


def _is_training_state(name: str) -> bool:
    """Whether this is what Keras saves beside the weights of a compiled model: optimizer, metrics, count of saves."""
    return name.split("/")[0] in ("optimizer", "keras_api", "save_counter") or "/.OPTIMIZER_SLOT/" in name


def _take(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Removes a tensor of that name and shape from `tensors` and returns it."""
    tensor = tensors.pop(f"{name}/.ATTRIBUTES/VARIABLE_VALUE", None)
    if tensor is None:
        raise ValueError(f"it has no tensor {name}, which its {_CONFIG} calls for")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise ValueError(
            f"its tensor {name} is {tensor.dtype}{list(tensor.shape)}, but its {_CONFIG} calls for float32{list(shape)}"
        )
    if not np.isfinite(tensor).all():
        raise ValueError(f"its tensor {name} has values that are not finite")
    return tensor


if __name__ == "__main__":
    sys.exit(main())
