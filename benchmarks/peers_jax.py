"""A metric of this package in a process of its own, for `benchmarks/peers.py`.

    python benchmarks/peers_jax.py METRIC PRECISION

PRECISION is that of PIM's matrix products, see `pim_jax.metric.load`.
"""

import dataclasses
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from peers_worker import Call, resident_peak, serve

from pim_jax import metrics
from pim_jax.metric import Pim, check_precision


def load(name: str) -> tuple[dict, Callable, Callable]:
    """See `peers_worker.serve`."""
    precision = sys.argv[2]
    check_precision(precision)
    metric = metrics.load(name)
    if isinstance(metric, Pim):
        metric = dataclasses.replace(metric, precision=precision)
    device = jax.devices()[0]
    about = {
        "name": metric.name,
        "about": repr(metric),
        "device": device.device_kind,
        "versions": {"jax": jax.__version__, "numpy": np.__version__},
    }

    def make(figure: str, x: np.ndarray, y: np.ndarray) -> Call:
        function, args = FIGURES[figure](metric, jnp.asarray(x), jnp.asarray(y))
        jax.block_until_ready(args)
        return lambda: jax.block_until_ready(function(*args))

    def peak() -> int | None:
        return resident_peak() if device.platform == "cpu" else device.memory_stats()["peak_bytes_in_use"]

    return about, make, peak


def forward(metric: metrics.Metric, x: jax.Array, y: jax.Array) -> tuple[Callable, tuple]:
    return metric.distance, (x, y)


def gradient(metric: metrics.Metric, x: jax.Array, y: jax.Array) -> tuple[Callable, tuple]:
    return jax.jit(jax.grad(metric.distance)), (x, y)


def gradient_against(metric: metrics.Metric, x: jax.Array, y: jax.Array) -> tuple[Callable, tuple]:
    """The gradient of the distance to a reference that is embedded in the same program."""
    return jax.jit(jax.grad(lambda x, y: metric.against(y)(x))), (x, y)


def gradient_to_fixed(metric: metrics.Metric, x: jax.Array, y: jax.Array) -> tuple[Callable, tuple]:
    """The gradient of the distance to a reference that was embedded before."""
    return jax.jit(jax.grad(lambda x, z: metric.between(metric.embed(x), z)[0])), (x, metric.embed(y))


FIGURES = {"forward": forward, "gradient": gradient, "against": gradient_against, "fixed": gradient_to_fixed}

if __name__ == "__main__":
    serve(load)
