"""Trains PIM: `train.py` in a checkout, `pim-train` once installed. Run again, it resumes.

    python train.py CONFIG --workdir W [--data DIR] [field=value ...]

One jitted step runs on a mesh of all devices of all processes. The parameters are replicated and the batch is sharded.
The state after step s follows from the configuration, the data and s alone. So a run that was stopped, in whatever way,
continues to the same numbers. docs/pods.md tells how to run it on several hosts.
"""

import argparse
import dataclasses
import errno
import functools
import itertools
import math
import shlex
import subprocess
import sys
import time
import traceback
from pathlib import Path

from pim_jax import console, extras

with extras.command("train"):
    import jax
    import jax.numpy as jnp

    from pim_jax import configuration, files, prepare, stored
    from pim_jax.data import bundled, pairs, records
    from pim_jax.training import checkpoint, collapse, finite, hosts, step, watch
    from pim_jax.training import log as logging
    from pim_jax.training.config import Config
    from pim_jax.training.heartbeat import Heartbeat
    from pim_jax.training.spips.config import SpipsConfig

# These fields may change when a run resumes: what a step computes does not depend on them.
FREE_FIELDS = ("steps", "log_every", "save_every", "keep", "precision")
SHARED_WITHIN_SECONDS = 90  # network file systems may be a minute late


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 1 if the run failed, 2 for bad arguments, 130 if interrupted."""
    console.printers()
    args = parse(argv)
    try:
        hosts.join(args.coordinator, args.processes, args.process)
    except ValueError as error:
        return fail(2, error)
    except RuntimeError as error:
        return fail(1, f"the processes did not find each other: {error}")
    try:
        status = train(args)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        hosts.leave_alone(fail(1, f"{who()}{reason}{peers()}"))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            error = f"{args.workdir} is full; what was saved is intact: make room, and run again to continue"
        hosts.leave_alone(fail(1, f"{who()}{error}{peers()}"))
    except KeyboardInterrupt:
        hosts.leave_alone(fail(130, "interrupted, not saved; run again to continue from the last checkpoint"))
    except Exception:
        traceback.print_exc()
        hosts.leave_alone(1)
    hosts.leave()
    return status


def train(args: argparse.Namespace) -> int:
    """Prepares and runs.

    Returns:
      the exit status, where all processes know what is wrong. What only this process knows is raised.
    """
    try:
        config, before, overrides = hosts.together(lambda: configure(args))
        if isinstance(config, SpipsConfig):
            return train_spips(config, args)
        data = args.data or hosts.together(lambda: bundled_data(args.workdir))
        source = hosts.together(lambda: pairs.verified_hash(data, crop=config.patch))
        hosts.check_same("the data", source)
    except ValueError as error:
        return fail_together(2, error)

    about = {
        "name": name(args),
        "model": configuration.to_json(config.model),
        "training": configuration.to_json(config),
        "overrides": overrides,
        "data": source,
        "commit": commit(),
    }
    if not files.exists(args.workdir):
        args.workdir.mkdir(parents=True, exist_ok=True)
    try:
        check_shared(args.workdir)
        if before:
            check_continues(before, config, source, args)
    except ValueError as error:
        return fail_together(2, error)
    mesh = step.mesh()
    state = step.init(config, mesh)
    with checkpoint.manager(args.workdir, keep=config.keep) as manager:
        try:
            if before:
                state = checkpoint.restore(manager, state)
        except ValueError as error:
            return fail_together(2, error)
        feed = functools.partial(batches, config, data, step.batched(mesh))
        try:
            hosts.together(lambda: feed(0))
        except ValueError as error:
            return fail_together(2, error)
        done, first = int(state.step), jax.process_index() == 0
        with (
            Heartbeat(args.workdir, step=done, minutes=args.stall, writes=first) as heartbeat,
            logging.Log(args.workdir, step=done, steps=config.steps, writes=first) as log,
        ):
            log.say(f"{args.config}: step {done} of {config.steps}, on {devices()}")
            if before and overrides != args.overrides:
                log.say(f"with the overrides of the run: {shlex.join(overrides)}")
            if config.batch > (count := len(records.open_dataset(data))):
                log.say(
                    f"batch={config.batch} is more than the {count} pairs of the training set: every batch holds some "
                    "pairs twice, which nothing can tell apart. Lower batch, or prepare more video"
                )
            try:
                stopped_by = run(config, mesh, state, feed, manager, about, log, heartbeat, args.stall)
            except FloatingPointError as error:
                error = f"{error}; {last_saved(manager, args.workdir)}"
                heartbeat.end("not finite", error)
                return fail_together(1, f"{error}. Lower learning_rate in a new --workdir, or look at the data")
            if stopped_by:
                heartbeat.end("stopped", stopped_by)
                log.say(f"stopped by {stopped_by}, saved; run again to continue")
                return 0
            heartbeat.end("finished")
            log.say(f"finished at step {config.steps}")
            if remark := collapse.remark(logging.read(args.workdir).rows, config.batch):
                log.say(remark)
    return 0


def train_spips(config: SpipsConfig, args: argparse.Namespace) -> int:
    """Trains the hybrid metric SPIPS. It learns from people's scores, not from video, and takes seconds."""
    with extras.command("all"):
        from pim_jax.training.spips import run as spips

    if files.in_bucket(args.workdir):
        return fail(2, "SPIPS takes seconds to train: give a --workdir on disk")
    try:
        spips.run(config, name=name(args), workdir=args.workdir, data=args.data, commit=commit())
    except (ImportError, OSError, ValueError) as error:
        return fail(2, error)
    return 0


