"""Gradients are what the filters of 3 x 3 pixels answer."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from pim_jax.baselines import gradients


@pytest.mark.parametrize(("weights", "column"), [(gradients.PREWITT, [1, 1, 1]), (gradients.SCHARR, [3, 10, 3])])
def test_they_are_the_filters_answers_with_zeros_around(weights, column):
    picture = np.random.default_rng(0).uniform(0, 255, (2, 9, 12))
    right = np.outer(np.array(column) / sum(column), [-1, 0, 1])[None]
    found = gradients.gradients(jnp.asarray(picture, jnp.float32), weights)
    for answer, kernel in zip(found, (right.transpose(0, 2, 1), right), strict=True):
        np.testing.assert_allclose(answer, correlate(picture, kernel, mode="constant"), atol=1e-4)
    expected = np.hypot(*(np.asarray(answer) for answer in found))
    np.testing.assert_allclose(gradients.magnitude(found), expected, rtol=1e-6)
