"""Weights and states come back as they were saved; damaged folders are clear errors."""

import shutil

import jax
import numpy as np
import pytest

from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import checkpoint
from pim_jax.training import config as configuration
from pim_jax.training import step as training
from pim_jax.training.config import Config

CONFIG = Config(model=ModelConfig(pyramid="none", widths=(4, 3)))
ABOUT = {"name": "small", "model": configuration.to_json(CONFIG.model)}


@pytest.fixture
def params():
    return jax.tree.map(np.asarray, pim.init(CONFIG.model, jax.random.key(0)))


def assert_equal(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_round_trip_with_their_name(tmp_path, params):
    checkpoint.save_weights(tmp_path / "w", CONFIG.model, params, name="small", commit="abc")
    weights = checkpoint.load_weights(tmp_path / "w")
    assert_equal(weights.params, params)
    assert (weights.model, weights.about["name"], weights.about["commit"]) == (CONFIG.model, "small", "abc")
    assert weights.digest == checkpoint.digest(params)


def test_digest_tells_values_and_names_apart(params):
    changed = jax.tree.map(np.copy, params)
    changed["frontend"]["band0"]["conv0"]["bias"][1] = 1e-20
    renamed = {**params, "other": params["full"]}
    del renamed["full"]
    assert len({checkpoint.digest(tree) for tree in (params, changed, renamed)}) == 3


def test_a_state_saved_on_eight_devices_continues_on_one(tmp_path):
    eight, one = (jax.sharding.Mesh(np.array(jax.devices()[:n]), ("data",)) for n in (8, 1))
    state = training.init(CONFIG, eight)
    with checkpoint.manager(tmp_path, keep=2) as manager:
        checkpoint.save(manager, state._replace(step=state.step + 7), ABOUT)
    with checkpoint.manager(tmp_path, keep=2) as manager:
        restored, about = checkpoint.restore(manager, training.init(CONFIG, one))
    assert int(restored.step) == 7 and about == ABOUT
    assert_equal(restored.params, state.params)
    assert_equal(restored.optimizer, state.optimizer)
    assert jax.tree.leaves(restored.params)[0].sharding.mesh.devices.size == 1


def test_a_working_directory_gives_its_newest_weights_and_keeps_few(tmp_path, params):
    state = training.init(CONFIG, training.mesh())
    with checkpoint.manager(tmp_path, keep=2) as manager:
        assert checkpoint.restore(manager, state) is None
        for step in (1, 2, 10):
            newer = jax.tree.map(lambda leaf, step=step: leaf + step, state.params)
            checkpoint.save(manager, state._replace(step=state.step + step, params=newer), ABOUT)
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == ["10", "2"]
    assert_equal(checkpoint.load_weights(tmp_path).params, jax.tree.map(lambda leaf: leaf + 10, params))


def test_missing_and_foreign_folders_are_clear_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        checkpoint.load_weights(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no weights"):
        checkpoint.load_weights(tmp_path)


def test_damaged_weights_are_a_clear_error(tmp_path, params):
    checkpoint.save_weights(tmp_path / "w", CONFIG.model, params, name="small")
    shutil.rmtree(tmp_path / "w" / "params" / "ocdbt.process_0", ignore_errors=True)
    shutil.rmtree(tmp_path / "w" / "params" / "d")
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load_weights(tmp_path / "w")


def test_weights_of_another_model_are_a_clear_error(tmp_path, params):
    checkpoint.save_weights(tmp_path / "w", ModelConfig(pyramid="none", widths=(5, 3)), params, name="small")
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load_weights(tmp_path / "w")
