"""The command that scores image files, `eval.py` in a checkout and `pim-eval` once installed.

    python eval.py reference.png distorted.png
    python eval.py references/ distorted/ --csv scores.csv --maps maps/ --report report.html
    python eval.py originals/ decoded/ --metrics pim,psnr --report report.html  # decoded/CODEC/QUALITY/IMAGE
    python eval.py --benchmark iqa --data tid2013/ --metrics pim,psnr,lpips-alex-lin --report tid2013.html

Of two images or folders, standard output holds the metrics' names and digests, one line per pair, and for folders the
mean, and its interval in lines that begin with "#". Of several candidates it holds tables in Markdown: the candidates,
the closest first, and their differences. All else goes to standard error. Where an output is "-", standard output holds
that alone, and these lines go to standard error too.

With several processes, each scores its part, and process 0 prints and writes.

Exit status: 0; 1 if a pair could not be scored or an output could not be written (the others still are); 2 if the
arguments are wrong; 130 if interrupted; 141 if the reader of standard output left, and no other output was asked for.
"""

import argparse
import hashlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from pim_jax import console, extras, writing

with extras.command("eval"):
    import jax

    from pim_jax import cache, metric, metrics
    from pim_jax.data import isolated
    from pim_jax.evaluation import compare, datasets, file_run, loading, measure, outputs, processes
    from pim_jax.evaluation.compare import Match
    from pim_jax.training import hosts

