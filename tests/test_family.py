"""What holds of the paper's networks holds of folded, normalised ones with several members."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from marks import slow

from pim_jax import metric
from pim_jax.model import pim as networks
from pim_jax.model.config import ModelConfig

pytestmark = pytest.mark.slow(kept="folding and normalisation in their files, the others in test_metric.py")

FAST = ModelConfig(
    scales=1,
    orientations=1,
    folding=(1, 2),
    widths=(8, 8, 3),
    support=3,
    skip_connections=True,
    members=2,
    normalisation=0.5,
)


def with_random_weights(config):
    params = jax.tree.map(lambda leaf: 3 * leaf, networks.init(config, jax.random.key(0)))
    return metric.from_params(config, params)


@pytest.fixture(scope="module")
def pim():
    return with_random_weights(FAST)


@pytest.fixture(scope="module")
def pim5():
    return with_random_weights(dataclasses.replace(FAST, mixtures=5, members=1))


def images(n=2, size=(21, 34)):
    return (jax.random.uniform(jax.random.key(seed), (n, *size, 3)) for seed in (0, 1))


def test_is_symmetric_and_zero_at_equality(pim, pim5):
    x, y = images()
    np.testing.assert_array_equal(pim.distance(x, y), pim.distance(y, x))
    np.testing.assert_allclose(pim5.distance(x, y), pim5.distance(y, x), rtol=1e-6)
    for one in (pim, pim5):
        np.testing.assert_array_equal(one.distance(x, x), 0)
        assert float(one.distance(x, y).min()) > 0


@pytest.mark.parametrize("size", [*slow((21, 34), (5, 17), kept="the smallest size"), (2, 2)], ids=str)
def test_mean_of_the_map_is_the_distance(pim, size):
    x, y = images(size=size)
    found = pim.distance_map(x, y)
    assert found.shape == (2, *size)
    np.testing.assert_allclose(found.mean((1, 2)), pim.distance(x, y), rtol=2e-4, atol=1e-6)


@pytest.mark.slow(kept="those of the paper's networks, in test_metric.py")
def test_embeddings_give_the_same_distance_and_a_reference_serves_many(pim, pim5):
    x, y = images()
    for one in (pim, pim5):
        np.testing.assert_allclose(one.between(one.embed(x), one.embed(y)), one.distance(x, y), rtol=2e-5, atol=1e-6)
        many = one.between(one.embed(x[:1]), one.embed(y))
        np.testing.assert_allclose(many, one.distance(x[:1], y), rtol=2e-5, atol=1e-6)


def test_an_image_does_not_depend_on_its_batch(pim):
    x, y = images(n=3)
    alone = jnp.concatenate([pim.distance(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(pim.distance(x, y), alone, rtol=2e-5, atol=1e-6)


def test_distance_is_the_mean_of_its_members(pim):
    x, y = images()
    alone = dataclasses.replace(FAST, members=1)
    count = alone.multiscale.count
    values = []
    for member in range(2):
        params = {
            part: {f"band{band}": layers[f"band{member * count + band}"] for band in range(count)}
            for part, layers in pim.params.items()
        }
        values.append(metric.from_params(alone, params).distance(x, y))
    assert not np.allclose(*values, rtol=0.01)
    np.testing.assert_allclose(pim.distance(x, y), sum(values) / 2, rtol=1e-5)


@pytest.mark.slow(kept="those of the paper's networks, in test_metric.py")
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, None], ids=["black", "grey", "white", "different"])
def test_gradients_are_finite(pim, level):
    x, y = images(n=1, size=(16, 16)) if level is None else [jnp.full((1, 16, 16, 3), level)] * 2
    gradients = jax.grad(lambda x, y: pim.distance(x, y).sum(), (0, 1))(x, y)
    for gradient in gradients:
        assert bool(jnp.isfinite(gradient).all()) and bool((gradient == 0).all()) == (level is not None)


@pytest.mark.slow(kept="the same of the paper's networks in test_metric.py")
def test_goes_through_jit_vmap_shard_map_and_export(pim):
    x, y = images(n=8, size=(16, 16))
    wanted = pim.distance(x, y)

    def distance(pim, x, y):
        return pim.distance(x, y)

    np.testing.assert_allclose(jax.jit(distance)(pim, x, y), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(pim.distance)(x, y), wanted, rtol=1e-5)
    mesh, batch = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    mapped = jax.shard_map(distance, mesh=mesh, in_specs=(PartitionSpec(), batch, batch), out_specs=batch)
    np.testing.assert_allclose(jax.jit(mapped)(pim, x, y), wanted, rtol=1e-5)
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    exported = jax.export.export(jax.jit(pim.distance), platforms=["cpu", "cuda", "tpu"])(shape, shape)
    np.testing.assert_allclose(jax.export.deserialize(exported.serialize()).call(x, y), wanted, rtol=1e-5)
