"""Measures what fewer bits in the convolutions change: the distance, and its agreement with people.

    python benchmarks/precision.py --tid2013 DIR [--weights pim-1] [--side 128] [--references 4]

It compares float32 with two others. One is bfloat16, `metric.load(…, precision="bfloat16")`, which is the same on every
device. The other is TensorFloat-32, which GPUs use for precision="default". CPUs do not have it, so operands are
rounded to 10 bits, as GPUs do. Images are cut to their centres. The script prints the relative differences of the
distance, and Spearman's correlations.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from ablations import centres

from pim_jax import metric
from pim_jax.evaluation.measure import measure
from pim_jax.evaluation.store import Store
from pim_jax.model import convolution, frontend


def main() -> None:
    args = parse()
    with tempfile.TemporaryDirectory() as work:
        args.work = Path(work)
        rated = centres(args.tid2013.absolute(), "tid2013", args)
        exact = None
        print(f"{args.weights}, {len(rated.pairs)} pairs of {args.side} x {args.side} pixels")
        for name in ("float32", "tensorfloat32", "bfloat16"):
            loaded = metric.load(args.weights, precision="bfloat16" if name == "bfloat16" else "highest")
            rounding = tensorfloat32() if name == "tensorfloat32" else contextlib.nullcontext()
            with rounding, Store(args.work / f"{name}.sqlite") as store:
                found, problems = measure({"pim": loaded}, rated.pairs, store)
            if problems:
                raise SystemExit(f"could not be measured: {problems}")
            scores = rated.scores(found["pim"])
            agreement = ", ".join(
                f"{column} {scores[column].value:.4f}" for column in ("SROCC", "SROCC, mean of types")
            )
            exact = found["pim"] if exact is None else exact
            errors = np.abs(found["pim"] / exact - 1)
            print(
                f"{name}: relative difference {np.median(errors):.1e}, at most {errors.max():.1e}; {agreement}",
                flush=True,
            )


@contextlib.contextmanager
def tensorfloat32():
    """A context in which the operands of all convolutions have 10 bits. Sums are float32."""

    def convolve(x, kernel, padding):
        x, kernel = (jax.lax.reduce_precision(array, 8, 10) for array in (x, kernel))
        return convolution.convolve(x, kernel, padding)

    jax.clear_caches()
    with mock.patch.object(frontend, "convolve", convolve):
        yield
    jax.clear_caches()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tid2013", type=Path, required=True, help="as for eval.py --benchmark iqa")
    parser.add_argument("--weights", default="pim-1", help="as for metric.load")
    parser.add_argument("--side", type=int, default=128, help="pixels a side of the images' centres")
    parser.add_argument("--references", type=int, default=4, help="how many, from the first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
