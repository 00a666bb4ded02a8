"""Compares PIM-1 on CPU with the official TensorFlow implementation, on the same images and with the same weights.

    python benchmarks/official.py --python TF_PYTHON --code DIR --weights DIR [--size 512x768] [--repeats 5]

TF_PYTHON is an interpreter with tensorflow-cpu, tensorflow-probability and tf-keras. --code is a checkout of
google-research/perceptual-quality. --weights is a folder with the official checkpoint in `pim-1`. TensorFlow runs in a
process of its own, which lives as long as the script. So each implementation is timed warm and without the other.

It prints the operations of the direct form, the rate of a large matrix product, and the least time that follows from
both. Then it prints time and rate of the official code, eager and under `tf.function`, and of ours. The distances and
peak memory follow.
"""

import argparse
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import convert, metric
from pim_jax.model import filters, pim
from pim_jax.model.pim import ModelConfig

# It reads "eager" or "function" from standard input, and answers "seconds distance".
OFFICIAL = """
import sys
import time

answers, sys.stdout = sys.stdout, sys.stderr  # what TensorFlow prints is no answer
code, weights, images = sys.argv[1:]
sys.path.insert(0, code)

import numpy as np
import tensorflow as tf
from perceptual_quality.pim import loader

pim = loader.load_trained("pim-1", weights)
with np.load(images) as stored:
    x, y = (tf.constant(stored[name][None]) for name in ("x", "y"))
ways = {"eager": pim, "function": tf.function(lambda x, y: pim(x, y))}
print("TensorFlow", tf.__version__, file=answers, flush=True)
for way in sys.stdin:
    start = time.perf_counter()
    distance = ways[way.strip()](x, y).numpy()
    print(time.perf_counter() - start, float(distance[0]), file=answers, flush=True)
"""
EAGER, FUNCTION, OURS, PRODUCT = "official, eager", "official, tf.function", "ours", "matrix product"
SQUARE = 2048
PRODUCTS = 10  # at a time: on a busy machine, a single one is over before it gets its share of the cores


class Official:
    """The official implementation in a process of its own."""

    def __init__(self, args: argparse.Namespace, folder: Path):
        self.errors = folder / "errors"
        environment = {
            **os.environ,
            "TF_USE_LEGACY_KERAS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "",
        }
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [args.python, "-c", OFFICIAL, args.code.resolve(), args.weights.resolve(), folder / "images.npz"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=environment,
            )
        self.version = self._answer()

    def time(self, way: str) -> tuple[float, float]:
        """Returns (seconds, distance) of one call."""
        with contextlib.suppress(BrokenPipeError):  # there is no answer then, and `_answer` says why
            print(way, file=self.process.stdin, flush=True)
        seconds, distance = map(float, self._answer().split())
        return seconds, distance

    def _answer(self) -> str:
        if line := self.process.stdout.readline().strip():
            return line
        status = self.process.wait()
        reason = (self.errors.read_text(errors="replace").splitlines() or ["no message"])[-1]
        sys.exit(f"error: the process of the official implementation ended with status {status}: {reason}")


@contextlib.contextmanager
def official(args: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> Iterator[Official]:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "images.npz"), x=x, y=y)
        peer = Official(args, Path(folder))
        try:
            yield peer
        finally:
            peer.process.kill()
            peer.process.communicate()


def main():
    args = parse()
    jax.config.update("jax_platforms", "cpu")
    try:
        config, params = convert.to_model(*convert.read(args.weights / "pim-1"))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {args.weights / 'pim-1'}: {error}")
    x, y = np.random.default_rng(0).random((2, *args.size, 3), np.float32)
    ours = metric.from_params(config, params)
    with official(args, x, y) as peer:
        print(f"PIM-1, a pair of {args.size[0]} x {args.size[1]}, float32, medians of {args.repeats}")
        print(f"{os.cpu_count()} cores, {peer.version}, JAX {jax.__version__}", flush=True)
        calls = {
            PRODUCT: timed(products, *jax.random.normal(jax.random.key(0), (2, SQUARE, SQUARE))),
            EAGER: functools.partial(peer.time, "eager"),
            FUNCTION: functools.partial(peer.time, "function"),
            OURS: timed(ours.distance, jnp.asarray(x), jnp.asarray(y)),
        }
        seconds, values = medians(calls, args.repeats)
        memory = {"official": peak_memory(peer.process.pid), "ours": peak_memory(os.getpid())}
    report(config, args.size, seconds, {way: float(values[way]) for way in (EAGER, FUNCTION, OURS)}, memory)


