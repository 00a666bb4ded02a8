"""Tells how a training run stands, from its folder: `python -m pim_jax.inspect W [--png FILE]`.

It reads a run while it is being written, weights alone, and damaged folders, of which it says what is wrong. Exit
status: 0; 1 if something is damaged, not finite or cannot be written; 2 if there is neither a run nor weights.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from pim_jax import console, extras

with extras.command("train"):
    from pim_jax.stored import bundled
    from pim_jax.training import curves, summary
    from pim_jax.training.summary import Stored, Summary
    from pim_jax.writing import replacing


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    out, errors = console.printers()
    parser = _parser()
    args = parser.parse_args(argv)
    if args.png and args.png.is_dir():
        parser.error(f"--png {args.png} is a folder; name a file")

    def say(message):
        errors(f"{parser.prog}: {console.one_line(str(message))}")

    try:
        found = summary.of(args.run)
    except (OSError, ValueError) as error:
        say(error)
        return 2
    verdict = summary.verdict(found)
    for line in (*_lines(found), f"verdict: {verdict}"):
        out(console.one_line(line))  # a stranger's may steer terminals
    sound = not found.damaged_rows and not any(stored.problem for stored in found.stored)
    sound &= not verdict.startswith("not finite")
    if found.rows:
        png = args.png or (Path("curves.png") if "://" in args.run else Path(args.run) / "curves.png")
        try:
            _draw(found, png, title=console.one_line(f"{found.about.get('name', args.run)}: {verdict}"))
            out(console.one_line(f"curves: {png}"))
        except OSError as error:
            say(f"the curves cannot be written: {error}")
            sound = False
    if out.problem:
        say(f"standard output cannot be written: {out.problem}")
    return 0 if sound and not out.problem else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Tells how a training run stands, and draws its curves."
    )
    parser.add_argument(
        "run",
        metavar="W",
        help=f"the --workdir of train.py, a checkpoint in it, a folder of weights, or {', '.join(bundled())}",
    )
    parser.add_argument(
        "--png", metavar="FILE", type=Path, help="where the curves go (default: W/curves.png; for a bucket: curves.png)"
    )
    return parser


def _lines(found: Summary) -> Iterator[str]:
    about, rows = found.about, found.rows
    if about:
        differences = ", ".join(f"{name}={_value(value)}" for name, value in summary.changed(about).items())
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
        yield f"metrics.jsonl: {found.damaged_rows} lines are damaged and left out"
    elif found.age is not None and not rows:
        yield "metrics.jsonl: no line yet"
    yield from (_stored(stored) for stored in found.stored)
    if not found.stored:
        yield "checkpoints: none"


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
    return text


def _stored(stored: Stored) -> str:
    where = f"checkpoint {stored.step}" if stored.path.name.isdecimal() else "weights"
    health = stored.problem or "whole, finite"
    digest = f", SHA-256 {stored.digest}" if stored.digest else ""
    return f"{where}: {stored.size / 1e6:.1f} MB, {health}{digest}"


def _value(value) -> str:
    return "(" + ",".join(map(str, value)) + ")" if isinstance(value, list) else str(value)


def _draw(found: Summary, png: Path, *, title: str) -> None:
    saved = [stored.step for stored in found.stored if stored.step is not None]
    with replacing(png) as temporary:
        curves.draw(found.rows, title=title, saved=saved).savefig(temporary, format="png", dpi=120)


if __name__ == "__main__":
    sys.exit(main())
