"""Writes the distance of a metric as one file that JAX calls without this package: `jax.export`, serialised.

    python -m pim_jax.export pim-fast.jax --height 256 --width 256 [--ckpt NAME_OR_FOLDER]

The file holds the weights and the program for CPU, CUDA and TPU. It takes any number of images of the one size, and a
program that has JAX alone gets the same distances from it (docs/serving.md).

Exit status: 0; 1 if the file cannot be written; 2 if the arguments or the weights are wrong, or a metric cannot be
exported.
"""

import argparse
import sys
from pathlib import Path

from pim_jax import console, extras, writing

with extras.command("export"):
    import flatbuffers  # noqa: F401  jax.export writes with it
    import jax
    import jax.numpy as jnp

    from pim_jax import metric, metrics
    from pim_jax.metrics import Metric

PLATFORMS = ("cpu", "cuda", "tpu")


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Args:
      argv: the arguments, by default those of the process.

    Returns:
      the exit status.
    """
    out, errors = console.printers()
    parser = _parser()
    args = parser.parse_args(argv)
    say = errors if writing.is_stdout(args.out) else out

    def fail(error, status):
        errors(console.one_line(f"{parser.prog}: error: {error}"))
        return status

    try:
        writing.check_outputs([("OUT", args.out)], [])
        loaded = metrics.load(args.ckpt)
        content = export(loaded, args.height, args.width)
    except (ImportError, OSError, TypeError, ValueError) as error:
        return fail(error, 2)
    try:
        with writing.replacing(args.out) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        return fail(error, 1)
    size = f"[N, {args.height}, {args.width}, 3]"
    say(
        console.one_line(
            f"{args.out}: distance of {loaded.name} ({loaded.digest}), two of {size} float32 -> [N] float32"
        )
    )
    say(f"{len(content):,} bytes, for {', '.join(PLATFORMS)}")
    if out.problem:
        return fail(writing.unwritten(Path("standard output"), out.problem), 1)
    return 0


def export(metric: Metric, height: int, width: int) -> bytes:
    """Returns the distance of a metric for CPU, CUDA and TPU, serialised by `jax.export`.

    Args:
      metric: from `metrics.load`.
      height, width: of the images, in pixels.

    Returns:
      what `jax.export.deserialize` reads. Its `call` takes two arrays of [N, height, width, 3] float32 sRGB in [0, 1],
      for any N, and gives [N] float32. It checks no values. Its `fun_name` names the metric and its weights.

    Raises:
      TypeError: the metric is computed by a program outside of JAX.
      ValueError: images of that size are too small for the metric.
    """
    if min(height, width) < metric.smallest_size:
        least = f"{metric.smallest_size} x {metric.smallest_size}"
        raise ValueError(f"{metric.name} needs images of at least {least}, not {height} x {width} (height x width)")
    images = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("n"), height, width, 3), jnp.float32)

    def distance(x, y):
        return metric.distance(x, y)

    distance.__name__ = f"distance of {metric.name} ({metric.digest})"
    return jax.export.export(jax.jit(distance), platforms=PLATFORMS)(images, images).serialize()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.command(),
        description="Writes the distance of a metric as one file that JAX calls without this package.",
    )
    parser.add_argument("out", metavar="OUT", type=writing.output, help='the file to write; "-" is standard output')
    for side in ("height", "width"):
        parser.add_argument(f"--{side}", metavar="PIXELS", type=int, required=True, help="of the images")
    parser.add_argument(
        "--ckpt",
        default=metric.DEFAULT_WEIGHTS,
        metavar="C",
        help=f"the metric: {', '.join(metrics.NAMES)}, or a folder of weights (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
