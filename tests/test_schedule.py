"""β grows smoothly from 0 to 1, the learning rate drops when told to."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pim_jax.training import schedule
from pim_jax.training.config import Config


def test_beta_is_monotone_and_smooth_at_both_ends():
    values = np.array([float(schedule.beta(step, 200)) for step in range(300)])
    assert values[0] == 0 and values[200:].min() == 1
    slopes = np.diff(values)
    assert slopes.min() >= 0
    assert slopes[0] < 1e-3 and slopes[199] < 1e-3 and np.abs(np.diff(slopes)).max() < 2e-4


def test_no_annealing_means_one_from_the_start():
    assert float(schedule.beta(0, 0)) == 1


def test_learning_rate_drops_by_the_factor(promoting):
    config = Config(learning_rate=1e-3, learning_rate_drops=(3, 5), learning_rate_factor=4.0)
    optimizer, params = schedule.optimizer(config), {"a": jnp.zeros(())}
    state, sizes = optimizer.init(params), []
    for _ in range(7):
        updates, state = optimizer.update({"a": jnp.ones(())}, state, params)
        sizes.append(-float(updates["a"]))
    assert sizes == pytest.approx([1e-3] * 3 + [2.5e-4] * 2 + [6.25e-5] * 2, rel=1e-4)
    assert float(optax.tree.norm(params)) == 0
