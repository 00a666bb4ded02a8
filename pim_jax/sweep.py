"""Trains configurations with several seeds, one run after the other, and tells what came of them.

    python -m pim_jax.sweep configs/fast.py mine.py --seeds 0 1 2 --workdir S --data DATA [field=value ...]

Every run is a `train.py` of its own. It is in S/CONFIG-SEED, and what it prints is in S/CONFIG-SEED.txt. In the end
`inspect` compares all runs, with mean and standard deviation over the seeds. Run again, it goes on where it was: what
is finished is not trained again.

Exit status: 0; 1 if a run failed (the others are trained all the same); 2 if the arguments are wrong; 130 if it was
stopped.
"""

import argparse
import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pim_jax import console, extras

with extras.command("train"):
    from pim_jax import configuration, inspect
    from pim_jax.data import pairs
    from pim_jax.training import checkpoint, heartbeat, log, watch
    from pim_jax.training.config import Config
    from pim_jax.writing import check_outputs

CURVES = "curves.png"


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    out, errors = console.printers()
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    overrides = [word for word in args.words if re.match(r"[\w.]+=", word)]
    configs = [Path(word) for word in args.words if word not in overrides]
    try:
        inspect.rated(args.agreement, args.benchmark, args.whiten)  # not after hours of training
        runs = train(configs, args.seeds, args.workdir, data=args.data, overrides=overrides, say=out)
    except (ImportError, OSError, ValueError) as error:
        errors(console.lines(f"{parser.prog}: {error}"))
        return 2
    except KeyboardInterrupt:
        errors(f"{parser.prog}: stopped; run again to continue")
        return 130
    begun = [str(run) for run in runs if (run / log.FILE).exists()]
    if not begun:
        return 1
    options = [("--agreement", args.agreement), ("--benchmark", args.benchmark), ("--whiten", args.whiten)]
    given = [str(word) for option in options if option[1] for word in option]
    status = inspect.main([*begun, "--png", str(args.workdir / CURVES), *given])
    return status or int(not all(runs.values()))


def train(
    configs: Sequence[Path],
    seeds: Sequence[int],
    workdir: Path,
    *,
    data: Path,
    overrides: Sequence[str] = (),
    say: Callable[[str], None],
) -> dict[Path, bool]:
    """Trains every configuration with every seed.

    Args:
      configs: Python files, as for `train.py`.
      seeds: of the runs.
      workdir: gets a folder for each run.
      data: a training set.
      overrides: "field=value", of all runs.
      say: told of each run.

    Returns:
      by the folder of each run, whether it is finished.

    Raises:
      KeyboardInterrupt: it was stopped; the run under way has saved.
      OSError, ValueError: a configuration, the training set or `workdir` is not as it should be, and nothing was
        trained.
    """
    names = [config.stem for config in configs]
    if not configs or len({*names}) < len(names):
        raise ValueError(f"give configurations of different names, not {', '.join(map(str, configs)) or 'none'}")
    if any(override.startswith("seed=") for override in overrides):
        raise ValueError("give seeds as --seeds 0 1 2, and not as seed=0")
    if len({*seeds}) < len(seeds):
        raise ValueError(f"give each seed once, not {' '.join(map(str, seeds))}")
    check_outputs([("--workdir", workdir / CURVES)], [])
    source = pairs.data_hash(data)
    todo = {}
    for config in configs:
        for seed in seeds:
            own = [*overrides, f"seed={seed}"]
            settings = configuration.override(configuration.load(config, (Config,)), own)
            todo[workdir / f"{config.stem}-{seed}"] = config, own, settings
    workdir.mkdir(parents=True, exist_ok=True)
    done = {}
    for run, (config, own, settings) in todo.items():
        done[run], how = _is_finished(run, settings, source), "finished"
        if not done[run]:
            say(console.one_line(f"{run.name}: {config} {' '.join(own)}, see {run}.txt"))
            status, beat = _train(run, config, own, data), heartbeat.read(run)
            done[run] = not status and beat is not None and beat.state == "finished"
            if not done[run]:
                how = f"failed with status {status}, see {run}.txt" if status or not beat else beat.reason
        say(console.one_line(f"{run.name}: {how}"))
    return done


def _is_finished(run: Path, settings: Config, source: str) -> bool:
    """Whether a run of just these settings and data has taken all of its steps."""
    try:
        about = checkpoint.newest(run) or {}
    except ValueError:  # damaged: train.py says what to do
        return False
    wanted = {"training": configuration.to_json(settings), "data": source, "step": settings.steps}
    return {key: about.get(key) for key in wanted} == wanted


def _train(run: Path, config: Path, overrides: Sequence[str], data: Path) -> int:
    """Trains a run in a process of its own, to which signals are passed on. Returns its exit status."""
    command = [sys.executable, "-m", "pim_jax.train", str(config), "--workdir", str(run), "--data", str(data)]
    with (
        open(f"{run}.txt", "a") as output,
        watch.caught_signals() as caught,
        subprocess.Popen([*command, *overrides], stdout=output, stderr=output) as process,
    ):
        passed_on = False
        while process.poll() is None:
            if caught and not passed_on:
                process.terminate()  # it saves; a terminal has told it of Ctrl-C already, which is the same to it
                passed_on = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
    if caught:
        raise KeyboardInterrupt
    return process.returncode


def _seed(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        after = ": give field=value before --seeds" if "=" in word else ""
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number{after}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(),
        description="Trains configurations with several seeds, and compares them. Run again, it goes on.",
    )
    parser.add_argument(
        "words",
        metavar="CONFIG … field=value",
        nargs="+",
        help="Python files as for train.py, and changes to all of them",
    )
    parser.add_argument("--seeds", type=_seed, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--workdir", type=Path, required=True, metavar="S", help="gets a folder for each run")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a training set, as for train.py")
    parser.add_argument("--agreement", type=Path, metavar="DATA", help="see inspect")
    parser.add_argument("--benchmark", metavar="NAME", help="see inspect")
    parser.add_argument("--whiten", type=Path, metavar="TRAINING_SET", help="see inspect")
    return parser


if __name__ == "__main__":
    sys.exit(main())
