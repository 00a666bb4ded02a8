"""What changes with the step: the learning rate, and β, the weight of compression (paper, appendix A.2)."""

import jax.numpy as jnp
import optax

from pim_jax.training.config import Config


def beta(step, steps: int):
    """β of equation 4: it grows from 0 at step 0 to 1 at `steps` along half a cosine, and stays there.

    Examples:
      >>> [round(float(beta(step, 100)), 2) for step in (0, 25, 50, 100, 1000)]
      [0.0, 0.15, 0.5, 1.0, 1.0]
    """
    progress = jnp.clip(jnp.asarray(step, jnp.float32) / max(steps, 1), 0.0, 1.0) if steps else 1.0
    return 0.5 - 0.5 * jnp.cos(jnp.pi * progress)


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam whose learning rate is divided by `learning_rate_factor` after each of the steps `learning_rate_drops`."""
    drops = {step: 1 / config.learning_rate_factor for step in config.learning_rate_drops}
    return optax.adam(optax.piecewise_constant_schedule(config.learning_rate, drops))
