"""Measures the input pipeline: frame pairs a second from a training set, against what a training step takes.

    python benchmarks/pipeline.py --data DIR [--seconds 10] [--step-rate PAIRS_PER_SECOND]

DIR is what `python -m pim_jax.prepare` wrote. The script prints three things:
* where the time of a pair goes in a single thread
* pairs a second of `pim_jax.data.pairs`, and of a plain loop over random records with the same crop, for three sizes of
  batch; and the CPU time of a pair, which other programs on the machine change less than the rate
* the share of its time that a step waits for data: of one of `configs/pim1.py` on this CPU, by the rates, and of one of
  a given rate on an accelerator, for which a sleep stands

A training set that fits into memory is read from there once it was read before. So only a first run shows the disk.
"""

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from train_step import compile_step, configure, medians, simulate, stepper

from pim_jax.data import pairs, records
from pim_jax.training import step

BATCHES = (50, 512, 4096)
CROP = 64
STEP_BATCH = 32
THREADS = 4
SAMPLE = 128  # records of which each kind of work is timed at once


def main():
    args = parse()
    dataset = records.open_dataset(args.data)
    single_thread(dataset, args.repeats)
    cpu_step = cpu_step_rate(args.repeats)
    print(f"a step of configs/pim1.py on this CPU, batch {STEP_BATCH}: {cpu_step:.1f} pairs/s")
    print(f"{THREADS} reading threads, {os.cpu_count()} cores:")
    for batch in BATCHES:
        ours, plain, work = compare(args.data, dataset, batch, args.seconds / args.repeats, args.repeats)
        print(f"  batch {batch}: {ours:.0f} pairs/s; plain loop {plain:.0f}; {ours / plain:.2f} times as fast")
        print(f"    {work * 1e6:.0f} us of CPU time a pair, so at most {1 / work:.0f} pairs/s and core")
        print(f"    the step on this CPU: waits {100 * max(0.0, 1 - ours / cpu_step):.0f} % of its time, by the rates")
        if args.step_rate:
            share = waiting(args.data, batch, args.step_rate, args.seconds)
            print(f"    a step of {args.step_rate:.0f} pairs/s elsewhere: waits {100 * share:.0f} % of its time")


def single_thread(dataset: Sequence[bytes], repeats: int):
    """Prints the time of each kind of work on a pair. Every round takes other records, and so does another run."""
    rng = np.random.default_rng()
    chosen, read, decoded, windows = [], [], [], []

    def reading():
        chosen[:] = rng.integers(len(dataset), size=SAMPLE).tolist()
        again()

    def again():
        read[:] = [dataset[i] for i in chosen]

    def decoding():
        decoded[:] = [records.decode(record) for record in read]

    def cropping():
        windows[:] = [pairs._crop(frames, CROP, rng) for frames in decoded]

    def stacking():
        pairs._stack(windows)

    work = {f.__name__: f for f in (reading, again, decoding, cropping, stacking)}
    seconds = {name: taken / SAMPLE for name, taken in medians(work, repeats).items()}
    from_memory = seconds.pop("again")
    size, kept = np.mean([len(record) for record in read]), 2 * CROP * CROP * 3
    copied = copy_rate(repeats)
    print(f"{len(dataset)} pairs of {size / 1e3:.0f} KB on average, of which {kept / 1e3:.0f} KB are kept")
    print(f"copying in memory: {copied / 1e9:.1f} GB/s; one copy of each record: {copied / size:.0f} pairs/s at most")
    print("a single thread, a pair:")
    for name, taken in seconds.items():
        print(f"  {name}: {taken * 1e6:.0f} us")
    print(f"  reading only: {1 / seconds['reading']:.0f} pairs/s, {size / seconds['reading'] / 1e9:.2f} GB/s")
    print(f"  the same records again, from memory: {1 / from_memory:.0f} pairs/s, {size / from_memory / 1e9:.2f} GB/s")
    print(f"  decoding, cropping and stacking only: {1 / (sum(seconds.values()) - seconds['reading']):.0f} pairs/s")
    print(f"  all: {1 / sum(seconds.values()):.0f} pairs/s")


