"""Configurations: frozen dataclasses, read from Python files, changed as `a.b=value`, and kept as JSON."""

import ast
import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any, get_type_hints


def check_field(field: str, value: Any, holds: bool, wanted: str) -> None:
    """Raises ValueError unless a field has a value that it can have.

    Args:
      field: its full name, such as "model.scales".
      value: what was given.
      holds: whether that is right.
      wanted: what is right, in words.

    Examples:
      >>> check_field("batch", 0, False, "at least 1")
      Traceback (most recent call last):
      ValueError: batch must be at least 1, not 0
    """
    if not holds:
        raise ValueError(f"{field} must be {wanted}, not {value!r}")


def load(path: str | Path, kinds: tuple[type, ...]) -> Any:
    """Runs a configuration file and returns what it calls `config`.

    Args:
      path: the file.
      kinds: the dataclasses that `config` may be of.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it does not define a `config` of one of `kinds`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no configuration file {path}")
    config = runpy.run_path(str(path)).get("config")
    if not isinstance(config, kinds):
        wanted = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
        raise ValueError(f"{path} must define `config`, a {wanted}; it defines {config!r}")
    return config


def override(config: Any, assignments: list[str]) -> Any:
    """Returns `config` with fields replaced, each given as `field=value` or `model.field=value`.

    Raises:
      ValueError: an assignment names no field, or its value is not of the field's type.

    Examples:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Example:
      ...     steps: int = 10
      >>> override(Example(), ["steps=20"]).steps
      20
    """
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"an override is written field=value, not {assignment!r}")
        config = _replace(config, name, name.split("."), text)
    return config


def assignments(before: Any, after: Any) -> list[str]:
    """Returns the assignments with which `override` makes `after` of `before`.

    Args:
      before, after: configurations of one kind.

    Examples:
      >>> from pim_jax.model.pim import ModelConfig
      >>> assignments(ModelConfig(), ModelConfig(widths=(32, 3), head="released"))
      ['widths=(32,3)', 'head=released']
    """
    found = []
    for field in dataclasses.fields(after):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if dataclasses.is_dataclass(new):
            found += [f"{field.name}.{assignment}" for assignment in assignments(old, new)]
        elif new != old:
            found.append(f"{field.name}={str(new).replace(' ', '') if isinstance(new, tuple) else new}")
    return found


def to_json(config: Any) -> dict:
    """Returns a configuration as JSON types."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(kind: type, values: dict) -> Any:
    """Returns the configuration of type `kind` that `to_json` wrote, now or earlier.

    A field that is missing has its default. So a new field must have what was done before it as its default.

    Raises:
      ValueError: a field is unknown.

    Examples:
      >>> from pim_jax.model.pim import ModelConfig
      >>> from_json(ModelConfig, {"widths": [32, 3]}).widths
      (32, 3)
    """
    if unknown := values.keys() - {field.name for field in dataclasses.fields(kind)}:
        raise ValueError(
            f"this configuration was written by a newer version of pim_jax: it has {', '.join(sorted(unknown))}"
        )
    hints = get_type_hints(kind)
    return kind(**{name: _from_json(hints[name], value) for name, value in values.items()})


def _from_json(hint, value):
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)
    return tuple(value) if isinstance(value, list) else value


def _replace(config, full_name: str, path: list[str], text: str):
    kind = type(config).__name__
    fields = {field.name for field in dataclasses.fields(config)}
    if path[0] not in fields:
        raise ValueError(f"{full_name}: {kind} has no field {path[0]!r}; it has {', '.join(sorted(fields))}")
    old = getattr(config, path[0])
    if dataclasses.is_dataclass(old) != (len(path) > 1):
        raise ValueError(
            f"{full_name}: name one value, such as {'model.scales=3' if len(path) == 1 else path[0] + '=…'}"
        )
    new = _replace(old, full_name, path[1:], text) if len(path) > 1 else _parse(full_name, old, text)
    return dataclasses.replace(config, **{path[0]: new})


def _parse(name: str, old, text: str):
    """Reads `text` as a value of the type of `old`; every field has a default, so its type is known."""
    if isinstance(old, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(old, tuple) and isinstance(value, list | tuple) and all(type(v) is int for v in value):
        return tuple(value)
    if isinstance(old, float) and type(value) in (int, float):
        return float(value)
    if type(value) is type(old) and not isinstance(old, tuple):
        return value
    wanted = {bool: "True or False", int: "a whole number", float: "a number", tuple: "whole numbers, such as (64,3)"}
    raise ValueError(f"{name} must be {wanted[type(old)]}, not {text!r}")
