"""Measures the training step of `configs/pim1.py` on CPU: against a plain one, on several devices, and on paper.

    python benchmarks/train_step.py [--batch 32] [--repeats 5] [--devices 1 2 4 8]

It prints three things:
  against plain  pairs a second of our step, and of one that computes whole bands with XLA's convolutions throughout;
                 the direct-form operations of a pair, and the rate of a large matrix product
  scaling        the time of a step and what its collectives move, for several numbers of simulated devices
  on paper       what the collectives and the operations would take on a TPU v5e pod and on eight H100, at published
                 rates
"""

import argparse
import collections
import contextlib
import functools
import math
import multiprocessing
import re
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import configuration
from pim_jax.model import convolution, frontend, pim
from pim_jax.training import step
from pim_jax.training.config import Config

CONFIG = Path(__file__).parents[1] / "configs" / "pim1.py"

# Dense operations a second, and bytes a second that leave one device while as many arrive.
V5E_BF16 = 197e12  # https://cloud.google.com/tpu/docs/v5e
V5E_ICI = 1600e9 / 8  # the same page: 1600 Gbit/s, which it also gives as 400 GB/s in both directions together
H100_FLOAT32 = 67e12  # NVIDIA H100 data sheet, SXM
H100_BF16 = 989e12
H100_NVLINK = 900e9 / 2  # 900 GB/s in both directions together


class Machine(NamedTuple):
    devices: int
    link: float
    rates: dict[str, float]


MACHINES = {
    "TPU v5e pod of 256": Machine(256, V5E_ICI, {"bf16": V5E_BF16}),
    "8 x H100 SXM": Machine(8, H100_NVLINK, {"float32": H100_FLOAT32, "bf16": H100_BF16}),
}


class Collective(NamedTuple):
    kind: str
    result: int  # bytes on one device
    sent: float  # bytes that one device sends, in rings
    times: float  # a step; NaN where the program does not tell
    looped: bool


def main():
    args = parse()
    simulate(1)
    against_plain(args.batch, args.plain_batch, args.repeats)
    scaling(args.batch, args.devices, args.repeats)
    on_paper(args.device_batch)


def against_plain(batch: int, plain_batch: int, repeats: int):
    config, plain_config = configure(batch), configure(plain_batch)
    windows, whole = convolutions(config, config.centre), convolutions(config, None)
    peak = matrix_product(repeats)
    print(f"matrix product: {peak / 1e9:.0f} GFLOP/s")
    print("5x5 layers of a pair, direct form, three times forward for the gradients; the most pairs/s at that rate:")
    for name, operations in (("windows that enter the loss", windows), ("whole bands", whole)):
        print(f"  {name}: {operations / 1e9:.2f} GFLOP, {peak / operations:.1f} pairs/s")
    mesh = step.mesh()
    seconds = medians(
        {
            "ours": stepper(config, mesh, compile_step(config, mesh)),
            "plain": stepper(plain_config, mesh, compile_step(plain_config, mesh, whole_bands(), no_cpu_branches())),
        },
        repeats,
    )
    rates = {"ours": batch / seconds["ours"], "plain": plain_batch / seconds["plain"]}
    print(f"ours, batch {batch}: {seconds['ours']:.2f} s a step, {rates['ours']:.1f} pairs/s")
    print(f"plain, batch {plain_batch}: {seconds['plain']:.2f} s a step, {rates['plain']:.2f} pairs/s")
    print(f"ours is {rates['ours'] / rates['plain']:.1f} times as fast per pair (batches {batch} and {plain_batch})")


def scaling(batch: int, numbers: list[int], repeats: int):
    print(f"simulated devices, which share the cores of one CPU; global batch {batch}:")
    for devices in numbers:
        seconds, moved = in_fresh_process(time_on, devices, batch, repeats)
        print(f"  {devices} devices: {seconds:.2f} s a step, {batch / seconds:.1f} pairs/s")
        print(f"    collectives, bytes of results a step and device: {in_words(moved)}")