def run(
    config: Config, mesh, state, feed, manager, about: dict, log: logging.Log, heartbeat: Heartbeat, stall: float
) -> str:
    """The loop over steps. Returns what stopped it, in words; nothing if it is finished."""
    done = saved = int(state.step)
    incoming = feed(done)
    good = copy(state)  # after the last step whose metrics were seen to be finite
    pending, waited, since = [], 0.0, time.perf_counter()
    with watch.caught_signals() as caught, watch.stalls(stall) as alive:
        agreement = hosts.Agreement(step.make(config, mesh), mesh, wish=lambda: bool(caught))
        while True:
            finished = done == config.steps
            stop = finished or agreement.stop()
            save = done > saved and (stop or done % config.save_every == 0)
            if pending and (save or stop or done % config.log_every == 0):
                rows = [{name: float(value) for name, value in row.items()} for row in jax.device_get(pending)]
                check_finite(rows, config, mesh, good, feed)
                elapsed = time.perf_counter() - since
                rates = {
                    "pairs_per_second": len(rows) * config.batch / elapsed,
                    "seconds_per_step": elapsed / len(rows),
                    "waiting": waited / elapsed,
                }
                log.write(done, average(rows) | rates | watch.memory())
                checkpoint.check_saving(manager)
                good = copy(state)
                pending, waited, since = [], 0.0, time.perf_counter()
            if save:
                checkpoint.save(manager, state, about | {"step": done})
                log.keep()
                saved = done
            if stop:
                checkpoint.wait(manager)
                break
            before = time.perf_counter()
            batch = next(incoming)
            waited += time.perf_counter() - before
            state, metrics = agreement.step(state, batch)
            pending.append(metrics)
            done += 1
            log.advance()
            heartbeat.step(done)
            alive()
    if finished:
        return ""
    return f"{caught[0] if caught else 'a signal to another process'} at step {done} of {config.steps}"


def batches(config: Config, data: Path, sharding, start: int):
    """The global batches of steps `start`, `start + 1` and so on. Each process reads its own part of them."""
    mine = pairs.pairs(
        data,
        batch=config.batch,
        crop=config.patch,
        seed=config.seed,
        start=start,
        process=jax.process_index(),
        processes=jax.process_count(),
    )
    return (jax.make_array_from_process_local_data(sharding, batch) for batch in mine)


