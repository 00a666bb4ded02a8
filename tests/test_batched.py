"""Batches of every kind of a JAX program: over meshes of all kinds of axes, and of a symbolic size."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from marks import nightly, slow

from pim_jax import metric, metrics
from pim_jax.model import pim as networks
from pim_jax.model.pim import ModelConfig

pytestmark = pytest.mark.slow(kept="plain batches, in test_metric.py")

CONFIGS = {
    "pim-1": ModelConfig(pyramid="laplacian", scales=2, widths=(3,)),
    "pim-5": ModelConfig(pyramid="none", widths=(3,), mixtures=2, dimensions=2, layers=1),
    "steerable": ModelConfig(scales=1, orientations=1, widths=(4, 3)),
}
QUICK = ("pim-1", "psnr", *nightly("nlpd"))
MIXED = (*QUICK, *nightly("pim-5"))
ALL = ("pim-1", "pim-5", "psnr", *nightly("nlpd", "steerable", "ssim", "ms-ssim", "lpips-alex", "conventional"))
SIZE = (32, 36)


@pytest.fixture(scope="module")
def load():
    """Loads small metrics by name, once."""
    loaded = {}

    def one(name):
        if name not in loaded:
            loaded[name] = _load(name)
        return loaded[name]

    return one


def _load(name):
    if name in CONFIGS:
        params = networks.init(CONFIGS[name], jax.random.key(0))
        return metric.from_params(CONFIGS[name], jax.tree.map(lambda leaf: 3 * leaf, params))
    if name == "conventional":
        spips = pytest.importorskip("pim_jax.spips.metric")
        from pim_jax.spips import parts, score
        from pim_jax.spips.config import SpipsModel

        model = SpipsModel(perceptual="none", semantic="none", hidden=4, members=2)
        extractor = score.fit_extractor(np.random.default_rng(0).lognormal(-4, 1, (50, 5)).astype(np.float32))
        members = [score.init_member(jax.random.key(i), parts.count(model), 4) for i in range(2)]
        return spips.from_params(
            model, {"extractor": extractor, "members": jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)}
        )
    try:
        return metrics.load(name)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((4,), ("b",))  # with explicit axes, as JAX makes it


@pytest.fixture(params=[True, *nightly(False)])
def context(request, mesh, load):
    """Whether the program has set the mesh, or only arrays bring it."""
    # Weights are loaded before, so that they are on no mesh.
    for name in [request.node.callspec.params["name"]] if "name" in request.fixturenames else ["pim-1", "pim-5"]:
        load(name)
    with jax.set_mesh(mesh) if request.param else contextlib.nullcontext():
        yield


def images(seed, n=4, size=SIZE):
    return np.random.default_rng(seed).uniform(0, 1, (n, *size, 3)).astype(np.float32)


def test_the_mesh_that_jax_makes_has_explicit_axes(mesh):
    assert mesh.axis_types == (jax.sharding.AxisType.Explicit,)


@pytest.mark.parametrize("context", [True, *slow(False, kept="a mesh that is set")], indirect=True)
@pytest.mark.parametrize("name", ALL)
def test_every_function_works_over_explicit_axes_and_keeps_the_batchs_sharding(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    alone = images(2, n=1)
    wanted = {"distance": one.distance(x, y), "alone": one.distance(alone, y)}
    over = NamedSharding(mesh, P("b"))
    a, b = (jax.device_put(image, over) for image in (x, y))
    found = {
        "distance": one.distance(a, b),
        "jitted": jax.jit(one.distance)(a, b),
        "between": one.between(one.embed(a), one.embed(b)),
        "half on the mesh": one.distance(x, b),
        "alone": one.distance(alone, b),
        "alone, between": one.between(one.embed(alone), one.embed(b)),
    }
    for case, values in found.items():
        expected = wanted["alone" if "alone" in case else "distance"]
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5, err_msg=case)
        assert values.sharding.spec[0] == "b", case
    for leaf in jax.tree.leaves(one.embed(a)):
        assert leaf.sharding.spec[0] == "b"


@pytest.mark.parametrize("name", ["pim-1", *nightly("pim-5", "conventional")])
def test_maps_work_over_explicit_axes(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    wanted = one.distance_map(x, y)
    found = one.distance_map(*(jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert found.sharding.spec[0] == "b"


@pytest.mark.parametrize("name", ["pim-1", *nightly("pim-5", "conventional")])
def test_masks_and_references_work_over_explicit_axes(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    mask = images(2)[..., 0]
    wanted = one.distance(x, y, mask), one.distance(x[:1], y, mask[:1])
    a, b, c = (jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y, mask))
    for found in (
        one.distance(a, b, c),
        one.distance(x, b, mask),
        one.against(a)(b, c),
        jax.jit(one.distance)(a, b, c),
    ):
        np.testing.assert_allclose(found, wanted[0], rtol=1e-4)
        assert found.sharding.spec[0] == "b"
    found = one.against(x[:1])(b, mask[:1])
    np.testing.assert_allclose(found, wanted[1], rtol=1e-4)
    assert found.sharding.spec[0] == "b"


@pytest.mark.parametrize("context", [True, False], ids=["set", "of the arrays"], indirect=True)
@pytest.mark.parametrize("name", [*MIXED, *nightly("steerable")])
def test_gradients_work_over_explicit_axes(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    gradient = jax.jit(jax.grad(lambda x, y: one.distance(x, y).sum()))
    wanted = gradient(x, y)
    found = gradient(*(jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y)))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert found.sharding.spec[0] == "b"


@pytest.mark.slow(kept="gradients within jit")
def test_gradients_outside_of_jit_work_over_a_mesh_that_is_set(load, mesh):
    # Without jax.set_mesh, JAX itself has no gradient of a sum over explicit axes.
    one, x, y = load("steerable"), images(0, size=(8, 8)), images(1, size=(8, 8))
    wanted = jax.grad(lambda x: one.distance(x, y).sum())(x)
    with jax.set_mesh(mesh):
        found = jax.grad(lambda x: one.distance(x, y).sum())(jax.device_put(x, NamedSharding(mesh, P("b"))))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.slow(kept="images of one region")
def test_large_images_in_regions_work_over_explicit_axes(load, mesh, context):
    one, x, y = load("pim-5"), images(0, size=(16, 300)), images(1, size=(16, 300))
    wanted = one.distance(x, y), one.distance_map(x, y)
    a, b = (jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y))
    np.testing.assert_allclose(one.distance(a, b), wanted[0], rtol=1e-4)
    np.testing.assert_allclose(one.distance_map(a, b), wanted[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MIXED)
def test_images_may_be_sharded_over_their_height(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    wanted = one.distance(x, y)
    a, b = (jax.device_put(image, NamedSharding(mesh, P(None, "b"))) for image in (x, y))
    np.testing.assert_allclose(one.distance(a, b), wanted, rtol=1e-4)
    a, b = (jax.device_put(image[0], NamedSharding(mesh, P("b"))) for image in (x, y))
    found = one.distance(a, b)
    np.testing.assert_allclose(found, wanted[0], rtol=1e-4)
    assert found.shape == ()


@pytest.mark.parametrize("name", MIXED)
def test_a_function_of_single_images_is_mapped_over_explicit_axes(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    wanted = one.distance(x, y)
    found = jax.vmap(one.distance)(*(jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_weights_may_be_on_the_mesh_and_images_not(load, mesh, context):
    one, x, y = load("pim-1"), images(0), images(1)
    wanted = one.distance(x, y)
    np.testing.assert_allclose(jax.device_put(one, NamedSharding(mesh, P())).distance(x, y), wanted, rtol=1e-4)
    # On a mesh that is set, but not used.
    np.testing.assert_allclose(one.distance(x, y), wanted, rtol=1e-4)


@pytest.mark.parametrize("name", [*MIXED, *nightly("steerable")])
def test_every_function_works_within_shard_map(name, load, mesh, context):
    one, x, y = load(name), images(0), images(1)
    wanted = one.distance(x, y)

    def both_ways(x, y):
        return one.distance(x, y), one.between(one.embed(x), one.embed(y))

    a, b = (jax.device_put(image, NamedSharding(mesh, P("b"))) for image in (x, y))
    for found in jax.jit(jax.shard_map(both_ways, mesh=mesh, in_specs=P("b"), out_specs=P("b")))(a, b):
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("name", ["pim-1", *nightly("nlpd")])
def test_some_axes_may_be_manual_and_others_explicit(name, load):
    one, x, y = load(name), images(0), images(1)
    mesh = jax.make_mesh((2, 2), ("a", "b"))
    a, b = (jax.device_put(image, NamedSharding(mesh, P(("a", "b")))) for image in (x, y))
    mapped = jax.shard_map(one.distance, mesh=mesh, in_specs=P("a"), out_specs=P("a"), axis_names={"a"})
    np.testing.assert_allclose(jax.jit(mapped)(a, b), one.distance(x, y), rtol=1e-4)


@pytest.mark.parametrize("name", ["pim-1", "pim-5", "psnr", *nightly("nlpd", "ssim", "conventional")])
def test_a_batch_of_symbolic_size_exports(name, load):
    one, size = load(name), SIZE
    many = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"b, {size[0]}, {size[1]}, 3"), jnp.float32)
    exported = jax.export.export(jax.jit(one.distance))(many, many)
    restored = jax.export.deserialize(exported.serialize())
    for n in (1, 3):
        x, y = images(0, n), images(1, n)
        np.testing.assert_allclose(restored.call(x, y), one.distance(x, y), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["pim-1", *nightly("pim-5", "conventional")])
def test_masks_and_a_reference_of_a_batch_of_symbolic_size_export(name, load):
    one, x, y, mask = load(name), images(0, 1), images(1, 3), images(2, 3)[..., 0]
    shapes = jax.export.symbolic_args_specs((y, mask), "b, ...")
    wanted = one.distance(x, y, mask)
    for function in (lambda y, mask: one.distance(x, y, mask), lambda y, mask: one.against(x)(y, mask)):
        np.testing.assert_allclose(jax.export.export(jax.jit(function))(*shapes).call(y, mask), wanted, rtol=1e-4)


@pytest.mark.parametrize("name", ["psnr", *nightly("pim-5")])
def test_embeddings_and_one_image_against_a_batch_of_symbolic_size_export(name, load):
    one, size = load(name), (16, 300)  # of which PIM makes regions
    many = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"b, {size[0]}, {size[1]}, 3"), jnp.float32)
    x, y = images(0, 1, size), images(1, 3, size)
    single = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    for function in (one.distance, lambda x, y: one.between(one.embed(x), one.embed(y))):
        exported = jax.export.export(jax.jit(function))(single, many)
        np.testing.assert_allclose(exported.call(x, y), one.distance(x, y), rtol=1e-3)
