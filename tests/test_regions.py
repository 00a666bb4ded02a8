"""Regions change nothing but the memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax import metric
from pim_jax.model import pim as networks
from pim_jax.model import regions
from pim_jax.model.pim import ModelConfig

STEERABLE = ModelConfig(scales=1, orientations=1, widths=(6, 3))  # few pixels around the part that is kept
ODD = "folded by odd numbers"
CONFIGS = {
    "steerable": STEERABLE,
    "two scales": ModelConfig(scales=2, orientations=1, widths=(6, 6, 3)),
    "two components": dataclasses.replace(STEERABLE, mixtures=2),
    "Laplacian": ModelConfig(pyramid="laplacian", widths=(6, 3)),
    "Laplacian without residual": ModelConfig(pyramid="laplacian", scales=2, laplacian_residual=False, widths=(6, 3)),
    "no pyramid": ModelConfig(pyramid="none", widths=(6, 6, 3)),
    "folded and normalised": dataclasses.replace(STEERABLE, folding=(1, 2), support=3, normalisation=0.3),
    ODD: ModelConfig(pyramid="laplacian", folding=(1, 1, 3), support=3, widths=(6, 3), normalisation=0.3),
    "two members": dataclasses.replace(STEERABLE, folding=(2,), skip_connections=True, support=3, members=2),
}


@pytest.fixture(autouse=True)
def small_regions(monkeypatch):
    monkeypatch.setattr(regions, "KEPT", 1)
    monkeypatch.setattr(regions, "_LEAST", 32)
    jax.clear_caches()  # the compiled metric knows the old sizes
    yield
    jax.clear_caches()


def random_metric(config):
    return metric.from_params(config, jax.tree.map(lambda leaf: 3 * leaf, networks.init(config, jax.random.key(0))))


def images(size, n=1):
    return (jax.random.uniform(jax.random.key(seed), (n, *size, 3)) for seed in (0, 1))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("folded and normalised", (103, 129)),
        pytest.param("steerable", (103, 129), marks=pytest.mark.slow(kept="the same, folded; its map")),
        pytest.param("no pyramid", (103, 129), marks=pytest.mark.slow(kept="the steerable pyramid")),
        pytest.param("Laplacian", (103, 129), marks=pytest.mark.slow(kept="the steerable pyramid")),
        pytest.param("Laplacian without residual", (103, 129), marks=pytest.mark.slow(kept="that with residual")),
        pytest.param("two members", (103, 129), marks=pytest.mark.slow(kept="one member that is folded")),
        pytest.param("two components", (203, 161), marks=pytest.mark.nightly),
        pytest.param("two scales", (90, 230), marks=pytest.mark.slow(kept="columns cut of one scale")),
        pytest.param("two scales", (231, 40), marks=pytest.mark.slow(kept="one scale")),
        pytest.param("two scales", (203, 161), marks=pytest.mark.slow(kept="one scale cut along both axes")),
        pytest.param(ODD, (231, 40), marks=pytest.mark.slow(kept="bands folded by two")),
    ],
)
def test_distance_and_map_are_those_of_whole_images(name, size):
    pim, (x, y) = random_metric(CONFIGS[name]), images(size)
    assert max(regions.plan(pim.config, size, 1).counts) > 3
    wanted = pim.between(pim.embed(x), pim.embed(y))  # never in regions
    np.testing.assert_allclose(pim.distance(x, y), wanted, rtol=1e-5)
    found = pim.distance_map(x, y)
    np.testing.assert_allclose(found.mean((1, 2)), wanted, rtol=1e-5)
    mask = jax.random.uniform(jax.random.key(2), (1, *size)).at[:, :, 70:].set(0)
    np.testing.assert_allclose(pim.distance(x, y, mask), (found * mask).sum() / mask.sum(), rtol=1e-5)


def test_map_is_that_of_one_region(monkeypatch):
    pim, (x, y) = random_metric(STEERABLE), images((103, 129))
    found = pim.distance_map(x, y)
    monkeypatch.setattr(regions, "KEPT", 1000)
    jax.clear_caches()
    np.testing.assert_allclose(found, pim.distance_map(x, y), rtol=1e-4, atol=1e-6)


@pytest.mark.slow(kept="distances and maps of whole images")
def test_gradients_are_those_of_whole_images(monkeypatch):
    pim, (x, y) = random_metric(STEERABLE), images((103, 129))

    def gradients():
        return jax.grad(lambda x, y: pim.distance(x, y).sum(), (0, 1))(x, y)

    found = gradients()
    monkeypatch.setattr(regions, "KEPT", 1000)
    jax.clear_caches()
    for one, wanted in zip(found, gradients(), strict=True):
        # Of the whole, because a ReLU next to 0 may be on either side of it, and then the pixels that it sees differ.
        assert jnp.linalg.norm(one - wanted) < 1e-3 * jnp.linalg.norm(wanted)


def test_equal_images_are_at_zero_and_the_order_does_not_matter():
    pim, (x, y) = random_metric(STEERABLE), images((103, 129))
    assert float(pim.distance(x, x)[0]) == 0
    assert float(pim.distance(x, y)[0]) == float(pim.distance(y, x)[0])


@pytest.mark.slow(kept="the same of one region, in test_metric.py")
def test_one_reference_serves_a_batch():
    pim, (x, y) = random_metric(STEERABLE), images((103, 129), n=2)
    wanted = [float(pim.distance(x[:1], y[i : i + 1])[0]) for i in range(2)]
    np.testing.assert_allclose(pim.distance(x[:1], y), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_regions_cover_every_band(name):
    config = CONFIGS[name]
    for height in range(150, 190, 7):
        plan = regions.plan(config, (height, 333), 1)
        for spans in plan.bands:
            for count, span in zip(plan.counts, spans, strict=True):
                assert span.kept <= span.context <= span.region <= span.length <= count * span.kept


@pytest.mark.slow(kept="networks that are cut")
def test_images_of_a_classifier_are_not_cut():
    config = ModelConfig(pyramid="none", network="alexnet", hidden=True)
    pim, (x, y) = metric.from_params(config, networks.init(config, jax.random.key(0))), images((75, 98))
    assert regions.plan(config, (75, 98), 1).counts == (1, 1)
    wanted = pim.between(pim.embed(x), pim.embed(y))
    assert float(wanted[0]) > 0
    np.testing.assert_allclose(pim.distance(x, y), wanted, rtol=1e-5)
    found = pim.distance_map(x, y)
    assert found.shape == (1, 75, 98)
    np.testing.assert_allclose(found.mean((1, 2)), wanted, rtol=1e-5)


def test_more_images_make_smaller_regions(monkeypatch):
    monkeypatch.setattr(regions, "KEPT", 256)
    one, four = (regions.plan(STEERABLE, (2160, 3840), batch) for batch in (1, 4))
    assert one.image[0].kept >= 1.5 * four.image[0].kept


def test_fewer_values_a_pixel_make_larger_regions(monkeypatch):
    monkeypatch.setattr(regions, "KEPT", 256)
    narrow = dataclasses.replace(ModelConfig(), widths=(32, 32, 32, 3))
    folded = dataclasses.replace(narrow, support=3, folding=(1, 2, 2, 2, 2, 4))
    members = dataclasses.replace(folded, members=2)
    kept = [regions.plan(c, (4320, 7680), 1).image[0].kept for c in (ModelConfig(), narrow, folded, members)]
    assert kept[0] <= 256 < kept[1] < 720 < kept[2] == kept[3]