def check_finite(rows: list[dict], config: Config, mesh, good: step.State, feed) -> None:
    """Raises FloatingPointError if a step is not finite. So nothing is saved after it.

    Args:
      rows: metrics of the steps after `good`.
      good: the state before the first of these steps. They are repeated from it, as the state before the step that
        failed is no longer there.
    """
    bad = next((i for i, row in enumerate(rows) if not all(map(math.isfinite, row.values()))), None)
    if bad is None:
        return
    done = int(good.step)
    values = ", ".join(f"{name} {value:.4g}" for name, value in rows[bad].items())
    train_step = step.make(config, mesh)
    *before, batch = itertools.islice(feed(done), bad + 1)
    for earlier in before:
        good, _ = train_step(good, earlier)
    raise FloatingPointError(
        f"step {done + bad + 1} is not finite ({values}); first not finite: {finite.first(config, mesh, good, batch)}"
    )


def last_saved(manager, workdir: Path) -> str:
    """Which checkpoint is left, once the last one is complete."""
    checkpoint.wait(manager)
    saved = stored.of_run(workdir)
    return f"the last checkpoint is that of step {saved[-1].name}" if saved else "no checkpoint was written before it"


def copy(state: step.State) -> step.State:
    """A copy of a state, which the next step cannot donate."""
    return jax.tree.map(jnp.copy, state)


def average(rows: list[dict]) -> dict[str, float]:
    """The mean of every number over rows of metrics."""
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def check_shared(workdir: Path) -> None:
    """Raises ValueError if the processes do not see one folder. Each would save its part of a checkpoint elsewhere."""
    if jax.process_count() == 1:
        return
    mark = workdir / "shared"
    hosts.together(lambda: mark.write_text("by process 0") if jax.process_index() == 0 else None)

    def look():
        until = time.monotonic() + SHARED_WITHIN_SECONDS
        while not mark.exists():
            if time.monotonic() > until:
                raise ValueError(f"{workdir} does not show what process 0 writes there; --workdir must be one for all")
            time.sleep(0.1)

    hosts.together(look)
    if jax.process_index() == 0:
        mark.unlink()


def check_continues(before: dict, config: Config, source: str, args: argparse.Namespace) -> None:
    """Raises ValueError if the stored run is another one than this. The message says how to continue that one.

    Args:
      before: the `about` of its newest checkpoint.
      config: of this run.
      source: the hash of this run's data.
      args: of the command.
    """
    if "metric" in before:
        raise ValueError(f"{args.workdir} holds a run of {before['metric']}: choose another --workdir")
    if (done := before.get("step", 0)) > config.steps:
        raise ValueError(f"{args.workdir} is at step {done} already: steps must be at least {done}, not {config.steps}")
    there = configuration.from_json(Config, before["training"])
    there = dataclasses.replace(there, **{field: getattr(config, field) for field in FREE_FIELDS})
    different = configuration.assignments(config, there)
    if before["data"] != source:
        raise ValueError(
            f"{args.workdir} holds a run on other data (hash {before['data']}, not {source}): "
            "give that --data, or choose another --workdir"
        )
    if different:
        here = configuration.load(args.config, (Config,))
        data = ["--data", str(args.data)] if args.data else []
        words = [args.config, "--workdir", str(args.workdir), *data, *configuration.assignments(here, there)]
        raise ValueError(
            f"{args.workdir} holds a run with {' '.join(different)}. Choose another --workdir, or continue that run: "
            f"{started_as()} {shlex.join(words)}"
        )


def configure(args: argparse.Namespace) -> tuple[Config | SpipsConfig, dict | None, list[str]]:
    """Reads the configuration. A run that is continued has its overrides, and what is given now comes after them.

    Returns:
      the configuration, the `about` of the run's newest checkpoint (None without one), and the overrides.
    """
    config = configuration.load(args.config, (Config, SpipsConfig))
    if isinstance(config, SpipsConfig):
        return configuration.override(config, args.overrides), None, args.overrides
    before = checkpoint.newest(args.workdir) if files.exists(args.workdir) else None
    overrides = [*(before or {}).get("overrides", []), *args.overrides]
    overrides = list({override.partition("=")[0]: override for override in overrides}.values())  # the last of a field
    config = configuration.override(config, overrides)
    if config.batch % jax.device_count():
        raise ValueError(f"batch={config.batch} must be a multiple of the number of devices, {jax.device_count()}")
    return config, before, overrides