LISTED = 10  # of a long list of files, how many an error names


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Args:
      argv: the arguments, by default those of the process.

    Returns:
      the exit status.
    """
    stdout, errors = console.printers()
    parser = _parser()
    args = parser.parse_args(argv)
    to_stdout = any(path and writing.is_stdout(path) for path in (args.csv, args.json, args.report))

    def say(message):
        errors(f"{parser.prog}: {message}")

    try:
        hosts.join(args.coordinator, args.processes, args.process)
    except (ValueError, RuntimeError) as error:
        say(f"error: {error}")
        return 2
    if jax.distributed.is_initialized():
        stdout = _without_gloo()
    out = errors if to_stdout else stdout
    if jax.process_count() > 1:
        return _together(lambda out, say: _run(args, command(parser, argv), out, say), out, say)
    try:
        status = _run(args, command(parser, argv), out, say)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    if out.problem:
        say(f"error: {writing.unwritten(Path('standard output'), out.problem)}")
    return status or int(out.problem is not None)


def command(parser: argparse.ArgumentParser, argv: list[str] | None) -> str:
    """The command line, for reports."""
    return f"{parser.prog} {shlex.join(sys.argv[1:] if argv is None else argv)}"


def _without_gloo() -> console.Printer:
    """A printer to standard output, which Gloo's threads then cannot reach: they tell there whom they are connected to.

    Gloo connects CPUs. What it says goes to standard error.
    """
    sys.stdout.flush()
    sys.stdout = open(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115
    os.dup2(2, 1)
    return console.Printer(sys.stdout)


def _together(run: Callable, out: console.Printer, say: Callable[[str], None]) -> int:
    """Runs as one of several processes: the first speaks, and none waits for one that has left."""
    process = jax.process_index()
    if process:
        out = console.Printer(None)
    try:
        status = run(out, say if not process else lambda message: say(f"process {process}: {message}"))
    except KeyboardInterrupt:
        hosts.leave_alone(130)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"error: process {process}: {reason}. Another process may have ended; run again to go on")
        hosts.leave_alone(1)
    if status not in (0, 1):
        hosts.leave_alone(status)
    hosts.leave()
    return status


def _run(args: argparse.Namespace, command: str, out: console.Printer, say: Callable[[str], None]) -> int:
    try:
        _check_use(args)
        cache.keep_compiled()
        if args.benchmark:
            # Here, not above: the data sets' readers take scipy and more, which scoring files does not.
            from pim_jax.evaluation import benchmark_run

            return benchmark_run.run(args, command, out, say)
        pairs = hosts.together(lambda: _pair_up(args, say))
        hosts.check_same("the images", _digest(pairs))
        loaded, skipped = loading.load(args.metrics or ["pim"], args.ckpt)
        for name, reason in skipped.items():
            say(f"{name} is skipped: {reason}")
        if not loaded:
            raise ValueError("no metric is left")
        _check_maps(args, loaded)
    except (ImportError, OSError, ValueError) as error:
        say(f"error: {error}")
        return 2
    with isolated.Reader() as reader:
        return file_run.run(loaded, pairs, args, command, out, say, reader) or int(bool(skipped))


def _pair_up(args: argparse.Namespace, say: Callable[[str], None]) -> list[Match]:
    pairs, unmatched = compare.pair_up(args.a, *args.b)
    if unmatched:
        if processes.first():
            say(_listed(unmatched))
        if not args.allow_missing:
            raise ValueError("make the folders match, or leave these images out with --allow-missing")
    if processes.first():
        _check_outputs(args, pairs)
    return pairs


def _digest(pairs: list[Match]) -> str:
    """What differs where processes see different files."""
    names = (f"{pair.name}\0{pair.candidate}\n" for pair in pairs)
    return hashlib.sha256("".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(),
        description="Scores how different images look to a person with PIM, the Perceptual Information Metric "
        "(lower is closer). A and B are two images, or two folders whose images are paired by name, whatever their "
        "extension, subfolders included. Of several B, or where B holds a folder for each codec, or CODEC/QUALITY: "
        "which is closer, at what rate, and how surely. With --benchmark: how well metrics agree with people.",
    )
    parser.add_argument("a", metavar="A", type=Path, nargs="?", help="the reference image, or a folder of them")
    parser.add_argument("b", metavar="B", type=Path, nargs="*", help="the images to score, or folders of them")
    parser.add_argument(
        "--ckpt",
        default=metric.DEFAULT_WEIGHTS,
        metavar="C",
        help=f"the metric: {', '.join(metrics.NAMES)}, or a folder of weights (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics",
        type=_names,
        metavar="LIST",
        help='the metrics, separated by commas: each is what --ckpt takes, or "pim", which stands for the one that '
        "--ckpt names (default: pim); the first one sorts",
    )
    parser.add_argument(
        "--csv",
        type=writing.output,
        metavar="F",
        help='also write the distance of every pair to this CSV file, "-" for standard output; until it is whole, the '
        "rows are in F.partial",
    )
    parser.add_argument(
        "--json",
        type=writing.output,
        metavar="F",
        help='also write all results of files, and what follows from them, to this JSON file, "-" for standard output',
    )
    parser.add_argument(
        "--report",
        type=writing.output,
        metavar="F",
        help='also write a report with pictures to this HTML file, "-" for standard output',
    )
    parser.add_argument("--allow-missing", action="store_true", help="leave out images whose partner is not there")
    parser.add_argument(
        "--maps",
        type=writing.output,
        metavar="DIR",
        help="also write where the images of each pair differ, as NAME.png (one colour scale for the whole run) and "
        "NAME.npy (float32, height x width)",
    )
    parser.add_argument(
        "--batch",
        type=_positive,
        metavar="N",
        help="score at most N pairs of a size at once; fewer need less memory (default: as many as "
        f"make {measure.PIXELS_PER_BATCH:,} pixels on each device, at least one)",
    )
    group = parser.add_argument_group("benchmarks")
    group.add_argument("--benchmark", choices=datasets.NAMES, help="the data set, as its authors distribute it")
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="its folder, or for iqa a CSV file; nothing is downloaded"
    )
    group.add_argument(
        "--shift",
        type=_whole,
        nargs="+",
        metavar="K",
        help="shift the references by K pixels to the right: 0 1 2 gives the results of 0 and the changes from there",
    )
    group.add_argument(
        "--higher-is",
        choices=("better", "worse"),
        help="for a CSV file of your own: whether a higher score means closer to the reference, as in MOS, or farther, "
        "as in most DMOS (default: better); the data sets know theirs",
    )
    group = parser.add_argument_group("several processes", "Slurm, Open MPI and TPU pods are recognised without them")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0; the port must be free")
    group.add_argument("--processes", type=_whole, metavar="N", help="how many there are")
    group.add_argument("--process", type=_whole, metavar="I", help="which one this is, from 0")
    return parser


def _check_use(args: argparse.Namespace) -> None:
    """Refuses arguments of one use of the command in the other."""
    if args.benchmark:
        if args.a or args.maps or args.batch or args.json:
            raise ValueError("--benchmark goes with --data DIR, not with images to score, --maps, --batch or --json")
        if jax.process_count() > 1:
            raise ValueError("--benchmark runs in one process; several are for files")
        if not args.data:
            raise ValueError(f"--benchmark {args.benchmark} needs --data DIR, the folder of the data set")
    elif args.data or args.shift or args.higher_is:
        raise ValueError("--data, --shift and --higher-is go with --benchmark NAME")
    elif args.maps and writing.is_stdout(args.maps):
        raise ValueError("--maps takes a folder: maps are many files, which standard output cannot hold")
    elif not args.b:
        raise ValueError("give two images or two folders to score, or --benchmark NAME --data DIR")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len({*names}) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names separated by commas")
    return names


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _listed(lines: list[str]) -> str:
    shown = lines[:LISTED] + ([f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else [])
    return f"images without a partner: {len(lines)}" + "".join(f"\n  {console.one_line(line)}" for line in shown)


def _check_maps(args: argparse.Namespace, loaded: dict[str, metrics.Metric]) -> None:
    if args.maps and not file_run.mapped(loaded):
        without = "does not tell" if len(loaded) == 1 else "do not tell"
        raise ValueError(f"--maps {args.maps}: {', '.join(loaded)} {without} where images differ; leave --maps out")


def _check_outputs(args: argparse.Namespace, pairs: list[Match]) -> None:
    """Refuses, before any work, outputs that could not be written or would replace an image to be scored."""
    inputs = [path for pair in pairs for path in (pair.reference, pair.distorted)]
    several = len({pair.candidate for pair in pairs}) > 1
    maps = [
        file_run.map_path(args.maps, pair, kind, several) for pair in pairs for kind in (".npy", ".png") if args.maps
    ]
    outputs.check_places(args.csv, args.report, [*inputs, Path(args.ckpt)], json=args.json, maps=maps)


if __name__ == "__main__":
    sys.exit(main())
