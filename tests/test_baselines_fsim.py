"""FSIM weighs similarities by phase congruency, which is high where waves of all lengths are in phase."""

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.baselines import fsim


def test_it_is_the_definition_also_of_negative_similarities():
    rng = np.random.default_rng(0)
    features = lambda: fsim.Features(  # noqa: E731
        rng.uniform(0, 1, (1, 9, 8)), rng.uniform(0, 90, (1, 9, 8)), tuple(rng.normal(0, 60, (2, 1, 9, 8)))
    )
    x, y = features(), features()
    similar = lambda a, b, c: (2 * a * b + c) / (a**2 + b**2 + c)  # noqa: E731
    chroma = similar(x.chroma[0], y.chroma[0], 200) * similar(x.chroma[1], y.chroma[1], 200)
    assert (chroma < 0).any() and (chroma > 0).any()
    maps = similar(x.congruency, y.congruency, 0.85) * similar(x.edges, y.edges, 160) * np.abs(chroma) ** 0.03
    expected = 1 - np.average(maps, weights=np.maximum(x.congruency, y.congruency))
    x, y = (jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), z) for z in (x, y))
    np.testing.assert_allclose(fsim.distance(x, y), expected, rtol=1e-5)


def test_filters_share_out_directions_and_wavelengths():
    filters = fsim._filters(96, 96)
    assert filters.shape == (4, 4, 96, 96)
    assert (filters[..., 0, 0] == 0).all()
    for scale, length in enumerate(fsim.WAVELENGTHS):
        across, along = filters[0, scale, 96 // length, 0], filters[0, scale, 0, 96 // length]
        assert across > 0.9 > 0.1 > along  # the first orientation is of waves that run down
        # Without the highest frequency, which wraps.
        turned = np.delete(filters[0, scale][-np.arange(96)].T, 48, axis=1)
        np.testing.assert_allclose(np.delete(filters[2, scale], 48, axis=1), turned, atol=1e-6)


def test_noise_is_taken_from_the_finest_scale():
    rng = np.random.default_rng(0)
    filters, squares = fsim._filters(12, 16)[1], rng.exponential(3, (1, 12, 16))
    kernels = np.fft.ifft2(filters).real * np.sqrt(12 * 16)
    power = np.sort(squares.ravel())[95] / np.log(2) / (filters[0] ** 2).sum()
    pairs = sum((kernels[i] * kernels[j]).sum() for i in range(4) for j in range(i + 1, 4))
    tau = np.sqrt((2 * power * (kernels**2).sum() + 4 * power * pairs) / 2)
    expected = (tau * np.sqrt(np.pi / 2) + 2 * np.sqrt((2 - np.pi / 2) * tau**2)) / 1.7
    np.testing.assert_allclose(fsim._noise(jnp.asarray(squares, jnp.float32), filters), expected, rtol=1e-5)


def test_an_edge_is_congruent_whatever_its_contrast():
    edge = jnp.zeros((1, 48, 48)).at[:, :, 24:].set(1.0)
    weak, strong = (fsim.phase_congruency(level * edge)[0, 24, 23] for level in (20.0, 200.0))
    assert weak > 0.5
    np.testing.assert_allclose(weak, strong, rtol=1e-4)
