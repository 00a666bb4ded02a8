"""Several processes that measure together: each its part, and all of them know all results in the end.

How they find each other is `pim_jax.training.hosts`. A program that was started on its own has one process.
"""

import json

import jax
import numpy as np
from jax.experimental import multihost_utils

from pim_jax.evaluation.measure import Measured


def first() -> bool:
    """Whether this is the process that speaks and writes."""
    return jax.process_index() == 0


def share(count: int) -> range:
    """The indices of the pairs that this process measures: as many as the others', give or take one.

    Examples:
      >>> share(5)
      range(0, 5)
    """
    process, processes = jax.process_index(), jax.process_count()
    return range(process * count // processes, (process + 1) * count // processes)


def gathered(results: list[Measured]) -> list[Measured]:
    """The results of all processes, without maps. Every process must call it, with its own.

    Examples:
      >>> gathered([Measured(0, (8, 8), {"PSNR": -31.5}, {})])
      [Measured(index=0, size=(8, 8), distances={'PSNR': -31.5}, problems={}, map=None)]
    """
    if jax.process_count() == 1:
        return results
    rows = json.dumps([result[:4] for result in results]).encode()
    lengths = multihost_utils.process_allgather(np.array([len(rows)], np.int32)).ravel()
    row = np.zeros(lengths.max(), np.uint8)
    row[: len(rows)] = np.frombuffer(rows, np.uint8)
    everything = multihost_utils.process_allgather(row)
    found = []
    for part, length in zip(everything, lengths, strict=True):
        for index, size, distances, problems in json.loads(bytes(part[:length])):
            found.append(Measured(index, size and tuple(size), distances, problems))
    return found


def largest(value: float) -> float:
    """The largest of a number of every process."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.process_allgather(np.float32([value])).max())
