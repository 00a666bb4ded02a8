"""The contract of the metric."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from marks import nightly, slow

from pim_jax import convert, metric
from pim_jax.model import pim as networks
from pim_jax.model.pim import ModelConfig

SMALL = ModelConfig(orientations=1, widths=(6, 3))


def random_metric(config, seed=0, name="small"):
    """Random networks of the real shape, with weights large enough for distances to be near 1."""
    params = jax.tree.map(lambda leaf: 3 * leaf, networks.init(config, jax.random.key(seed)))
    return metric.from_params(config, params, name=name)


@pytest.fixture(scope="module")
def pim():
    return random_metric(SMALL)


@pytest.fixture(scope="module")
def quick():
    """Two bands of two sizes, which compile quickly."""
    return random_metric(ModelConfig(pyramid="laplacian", scales=2, widths=(3,)), name="quick")


@pytest.fixture(scope="module")
def pim5():
    """Two bands, as mixtures take several times as long to compile."""
    return random_metric(ModelConfig(pyramid="laplacian", scales=2, widths=(6, 3), mixtures=5), name="small-5")


def images(seed=0, n=2, size=(32, 40)):
    return jax.random.uniform(jax.random.key(seed), (n, *size, 3))


@pytest.mark.parametrize("size", ["s0", *slow("s1", "s2", kept="one size")])
def test_pim1_distance_equals_the_official_one(shared, golden, size):
    config, params = convert.to_model(*convert.read(shared / "golden" / "pim-1")[:2])
    found = metric.from_params(config, params).distance(golden[f"{size}/x"], golden[f"{size}/y"])
    np.testing.assert_allclose(found, golden[f"{size}/pim-1/distance"], rtol=1e-4)


@pytest.mark.slow(kept="test_pim.py compares the mixtures of two bands")
@pytest.mark.parametrize("size", ["s0", *nightly("s1", "s2")])
def test_pim5_distance_is_within_the_official_monte_carlo_error(shared, golden, size):
    config, params = convert.to_model(*convert.read(shared / "golden" / "pim-5")[:2])
    pim, samples = metric.from_params(config, params), 48  # as many as the official mean is of
    found = pim.distance(golden[f"{size}/x"], golden[f"{size}/y"], num_samples=samples)
    error = golden[f"{size}/pim-5/distance_mc_sem"] * np.sqrt(2)  # ours has one too
    assert np.all(np.abs(found - golden[f"{size}/pim-5/distance_mc_mean"]) < 4 * error)


def test_is_symmetric_and_zero_at_equality(quick, pim5):
    x, y = images(0), images(1)
    for one in (quick, pim5):
        np.testing.assert_allclose(one.distance(x, y), one.distance(y, x), rtol=1e-6)
        np.testing.assert_array_equal(one.distance(x, x), 0)
    np.testing.assert_array_equal(quick.distance(x, y), quick.distance(y, x))  # to the bit, where nothing is sampled
    assert float(quick.distance(x, y).min()) > 0


def test_single_images_have_no_batch_axis(quick):
    x, y = images(0)[0], images(1)[0]
    assert quick.distance(x, y).shape == ()
    assert quick.distance_map(x, y).shape == x.shape[:2]
    assert quick.distance(x, y[None]).shape == (1,)


@pytest.mark.parametrize("size", [(33, 47), *slow((8, 8), kept="an odd size"), *nightly((32, 40), (9, 21))])
def test_mean_of_the_map_is_the_distance(pim, pim5, size):
    x, y = images(0, size=size), images(1, size=size)
    for one in (pim, pim5):
        found = one.distance_map(x, y)
        assert found.shape == (2, *size) and found.dtype == jnp.float32
        np.testing.assert_allclose(found.mean((1, 2)), one.distance(x, y), rtol=2e-4, atol=1e-6)


def test_map_shows_where_the_images_differ(pim):
    x = images(0, n=1, size=(96, 96))
    y = x.at[:, 60:76, 20:36].set(0.5)
    found = np.asarray(pim.distance_map(x, y)[0])
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 52 <= row < 84 and 12 <= column < 44
    assert found[:16, 80:].max() < 0.05 * found.max()


def weighted_mean(values, mask):
    return (values * mask).sum((1, 2)) / mask.sum((1, 2))


def test_under_a_mask_it_is_the_weighted_mean_of_the_map(quick):
    x, y = images(0), images(1)
    mask = images(2)[..., 0].at[:, :, 20:].set(0)
    values = quick.distance_map(x, y)
    wanted = weighted_mean(values, mask)
    np.testing.assert_allclose(quick.distance(x, y, mask), wanted, rtol=1e-5)
    np.testing.assert_allclose(quick.between(quick.embed(x), quick.embed(y), mask[..., None]), wanted, rtol=1e-5)
    np.testing.assert_allclose(quick.distance(x, y, np.ones((2, 32, 40), bool)), quick.distance(x, y), rtol=1e-5)
    # Other pixels of a map count as if they were not there, and many masks are of one pair.
    parts = jnp.stack([mask[0] > 0.5, mask[0] <= 0.5])
    of_one = quick.distance(x[0], y[0], parts)
    np.testing.assert_allclose(of_one, weighted_mean(values[:1], parts.astype(jnp.float32)), rtol=1e-5)
    assert quick.distance(x[0], y[0], parts[0]).shape == ()


@pytest.mark.slow(kept="one component, and several without a mask")
def test_under_a_mask_a_mixture_is_the_weighted_mean_of_its_map(pim5):
    x, y, mask = images(0), images(1), images(2)[..., 0]
    np.testing.assert_allclose(pim5.distance(x, y, mask), weighted_mean(pim5.distance_map(x, y), mask), rtol=1e-4)


def test_an_empty_mask_is_an_error_and_under_jit_it_is_0_with_gradients_of_0(quick):
    x, y = images(0, n=2, size=(16, 16)), images(1, n=2, size=(16, 16))
    mask = jnp.zeros((2, 16, 16)).at[0].set(0.5)
    for call in (quick.distance, lambda x, y, mask: quick.between(quick.embed(x), quick.embed(y), mask)):
        with pytest.raises(ValueError, match="the mask of one of the images is 0 everywhere, so there is nothing"):
            call(x, y, mask)

    def total(x, mask):
        values = quick.distance(x, y, mask)
        return values.sum(), values

    (of_images, of_masks), values = jax.jit(jax.grad(total, (0, 1), has_aux=True))(x, mask)
    np.testing.assert_allclose(values[0], quick.distance(x[0], y[0]), rtol=1e-5)
    assert values[1] == 0 and not of_images[1].any() and not of_masks[1].any()
    assert bool(jnp.isfinite(of_images).all() and jnp.isfinite(of_masks).all()) and of_images[0].any()


@pytest.mark.slow(kept="one against many, in test_metrics.py")
def test_embeddings_give_the_same_distance_and_a_reference_serves_many(pim, pim5):
    x, y = images(0), images(1)
    for one in (pim, pim5):
        np.testing.assert_allclose(one.between(one.embed(x), one.embed(y)), one.distance(x, y), rtol=2e-5, atol=1e-6)
        many = one.between(one.embed(x[:1]), one.embed(y))
        np.testing.assert_allclose(many, one.distance(x[:1], y), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(many, one.distance(jnp.repeat(x[:1], 2, 0), y), rtol=2e-5, atol=1e-6)


def test_an_image_does_not_depend_on_its_batch(quick, pim5):
    x, y = images(0, n=5), images(1, n=5)
    for one in (quick, pim5):
        alone = jnp.concatenate([one.distance(x[i : i + 1], y[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(one.distance(x, y), alone, rtol=2e-5, atol=1e-6)


def test_key_and_samples_of_a_mixture(pim5):
    x, y = (images(seed, n=1, size=(16, 16)) for seed in (0, 1))
    default = pim5.distance(x, y)
    np.testing.assert_array_equal(default, pim5.distance(x, y, key=jax.random.key(metric.DEFAULT_SEED)))
    assert not np.array_equal(default, pim5.distance(x, y, key=jax.random.key(1)))
    many = [pim5.distance(x, y, key=jax.random.key(seed), num_samples=256) for seed in (1, 2)]
    np.testing.assert_allclose(*many, rtol=0.01)


def test_keys_of_both_kinds_give_the_same_distance(pim5):
    x, y = (images(seed, n=1, size=(16, 16)) for seed in (0, 1))
    wanted = pim5.distance(x, y, key=jax.random.key(7))
    old = jax.random.PRNGKey(7)
    for key in (old, np.asarray(old)):
        np.testing.assert_array_equal(pim5.distance(x, y, key=key), wanted)
    np.testing.assert_array_equal(jax.jit(lambda key: pim5.distance(x, y, key=key))(old), wanted)
    z_x, z_y = pim5.embed(x), pim5.embed(y)
    np.testing.assert_array_equal(
        pim5.between(z_x, z_y, key=old), pim5.between(z_x, z_y, key=jax.random.wrap_key_data(old))
    )


@pytest.mark.parametrize(
    "key",
    [0, "seed", np.zeros(3, np.uint32), np.zeros(2, np.int64), jax.random.split(jax.random.key(0)), jnp.zeros(2)],
    ids=["integer", "text", "three words", "signed", "two keys", "floats"],
)
def test_what_is_not_one_key_is_one_line(pim, pim5, key):
    x = images(0, n=1, size=(16, 16))
    for one in (pim, pim5):
        with pytest.raises(ValueError, match=r"key must be one key, such as jax.random.key\(0\), not") as raised:
            one.distance(x, x, key=key)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, None, "2"])
def test_a_number_of_samples_that_cannot_be_is_one_line(pim, pim5, num_samples):
    x = images(0, n=1, size=(16, 16))
    for one in (pim, pim5):
        for function in (one.distance, one.distance_map):
            with pytest.raises(ValueError, match="num_samples must be a whole number, at least 1, not "):
                function(x, x, num_samples=num_samples)


def test_the_number_of_samples_may_be_of_numpy(pim5):
    x, y = (images(seed, n=1, size=(16, 16)) for seed in (0, 1))
    np.testing.assert_array_equal(pim5.distance(x, y, num_samples=np.int64(1)), pim5.distance(x, y, num_samples=1))


class Loss(nnx.Module):
    """A module that keeps the metric as the docstring of `Pim` says."""

    def __init__(self, distance):
        self.distance = distance
        self.layer = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.distance(x, jax.nn.sigmoid(self.layer(x))).sum()


def test_a_flax_module_keeps_it_and_its_weights_stay_out_of_the_state():
    pim = random_metric(ModelConfig(pyramid="none", widths=(3,)))
    loss, x = Loss(pim.distance), images(0, n=1, size=(16, 16))
    assert len(jax.tree.leaves(nnx.state(loss))) == 2  # of the layer
    wanted = pim.distance(x, jax.nn.sigmoid(loss.layer(x))).sum()
    np.testing.assert_allclose(nnx.jit(lambda loss, x: loss(x))(loss, x), wanted, rtol=1e-5)
    gradients = jax.tree.leaves(nnx.grad(lambda loss, x: loss(x))(loss, x))
    assert len(gradients) == 2 and all(bool((gradient != 0).any()) for gradient in gradients)
    merged = nnx.merge(*nnx.split(loss))
    np.testing.assert_allclose(merged(x), wanted, rtol=1e-5)


def test_it_is_saved_and_restored_as_a_tree(pim, tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", {"metric": pim, "step": 3})
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", {"metric": jax.tree.map(jnp.zeros_like, pim), "step": 0})
    assert repr(restored["metric"]) == repr(pim)
    for found, wanted in zip(jax.tree.leaves(restored["metric"]), jax.tree.leaves(pim), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, *slow(jnp.bfloat16, kept="float32")])
@pytest.mark.parametrize("kind", ["equal", "black", "white", "constant", "different"])
def test_gradients_are_finite(pim, kind, dtype):
    x = {"black": jnp.zeros, "white": jnp.ones}.get(kind, lambda shape: jnp.full(shape, 0.5))((1, 16, 16, 3)).astype(
        dtype
    )
    y = images(1, n=1, size=(16, 16)).astype(dtype) if kind == "different" else x
    value, gradients = jax.value_and_grad(lambda x, y: pim.distance(x, y).sum(), (0, 1))(x, y)
    assert value.dtype == jnp.float32
    for gradient in gradients:
        assert gradient.dtype == dtype and bool(jnp.isfinite(gradient).all())
        assert bool((gradient == 0).all()) == (kind != "different")


def test_gradient_is_that_of_finite_differences(pim):
    x, y, direction = images(0, n=1, size=(16, 16)), images(1, n=1, size=(16, 16)), images(2, n=1, size=(16, 16)) - 0.5

    @jax.jit
    def slope(t):
        return jax.jvp(lambda t: pim.distance(x + t * direction, y)[0], (t,), (jnp.ones(()),))[1]

    # ReLU has kinks everywhere, so the difference is held against the mean of the gradient on the way.
    step, stops = 0.1, 64
    mean = sum(float(slope(jnp.float32((i + 0.5) / stops * step))) for i in range(stops)) / stops
    numeric = (pim.distance(x + step * direction, y) - pim.distance(x, y))[0] / step
    assert mean == pytest.approx(float(numeric), rel=3e-2)


def test_goes_through_jit_vmap_and_shard_map(quick):
    x, y = images(0, n=8, size=(16, 16)), images(1, n=8, size=(16, 16))
    wanted = quick.distance(x, y)

    def distance(pim, x, y):
        return pim.distance(x, y)

    np.testing.assert_allclose(jax.jit(distance)(quick, x, y), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(quick.distance)(x, y), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda y: quick.distance(x, y))(y), wanted, rtol=1e-5)
    mesh, batch = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    mapped = jax.shard_map(distance, mesh=mesh, in_specs=(PartitionSpec(), batch, batch), out_specs=batch)
    np.testing.assert_allclose(jax.jit(mapped)(quick, x, y), wanted, rtol=1e-5)
    sharded = (jax.device_put(image, NamedSharding(mesh, batch)) for image in (x, y))
    np.testing.assert_allclose(jax.jit(distance)(quick, *sharded), wanted, rtol=1e-5)


def test_exports(quick):
    shape = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    exported = jax.export.export(jax.jit(quick.distance), platforms=["cpu", "cuda", "tpu"])(shape, shape)
    restored = jax.export.deserialize(exported.serialize())
    x, y = images(0, n=1, size=(16, 16)), images(1, n=1, size=(16, 16))
    np.testing.assert_allclose(restored.call(x, y), quick.distance(x, y), rtol=1e-5)


def test_repr_names_weights_and_hash(pim):
    assert repr(pim) == f"Pim('small', weights {pim.digest}, precision 'highest')"
    other = random_metric(SMALL, seed=1)
    assert len(pim.digest) == 12 and pim.digest != other.digest


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((16, 16, 3), np.uint8), TypeError, r"x is uint8; images are float sRGB in \[0, 1\]: .* x / 255"),
        ([[0.0]], TypeError, "x must be an array, not list"),
        (np.zeros((16, 16), np.float32), ValueError, r"x has shape \(16, 16\); images are \[N, H, W, 3\]"),
        (np.zeros((3, 16, 16), np.float32), ValueError, "channels last"),
        (np.zeros((0, 16, 16, 3), np.float32), ValueError, "no image in it"),
        (np.zeros((7, 16, 3), np.float32), ValueError, "small needs at least 8 x 8"),
        (np.full((16, 16, 3), np.nan, np.float32), ValueError, "x holds values that are not finite"),
        (np.full((16, 16, 3), 200.0, np.float32), ValueError, r"from \[0, 255\], use x / 255"),
        (np.full((16, 16, 3), -0.9, np.float32), ValueError, r"from \[-1, 1\], use \(x \+ 1\) / 2"),
        (np.zeros((16, 17, 3), np.float32), ValueError, "x is 16 x 17 and y is 16 x 16"),
        (np.zeros((3, 16, 16, 3), np.float32), ValueError, "x holds 3 images and y 2"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_bad_images_are_clear_errors(pim, x, error, message):
    with pytest.raises(error, match=message):
        pim.distance(x, np.zeros((2, 16, 16, 3), np.float32))


def test_no_value_is_checked_under_jit(quick):
    bad = jnp.full((1, 16, 16, 3), jnp.nan)
    assert bool(jnp.isnan(jax.jit(quick.distance)(bad, bad)).all())


def test_an_image_that_a_jitted_function_holds_is_checked(quick):
    x, bad = images(0, size=(16, 16)), jnp.full((1, 16, 16, 3), jnp.nan)
    with pytest.raises(ValueError, match="not finite"):
        jax.jit(lambda x: quick.distance(x, bad))(x)


def test_embeddings_of_two_sizes_are_an_error(quick):
    with pytest.raises(ValueError, match="not of one metric and one size of images"):
        quick.between(quick.embed(images()), quick.embed(images(size=(32, 48))))


@pytest.mark.slow(kept="what is rounded in bfloat16, in test_convolution.py")
@pytest.mark.parametrize("size", [(32, 40), *nightly((112, 120))], ids=["direct", "minimal"])
def test_in_bfloat16_the_distance_differs_a_little(size):
    config = dataclasses.replace(SMALL, widths=(16, 16, 3))
    exact, x, y = random_metric(config), images(0, size=size), images(1, size=size)
    rounded = dataclasses.replace(exact, precision="bfloat16")
    np.testing.assert_allclose(rounded.distance(x, y), exact.distance(x, y), rtol=1e-2)
    assert not np.allclose(rounded.distance(x, y), exact.distance(x, y), rtol=1e-5)
    np.testing.assert_array_equal(rounded.distance(x, x), 0)
    assert bool(jnp.isfinite(jax.grad(lambda y: rounded.distance(x, y).sum())(x)).all())


def test_unknown_weights_and_precision_are_clear_errors():
    with pytest.raises(FileNotFoundError, match=r"neither a folder nor the name of bundled weights \(.*pim-1"):
        metric.load("pim-7")
    with pytest.raises(ValueError, match="precision must be one of"):
        metric.load("pim-1", precision="bf16")


@pytest.mark.parametrize("name", ["pim-1", "pim-5"])
def test_bundled_weights_load_by_name(name):
    pim = metric.load(name)
    assert pim.name == name and pim.digest in repr(pim)
    assert pim.config.mixtures == int(name[-1])