def copy_rate(repeats: int) -> float:
    """The bytes that are copied in a second."""
    source = np.ones(2**27, np.uint8)
    target = source.copy()
    return source.size / medians({"": lambda: np.copyto(target, source)}, repeats)[""]


def cpu_step_rate(repeats: int) -> float:
    """The pairs that a step on this CPU takes in a second."""
    simulate(1)
    config, mesh = configure(STEP_BATCH), step.mesh()
    do_step = stepper(config, mesh, compile_step(config, mesh))
    return STEP_BATCH / medians({"": do_step}, repeats)[""]


def compare(data: Path, dataset: Sequence[bytes], batch: int, seconds: float, repeats: int) -> tuple[float, ...]:
    """Returns median pairs a second of `pairs.pairs` and of the plain loop, and the CPU time of a pair of the former.

    They take turns of at least so many seconds.
    """
    ours, plain, work = [], [], []
    for turn in range(repeats):
        with contextlib.closing(pairs.pairs(data, batch=batch, crop=CROP, seed=turn, threads=THREADS)) as batches:
            # The threads finish their batches at about the same time, so whole rounds are counted, after a first one.
            pairs_a_second, cores = rate(batches, batch, seconds, warm=THREADS, multiple=THREADS)
            ours.append(pairs_a_second)
            work.append(cores / pairs_a_second)
        while any(thread.name.startswith("grain-prefetch") for thread in threading.enumerate()):
            time.sleep(0.01)  # they finish the batch that they have begun
        plain.append(rate(plain_loop(dataset, batch, turn), batch, seconds, warm=0, multiple=1)[0])
    return tuple(float(np.median(values)) for values in (ours, plain, work))


def rate(batches: Iterator[np.ndarray], batch: int, seconds: float, *, warm: int, multiple: int) -> tuple[float, float]:
    """Returns pairs a second, and how many cores were busy."""
    for _ in range(warm):
        next(batches)
    start, work, done = time.perf_counter(), time.process_time(), 0
    while done == 0 or done % multiple or time.perf_counter() - start < seconds:
        next(batches)
        done += 1
    taken = time.perf_counter() - start
    return done * batch / taken, (time.process_time() - work) / taken


def waiting(data: Path, batch: int, step_rate: float, seconds: float) -> float:
    """Returns the share of its time that a step waits which leaves this machine's cores alone."""
    with contextlib.closing(pairs.pairs(data, batch=batch, crop=CROP, threads=THREADS)) as batches:
        for _ in range(2 * THREADS):  # what was read ahead before the first step would hide the wait
            next(batches)
        start, waited = time.perf_counter(), 0.0
        while time.perf_counter() - start < seconds:
            asked = time.perf_counter()
            next(batches)
            waited += time.perf_counter() - asked
            time.sleep(batch / step_rate)
        return waited / (time.perf_counter() - start)


def plain_loop(dataset: Sequence[bytes], batch: int, seed: int) -> Iterator[np.ndarray]:
    """The loop that one would write without grain."""
    rng = np.random.default_rng(seed)
    while True:
        chosen = rng.integers(len(dataset), size=batch)
        yield np.stack([pairs._crop(records.decode(dataset[int(i)]), CROP, rng) for i in chosen], axis=1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder that python -m pim_jax.prepare wrote")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way at each size of batch (default 10)")
    parser.add_argument("--step-rate", type=float, help="pairs/s of a step on another machine")
    parser.add_argument("--repeats", type=int, default=5, help="turns that the seconds are divided into (default 5)")
    args = parser.parse_args()
    for name in ("seconds", "step_rate", "repeats"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            parser.error(f"--{name.replace('_', '-')} must be positive, not {value}")
    try:
        pairs.pairs(args.data, batch=1, crop=CROP)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    main()
