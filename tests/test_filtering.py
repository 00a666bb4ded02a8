"""Both ways of filtering give the same, and go through every transformation."""

import jax
import numpy as np
import pytest

from pim_jax.model import filtering


@pytest.mark.parametrize(("stride", "padding"), [(1, 4), (2, 3), (2, 0)])
def test_sums_by_rows_and_convolution_give_the_same(stride, padding):
    image = jax.random.uniform(jax.random.key(0), (2, 21, 30, 3))
    taps = np.random.default_rng(0).normal(size=(9, 9, 2)).astype(np.float32)
    one, other = (way(image, taps, stride, padding) for way in (filtering._by_rows, filtering._convolved))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("worth", [0, 10**9], ids=["by rows", "convolution"])
def test_derivatives_of_a_filter_are_itself_and_its_transpose(worth, monkeypatch):
    monkeypatch.setattr(filtering, "_WORTH_COMPILING", worth)
    image, other = (jax.random.uniform(jax.random.key(seed), (2, 9, 12, 3)) for seed in (0, 1))
    taps = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)

    def bands(image):
        return filtering.correlate(image, taps, stride=2)

    found, tangents = jax.jvp(bands, (image,), (other,))
    (gradient,) = jax.vjp(bands, image)[1](found)
    for tangent, wanted in zip(tangents, bands(other), strict=True):
        np.testing.assert_allclose(tangent, wanted, atol=1e-6)
    product = sum((band * tangent).sum() for band, tangent in zip(found, tangents, strict=True))
    np.testing.assert_allclose((gradient * other).sum(), product, rtol=1e-5)


def test_sums_by_rows_go_through_vmap_and_shard_map():
    image = jax.random.uniform(jax.random.key(0), (8, 9, 12, 3))
    taps = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)

    def bands(image):
        return filtering._by_rows(image, taps, 2, 1)

    mesh, batch = jax.sharding.Mesh(np.array(jax.devices()), ("data",)), jax.sharding.PartitionSpec("data")
    mapped = [band[:, 0] for band in jax.vmap(bands)(image[:, None])]
    sharded = jax.jit(jax.shard_map(bands, mesh=mesh, in_specs=batch, out_specs=batch))(image)
    for wanted, *found in zip(bands(image), mapped, sharded, strict=True):
        for band in found:
            np.testing.assert_allclose(band, wanted, atol=1e-6)