def bundled_data(workdir: Path) -> Path:
    """Prepares the clip in the package. It is enough to see training run, and far too little for a metric."""
    if files.in_bucket(workdir):
        raise ValueError("a run whose --workdir is in a bucket needs --data")
    data = workdir / "data"
    if jax.process_index() == 0 and not data.exists():
        console.Printer(sys.stdout)("no --data: training on the bundled clip, one second of video")
        with bundled.clip() as clip:
            if status := prepare.main([str(clip), "--out", str(data)]):
                raise ValueError(f"the bundled clip could not be prepared (status {status})")
    return data


def devices() -> str:
    """The devices of the run, in words."""
    found = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return found if jax.process_count() == 1 else f"{found} of {jax.process_count()} processes"


def name(args: argparse.Namespace) -> str:
    """What the weights of a run are called."""
    return console.one_line(f"{Path(args.config).stem} of {args.workdir.name}")


def commit() -> str | None:
    """The commit of the checkout that this runs from, marked "-dirty" when files differ from it. None without one.

    An installed package may lie within somebody else's repository. Its commit would say nothing of this code.
    """
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The arguments of the command line."""
    fields = ", ".join(field.name for field in dataclasses.fields(Config))
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Trains PIM. Run again, it resumes.", epilog=f"fields: {fields}"
    )
    parser.add_argument(
        "config", metavar="CONFIG", help="a Python file that defines config, such as configs/pim5.py of the repository"
    )
    parser.add_argument(
        "--workdir",
        metavar="W",
        type=workdir,
        required=True,
        help="checkpoints and logs, in a folder or a bucket (gs://bucket/path); an existing one is resumed",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=on_disk,
        help="a folder that python -m pim_jax.prepare wrote (default: the bundled clip); for SPIPS a data set with "
        "human scores",
    )
    parser.add_argument(
        "--stall",
        type=minutes,
        default=10,
        metavar="MINUTES",
        help="print where it is when no step was done for so long (default: %(default)g; 0: never)",
    )
    several = parser.add_argument_group("several processes", "Slurm, Open MPI and TPU pods need none of these.")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="a free port on the host of process 0")
    several.add_argument("--processes", type=int, metavar="N", help="the number of processes")
    several.add_argument("--process", type=int, metavar="I", help="the number of this process, from 0")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="changes to the configuration: batch=16")
    return parser.parse_intermixed_args(argv)


def started_as() -> str:
    """How a command line begins that starts this again."""
    command = console.command()
    return f"python {shlex.quote(sys.argv[0])}" if command.endswith(".py") else command


def workdir(text: str):
    """A working directory, for `argparse`."""
    try:
        stored.check_name(place := files.place(text))
        return place
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def minutes(text: str) -> float:
    """A number of minutes, for `argparse`."""
    if not (text.replace(".", "", 1).isdecimal() and math.isfinite(float(text))):
        raise argparse.ArgumentTypeError(f"it must be a number of minutes, 0 or more, not {text!r}")
    return float(text)


def on_disk(text: str) -> Path:
    """A folder on disk, for `argparse`."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is not on disk, and records are read at random: copy it first, gcloud storage cp -r {text} ."
        )
    return Path(text)


def fail(status: int, error) -> int:
    """Prints an error and returns the exit status."""
    console.Printer(sys.stderr)(f"{console.command()}: {console.one_line(' '.join(str(error).splitlines()))}")
    return status


def fail_together(status: int, error) -> int:
    """Fails on every process for one reason, which process 0 prints."""
    return fail(status, error) if jax.process_index() == 0 else status


def who() -> str:
    """Which process this is, if there are several: the beginning of an error."""
    return f"process {jax.process_index()}: " if jax.process_count() > 1 else ""


def peers() -> str:
    """Another reason that an error may have: saving fails too when a process that takes part in it ends."""
    if jax.process_count() == 1:
        return ""
    return (
        " (Another process may have ended; its last lines say why. Start all processes again to continue from the last "
        "checkpoint.)"
    )


if __name__ == "__main__":
    sys.exit(main())