def report(config: ModelConfig, size: tuple[int, int], seconds: dict, distances: dict, memory: dict):
    convolutions, encoders = networks(config, size)
    direct = convolutions + encoders
    peak = PRODUCTS * 2 * SQUARE**3 / seconds[PRODUCT]
    print(f"networks, direct form: {direct / 1e9:.1f} GFLOP, {convolutions / direct:.2%} of them in 5x5 layers")
    print(f"pyramid, beside those: {pyramid(config, size) / 1e9:.2f} GFLOP")
    print(f"matrix product of {SQUARE} x {SQUARE}: {peak / 1e9:.0f} GFLOP/s")
    print(f"floor of the direct form at that rate: {direct / peak:.3f} s")
    print(f"{'':24}{'seconds':>9}{'GFLOP/s':>9}{'floors':>8}  distance")
    for way, distance in distances.items():
        rate, floors = direct / seconds[way] / 1e9, seconds[way] * peak / direct
        print(f"{way:24}{seconds[way]:9.3f}{rate:9.0f}{floors:8.2f}  {distance:.8g}")
    for way in (EAGER, FUNCTION):
        print(f"relative difference of our distance to {way}: {abs(distances[OURS] / distances[way] - 1):.1e}")
    print("peak resident memory: " + ", ".join(f"{name} {found}" for name, found in memory.items()))
    for way in (EAGER, FUNCTION):
        print(f"ours is {seconds[way] / seconds[OURS]:.2f} times as fast as {way}")


def networks(config: ModelConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Operations for a pair of images in direct form, (5x5 layers, encoders). Every weight acts once at each sample."""
    shapes = pim.shapes(config)
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    bands = jax.eval_shape(lambda image: pim.bands(config, image), image)

    def count(part):
        return sum(
            2 * band.size // band.shape[-1] * layer["kernel"].size
            for i, band in enumerate(bands)
            for layer in shapes[part][f"band{i}"].values()
        )

    return count("frontend"), count("marginal")


def pyramid(config: ModelConfig, size: tuple[int, int]) -> int:
    """Operations of the steerable pyramid for a pair of images. Every filter is a sum over its taps."""
    taps = filters.steerable(config.orientations)
    samples = 2 * 3 * np.prod(size)
    operations = 2 * samples * (taps.lowpass0.size + taps.highpass0.size)
    for scale in range(config.scales):
        at_scale, below = (2 * 3 * np.prod([-(-length // 2**s) for length in size]) for s in (scale, scale + 1))
        operations += 2 * at_scale * taps.oriented.size + 2 * below * taps.lowpass.size
    return int(operations)


def products(a: jax.Array, b: jax.Array) -> jax.Array:
    for _ in range(PRODUCTS):
        c = jax.block_until_ready(jnp.matmul(a, b))
    return c


def timed(function: Callable, *args) -> Callable[[], tuple[float, jax.Array]]:
    def call():
        start = time.perf_counter()
        value = jax.block_until_ready(function(*args))
        return time.perf_counter() - start, value

    return call


def medians(calls: dict[str, Callable], repeats: int) -> tuple[dict, dict]:
    """(median seconds, last value) of each call. They take turns, because other load on the machine comes and goes."""
    seconds, values = {name: [] for name in calls}, {}
    for _ in range(1 + repeats):
        for name, call in calls.items():
            spent, values[name] = call()
            seconds[name].append(spent)
    # The first call of each compiles.
    return {name: float(np.median(spent[1:])) for name, spent in seconds.items()}, values


def peak_memory(process: int) -> str:
    """The peak memory of the running program. getrusage would not do: its peak starts at that of the parent process."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return "unknown (this system has no /proc)"
    (kibibytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return f"{int(kibibytes) * 1024 / 1e9:.2f} GB"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, metavar="TF_PYTHON", help="an interpreter with TensorFlow")
    parser.add_argument("--code", required=True, type=Path, metavar="DIR", help="the official repository")
    parser.add_argument("--weights", required=True, type=Path, metavar="DIR", help="the folder that contains pim-1")
    parser.add_argument("--size", default="512x768", metavar="HxW", help="height and width (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each kind (default: %(default)s)")
    args = parser.parse_args()
    python = shutil.which(args.python)
    if python is None:
        parser.error(f"--python {args.python} is not a program")
    args.python = os.path.abspath(python)
    if not (args.code / "perceptual_quality" / "pim" / "loader.py").is_file():
        parser.error(
            f"--code {args.code} has no perceptual_quality/pim/loader.py: give a checkout of the official code"
        )
    if not (args.weights / "pim-1" / "config.json").is_file():
        parser.error(f"--weights {args.weights} has no pim-1/config.json: give the folder with the official checkpoint")
    height, _, width = args.size.partition("x")
    smallest = ModelConfig().smallest_size
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= smallest):
        parser.error(f"--size {args.size} is not HEIGHTxWIDTH with at least {smallest} pixels each, such as 512x768")
    args.size = int(height), int(width)
    if args.repeats < 1:
        parser.error(f"--repeats must be at least 1, not {args.repeats}")
    return args


if __name__ == "__main__":
    main()
