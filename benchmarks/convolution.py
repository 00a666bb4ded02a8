"""Compares minimal filtering with XLA's convolution on CPU, at the sizes of training and of scoring a photograph.

    python benchmarks/convolution.py

It prints the floating-point operations of the direct form, and the rate of a large matrix product, which is the
ceiling. For each way, forward and with gradients, it prints the time, the rate in direct operations and the time to
compile. Then comes the ratio of the two ways.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.model import convolution

SIZES = {"training, batch 32, second layer": (64, 20, 20), "scoring, 256 x 256, second layer": (1, 256, 256)}
UNITS = 64
REPEATS = 7


def main():
    square = jax.random.normal(jax.random.key(0), (2048, 2048))
    seconds, _ = measure(lambda a: a @ a, square)
    print(f"matrix product: {2 * 2048**3 / seconds / 1e9:.0f} GFLOP/s")
    padding = ((0, 0), (0, 0))
    ways = {"XLA": convolution._direct(padding), "minimal": convolution._minimal(padding)}
    for name, shape in SIZES.items():
        x = jax.random.normal(jax.random.key(1), (*shape, UNITS))
        kernel = 0.03 * jax.random.normal(jax.random.key(2), (5, 5, UNITS, UNITS))
        forward = 2 * shape[0] * (shape[1] - 4) * (shape[2] - 4) * 25 * UNITS**2
        print(f"{name}: {forward / 1e9:.1f} GFLOP, {3 * forward / 1e9:.1f} with gradients")
        for direction, operations in (("forward", forward), ("with gradients", 3 * forward)):
            times = {}
            for way, convolve in ways.items():
                function = convolve if direction == "forward" else gradients(convolve)
                times[way], compiling = measure(function, x, kernel)
                rate = f"{operations / times[way] / 1e9:.0f} GFLOP/s"
                print(f"  {direction}, {way}: {times[way] * 1e3:.0f} ms, {rate}, compiled in {compiling:.2f} s")
            print(f"  {direction}: {times['XLA'] / times['minimal']:.1f} times as fast")


def gradients(convolve):
    return jax.grad(lambda x, kernel: jnp.sum(convolve(x, kernel) ** 2), (0, 1))


def measure(function, *args):
    """Returns (median seconds of a call, seconds to compile)."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    compiling = time.perf_counter() - start
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - start)
    return float(np.median(times)), compiling


if __name__ == "__main__":
    main()
