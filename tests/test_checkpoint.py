"""States of training come back as they were saved, and a run keeps few of them."""

import jax
import numpy as np
import pytest

from pim_jax import configuration, metric, stored
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import checkpoint, step
from pim_jax.training.config import Config

CONFIG = Config(model=ModelConfig(pyramid="none", widths=(4, 3)))
ABOUT = {
    "name": "small",
    "model": configuration.to_json(CONFIG.model),
    "training": configuration.to_json(CONFIG),
    "data": "d" * 64,
}


@pytest.fixture
def params():
    return jax.tree.map(np.asarray, pim.init(CONFIG.model, jax.random.key(0)))


def assert_equal(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_saved_on_eight_devices_continues_on_one(tmp_path):
    eight, one = (jax.sharding.Mesh(np.array(jax.devices()[:n]), ("data",)) for n in (8, 1))
    state = step.init(CONFIG, eight)
    with checkpoint.manager(tmp_path, keep=2) as manager:
        checkpoint.save(manager, state._replace(step=state.step + 7), ABOUT)
    with checkpoint.manager(tmp_path, keep=2) as manager:
        assert checkpoint.newest(tmp_path) == ABOUT
        restored = checkpoint.restore(manager, step.init(CONFIG, one))
    assert int(restored.step) == 7
    assert_equal(restored.params, state.params)
    assert_equal(restored.optimizer, state.optimizer)
    assert jax.tree.leaves(restored.params)[0].sharding.mesh.devices.size == 1


def test_a_working_directory_gives_its_newest_weights_and_keeps_few(tmp_path, params):
    state = step.init(CONFIG, step.mesh())
    with checkpoint.manager(tmp_path, keep=2) as manager:
        assert checkpoint.newest(tmp_path) is None
        for done in (1, 2, 10):
            newer = jax.tree.map(lambda leaf, done=done: leaf + done, state.params)
            checkpoint.save(manager, state._replace(step=state.step + done, params=newer), ABOUT)
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == ["10", "2"]
    assert_equal(stored.read(tmp_path, metric.FORMAT).params, jax.tree.map(lambda leaf: leaf + 10, params))
