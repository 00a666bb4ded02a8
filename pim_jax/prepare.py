"""Turns videos into a training set of frame pairs: `python -m pim_jax.prepare VIDEO_OR_FOLDER... --out DIR`.

By their time stamps, the frames of a pair are 1/45 to 1/20 s apart. Other pairs are dropped and counted. Of
interlaced video only the top field is read. HDR video is refused.
"""

import argparse
import errno
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from pim_jax import extras
from pim_jax.console import Printer, command, mute, one_line, printers

with extras.command("train"):
    from tqdm import tqdm

    from pim_jax.data.beam import Beam
    from pim_jax.data.parts import Settings
    from pim_jax.data.pool import Engine, Pool
    from pim_jax.data.prepare import APART, Report, prepare, unfinished
    from pim_jax.data.sources import BadArguments

_SHOWN = 20  # lines of one kind


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: arguments, those of the process if None.

    Returns:
      The exit status: 0 if at least one pair was written, 1 if not or if interrupted, 2 for bad arguments.
    """
    out, say = printers()
    args, settings = _arguments(argv)
    try:
        with _Bar() as bar, _engine(args) as engine:
            report = prepare(
                args.inputs, args.out, settings=settings, licences=args.licences, engine=engine, progress=bar.show
            )
    except BadArguments as error:
        say(one_line(f"error: {error}"))
        return 2
    except KeyboardInterrupt:
        say(one_line(f"Interrupted.{_how_to_go_on(args.out)}"))
        return 1
    except OSError as error:
        say(one_line(f"error: {_reason(error)}.{_how_to_go_on(args.out)}"))
        return 1
    _print_report(args.out, report, out, say)
    return 0 if report.pairs else 1


def _arguments(argv: list[str] | None) -> tuple[argparse.Namespace, Settings]:
    parser = _parser()
    args, args.flags = parser.parse_known_args(argv)
    if args.flags and not args.runner:
        parser.error(f"unrecognized arguments: {' '.join(args.flags)}")
    if args.runner and args.workers is not None:
        parser.error(
            "--workers is for this machine; for a --runner, give Beam's own flag, such as --direct_num_workers=2"
        )
    region = tuple(args.region) if args.region else None
    return args, Settings(args.shot_seconds, tuple(args.heights), args.seed, region)


def _engine(args: argparse.Namespace) -> AbstractContextManager[Engine]:
    if not args.runner:
        return Pool(os.cpu_count() if args.workers is None else args.workers)
    with extras.command("beam"):
        return Beam(args.runner, args.flags, shared=[*args.inputs, unfinished(args.out)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command(),
        description="Turns videos into a training set of pairs of consecutive frames. By their time stamps these are "
        f"about 1/30 s apart: pairs {APART} are dropped and counted. Of interlaced video one field is read; HDR is "
        "refused. Run it again to go on after an interruption.",
        allow_abbrev=False,  # of Beam's flags some begin as these do
    )
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER",
        help="a video, a folder of numbered frames (read as 30 frames/s), or a folder that contains such, at any depth "
        "and through symbolic links; hidden and system files are passed over",
    )  # fmt: skip
    parser.add_argument(
        "--out", required=True, type=_on_disk, metavar="DIR", help="where to write; it must not exist yet"
    )
    parser.add_argument("--shot-seconds", type=float, default=1.0, help="length of a shot (default: %(default)s)")
    parser.add_argument(
        "--heights", type=int, nargs=2, default=(128, 160), metavar=("LOW", "HIGH"),
        help="each shot's short side is downsampled to a random size between these (default: 128 160)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random heights and regions (default: %(default)s)")
    parser.add_argument(
        "--licences", type=Path, metavar="FILE", help="JSON lines with `clip` (a file name) and `licence`"
    )
    parser.add_argument(
        "--region", type=int, nargs=2, metavar=("CROP", "MARGIN"),
        help="store of each pair only a region at random, for crops of at most CROP pixels: that of a crop and up to "
        "MARGIN pixels more each way (default: store whole frames)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help=f"processes (default: one per core, {os.cpu_count()})")
    parser.add_argument(
        "--runner", metavar="NAME",
        help="prepare on Apache Beam with this runner, such as FnApiRunner, FlinkRunner or SparkRunner. Its workers "
        "must see the inputs and DIR under the same names. Whatever other --flag=value is given goes to Beam",
    )  # fmt: skip
    return parser


def _on_disk(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} must be a folder on disk; copy it to a bucket when it is done")
    return Path(text)


class _Bar:
    """A bar on standard error, once there is something to show; a context that closes it."""

    def __init__(self):
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        try:
            if self._bar is None:
                self._bar = tqdm(total=total, initial=done, unit="source", file=sys.stderr, desc="prepare")
            self._bar.update(done - self._bar.n)
        except BrokenPipeError:
            mute(sys.stderr)


def _print_report(folder: Path, report: Report, out: Printer, say: Printer) -> None:
    _list(say, [f"skipped {source}: {reason}" for source, reason in report.skipped])
    _list(say, [f"{source}: {note}" for source, note in report.notes])
    if report.dropped_shots:
        counts = [f"{count} {reason}" for reason, count in report.dropped_shots.items()]
        say(f"dropped shots: {', '.join(counts)}")
    if report.dropped_pairs:
        say(f"dropped pairs: {report.dropped_pairs} {APART}")
    if report.pairs:
        made = f"{report.pairs} pairs from {report.shots} shots of {report.sources} sources"
        out(one_line(f"{folder}: {made}. Data hash: {report.data_hash}"))
    else:
        say(f"error: none of the {report.sources} sources gave a usable shot: nothing was written.")


def _list(say: Printer, lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        say(one_line(line))
    if len(lines) > _SHOWN:
        say(f"... and {len(lines) - _SHOWN} more")


def _reason(error: OSError) -> str:
    # The library that writes the records has only text for its errors.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
    return "the disk is full" if full else str(error)


def _how_to_go_on(out: Path) -> str:
    partial = unfinished(out)
    return f" What is done is in {partial}: run the same command to go on." if os.path.exists(partial) else ""


if __name__ == "__main__":
    sys.exit(main())
