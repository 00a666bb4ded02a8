"""The training step and the metric on a GPU or TPU, against what the device can do and against LPIPS in PyTorch.

    python benchmarks/accelerator.py [--batches 50 512] [--sizes 256x256 512x768 1080x1920] [--repeats 20]

It prints four things:
  ceilings     the rates of a large matrix product and of a large copy
  differences  how far distances are from those of the same program on the CPU, for every precision
  steps        the time of a step of `configs/pim1.py`, its rate in operations of the direct form, and the ratio to a
               step that computes whole bands
  distances    the time of distances and of a gradient, and the ratio to LPIPS in PyTorch on the same device, where
               torch and lpips are installed. LPIPS has AlexNet with a random trunk
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from train_step import compile_step, configure, convolutions, whole_bands

from pim_jax import configuration, metric
from pim_jax.data import images
from pim_jax.training import step

ASSETS = Path(__file__).parents[1] / "pim_jax" / "assets" / "images"
PRECISIONS = ("highest", "default", "bfloat16")
SQUARE = 8192
COPIED = 2**30  # floats
PLAIN_BATCH = 16


def main():
    args = parse()
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}", flush=True)
    ceilings(args.repeats)
    differences()
    steps(args.batches, args.repeats)
    distances(args.sizes, args.repeats)


def ceilings(repeats: int):
    product, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
    for kind, precision in ((jnp.bfloat16, "default"), (jnp.float32, "default"), (jnp.float32, "highest")):
        square = jax.random.normal(jax.random.key(0), (SQUARE, SQUARE), kind)
        with jax.default_matmul_precision(precision):
            seconds = timed(lambda square=square: product(square, square), repeats)
        print(f"matrix product, {kind.__name__}, precision {precision}: {2 * SQUARE**3 / seconds / 1e12:.0f} TFLOP/s")
    floats = jnp.ones(COPIED)
    print(f"copy: {2 * floats.nbytes / timed(lambda: copy(floats), repeats) / 1e12:.2f} TB/s", flush=True)


def differences():
    """Prints how far distances of the bundled pairs are from those on the CPU."""
    x, y = (
        np.stack([images.read(path) for path in sorted((ASSETS / folder).iterdir())])
        for folder in ("reference", "distorted")
    )
    with jax.default_device(jax.devices("cpu")[0]):
        exact = np.asarray(metric.load().distance(x, y))
    for precision in PRECISIONS:
        found = np.asarray(metric.load(precision=precision).distance(x, y))
        print(f"precision {precision}: relative difference to the CPU at most {np.abs(found / exact - 1).max():.1e}")


def steps(batches: list[int], repeats: int):
    for precision in PRECISIONS:
        for batch in batches:
            rate = report_step(precision, batch, repeats)
        plain = report_step(precision, PLAIN_BATCH, repeats, whole=True)
        print(f"  windows are {rate / plain:.1f} times as fast per pair", flush=True)


def report_step(precision: str, batch: int, repeats: int, *, whole: bool = False) -> float:
    """Prints the time of a step, and returns its pairs a second. With `whole`, the step computes whole bands."""
    config, mesh = configuration.override(configure(batch), [f"precision={precision}"]), step.mesh()
    began = time.perf_counter()
    compiled = compile_step(config, mesh, *([whole_bands()] if whole else []))
    compiling = time.perf_counter() - began
    state = step.init(config, mesh)
    shape = (2, batch, config.patch, config.patch, 3)
    pairs = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pairs = jax.device_put(pairs, step.batched(mesh))

    def do_step():
        nonlocal state
        state, metrics = compiled(state, pairs)
        return metrics

    seconds = timed(do_step, repeats)
    operations = batch * convolutions(config, None if whole else config.centre)
    print(
        f"step, {'whole bands, ' if whole else ''}precision {precision}, batch {batch}: {seconds * 1e3:.2f} ms, "
        f"{batch / seconds:.0f} pairs/s, "
        f"{operations / seconds / 1e12:.1f} TFLOP/s direct form; compiled in {compiling:.0f} s",
        flush=True,
    )
    return batch / seconds


def distances(sizes: list[tuple[int, int]], repeats: int):
    loaded = {precision: metric.load(precision=precision) for precision in PRECISIONS}
    lpips = pytorch()
    for size in sizes:
        pair = np.random.default_rng(0).random((2, *size, 3), np.float32)
        seconds = ours(loaded, *map(jnp.asarray, pair), repeats)
        if lpips:
            seconds["lpips"], seconds["lpips, gradient"] = lpips(*pair, repeats)
        for name, spent in seconds.items():
            against = seconds.get("lpips, gradient" if "gradient" in name else "lpips")
            ratio = f", {spent / against:.1f} times lpips" if against else ""
            print(f"{size[0]} x {size[1]}, {name}: {spent * 1e3:.2f} ms a pair{ratio}", flush=True)


def ours(loaded: dict[str, metric.Pim], x: jax.Array, y: jax.Array, repeats: int) -> dict[str, float]:
    """The seconds of a distance for every precision, and of a gradient."""
    seconds = {name: timed(functools.partial(pim.distance, x, y), repeats) for name, pim in loaded.items()}
    gradient = jax.jit(jax.grad(loaded["highest"].distance))
    return seconds | {"highest, gradient": timed(functools.partial(gradient, x, y), repeats)}


def pytorch() -> Callable | None:
    """Returns a function of two images and a number of repeats, or None without lpips.

    It gives the seconds of a distance, and those of a distance with its gradient. The trunk is random, because the
    trained one is a download and takes as long.
    """
    try:
        import lpips
        import torch
    except ImportError:
        print("torch and lpips are not installed: no comparison")
        return None
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU: no comparison")
        return None
    loss = lpips.LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False).cuda()

    def seconds(x, y, repeats: int) -> tuple[float, float]:
        x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].cuda() for image in (x, y))

        def distance():
            with torch.no_grad():
                return loss(x, y, normalize=True)

        moved = x.clone().requires_grad_()

        def gradient():
            return torch.autograd.grad(loss(moved, y, normalize=True).sum(), moved)

        return timed(distance, repeats, torch.cuda.synchronize), timed(gradient, repeats, torch.cuda.synchronize)

    return seconds


def timed(call: Callable, repeats: int, wait: Callable | None = None) -> float:
    """The seconds of one call, from `repeats` calls that are sent to the device one after the other."""
    wait = wait or (lambda: jax.block_until_ready(last))
    for count in (2, repeats):  # the first two compile and warm up
        start = time.perf_counter()
        for _ in range(count):
            last = call()
        wait()
    return (time.perf_counter() - start) / repeats


def parse() -> argparse.Namespace:
    def size(text: str) -> tuple[int, int]:
        height, width = map(int, text.split("x"))
        return height, width

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[50, 512], help="pairs (default 50 512)")
    parser.add_argument("--sizes", type=size, nargs="+", default=[(256, 256), (512, 768), (1080, 1920)], help="HxW")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each kind (default 20)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
