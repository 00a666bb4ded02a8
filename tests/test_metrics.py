"""One door for every metric: the same contract, the same checks, the same words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax import baselines, metric, metrics, stored
from pim_jax.model import pim as networks


def load(name):
    try:
        return metrics.load(name)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


def images(seed, n=2, size=(40, 48)):
    return jax.random.uniform(jax.random.key(seed), (n, *size, 3))


QUICK = ("psnr", "ssim", "nlpd")


def test_names_are_the_bundled_weights_and_the_baselines():
    assert (*stored.bundled(), *baselines.NAMES) == metrics.NAMES
    assert {"pim-1", "pim-5", "spips", "psnr", "lpips-alex-lin"} <= set(metrics.NAMES)


@pytest.mark.parametrize("name", [name for name in metrics.NAMES if "vgg" not in name and name != "dists"])
def test_every_name_loads_a_metric_with_all_of_the_contract(name):
    loaded = load(name)
    assert loaded.name.lower() == name and loaded.digest and loaded.smallest_size >= 1
    assert loaded.digest in repr(loaded)
    assert all(callable(getattr(loaded, function)) for function in ("distance", "embed", "between", "against"))
    assert isinstance(loaded, metrics.MapMetric) == (name not in baselines.NAMES)


def test_a_folder_loads_the_metric_that_its_weights_are_of(tmp_path):
    config = networks.ModelConfig(pyramid="none", widths=(4, 3))
    params = networks.init(config, jax.random.key(0))
    stored.write(tmp_path / "w", config, params, name="mine")
    found = metrics.load(tmp_path / "w")
    assert repr(found) == repr(metric.load(tmp_path / "w"))
    np.testing.assert_array_equal(
        found.distance(images(0), images(1)), metric.from_params(config, params).distance(images(0), images(1))
    )


@pytest.mark.parametrize("name", ["brisque", "no/such/folder"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(FileNotFoundError, match=rf"no metric and no folder {name}: choose from pim-1, .*psnr, ssim"):
        metrics.load(name)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("pim1", "pim-1"), ("PIM-1", "pim-1"), ("spip", "spips"), ("msssim", "ms-ssim"), ("lpips", "lpips-alex")],
)
def test_a_misspelt_name_suggests_the_known_one(misspelt, meant):
    with pytest.raises(FileNotFoundError, match=f"no folder {misspelt}: did you mean {meant}\\? Or choose from "):
        metrics.load(misspelt)


@pytest.mark.parametrize("name", QUICK)
def test_single_images_batches_and_one_against_many(name):
    loaded, x, y = load(name), images(0), images(1)
    wanted = loaded.distance(x, y)
    assert wanted.shape == (2,) and wanted.dtype == jnp.float32
    assert loaded.distance(x[0], y[0]).shape == ()
    np.testing.assert_allclose(loaded.distance(x[0], y), loaded.distance(jnp.stack([x[0], x[0]]), y), rtol=1e-5)
    np.testing.assert_allclose(loaded.between(loaded.embed(x), loaded.embed(y)), wanted, rtol=1e-6)
    np.testing.assert_allclose(loaded.between(loaded.embed(x[0]), loaded.embed(y[0])), wanted[:1], rtol=1e-5)
    np.testing.assert_allclose(loaded.against(x)(y), wanted, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(loaded.against(x[0]))(y[0]), wanted[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["pim-fast", "ssim", "ms-ssim", "gmsd", "nlpd", "vifp", "spips"])
def test_images_in_place_of_embeddings_are_refused(name):
    """GMSD, NLPD and VIFp would take the width for the height and the colours for the width. Of a single image, GMSD,
    SSIM, MS-SSIM and VIFp would take the height for the number of images."""
    loaded, x = metrics.load(name), images(0)
    with pytest.raises(TypeError, match=r"z_x must be what `embed` .* not an array of shape \(2, .*, 3\)"):
        loaded.between(x, x)
    with pytest.raises(TypeError, match=r"z_x must be what `embed` .* not an array of shape \(\d+, \d+, 3\)"):
        loaded.between(x[0], x[0])


@pytest.fixture(scope="module", params=["small pim", *QUICK, "lpips-alex", "ssimulacra"])
def any_metric(request):
    if request.param != "small pim":
        return load(request.param)
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(3,))
    return metric.from_params(config, networks.init(config, jax.random.key(0)), name="small pim")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((40, 48, 3), np.uint8), TypeError, "x is uint8; images are float sRGB in [0, 1]"),
        (np.full((40, 48, 3), 200, np.float32), ValueError, "from [0, 255], use x / 255"),
        (np.full((40, 48, 3), np.nan, np.float32), ValueError, "x holds values that are not finite"),
        (np.zeros((3, 40, 48), np.float32), ValueError, "images are [N, H, W, 3] or [H, W, 3], channels last"),
        (np.zeros((30, 48, 3), np.float32), ValueError, "x is 30 x 48 and y is 40 x 48 (height x width)"),
        (np.zeros((3, 40, 48, 3), np.float32), ValueError, "x holds 3 images and y 2"),
        (np.zeros((0, 40, 48, 3), np.float32), ValueError, "there is no image in it"),
    ],
    ids=["integers", "range", "nan", "channels first", "sizes", "counts", "none"],
)
def test_bad_images_are_the_same_clear_errors_everywhere(any_metric, x, error, message):
    if "30 x 48" in message and any_metric.smallest_size > 30:
        message = f"x is 30 x 48 pixels (height x width); {any_metric.name} needs at least"
    with pytest.raises(error) as raised:
        any_metric.distance(x, np.zeros((2, 40, 48, 3), np.float32))
    assert message in str(raised.value)


def test_too_small_images_name_the_metric_and_the_least_size(any_metric):
    least = any_metric.smallest_size
    if least == 1:
        pytest.skip("there is no smaller image")
    small = np.zeros((least - 1, 48, 3), np.float32)
    wanted = f"x is {least - 1} x 48 pixels (height x width); {any_metric.name} needs at least {least} x {least}"
    for call in (any_metric.embed, lambda image: any_metric.distance(image, image)):
        with pytest.raises(ValueError) as raised:
            call(small)
        assert str(raised.value) == wanted


def test_a_metric_takes_masks_if_it_has_a_map(any_metric):
    x, y, mask = images(0), images(1), np.ones((2, 40, 48), bool)
    calls = (
        lambda: any_metric.distance(x, y, mask),
        lambda: any_metric.between(any_metric.embed(x), any_metric.embed(y), mask),
        lambda: any_metric.against(x)(y, mask),
    )
    for call in calls:
        if isinstance(any_metric, metrics.MapMetric):
            np.testing.assert_allclose(call(), any_metric.distance(x, y), rtol=1e-5)
            continue
        with pytest.raises(ValueError, match=f"^{any_metric.name} has no distance_map, so it takes no mask: use"):
            call()


def test_embeddings_that_do_not_fit_are_an_error(any_metric):
    z, other = any_metric.embed(images(0)), any_metric.embed(images(0, size=(48, 48)))
    with pytest.raises(ValueError, match="the embeddings are not of one metric and one size of images"):
        any_metric.between(z, other)
    with pytest.raises(ValueError, match="z_x holds 2 images and z_y 3"):
        any_metric.between(z, any_metric.embed(images(0, n=3)))


def test_a_program_says_that_it_cannot_be_traced():
    with pytest.raises(TypeError, match="SSIMULACRA is computed by a program, so it takes concrete arrays"):
        jax.jit(load("ssimulacra").distance)(images(0), images(1))
