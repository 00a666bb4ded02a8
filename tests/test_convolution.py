"""Minimal filtering computes the same convolution, and in bfloat16 every device rounds alike."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model import convolution

CASES = [
    ((3, 60, 60, 16), 17, ((2, 2), (2, 2))),  # tiles and strips that fit
    ((1, 107, 98, 20), 16, ((0, 2), (1, 0))),  # several strips, the last one not full
    ((40, 17, 18, 16), 16, ((0, 0), (0, 0))),  # strips of one row of tiles
]


@pytest.mark.parametrize(("shape", "units", "padding"), CASES)
def test_equals_convolution_in_double_precision(shape, units, padding):
    x, kernel = random(0, shape), random(1, (5, 5, shape[-1], units))
    assert shape[0] * shape[1] * shape[2] >= convolution._WORTH_COMPILING
    assert min(shape[-1], units) >= convolution._WORTH_TRANSFORMING
    found = jax.jit(convolution.convolve, static_argnums=2)(x, kernel, padding)
    wanted = reference(x, kernel, padding)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def test_gradients_equal_those_of_the_direct_convolution():
    x, kernel, padding = random(0, (3, 60, 60, 16)), random(1, (5, 5, 16, 18)), ((2, 1), (0, 2))

    def loss(function):
        return jax.jit(jax.grad(lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel))), (0, 1)))(x, kernel)

    minimal = loss(lambda x, kernel: convolution.convolve(x, kernel, padding))
    direct = loss(convolution._direct(padding))
    for found, wanted in zip(minimal, direct, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def test_derivatives_of_small_convolutions_are_those_of_xla():
    primals, tangents = ((random(i, (2, 9, 8, 4)), random(i + 1, (5, 5, 4, 3))) for i in (0, 2))
    padding = ((2, 1), (0, 2))

    @functools.partial(jax.jit, static_argnums=0)
    def derivatives(convolve, primals, tangents):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolve(x, kernel)))

        forward = jax.jvp(loss, primals, tangents)
        second = jax.jvp(jax.grad(loss, (0, 1)), primals, tangents)
        return forward, second, *(jax.grad(loss, only)(*primals) for only in (0, 1))

    found = derivatives(lambda x, kernel: convolution.convolve(x, kernel, padding), primals, tangents)
    wanted = derivatives(convolution._direct(padding), primals, tangents)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_the_gradient_for_images_has_kernels_in_the_layout_that_is_fast_within_loops():
    x, kernel = random(0, (2, 1, 9, 8, 4)), random(1, (5, 5, 4, 3))

    def loss(x):
        return jnp.sum(jnp.sin(jax.lax.map(lambda image: convolution.convolve(image, kernel, ((2, 2), (2, 2))), x)))

    program = jax.export.export(jax.jit(jax.grad(loss)), platforms=["cpu"])(x).mlir_module()
    convolutions = [line for line in program.splitlines() if "stablehlo.convolution" in line]
    assert len(convolutions) == 2 and all("x[0, 1, i, o]->" in line for line in convolutions)


@pytest.mark.parametrize("shape", [(1, 20, 22, 16), (1, 107, 98, 16)], ids=["direct", "minimal"])
def test_in_bfloat16_operands_are_rounded_and_sums_are_not(shape):
    x, kernel, padding = random(0, shape), random(1, (5, 5, 16, 16)), ((2, 2), (2, 2))
    with jax.default_matmul_precision("bfloat16"):
        found = jax.jit(convolution.convolve, static_argnums=2)(x, kernel, padding)
    assert found.dtype == jnp.float32
    wanted = reference(*(array.astype(jnp.bfloat16) for array in (x, kernel)), padding)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())
    assert np.abs(found - reference(x, kernel, padding)).max() > 1e-3 * np.abs(wanted).max()


def test_accelerators_get_bfloat16():
    x, kernel = random(0, (1, 107, 98, 16)), random(1, (5, 5, 16, 16))
    with jax.default_matmul_precision("bfloat16"):
        gradient = jax.jit(jax.value_and_grad(lambda *a: convolution.convolve(*a, ((2, 2), (2, 2))).sum(), (0, 1)))
        program = jax.export.export(gradient, platforms=["cuda"])(x, kernel).mlir_module()
    forward, *backward = [line for line in program.splitlines() if "stablehlo.convolution" in line]
    assert "(tensor<1x107x98x16xbf16>, tensor<5x5x16x16xbf16>) -> tensor<1x107x98x16xf32>" in forward
    assert len(backward) == 2 and all("bf16>, tensor" in line for line in backward)


@pytest.mark.slow(kept="what is rounded in bfloat16")
def test_gradients_in_bfloat16_are_near_those_in_float32():
    x, kernel, padding = random(0, (1, 107, 98, 16)), random(1, (5, 5, 16, 16)) / 20, ((2, 2), (2, 2))

    def gradients():
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolution.convolve(x, kernel, padding)))

        return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)

    wanted = gradients()
    with jax.default_matmul_precision("bfloat16"):
        found = gradients()
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == jnp.float32
        difference = float(jnp.abs(one - other).max() / jnp.abs(other).max())
        assert 1e-4 < difference < 2e-2


def random(seed, shape):
    return jax.random.normal(jax.random.key(seed), shape)


def reference(x, kernel, padding):
    """The definition, in float64."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.einsum("nhwcij,ijck->nhwk", windows, np.asarray(kernel, np.float64), optimize=True)
