"""Filters compute what their definition says, and go through every transformation."""

import jax
import numpy as np
import pytest

from pim_jax.model import filtering


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(9, 1, 4), (9, 2, 3), (17, 2, 8), (3, 2, 0), (5, 3, 1), (7, 1, 0)]
)
def test_equals_the_definition_in_double_precision(size, stride, padding):
    image = np.random.default_rng(0).uniform(size=(2, 21, 30, 3)).astype(np.float32)
    taps = np.random.default_rng(1).normal(size=(size, size, 2)).astype(np.float32)
    found = filtering.correlate(image, taps, stride=stride, padding=padding)
    padded = np.pad(image.astype(np.float64), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))[:, ::stride, ::stride]
    wanted = np.einsum("nhwcij,ijf->fnhwc", windows, taps.astype(np.float64))
    for band, other in zip(found, wanted, strict=True):
        assert band.shape == other.shape
        np.testing.assert_allclose(band, other, atol=5e-5)


def test_derivatives_of_a_filter_are_itself_and_its_transpose():
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


def test_goes_through_vmap_and_shard_map():
    image = jax.random.uniform(jax.random.key(0), (8, 9, 12, 3))
    taps = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)

    def bands(image):
        return filtering.correlate(image, taps, stride=2)

    mesh, batch = jax.sharding.Mesh(np.array(jax.devices()), ("data",)), jax.sharding.PartitionSpec("data")
    mapped = [band[:, 0] for band in jax.vmap(bands)(image[:, None])]
    sharded = jax.jit(jax.shard_map(bands, mesh=mesh, in_specs=batch, out_specs=batch))(image)
    for wanted, *found in zip(bands(image), mapped, sharded, strict=True):
        for band in found:
            np.testing.assert_allclose(band, wanted, atol=1e-6)
