"""What a number was computed from: a digest of parameters, and a digest of code and of the versions of its libraries.

Both are computed from the things themselves, never from a list that somebody keeps. So they serve as keys of caches: a
value that was kept under such a key is valid for as long as the key is the same.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

_PACKAGE = __name__.partition(".")[0]


def digest(params: Any) -> str:
    """Returns the SHA-256 of the names, shapes and values of parameters. Only equal weights have the same.

    Args:
      params: a tree of float32 arrays.

    Returns:
      64 hexadecimal digits.

    Examples:
      >>> digest({"bias": np.zeros(3)}) == digest({"bias": np.zeros(3)}) != digest({"bias": np.ones(3)})
      True
    """
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf, np.dtype("<f4"))
        sha.update(f"{jax.tree_util.keystr(path)}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def of(*things: Any) -> str:
    """Returns a digest of the code behind some things, and of the versions of the libraries that it imports.

    Args:
      *things: modules, functions or objects. An object stands for the module of its class. A dataclass also stands for
        the modules of the functions in its fields.

    Returns:
      12 hexadecimal digits. They change with the source of every module of this package that is imported on the way,
      with the version of every other package that one of these modules imports, and with that of JAX.

    Examples:
      >>> from pim_jax import files, inputs
      >>> of(files) == of(files) != of(inputs)
      True
    """
    modules, packages = sources(*things)
    return _of(tuple(sorted(modules.items())), tuple(sorted(packages)))


def sources(*things: Any) -> tuple[dict[str, Path], set[str]]:
    """Returns the code behind some things.

    Args:
      *things: as for `of`.

    Returns:
      the source files of this package by module, and the other packages that these import.

    Examples:
      >>> from pim_jax import files
      >>> modules, packages = sources(files)
      >>> sorted(modules), "etils" in packages
      (['pim_jax', 'pim_jax.files'], True)
    """
    return _closure(tuple(sorted({name for thing in things for name in _modules(thing)})))


def imports(source: Path, module: str) -> set[str]:
    """Returns the modules that a source file imports, within functions too, but not for type checkers only.

    Args:
      source: the file.
      module: its dotted name, which relative imports start from.

    Returns:
      Dotted names. `from a import b` gives both "a" and "a.b", which may be a module or something in `a`.
    """
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    pending: list[ast.AST] = [ast.parse(source.read_bytes())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return found


@functools.cache
def _of(modules: tuple[tuple[str, Path], ...], packages: tuple[str, ...]) -> str:
    sha = hashlib.sha256()
    for module, source in modules:
        sha.update(f"{module} ".encode() + source.read_bytes())
    for package in sorted({*packages, "jax", "jaxlib"}):
        sha.update(f"{package} {_version(package)} ".encode())
    return sha.hexdigest()[:12]


@functools.cache
def _closure(modules: tuple[str, ...]) -> tuple[dict[str, Path], set[str]]:
    found: dict[str, Path] = {}
    others: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module.partition(".")[0] != _PACKAGE:
            others.add(module.partition(".")[0])
        elif module not in found and (source := _source(module)):
            found[module] = source
            pending += imports(source, module)
            pending += [module.rpartition(".")[0]] if "." in module else []  # importing a.b runs a/__init__.py
    return found, others


@functools.cache
def _source(module: str) -> Path | None:
    """The file of a module of this package; None if there is no module of that name."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # a name within a module that is no package
        return None
    return Path(spec.origin) if spec and spec.origin else None


def installed(distribution: str) -> str:
    """The version of a distribution as pip knows it, or "not installed", such as of this package in a checkout.

    Examples:
      >>> installed("no-such-distribution")
      'not installed'
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _version(package: str) -> str:
    """The version of an installed package, empty for a part of Python itself or what is not installed."""
    for distribution in _distributions().get(package, []):
        return metadata.version(distribution)
    return ""


_distributions = functools.cache(metadata.packages_distributions)


def _modules(thing: Any) -> set[str]:
    if isinstance(thing, ModuleType):
        return {thing.__name__}
    if isinstance(thing, functools.partial):
        return _modules(thing.func)
    if callable(thing) and hasattr(thing, "__qualname__"):
        return {thing.__module__}
    found = {type(thing).__module__}
    if dataclasses.is_dataclass(thing):
        values = (getattr(thing, field.name) for field in dataclasses.fields(thing))
        found |= {module for value in values if callable(value) for module in _modules(value)}
    return found
