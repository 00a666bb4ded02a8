"""Weights of any metric of this package, by name or folder: what `--ckpt` and `--metrics` take."""

from pathlib import Path

from pim_jax import metric
from pim_jax.training import checkpoint


def load(weights: str | Path):
    """Returns the metric that weights are of, PIM or SPIPS.

    Args:
      weights: the name of weights in the package, or a folder, as for `pim_jax.metric.load`.

    Returns:
      A `pim_jax.metric.Metric` or a `pim_jax.spips.metric.Spips`.

    Raises:
      As `pim_jax.metric.load` and `pim_jax.spips.metric.load`.

    Example:
      >>> load("pim-1").name
      'pim-1'
    """
    # Here, not above: SPIPS takes the baselines, which scoring files with PIM does not.
    from pim_jax.spips import metric as spips

    stored = metric.stored_weights(weights, {**checkpoint.PIM, **spips.FORMAT})
    return spips.from_weights(stored) if stored.about.get("metric") == "spips" else metric.from_weights(stored)
