"""Tells how training runs stand, from their folders, and draws their curves.

    python -m pim_jax.inspect W
    python -m pim_jax.inspect W W2 --follow
    python -m pim_jax.inspect W W2 --agreement tid2013/ --whiten DATA

Of one run it tells all. Of several it tells what differs between their configurations, how far each is and how it ends,
and the mean over seeds. Curves are drawn for the terminal and as a picture. It reads a run while it is being written,
weights alone, and damaged folders, of which it says what is wrong. With --agreement it measures how well the
checkpoints agree with people.

Exit status: 0; 1 if something is damaged, not finite or cannot be written; 2 if there is neither a run nor weights.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pim_jax import cache, console, extras

with extras.command("train"):
    from matplotlib.figure import Figure

    from pim_jax.evaluation import markdown
    from pim_jax.stored import bundled
    from pim_jax.training import curves, heartbeat, results, summary
    from pim_jax.training.summary import Stored, Summary
    from pim_jax.writing import replacing

if TYPE_CHECKING:
    from pim_jax.evaluation.datasets.benchmark import Benchmark
    from pim_jax.training.agreement import Agreement

_CLEARED = "\x1b[H\x1b[2J\x1b[3J"  # a terminal, without what has scrolled off it


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    out, errors = console.printers()
    parser = _parser()
    args = parser.parse_args(argv)
    if args.png and args.png.is_dir():
        parser.error(f"--png {args.png} is a folder; name a file")
    if len({*args.runs}) < len(args.runs):
        parser.error("a run is named twice")
    if args.agreement and args.follow:
        parser.error("--agreement looks once: leave out --follow")

    def say(message):
        errors(console.lines(f"{parser.prog}: {message}"))

    try:
        benchmark = rated(args.agreement, args.benchmark, args.whiten)
        found = {name: summary.of(run) for name, run in _named(args.runs).items()}
        agreement = _agreement(found, benchmark, args.whiten, say) if benchmark else None
    except (ImportError, OSError, ValueError) as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        say("interrupted; what was measured is kept, and the same command goes on from there")
        return 130
    sound = _show(found, agreement, args, out, say)
    if args.follow:
        sound = _follow(found, args, out, say) and sound
    if out.problem:
        say(f"standard output cannot be written: {out.problem}")
    return 0 if sound and not out.problem else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Tells how training runs stand, and draws their curves."
    )
    parser.add_argument(
        "runs",
        metavar="W",
        nargs="+",
        help=f"the --workdir of train.py, a checkpoint in it, a folder of weights, or {', '.join(bundled())}; several "
        "are compared",
    )
    parser.add_argument(
        "--png",
        metavar="FILE",
        type=Path,
        help="where the curves go (default: W/curves.png; for several runs, or a bucket: curves.png)",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="tell it again whenever something is new, until no run is alive any more, or Ctrl-C",
    )
    parser.add_argument(
        "--agreement",
        metavar="DATA",
        type=Path,
        help="also measure how well every checkpoint agrees with people, on a data set as for eval.py --benchmark; of "
        "several runs with paired differences from the first",
    )
    parser.add_argument("--benchmark", metavar="NAME", help="which benchmark DATA is, as for eval.py (default: iqa)")
    parser.add_argument(
        "--whiten", metavar="TRAINING_SET", type=Path, help="whiten every checkpoint, as release.py does, before that"
    )
    return parser


def _named(runs: list[str]) -> dict[str, str]:
    """The runs by the names of their folders, or as they were given where two folders have one name."""
    names = [Path(run).name or run for run in runs]
    return dict(zip(names if len({*names}) == len(names) else runs, runs, strict=True))


def rated(data: Path | None, benchmark: str | None, whitened_by: Path | None) -> "Benchmark | None":
    """Reads what agreement is to be measured on, and checks the options that go with it.

    Args:
      data, benchmark, whitened_by: --agreement, --benchmark and --whiten.

    Returns:
      the benchmark; None without `data`.

    Raises:
      ImportError, OSError, ValueError: an option is not as it should be, nobody rated the data, or they need a library
        that is missing.
    """
    if not data:
        if whitened_by or benchmark:
            raise ValueError("--whiten and --benchmark go with --agreement DATA")
        return None
    with extras.command("eval"):
        # Here, not above: they take libraries that a look at a run does not.
        from pim_jax.data import pairs
        from pim_jax.evaluation import datasets
    if whitened_by:
        pairs.data_hash(whitened_by)
    found = datasets.read(benchmark or "iqa", data)
    if not found.higher_is_better:
        raise ValueError(f"{found.title}: there are no human answers to agree with")
    return found


def _agreement(found: Mapping[str, Summary], benchmark: "Benchmark", whitened_by: Path | None, say) -> "Agreement":
    with extras.command("eval"):
        from pim_jax.training import agreement

    cache.keep_compiled()
    return agreement.along(found, benchmark, say, whitened_by=whitened_by)


def _follow(found: dict[str, Summary], args: argparse.Namespace, out: console.Printer, say) -> bool:
    """Shows everything again whenever something is new, until no run is alive. Returns whether all of it was sound."""
    sound, before = True, [*_lines(found)]
    while not out.closed and any(of.beat and of.beat.alive for of in found.values()):
        try:
            time.sleep(heartbeat.SECONDS)
            found = {name: summary.of(run, before=found[name]) for name, run in _named(args.runs).items()}
        except KeyboardInterrupt:  # enough was seen
            break
        except (OSError, ValueError) as error:
            say(error)
            return False
        if (lines := [*_lines(found)]) != before:
            sound = _show(found, None, args, out, say)
        before = lines
    return sound


def _show(
    found: Mapping[str, Summary], agreement: "Agreement | None", args: argparse.Namespace, out: console.Printer, say
) -> bool:
    """Prints all, and draws the pictures. Returns whether everything is sound and could be written."""
    if args.follow:
        out(_CLEARED if sys.stdout.isatty() else "")
    for line in _lines(found, agreement):
        out(console.one_line(line))  # a stranger's may steer terminals
    sound = all(map(summary.sound, found.values()))
    png = args.png or _beside(args.runs)
    drawn = {"curves": (png, lambda: _curves(found))} if any(of.rows for of in found.values()) else {}
    if agreement:
        from pim_jax.training.agreement import draw

        drawn["agreement"] = png.with_stem(f"{png.stem}-agreement"), lambda: draw(agreement)
        for what, why in agreement.problems.items():
            say(f"could not be measured: {what}: {why}")
            sound = False
    for what, (path, figure) in drawn.items():
        try:
            with replacing(path) as temporary:
                figure().savefig(temporary, format="png", dpi=120)
            out(console.one_line(f"{what}: {path}"))
        except OSError as error:
            say(f"the {what} cannot be written: {error}")
            sound = False
    return sound


def _beside(runs: list[str]) -> Path:
    """Where curves go that were asked to go nowhere else: into the folder of the run, if one run has one."""
    return Path(runs[0] if len(runs) == 1 and Path(runs[0]).is_dir() else "") / "curves.png"


def _lines(found: Mapping[str, Summary], agreement: "Agreement | None" = None) -> Iterator[str]:
    drawn = curves.in_letters(
        {name: of.rows for name, of in found.items() if of.rows}, width=shutil.get_terminal_size((100, 0)).columns
    )
    measured = [f"Agreement with people, {agreement.title}:", "", *agreement.tables().splitlines()] if agreement else []
    if len(found) == 1:
        (of,) = found.values()
        yield from (*_all_of(of), *drawn.splitlines(), *measured, f"verdict: {summary.verdict(of)}")
        return
    yield from markdown.table(results.by_run(found)).splitlines()
    if seeds := results.over_seeds(found, agreement.last() if agreement else None):
        yield from ("", "Mean and standard deviation over seeds:", "", *markdown.table(seeds).splitlines())
    for part in (drawn.splitlines(), measured):
        yield from ("", *part) if part else ()
    yield ""
    for name, of in found.items():
        yield f"{name}: {summary.verdict(of)}"
        yield from (f"{name}: {_stored(stored)}" for stored in of.stored if stored.problem)
        if of.damaged_rows:
            yield f"{name}: {_damaged(of)}"


def _all_of(found: Summary) -> Iterator[str]:
    about, rows = found.about, found.rows
    if about:
        differences = ", ".join(f"{name}={summary.shown(value)}" for name, value in summary.changed(about).items())
        yield f"name: {about['name']}"
        yield f"configuration: {differences or 'the defaults'}"
        yield f"data: {about.get('data') or 'not said'}"
        yield f"commit: {about.get('commit') or 'not said'}"
        if "whitened_by" in about:
            yield f"whitened: {_whitening(about)}"
    elif rows:
        yield "configuration, data and commit: not known before the first checkpoint"
    if rows:
        yield f"progress: {_progress(found)}"
        numbers = {name: value for name, value in rows[-1].items() if isinstance(value, int | float)}
        yield "last line: " + "  ".join(f"{name} {value:.6g}" for name, value in numbers.items())
    if found.damaged_rows:
        yield _damaged(found)
    elif found.age is not None and not rows:
        yield "metrics.jsonl: no line yet"
    yield from (_stored(stored) for stored in found.stored)
    if not found.stored:
        yield "checkpoints: none"


def _damaged(found: Summary) -> str:
    return f"metrics.jsonl: {found.damaged_rows} lines are damaged and left out"


def _whitening(about: dict) -> str:
    settings = about.get("whitening")
    how = ", ".join(f"{name} {value}" for name, value in settings.items()) if isinstance(settings, dict) else ""
    return f"by the data {about['whitened_by']}, {how or 'noise and regularisation are not said'}"


def _progress(found: Summary) -> str:
    settings, rate, done = summary.settings(found.about), summary.rate(found.rows), found.rows[-1]["step"]
    if "folds" in settings:  # SPIPS, whose rows are those of its cross-validation
        return f"fold {done} of {settings['folds']}"
    batch, text = settings.get("batch"), f"step {done}"
    if found.steps:
        text += f" of {found.steps} ({100 * done / found.steps:.1f} %)"
    if rate:
        text += f", {rate:.4g} pairs/s"
    if rate and found.steps and done < found.steps and isinstance(batch, int):
        text += f", {summary.duration((found.steps - done) * batch / rate)} to go at that rate"
        if len(found.rows) == 1:
            text += ", which includes compiling"
    return text


def _stored(stored: Stored) -> str:
    where = f"checkpoint {stored.step}" if stored.path.name.isdecimal() else "weights"
    health = stored.problem or "whole, finite"
    digest = f", SHA-256 {stored.digest}" if stored.digest else ""
    return f"{where}: {stored.size / 1e6:.1f} MB, {health}{digest}"


def _curves(found: Mapping[str, Summary]) -> Figure:
    (name, of), *others = found.items()
    title, saved = f"{len(found)} runs", ()
    if not others:
        title = console.one_line(f"{of.about.get('name', name)}: {summary.verdict(of)}")
        saved = [stored.step for stored in of.stored if stored.step is not None]
    rows = {console.one_line(name): of.rows for name, of in found.items() if of.rows}
    return curves.draw(rows, title=title, saved=saved)


if __name__ == "__main__":
    sys.exit(main())
