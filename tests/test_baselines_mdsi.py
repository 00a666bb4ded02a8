"""MDSI is the definition, with complex powers where the similarity is negative."""

import jax.numpy as jnp
import numpy as np

from pim_jax.baselines import mdsi


def definition(x, y):
    length = lambda edges: np.hypot(*edges)  # noqa: E731
    similar = lambda a, b, c: (2 * a * b + c) / (a**2 + b**2 + c)  # noqa: E731
    of_x, of_y, of_both = length(x.edges), length(y.edges), length((np.array(x.edges) + np.array(y.edges)) / 2)
    edges = similar(of_x, of_y, 140) + similar(of_y, of_both, 55) - similar(of_x, of_both, 55)
    (h_x, m_x), (h_y, m_y) = x.chroma, y.chroma
    chroma = (2 * (h_x * h_y + m_x * m_y) + 550) / (h_x**2 + h_y**2 + m_x**2 + m_y**2 + 550)
    roots = (0.6 * edges + 0.4 * chroma).astype(complex) ** 0.25
    return np.abs(roots - roots.mean()).mean() ** 0.25, 0.6 * edges + 0.4 * chroma


def test_it_is_the_definition_also_of_negative_similarities():
    rng = np.random.default_rng(0)
    features = lambda: mdsi.Features(tuple(rng.normal(0, 30, (2, 1, 9, 8))), tuple(rng.normal(0, 90, (2, 1, 9, 8))))  # noqa: E731
    x, y = features(), features()
    expected, similar = definition(x, y)
    assert (similar < 0).any() and (similar > 0).any()
    as_jax = lambda z: mdsi.Features(*(tuple(jnp.asarray(a, jnp.float32) for a in part) for part in z))  # noqa: E731
    np.testing.assert_allclose(mdsi.deviation(as_jax(x), as_jax(y)), expected, rtol=1e-5)


def test_the_second_picture_is_not_the_first():
    x = jnp.zeros((1, 12, 12, 3)).at[:, :, 6:].set(1.0)
    y = x.at[:, 3:, 6:].set(0.2)
    assert mdsi.mdsi().distance(x, y)[0] != mdsi.mdsi().distance(y, x)[0]
