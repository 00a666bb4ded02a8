"""The pyramids are linear, shift with the image, and agree with the released implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model import filters, pyramid

KINDS = [
    dict(kind="steerable", scales=3, orientations=2, laplacian_residual=True),
    dict(kind="steerable", scales=2, orientations=6, laplacian_residual=True),
    dict(kind="laplacian", scales=3, orientations=2, laplacian_residual=True),
    dict(kind="laplacian", scales=3, orientations=2, laplacian_residual=False),
    dict(kind="none", scales=3, orientations=2, laplacian_residual=True),
]


@pytest.mark.parametrize("size", ["s0", "s1", "s2"])
def test_bands_equal_the_official_ones(golden, size):
    bands = pyramid.steerable(golden[f"{size}/x"], scales=3, orientations=2)
    for i, band in enumerate(bands):
        np.testing.assert_allclose(band, golden[f"{size}/band{i}"], atol=1e-5)


@pytest.mark.parametrize("orientations", filters.ORIENTATIONS)
def test_number_and_sizes_of_bands(orientations):
    bands = pyramid.steerable(jnp.zeros((1, 37, 52, 3)), scales=2, orientations=orientations)
    sizes = [band.shape[1:3] for band in bands]
    assert sizes == [(10, 13), *[(19, 26)] * orientations, *[(37, 52)] * orientations, (37, 52)]


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("size", [(40, 47), (41, 64), (99, 42)], ids=str)
def test_sizes_are_known_beforehand(options, size):
    bands = pyramid.transform(jnp.zeros((1, *size, 1)), **options)
    assert pyramid.sizes(size, **options) == [band.shape[1:3] for band in bands]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_grids_say_where_samples_lie(options):
    """An impulse in the image puts the centre of every band's response at the same point of the image."""
    at = np.array([32, 40])
    bands = pyramid.transform(jnp.zeros((1, 64, 80, 1)).at[0, at[0], at[1], 0].set(1.0), **options)
    grids = pyramid.grids(**options)
    assert len(grids) == len(bands)
    for band, grid in zip(bands, grids, strict=True):
        energy = np.asarray(band[0, ..., 0]) ** 2
        index = np.stack(np.indices(energy.shape), -1)
        centre = (energy[..., None] * index).sum((0, 1)) / energy.sum() * grid.stride + grid.offset
        np.testing.assert_allclose(centre, at, atol=grid.stride / 2)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_is_linear_and_keeps_channels_apart(options):
    x, y = jax.random.normal(jax.random.key(0), (2, 1, 48, 40, 3))
    summed, ones, others, first = (pyramid.transform(i, **options) for i in (x + 2 * y, x, y, x[..., :1]))
    for s, a, b, c in zip(summed, ones, others, first, strict=True):
        np.testing.assert_allclose(s, a + 2 * b, atol=2e-5)
        np.testing.assert_allclose(c[..., 0], a[..., 0], atol=2e-6)


def test_laplacian_difference_of_a_ramp_is_zero():
    """Interpolating a linear image is exact, so its difference bands vanish."""
    ramp = jnp.broadcast_to(jnp.arange(63.0)[None, :, None, None], (1, 63, 63, 1))
    bands = pyramid.laplacian(ramp, scales=3, residual=True)
    for band in bands[1:]:
        np.testing.assert_allclose(band, 0, atol=1e-4)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_smallest_size_is_the_smallest_with_a_sample_in_every_band(options):
    size = pyramid.smallest_size(**{k: v for k, v in options.items() if k != "orientations"})
    bands = pyramid.transform(jnp.ones((1, size, size, 1)), **options)
    assert all(min(band.shape[1:3]) >= 1 for band in bands)
    if options["kind"] == "laplacian":
        with pytest.raises(Exception):  # noqa: B017  one pixel less leaves an empty band, which XLA or we refuse
            smaller = pyramid.transform(jnp.ones((1, size - 1, size - 1, 1)), **options)
            assert all(min(band.shape[1:3]) >= 1 for band in smaller)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_no_sample_depends_on_pixels_out_of_reach(options):
    """Changing one pixel changes only samples whose place is within reach of it."""
    at, size = 70, 141
    image = jax.random.uniform(jax.random.key(0), (1, size, size, 1))
    bands, changed = (pyramid.transform(x, **options) for x in (image, image.at[0, at, at].add(1.0)))
    for band, other, grid, reach in zip(
        bands, changed, pyramid.grids(**options), pyramid.reach(**options), strict=True
    ):
        rows, columns = np.nonzero(np.asarray(band != other)[0, :, :, 0])
        assert len(rows) and np.abs(grid.stride * np.concatenate([rows, columns]) - at).max() <= reach


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_bands_shift_with_the_image_by_its_period(options):
    period = pyramid.period(kind=options["kind"], scales=options["scales"])
    image = jax.random.uniform(jax.random.key(0), (1, 140, 140, 1))
    bands = pyramid.transform(image, **options)
    shifted = pyramid.transform(image[:, period:, period:], **options)
    for band, other, grid, reach in zip(
        bands, shifted, pyramid.grids(**options), pyramid.reach(**options), strict=True
    ):
        by, margin = period // grid.stride, -(-reach // grid.stride)
        inner = slice(margin, -margin or None)
        np.testing.assert_allclose(band[:, by:, by:][:, inner, inner], other[:, inner, inner], atol=1e-6)


@pytest.mark.parametrize(("stride", "padding"), [(1, 4), (2, 3), (2, 0)])
def test_sums_by_rows_and_convolution_give_the_same(stride, padding):
    image = jax.random.uniform(jax.random.key(0), (2, 21, 30, 3))
    taps = np.random.default_rng(0).normal(size=(9, 9, 2)).astype(np.float32)
    one, other = (way(image, taps, stride, padding) for way in (pyramid._by_rows, pyramid._convolved))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("worth", [0, 10**9], ids=["by rows", "convolution"])
def test_derivatives_of_a_filter_are_itself_and_its_transpose(worth, monkeypatch):
    monkeypatch.setattr(pyramid, "_WORTH_COMPILING", worth)
    image, other = (jax.random.uniform(jax.random.key(seed), (2, 9, 12, 3)) for seed in (0, 1))
    taps = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)

    def bands(image):
        return pyramid._filter(image, taps, stride=2)

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
        return pyramid._by_rows(image, taps, 2, 1)

    mesh, batch = jax.sharding.Mesh(np.array(jax.devices()), ("data",)), jax.sharding.PartitionSpec("data")
    mapped = [band[:, 0] for band in jax.vmap(bands)(image[:, None])]
    sharded = jax.jit(jax.shard_map(bands, mesh=mesh, in_specs=batch, out_specs=batch))(image)
    for wanted, *found in zip(bands(image), mapped, sharded, strict=True):
        for band in found:
            np.testing.assert_allclose(band, wanted, atol=1e-6)
