"""Quantities that change with the step: the learning rate and β (paper, appendix A.2)."""

import jax.numpy as jnp
import optax

from pim_jax.training.config import Config


def beta(step, steps: int):
    """β of equation 4: from 0 at step 0 to 1 at `steps` along half a cosine, 1 from there on.

    Example:
      >>> [round(float(beta(step, 100)), 2) for step in (0, 25, 50, 100, 1000)]
      [0.0, 0.15, 0.5, 1.0, 1.0]
    """
    progress = jnp.clip(jnp.asarray(step, jnp.float32) / max(steps, 1), 0.0, 1.0) if steps else 1.0
    return 0.5 - 0.5 * jnp.cos(jnp.pi * progress)


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam with a learning rate that drops by `learning_rate_factor` after each of `learning_rate_drops` steps."""
    drops = {step: 1 / config.learning_rate_factor for step in config.learning_rate_drops}
    return optax.adam(optax.piecewise_constant_schedule(config.learning_rate, drops))