def on_paper(device_batch: int):
    print("on paper, from published rates: both times are lower bounds, and nothing overlaps")
    print("(collectives of the step without its branches for CPU, partitioned by XLA for as many simulated devices)")
    for name, machine in MACHINES.items():
        config = configure(device_batch * machine.devices)
        moved = in_fresh_process(compile_for, machine.devices, config.batch)
        sent = sum(c.sent * c.times for c in moved)
        network = sent / machine.link
        parameters = 4 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(pim.shapes(config.model)))
        print(f"  {name}, batch {device_batch} a device, {config.batch} in all:")
        print(f"    collectives, bytes of results a step and device: {in_words(moved)}")
        print(f"    the gradients of all parameters are {megabytes(parameters)} of them")
        print(
            f"    network: {megabytes(sent)} leave each device, in rings: "
            f"{network * 1e3:.2f} ms at {machine.link / 1e9:.0f} GB/s"
        )
        layers = device_batch * convolutions(config, config.centre)
        contrast = device_batch * contrasts(config)
        print(
            f"    operations of a device: {layers / 1e9:.0f} GFLOP in 5x5 layers, {contrast / 1e9:.0f} GFLOP in the "
            "comparison of every pair with the batch"
        )
        for precision, rate in machine.rates.items():
            computing = (layers + contrast) / rate
            print(
                f"    {precision}: {computing * 1e3:.2f} ms at {rate / 1e12:.0f} TFLOP/s, "
                f"network / operations {network / computing:.2f}"
            )


def configure(batch: int) -> Config:
    return configuration.override(configuration.load(CONFIG, (Config,)), [f"batch={batch}"])


def simulate(devices: int):
    """Makes this process see that many CPU devices. JAX must not have started yet."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)


def in_fresh_process(function, *args):
    """Calls a function in a fresh process. The number of simulated devices can be set only before JAX starts."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def time_on(devices: int, batch: int, repeats: int) -> tuple[float, list[Collective]]:
    """Returns (median seconds of a step, its collectives) on simulated devices."""
    simulate(devices)
    config, mesh = configure(batch), step.mesh()
    compiled = compile_step(config, mesh)
    seconds = medians({"step": stepper(config, mesh, compiled)}, repeats)["step"]
    return seconds, find_collectives(compiled.as_text(), devices)


def compile_for(devices: int, batch: int) -> list[Collective]:
    """The collectives of the step in the form that accelerators get."""
    simulate(devices)
    compiled = compile_step(configure(batch), step.mesh(), no_cpu_branches())
    return find_collectives(compiled.as_text(), devices)


def compile_step(config: Config, mesh, *changes):
    state = jax.eval_shape(lambda: step.init(config, mesh))
    pairs = jax.ShapeDtypeStruct((2, config.batch, config.patch, config.patch, 3), jnp.uint8)
    with contextlib.ExitStack() as stack:
        for change in changes:
            stack.enter_context(change)
        return step.make(config, mesh).lower(state, pairs).compile()


def whole_bands():
    return patch.object(step, "loss", functools.partial(step.loss, crop=False))


def no_cpu_branches():
    """XLA's convolutions throughout: where the model branches by platform, it takes the branch of other platforms."""
    return patch.object(jax.lax, "platform_dependent", lambda *args, default, **branches: default(*args))


def stepper(config: Config, mesh, compiled):
    """Returns a function that does one step from numpy pairs and waits for it."""
    state = step.init(config, mesh)
    shape = (2, config.batch, config.patch, config.patch, 3)
    pairs = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def do_step():
        nonlocal state
        state, metrics = compiled(state, jax.device_put(pairs, step.batched(mesh)))
        jax.block_until_ready((state, metrics))

    return do_step


def medians(calls: dict, repeats: int) -> dict[str, float]:
    """The median seconds of each call. They take turns, because other load on the machine comes and goes."""
    times = {name: [] for name in calls}
    for _ in range(1 + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds[1:])) for name, seconds in times.items()}  # the first warms up


def matrix_product(repeats: int) -> float:
    """Operations a second of a large matrix product."""
    square = jax.random.normal(jax.random.key(0), (2048, 2048))
    product = jax.jit(jnp.matmul)
    return 2 * 2048**3 / medians({"": lambda: jax.block_until_ready(product(square, square))}, repeats)[""]


def convolutions(config: Config, centre: int | None) -> int:
    """Operations of the 5x5 layers for one pair, forward and gradients, in direct form."""
    forward = 0

    def count(x, kernel, padding):
        nonlocal forward
        out = jax.eval_shape(convolution._direct(padding), x, kernel)
        forward += 2 * out.size * math.prod(kernel.shape[:3])
        return jnp.zeros(out.shape, out.dtype)

    with patch.object(frontend, "convolve", count):
        features(config, centre)
    return 3 * forward


