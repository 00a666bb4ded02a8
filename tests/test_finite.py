"""A step that is not finite is explained by its first tensor that is not."""

import jax
import numpy as np
import pytest

from pim_jax.model.pim import ModelConfig
from pim_jax.training import finite, step
from pim_jax.training.config import Config

CONFIG = Config(model=ModelConfig(pyramid="laplacian", scales=2, widths=(4, 3)), batch=2, patch=32)


def scaled(params, *path, factor):
    """Copies of the parameters, those under `path` times `factor`."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, leaf: leaf * np.float32(factor) if [k.key for k in keys[: len(path)]] == list(path) else leaf,
        params,
    )


@pytest.mark.slow(kept="a run that stops, in test_train.py")
@pytest.mark.parametrize(
    ("path", "factor", "name"),
    [
        (("frontend", "band1", "conv0"), np.nan, "parameter frontend/band1/conv0/bias"),
        (("frontend", "band1"), 1e30, "features of x, band 1"),
        (("full", "band1"), 1e30, "full encoder, means, band 1"),
        (("full", "band1"), 1e6, "Rx"),
        ((), 1, "none when the step was repeated"),
    ],
)
def test_names_the_first_tensor_that_is_not_finite(promoting, path, factor, name):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("data",))
    state = step.init(CONFIG, mesh)
    if path:
        state = state._replace(params=scaled(state.params, *path, factor=factor))
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3)).astype(np.uint8)
    pairs = jax.device_put(frames, step.batched(mesh))
    assert finite.first(CONFIG, mesh, state, pairs) == name
