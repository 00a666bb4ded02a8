"""What can be told of a training run from its folder, while it is being written and when it is damaged."""

import itertools
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from etils import epath

from pim_jax import configuration, files
from pim_jax.stored import of_run
from pim_jax.training import checkpoint, log
from pim_jax.training.config import Config

SILENCE = 5  # a run is at rest once its log was silent for this many times the usual seconds between two lines,
LEAST_SILENCE = 120  # and this many seconds: saving, compiling and other programs make it late


class Stored(NamedTuple):
    """A checkpoint, or weights alone.

    Attributes:
      path: its folder.
      step: the steps that it was trained for, None if it does not say.
      size: bytes on disk.
      about: what it says of itself; empty if it cannot be read.
      digest: of the parameters, empty if they cannot be read.
      problem: why it is not whole and finite, or None.
    """

    path: Path
    step: int | None
    size: int
    about: dict
    digest: str
    problem: str | None


class Summary(NamedTuple):
    """A run.

    Attributes:
      rows: of its log.
      damaged_rows: how many lines of the log are no rows, see `pim_jax.training.log.Lines`.
      age: seconds since the last line was written, None without a log.
      stored: its checkpoints by step, or the weights alone.
    """

    rows: list[dict]
    damaged_rows: int
    age: float | None
    stored: list[Stored]

    @property
    def about(self) -> dict:
        """What the newest checkpoint that can be read says of itself."""
        return next((stored.about for stored in reversed(self.stored) if stored.about), {})

    @property
    def steps(self) -> int | None:
        """The steps that the run was to take, when it last saved."""
        steps = settings(self.about).get("steps")
        return steps if isinstance(steps, int) else None


def of(workdir: str | Path) -> Summary:
    """Reads a run's folder, or one with weights alone.

    Args:
      workdir: what `train.py` writes, `python -m pim_jax.convert` wrote, or a checkpoint.

    Raises:
      ValueError: it holds nothing of the kind.
      FileNotFoundError: there is no such folder.
      OSError: its bucket cannot be reached.
    """
    workdir = files.place(workdir)
    if not (files.exists(workdir) and workdir.is_dir()):
        raise FileNotFoundError(f"there is no folder {workdir}")
    path = workdir / log.FILE
    lines = log.read(workdir)
    age = max(0.0, time.time() - epath.Path(path).stat().mtime) if path.is_file() else None
    folders = [workdir] if (workdir / "params").is_dir() else of_run(workdir)
    if not folders and age is None:
        raise ValueError(f"{workdir} holds no run and no weights: neither {log.FILE}, checkpoints/ nor params/")
    return Summary(lines.rows, len(lines.damaged), age, [_stored(folder) for folder in folders])


def settings(about: dict) -> dict:
    """The configuration in what a checkpoint says of itself, by field: {"steps": 100, "model.scales": 3, ...}."""
    training = about.get("training")
    return _flat(training if isinstance(training, dict) else {"model": about.get("model")})


def changed(about: dict) -> dict:
    """The `settings` that differ from the defaults.

    Example:
      >>> changed({"model": configuration.to_json(Config().model) | {"mixtures": 5}})
      {'model.mixtures': 5}
    """
    defaults = _flat(configuration.to_json(Config()))
    return {name: value for name, value in settings(about).items() if name not in defaults or value != defaults[name]}


def verdict(summary: Summary) -> str:
    """How the run stands, in a line: "finished", "running", "stopped", "stalled" or "not finite", and why.

    Example:
      >>> verdict(Summary([{"step": 7, "loss": math.nan}], 0, 1.0, []))
      'not finite: loss at step 7'
    """
    rows, newest = summary.rows, summary.stored[-1] if summary.stored else None
    for row in rows:
        if odd := [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]:
            return f"not finite: {', '.join(odd)} at step {row['step']}"
    if newest and newest.problem == NOT_FINITE:
        return f"not finite: the parameters at step {newest.step}"
    if summary.age is None:
        return "weights, without the log of their training"
    done, of_all = rows[-1]["step"] if rows else 0, f" of {summary.steps}" if summary.steps else ""
    saved = newest.step or 0 if newest else 0
    if summary.steps and saved >= summary.steps:
        return f"finished at step {saved}"
    said = f"at step {done}{of_all}, the last line was written {duration(summary.age)} ago"
    if summary.age < max(LEAST_SILENCE, SILENCE * _seconds_between_lines(summary)):
        return f"running: {said}"
    if saved >= done:
        return f"stopped: {said}, and all is saved; train.py continues it"
    return f"stalled: {said}, and step {saved} is the last saved; it was killed, or hangs"


def rate(rows: list[dict]) -> float | None:
    """The median of the last ten rates, in pairs per second: the first of a run includes compilation."""
    rates = [row["pairs_per_second"] for row in rows[-10:] if _is_number(row.get("pairs_per_second"))]
    return float(np.median(rates)) if rates else None


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
      >>> duration(59), duration(5400), duration(200000)
      ('59 s', '1.5 h', '2.3 days')
    """
    for unit, length, least in (("days", 86400, 2), ("h", 3600, 1), ("min", 60, 2)):
        if seconds >= least * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


NOT_FINITE = "it has numbers that are not finite"


def _stored(path: Path) -> Stored:
    about, digest, problem = {}, "", None
    size = files.size(path)
    try:
        weights, optimizer = checkpoint.load_whole(path)
        about, digest = weights.about, weights.digest
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((weights.params, optimizer))):
            problem = NOT_FINITE
        beside = path / "SHA256"
        if beside.is_file() and beside.read_bytes().decode(errors="replace").strip() != digest:
            problem = f"it is not what its file SHA256 says: its parameters have SHA-256 {digest}"
    except (OSError, ValueError) as error:
        problem = str(error)
    step = int(path.name) if path.name.isdecimal() else about.get("step")
    return Stored(path, step if isinstance(step, int) else None, size, about, digest, problem)


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _seconds_between_lines(summary: Summary) -> float:
    """What was usual of late, 0 where it cannot be known: the log has rates, not times."""
    batch, pairs_per_second = settings(summary.about).get("batch"), rate(summary.rows)
    steps = [after["step"] - before["step"] for before, after in itertools.pairwise(summary.rows[-10:])]
    return max(steps) * batch / pairs_per_second if steps and _is_number(batch) and pairs_per_second else 0.0


def _is_number(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