def contrasts(config: Config) -> int:
    """Operations of the comparison of one pair with every pair of the batch, forward and gradients."""
    positions = sum(f.shape[1] * f.shape[2] for f in features(config, config.centre))
    return 3 * 2 * positions * config.batch * config.model.dimensions


def features(config: Config, centre: int | None):
    """Shapes of the features of one pair."""
    frames = jax.ShapeDtypeStruct((2, config.patch, config.patch, 3), jnp.float32)
    find = functools.partial(pim.features, config.model, centre=centre)
    return jax.eval_shape(find, pim.shapes(config.model), frames)


def find_collectives(text: str, devices: int) -> list[Collective]:
    """The collectives in a compiled program. Each is over all devices. On CPU none of them is asynchronous."""
    found, callers, computation, entry = [], collections.defaultdict(list), "", ""
    for line in text.splitlines():
        if header := re.match(r"(ENTRY )?%(\S+) \(.*\{$", line):
            computation = header[2]
            entry = computation if header[1] else entry
        for attribute, names in re.findall(
            r"\b(body|condition|calls|to_apply|branch_computations)=(\{[^}]*\}|\S*)", line
        ):
            length = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
            times = 1.0 if attribute != "body" else float(length[1]) if length else math.nan
            for name in re.findall(r"%([\w.-]+)", names):
                callers[name].append((computation, times, attribute == "body"))
        if match := re.search(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)\(", line):
            found.append((computation, match[2], array_bytes(match[1]), line))

    @functools.cache
    def executions(computation: str) -> tuple[float, bool]:
        """Returns (times a step, whether in a loop)."""
        if computation == entry:
            return 1, False
        above = [(times, loop, *executions(caller)) for caller, times, loop in callers[computation]]
        count = sum(times * outer for times, _, outer, _ in above) if above else math.nan
        return count, any(loop or looped for _, loop, _, looped in above)

    return [
        Collective(kind, result, ring(kind, result, line, devices), *executions(computation))
        for computation, kind, result, line in found
    ]


def array_bytes(types: str) -> int:
    """The size of an XLA type such as `(f32[64,10]{1,0}, pred[8]{0})`."""
    return sum(
        (int(bits) // 8 if bits else 1) * math.prod(int(length) for length in shape.split(",") if length)
        for bits, shape in re.findall(r"\b(?:pred|[a-z]+(\d+))\[([\d,]*)\]", types)
    )


def ring(kind: str, result: int, line: str, devices: int) -> float:
    """The bytes that a device sends. A ring passes on every part except one, and does so twice in an all-reduce."""
    if kind == "collective-permute":  # not every device takes part in one
        return result * re.search(r"source_target_pairs=\{(.*?)\}\}", line)[1].count("{") / devices
    others = (devices - 1) / devices
    return result * {"all-reduce": 2 * others, "reduce-scatter": devices - 1}.get(kind, others)


def in_words(moved: list[Collective]) -> str:
    if not moved:
        return "none"
    kinds = []
    for kind in sorted({c.kind for c in moved}):
        chosen = [c for c in moved if c.kind == kind]
        kinds.append(f"{len(chosen)} {kind} {megabytes(total(chosen))}")
    looped = [c for c in moved if c.looped]
    inside = (
        f"{len(looped)} of them inside loops, {megabytes(total(looped))}" if looped else "none of them inside loops"
    )
    return f"{megabytes(total(moved))} ({', '.join(kinds)}; {inside})"


def total(moved: list[Collective]) -> float:
    return sum(c.result * c.times for c in moved)


def megabytes(count: float) -> str:
    return f"{count / 1e6:.2f} MB"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32, help="global batch of our step (default 32)")
    parser.add_argument("--plain-batch", type=int, default=4, help="batch of the plain step, which is slow (default 4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each kind (default 5)")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8], help="simulated devices")
    parser.add_argument("--device-batch", type=int, default=50, help="pairs a device on paper (default 50)")
    args = parser.parse_args()
    for name in ("batch", "plain_batch", "repeats", "device_batch"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    for devices in args.devices:
        if devices < 1 or args.batch % devices:
            parser.error(f"--batch {args.batch} must be a multiple of each of --devices, and of {devices} it is not")
    return args


if __name__ == "__main__":
    main()
