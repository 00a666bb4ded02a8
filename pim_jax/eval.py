"""The command that scores image files, `eval.py` in a checkout and `pim-eval` once installed.

    python eval.py reference.png distorted.png
    python eval.py references/ distorted/ --csv scores.csv --maps maps/ --report report.html
    python eval.py --benchmark iqa --data tid2013/ --metrics pim,psnr,lpips-alex-lin --report tid2013.html

Of two images or folders, standard output holds the weights' name and digest, one line per pair, and for folders the
mean; all else goes to standard error. Where an output is "-", standard output holds that alone, and these lines go to
standard error too.

Exit status: 0; 1 if a pair could not be scored or an output could not be written (the others still are); 2 if the
arguments are wrong; 130 if interrupted; 141 if the reader of standard output left, and no other output was asked for.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from pim_jax import console, extras, writing

with extras.command("eval"):
    from pim_jax import cache, metrics
    from pim_jax.data import isolated
    from pim_jax.evaluation import compare, datasets, file_run, outputs
    from pim_jax.evaluation.compare import Match

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
    to_stdout = any(path and writing.is_stdout(path) for path in (args.csv, args.report))
    out = errors if to_stdout else stdout

    def say(message):
        errors(f"{parser.prog}: {message}")

    try:
        command = f"{parser.prog} {shlex.join(sys.argv[1:] if argv is None else argv)}"
        status = _run(args, command, out, say)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    if out.problem:
        say(f"error: {writing.unwritten(Path('standard output'), out.problem)}")
    return status or int(out.problem is not None)


def _run(args: argparse.Namespace, command: str, out: console.Printer, say: Callable[[str], None]) -> int:
    try:
        _check_use(args)
        cache.keep_compiled()
        if args.benchmark:
            # Here, not above: the data sets' readers take scipy and more, which scoring files does not.
            from pim_jax.evaluation import benchmark_run

            return benchmark_run.run(args, command, out, say)
        pairs, unmatched = compare.pair_up(args.a, args.b)
        if unmatched:
            say(_listed(unmatched))
            if not args.allow_missing:
                raise ValueError("make the folders match, or leave these images out with --allow-missing")
        _check_outputs(args, pairs)
        metric = metrics.load(args.ckpt)
        _check_maps(args, metric)
    except (ImportError, OSError, ValueError) as error:
        say(f"error: {error}")
        return 2
    with isolated.Reader() as reader:
        return file_run.run(metric, pairs, args, command, out, say, reader)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(),
        description="Scores how different images look to a person with PIM, the Perceptual Information Metric "
        "(lower is closer). A and B are two images, or two folders whose images are paired by name, whatever their "
        "extension, subfolders included. With --benchmark: how well PIM and other metrics agree with people.",
    )
    parser.add_argument("a", metavar="A", type=Path, nargs="?", help="the reference image, or a folder of them")
    parser.add_argument("b", metavar="B", type=Path, nargs="?", help="the image to score, or a folder of them")
    parser.add_argument(
        "--ckpt",
        default="pim-1",
        metavar="C",
        help=f"the metric: {', '.join(metrics.NAMES)}, or a folder of weights (default: %(default)s)",
    )
    parser.add_argument(
        "--csv",
        type=writing.output,
        metavar="F",
        help='also write the distance of every pair to this CSV file, "-" for standard output; until it is whole, the '
        "rows are in F.partial",
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
        f"make {compare.PIXELS_PER_BATCH:,} pixels, at least one)",
    )
    group = parser.add_argument_group("benchmarks")
    group.add_argument("--benchmark", choices=datasets.NAMES, help="the data set, as its authors distribute it")
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="its folder, or for iqa a CSV file; nothing is downloaded"
    )
    group.add_argument(
        "--metrics",
        type=_names,
        metavar="LIST",
        help='the metrics to compare, separated by commas: each is what --ckpt takes, or "pim", which stands for the '
        "one that --ckpt names (default: pim)",
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
    return parser


def _check_use(args: argparse.Namespace) -> None:
    """Refuses arguments of one use of the command in the other."""
    if args.benchmark:
        if args.a or args.maps or args.batch:
            raise ValueError("--benchmark goes with --data DIR, not with images to score, --maps or --batch")
        if not args.data:
            raise ValueError(f"--benchmark {args.benchmark} needs --data DIR, the folder of the data set")
    elif args.data or args.metrics or args.shift or args.higher_is:
        raise ValueError("--data, --metrics, --shift and --higher-is go with --benchmark NAME")
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


def _check_maps(args: argparse.Namespace, metric: metrics.Metric) -> None:
    if args.maps and not isinstance(metric, metrics.MapMetric):
        raise ValueError(f"--maps {args.maps}: {metric.name} does not tell where images differ; leave --maps out")


def _check_outputs(args: argparse.Namespace, pairs: list[Match]) -> None:
    """Refuses, before any work, outputs that could not be written or would replace an image to be scored."""
    inputs = [path for pair in pairs for path in (pair.reference, pair.distorted)]
    maps = [file_run.map_path(args.maps, pair, kind) for pair in pairs for kind in (".npy", ".png") if args.maps]
    outputs.check_places(args.csv, args.report, [*inputs, Path(args.ckpt)], maps=maps)


if __name__ == "__main__":
    sys.exit(main())
