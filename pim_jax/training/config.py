"""The configuration of a training run: frozen dataclasses, read from a Python file, overridden as `a.b=value`."""

import ast
import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any, get_type_hints

from pim_jax.model import normalisation
from pim_jax.model.convolution import PRECISIONS
from pim_jax.model.pim import ModelConfig
from pim_jax.training.objectives import CONTRASTS, OBJECTIVES


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes. The defaults are the paper's (appendix A.2) where it says.

    Attributes:
      model: the networks.
      objective: "ixyz", "infonce" or "single-infonce".
      contrast: place of the minibatch marginal: "position", "band" or "joint".
      steps: gradient steps in all.
      batch: frame pairs in a global batch.
      patch: side of the random crops, pixels.
      centre: side of the windows of z that enter the loss, samples.
      normalised: the loss sees z normalised, as the metric does, where `model.normalisation` says so; otherwise only
        the metric normalises.
      noise: largest standard deviation of the noise that is added to every frame, for images in [0, 1].
      learning_rate: Adam's, at the start.
      learning_rate_drops: steps after which it is divided by `learning_rate_factor`.
      learning_rate_factor: see above.
      beta_steps: steps over which β grows smoothly from 0 to 1.
      precision: of matrix products in training: "default", "high" or "highest", which only accelerators tell apart, or
        "bfloat16", with which the CNNs multiply bfloat16 on every device.
      seed: of initialisation, data order and noise.
      log_every, save_every: steps between log lines and between checkpoints.
      keep: newest checkpoints kept.
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: str = "ixyz"
    contrast: str = "position"
    steps: int = 100_000
    batch: int = 50
    patch: int = 64
    centre: int = 8
    normalised: bool = False
    noise: float = 0.0
    learning_rate: float = 1e-4
    learning_rate_drops: tuple[int, ...] = ()
    learning_rate_factor: float = 10.0
    beta_steps: int = 10_000
    precision: str = "default"
    seed: int = 0
    log_every: int = 100
    save_every: int = 1000
    keep: int = 3

    def __post_init__(self):
        _check("objective", self.objective, self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
        _check("contrast", self.contrast, self.contrast in CONTRASTS, f"one of {', '.join(CONTRASTS)}")
        for field in ("steps", "batch", "patch", "centre", "log_every", "save_every", "keep"):
            _check(field, getattr(self, field), getattr(self, field) >= 1, "at least 1")
        _check("patch", self.patch, self.patch >= self.model.smallest_size, f"at least {self.model.smallest_size}")
        _check("noise", self.noise, self.noise >= 0, "0 or more")
        _check("learning_rate", self.learning_rate, self.learning_rate > 0, "positive")
        _check("learning_rate_factor", self.learning_rate_factor, self.learning_rate_factor >= 1, "at least 1")
        _check("beta_steps", self.beta_steps, self.beta_steps >= 0, "0 or more")
        _check("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        if self.normalised and not self.model.normalisation:
            raise ValueError("normalised=True needs model.normalisation, the constant of the normalisation, not 0")
        if self.objective != "ixyz" and self.model.mixtures != 1:
            raise ValueError(
                f"objective={self.objective} samples the marginal encoder, so it needs model.mixtures=1, "
                f"not {self.model.mixtures}"
            )

    @property
    def margin(self) -> int:
        """Samples to each side of the centre on which z within it depends, behind the encoders."""
        return normalisation.RADIUS if self.normalised else 0


def load(path: str | Path, kinds: tuple[type, ...] = (Config,)) -> Any:
    """Runs a configuration file and returns what it calls `config`.

    Args:
      path: the file.
      kinds: what that may be, dataclasses.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it does not define a `Config`, or another of `kinds`, named `config`.
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

    Example:
      >>> override(Config(), ["batch=16", "model.widths=(32,3)"]).model.widths
      (32, 3)
    """
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"an override is written field=value, not {assignment!r}")
        config = _replace(config, name, name.split("."), text)
    return config


def to_json(config: Any) -> dict:
    """Returns a configuration as JSON types."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(kind: type, values: dict) -> Any:
    """Returns the configuration of type `kind` (`Config`, `ModelConfig`) that `to_json` wrote, now or earlier.

    A field that is missing has its default. So a new field's default must be what was done before there was the field.

    Raises:
      ValueError: a field is unknown.

    Example:
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


def _check(field: str, value, holds: bool, wanted: str):
    if not holds:
        raise ValueError(f"{field} must be {wanted}, not {value!r}")
