"""What can be told of a training run from its folder, while it is being written and when it is damaged."""

import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from etils import epath

from pim_jax import configuration, files
from pim_jax.stored import bundled, bundled_folder, of_run, place
from pim_jax.training import checkpoint, collapse, heartbeat, log
from pim_jax.training.config import Config
from pim_jax.training.heartbeat import Beat
from pim_jax.training.spips.config import SpipsConfig


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
      beat: its last sign of life, None for weights and for runs of older versions.
      stored: its checkpoints by step, or the weights alone.
    """

    rows: list[dict]
    damaged_rows: int
    age: float | None
    beat: Beat | None
    stored: list[Stored]

    @property
    def about(self) -> dict:
        """What the newest checkpoint that can be read says it is."""
        return next((stored.about for stored in reversed(self.stored) if stored.about), {})

    @property
    def steps(self) -> int | None:
        """The steps that the run was to take, when it last saved."""
        steps = settings(self.about).get("steps")
        return steps if isinstance(steps, int) else None


def of(workdir: str | Path, *, before: Summary | None = None) -> Summary:
    """Reads the folder of a run, or one with weights alone.

    Args:
      workdir: the working directory of `train.py`, one of its checkpoints (also as RUN@STEP), what `python -m
        pim_jax.convert` or `release` wrote, or the name of weights in the package.
      before: what was read there a moment ago. Its checkpoints are not read again: what is complete stays as it is.

    Raises:
      ValueError: it holds nothing of the kind.
      FileNotFoundError: there is no such folder.
      OSError: its bucket cannot be reached.
    """
    if str(workdir) in bundled():
        with bundled_folder(str(workdir)) as folder:
            return of(folder)
    workdir = place(workdir)
    if not (files.exists(workdir) and workdir.is_dir()):
        raise FileNotFoundError(f"there is no folder {workdir}")
    path = workdir / log.FILE
    lines = log.read(workdir)
    age = max(0.0, time.time() - epath.Path(path).stat().mtime) if path.is_file() else None
    folders = [workdir] if (workdir / "params").is_dir() else of_run(workdir)
    if not folders and age is None:
        raise ValueError(f"{workdir} holds no run and no weights: neither {log.FILE}, checkpoints/ nor params/")
    known = {stored.path: stored for stored in before.stored} if before else {}
    found = [known.get(folder) or _stored(folder) for folder in folders]
    return Summary(lines.rows, len(lines.damaged), age, heartbeat.read(workdir), found)


def settings(about: dict) -> dict:
    """The configuration in what a checkpoint says of itself, by field: {"steps": 100, "model.scales": 3, ...}."""
    training = about.get("training")
    return _flat(training if isinstance(training, dict) else {"model": about.get("model")})


def changed(about: dict) -> dict:
    """The `settings` that differ from the defaults.

    Examples:
      >>> changed({"model": configuration.to_json(Config().model) | {"mixtures": 5}})
      {'model.mixtures': 5}
    """
    defaults = _flat(configuration.to_json(SpipsConfig() if about.get("metric") == "spips" else Config()))
    return {name: value for name, value in settings(about).items() if name not in defaults or value != defaults[name]}


def shown(value) -> str:
    """A value of `settings` in words.

    Examples:
      >>> shown([64, 64, 3]), shown("ixyz")
      ('(64,64,3)', 'ixyz')
    """
    return "(" + ",".join(map(str, value)) + ")" if isinstance(value, list) else str(value)


def sound(summary: Summary) -> bool:
    """Whether nothing of a run is damaged or not finite."""
    damaged = summary.damaged_rows or any(stored.problem for stored in summary.stored)
    return not damaged and not verdict(summary).startswith("not finite")


def verdict(summary: Summary) -> str:
    """How the run stands, in a line: "finished", "running", "stopped", "killed" and the like, and why.

    Examples:
      >>> verdict(Summary([{"step": 7, "loss": math.nan}], 0, 1.0, None, []))
      'not finite: loss at step 7'
    """
    rows, beat, newest = summary.rows, summary.beat, summary.stored[-1] if summary.stored else None
    for row in rows:
        if odd := [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]:
            return f"not finite: {', '.join(odd)} at step {row['step']}"
    if newest and newest.problem == NOT_FINITE:
        return f"not finite: the parameters at step {newest.step}"
    if beat:
        return _by_beat(summary, beat)
    if summary.age is None:
        return "weights, without the log of their training"
    if summary.steps and newest and (newest.step or 0) >= summary.steps:
        return _finished(summary, newest.step)
    return (
        f"not finished, without a sign of life: at step {_done(summary)}, whose line was written "
        f"{duration(summary.age)} ago; {_saved(summary)}"
    )


def _by_beat(summary: Summary, beat: Beat) -> str:
    at = f"at step {max(beat.step, _done(summary))}{f' of {summary.steps}' if summary.steps else ''}"
    ahead = f" (the clock of its disk is {duration(-beat.age)} ahead)" if beat.age < -beat.seconds else ""
    match beat.state:
        case "finished":
            return _finished(summary, beat.step)
        case "stopped":
            return f"stopped by {beat.reason}; {_saved(summary)}, and the same command continues it"
        case "not finite":
            return f"not finite: {beat.reason}"
        case "failed":
            return f"failed {at}: {beat.reason}; {_saved(summary)}"
        case "stalled" if beat.alive:
            return f"stalled {at}: the process is alive, but no step was done for many minutes{ahead}"
        case "running" if beat.alive:
            return f"running: {at}{ahead}"
    return (
        f"killed {at}: its last sign of life was {duration(beat.age)} ago, and it did not say how it ended; "
        f"{_saved(summary)}, and the same command continues it"
    )


def _finished(summary: Summary, step: int) -> str:
    batch = settings(summary.about).get("batch")
    remark = collapse.remark(summary.rows, batch) if type(batch) is int and batch > 0 else ""
    return f"finished at step {step}" + (f", but {remark}" if remark else "")


def _done(summary: Summary) -> int:
    return summary.rows[-1]["step"] if summary.rows else 0


def _saved(summary: Summary) -> str:
    newest = summary.stored[-1] if summary.stored else None
    return f"the last checkpoint is that of step {newest.step}" if newest else "there is no checkpoint yet"


def rate(rows: list[dict]) -> float | None:
    """The median of the last ten rates, in pairs per second: the first of a run includes compilation."""
    rates = [row["pairs_per_second"] for row in rows[-10:] if log.is_number(row.get("pairs_per_second"))]
    return float(np.median(rates)) if rates else None


def duration(seconds: float) -> str:
    """Seconds in words.

    Examples:
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
