"""Trains PIM: python train.py CONFIG --workdir W [--data DIR] [field=value ...]. Run again, it resumes.

One jitted step runs on a mesh of all devices, parameters replicated and the batch sharded. The state after step s
follows from
the configuration, the data and s alone: a run that was stopped, in whatever way, continues to the same numbers.
"""

import argparse
import contextlib
import dataclasses
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from pim_jax.data import bundled, pairs, prepare, records
from pim_jax.training import checkpoint
from pim_jax.training import config as configuration
from pim_jax.training import log as logging
from pim_jax.training import step as training
from pim_jax.training.config import Config

# What may change when a run resumes: none of these decides what a step computes.
FREE_FIELDS = ("steps", "log_every", "save_every", "keep", "precision")


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        config = configuration.override(configuration.load(args.config), args.overrides)
        data = args.data or bundled_data(args.workdir)
        source = pairs.check(data, crop=config.patch)
    except (ValueError, OSError) as error:
        return fail(2, error)

    about = {
        "name": f"{Path(args.config).stem} of {args.workdir.name}",
        "model": configuration.to_json(config.model),
        "training": configuration.to_json(config),
        "data": source,
        "commit": commit(),
    }
    mesh = training.mesh()
    state = training.init(config, mesh)
    args.workdir.mkdir(parents=True, exist_ok=True)
    with checkpoint.manager(args.workdir, keep=config.keep) as manager:
        if stored := checkpoint.restore(manager, state):
            state, before = stored
            if difference := differs(before, about):
                return fail(
                    2, f"{args.workdir} holds a run with other settings ({difference}): choose another --workdir"
                )
        with logging.Log(args.workdir, step=int(state.step), steps=config.steps) as log:
            devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
            log.say(f"{args.config}: step {int(state.step)} of {config.steps}, on {devices}")
            try:
                stop = run(config, mesh, state, data, manager, about, log)
            except (FloatingPointError, records.Damaged) as error:
                return fail(1, error)
            log.say(stop)
    return 0


def run(config: Config, mesh, state, data, manager, about: dict, log: logging.Log) -> str:
    """The loop. Returns why it ended, in words."""
    train_step = training.make(config, mesh)
    batches = iter(
        pairs.pairs(
            data,
            batch=config.batch,
            crop=config.patch,
            seed=config.seed,
            start=int(state.step),
            process=jax.process_index(),
            processes=jax.process_count(),
        )
    )
    sharding = training.batched(mesh)
    done, saved = int(state.step), int(state.step)
    pending, waited, since = [], 0.0, time.perf_counter()
    with caught_signals() as caught:
        while done < config.steps and not caught:
            before = time.perf_counter()
            batch = jax.make_array_from_process_local_data(sharding, next(batches))
            waited += time.perf_counter() - before
            state, metrics = train_step(state, batch)
            pending.append(metrics)
            done += 1
            log.advance()
            last = done == config.steps or bool(caught)
            if last or done % config.log_every == 0 or done % config.save_every == 0:
                rows = finite(jax.device_get(pending), done)
                elapsed = time.perf_counter() - since
                rates = {"pairs_per_second": len(rows) * config.batch / elapsed, "waiting": waited / elapsed}
                log.write(done, average(rows) | rates)
                pending, waited, since = [], 0.0, time.perf_counter()
            if last or done % config.save_every == 0:
                checkpoint.save(manager, state, about | {"step": done})
                saved = done
    if caught:
        if saved < done:
            finite(jax.device_get(pending), done)
            checkpoint.save(manager, state, about | {"step": done})
        return f"stopped by {caught[0]} at step {done} of {config.steps}, saved; run again to continue"
    return f"finished at step {done}"


def finite(metrics: list[dict], done: int) -> list[dict]:
    """Returns the metrics of the steps up to `done` as floats; nothing is saved after one that is not finite."""
    for index, row in enumerate(metrics):
        if not all(np.isfinite(value) for value in row.values()):
            step = done - len(metrics) + index + 1
            values = ", ".join(f"{name} {float(value):.4g}" for name, value in row.items())
            raise FloatingPointError(
                f"step {step} is not finite ({values}); the last checkpoint is from before it. "
                "Lower learning_rate, or look at the data"
            )
    return [{name: float(value) for name, value in row.items()} for row in metrics]


def average(rows: list[dict]) -> dict[str, float]:
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


@contextlib.contextmanager
def caught_signals():
    """A list that the first SIGINT or SIGTERM joins by name; a second one of the kind acts as usual."""
    caught: list[str] = []
    previous = {}

    def catch(number, frame):
        caught.append(signal.Signals(number).name)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def differs(before: dict, now: dict) -> str:
    """Names what a stored run and this one do not share, or returns an empty string."""
    try:
        old = configuration.to_json(configuration.from_json(Config, before["training"]))
    except ValueError as error:
        return str(error)
    new = now["training"]
    fields = [f"{f}: {old.get(f)} there, {new[f]} here" for f in new if f not in FREE_FIELDS and old.get(f) != new[f]]
    if before["data"] != now["data"]:
        fields.append("the data")
    return "; ".join(fields)


def bundled_data(workdir: Path) -> Path:
    """Prepares the clip in the package: enough to see training run, far too little for a metric."""
    data = workdir / "data"
    if not data.exists():
        print("no --data: training on the bundled clip, one second of video")
        with bundled.clip() as clip:
            if status := prepare.main([str(clip), "--out", str(data)]):
                raise ValueError(f"the bundled clip could not be prepared (status {status})")
    return data


def commit() -> str | None:
    """The commit of the source tree, if this is one, marked when files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def parse(argv: list[str] | None) -> argparse.Namespace:
    fields = ", ".join(field.name for field in dataclasses.fields(Config))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"fields: {fields}")
    parser.add_argument("config", metavar="CONFIG", help="a file such as configs/pim5.py")
    parser.add_argument("--workdir", type=Path, required=True, help="checkpoints and logs; an existing one is resumed")
    parser.add_argument(
        "--data", type=Path, help="a folder that python -m pim_jax.prepare wrote; default: the bundled clip"
    )
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="changes to the configuration: batch=16")
    return parser.parse_intermixed_args(argv)


def fail(status: int, error) -> int:
    print(f"train.py: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
