"""The networks agree with the official implementation, and windows with whole bands."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import nightly, slow

from pim_jax import convert
from pim_jax.configuration import from_json
from pim_jax.model import mixture, pim
from pim_jax.model.config import ModelConfig

SMALL = ModelConfig(widths=(8, 6, 3))
PYRAMIDS = [SMALL, *(dataclasses.replace(SMALL, pyramid=kind) for kind in ("laplacian", "none"))]
FOLDED = dataclasses.replace(
    SMALL, orientations=1, folding=(1, 2), widths=(6, 6, 6, 3), support=3, skip_connections=True, members=2
)
ALEXNET, VGG16 = (ModelConfig(pyramid="none", network=network, hidden=True) for network in ("alexnet", "vgg16"))


def official(golden_folder, name):
    return convert.to_model(*convert.read(golden_folder / name)[:2])


@pytest.mark.parametrize("size", ["s0", *nightly("s2")])
@pytest.mark.parametrize("name", slow("pim-1", "pim-5", kept="their distances, in test_metric.py"))
def test_networks_equal_the_official_ones(shared, golden, name, size):
    if f"{size}/{name}/frontend0" not in golden:
        pytest.skip("the official implementation's tensors were not kept at this size")
    config, params = official(shared / "golden", name)

    @jax.jit
    def run(x, y):
        features_x, features_y = (pim.features(config, params, image) for image in (x, y))
        return features_x, pim.marginal(config, params, features_x), pim.full(config, params, features_x, features_y)

    features, marginal, full = run(golden[f"{size}/x"], golden[f"{size}/y"])
    for i in range(8):
        assert_close(features[i], golden[f"{size}/{name}/frontend{i}"])
        assert_close(full[i], golden[f"{size}/{name}/joint_means{i}"])
        means = golden[f"{size}/{name}/means{i}"]
        assert_close(marginal[i].means.reshape(means.shape), means)
        if name == "pim-5":
            assert_close(marginal[i].logits, golden[f"{size}/{name}/logits{i}"])

    z = [m + 0.3 for m in full]
    for kind, mixtures in (("marginal", marginal), ("joint", [mixture.gaussian(m) for m in full])):
        found = np.mean([mixture.log_prob(m, s).mean((1, 2)) for m, s in zip(mixtures, z, strict=True)], 0)
        assert_close(found, golden[f"{size}/{name}/{kind}_log_prob_at_joint_means_plus_0.3"])


def test_two_bands_equal_the_official_ones():
    """Parity for a checkout without the shared data: the image, two bands and their networks of the golden PIM-5."""
    with np.load(Path(__file__).parent / "golden" / "two_bands.npz") as arrays:
        stored = dict(arrays)
    config = ModelConfig(mixtures=5, head="released")
    params = jax.tree.map(lambda shape: np.zeros(shape.shape, np.float32), pim.shapes(config))
    for name, value in stored.items():
        if name.startswith("params/"):
            *path, leaf = name.split("/")[1:]
            node = params
            for part in path:
                node = node[part]
            node[leaf] = value
    features = jax.jit(lambda x: pim.features(config, params, x))(stored["x"])
    marginal = pim.marginal(config, params, features)
    for band in (0, 4):
        assert_close(features[band], stored[f"frontend{band}"])
        assert_close(marginal[band].means, stored[f"means{band}"])
        assert_close(marginal[band].logits, stored[f"logits{band}"])


@pytest.mark.parametrize(
    "config",
    [SMALL, FOLDED, *slow(*PYRAMIDS[1:], ALEXNET, kept="the steerable pyramid")],
    ids=lambda config: f"{config.network} {config.pyramid} {config.folding[-1]}",
)
@pytest.mark.parametrize("size", [(51, 70), *slow((64, 64), kept="odd sizes")])
def test_windows_are_cut_out_of_whole_bands(config, size):
    params, image = pim.init(config, jax.random.key(0)), jax.random.uniform(jax.random.key(1), (1, *size, 3))
    features = jax.jit(functools.partial(pim.features, config), static_argnames="centre")
    whole, cropped = features(params, image), features(params, image, centre=8)
    for band, window, spans in zip(whole, cropped, pim.centres(config, size, 8), strict=True):
        rows, columns = (slice(*span) for span in spans)
        np.testing.assert_allclose(window, band[:, rows, columns], atol=1e-6)


def test_window_larger_than_a_band_is_the_whole_band():
    params, image = pim.init(SMALL, jax.random.key(0)), jax.random.uniform(jax.random.key(1), (1, 24, 40, 3))
    features = jax.jit(functools.partial(pim.features, SMALL), static_argnames="centre")
    whole, cropped = (features(params, image, centre=centre) for centre in (None, 64))
    for band, window in zip(whole, cropped, strict=True):
        np.testing.assert_array_equal(window, band)


@pytest.mark.parametrize("config", PYRAMIDS, ids=lambda config: config.pyramid)
def test_windows_are_aligned_across_scales(config):
    points = {
        field.stride * (span[0] + 4) + field.offset
        for (span, _), field in zip(pim.centres(config, (64, 64), 8), config.receptive_fields, strict=True)
    }
    assert len(points) == 1


@pytest.mark.parametrize("config", [ALEXNET, VGG16], ids=lambda config: config.network)
def test_windows_of_layers_are_aligned_to_half_a_sample(config):
    """Pooling by 2 puts a sample between two of the layer before."""
    points = [
        (field.stride * (span[0] + 4) + field.offset, field.stride)
        for (span, _), field in zip(pim.centres(config, (256, 256), 8), config.receptive_fields, strict=True)
    ]
    assert all(abs(point - points[0][0]) <= stride / 2 for point, stride in points)


@pytest.mark.parametrize(
    ("config", "channels", "sizes"),
    [(ALEXNET, (256, 256, 384, 192, 64), (3, 3, 3, 7, 15)), (VGG16, (512, 512, 256, 128, 64), (4, 8, 16, 32, 64))],
    ids=lambda value: getattr(value, "network", None),
)
def test_hidden_bands_are_the_layers_that_lpips_compares_and_the_output_is_the_last(config, channels, sizes):
    for one, bands in ((config, 5), (dataclasses.replace(config, hidden=False), 1)):
        found = layers(one, 64)
        assert one.channels == tuple(layer.shape[3] for layer in found) == channels[:bands]
        assert tuple(layer.shape[1] for layer in found) == sizes[:bands]
        assert len(one.receptive_fields) == bands
        marginal = jax.eval_shape(lambda p, f, one=one: pim.marginal(one, p, f), pim.shapes(one), found)
        assert [m.means.shape[1:3] for m in marginal] == [layer.shape[1:3] for layer in found]


@pytest.mark.parametrize("config", [ALEXNET, VGG16], ids=lambda config: config.network)
def test_smallest_size_leaves_one_sample_in_the_last_layer(config):
    assert [layers(config, config.smallest_size - less)[0].shape[1] for less in (0, 1)] == [1, 0]


@pytest.mark.parametrize("config", [ALEXNET, *slow(VGG16, kept="those of AlexNet")], ids=lambda config: config.network)
def test_fresh_activations_keep_their_scale_through_the_layers(config):
    params = pim.init(config, jax.random.key(0))
    image = jax.random.uniform(jax.random.key(1), (1, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    for layer in jax.jit(lambda params, image: pim.features(config, params, image))(params, image):
        assert 0.1 < float(layer.std()) < 2


def test_classifiers_have_no_pyramid():
    with pytest.raises(ValueError, match="must be none for the network vgg16, not 'steerable'"):
        ModelConfig(network="vgg16")


@pytest.mark.parametrize(
    "options",
    [
        {"pyramid": "wavelet"},
        {"orientations": 3},
        {"widths": ()},
        {"mixtures": 0},
        {"head": "tail"},
        {"network": "resnet"},
        {"hidden": True},
        {"folding": ()},
        {"folding": (1, 0)},
        {"folding": (1,) * 9},
        {"support": 4},
        {"members": 0},
        {"normalisation": -1.0},
        {"normalisation": float("nan")},
        {"normalisation": float("inf")},
    ],
    ids=str,
)
def test_impossible_models_are_refused(options):
    (field,) = options
    with pytest.raises(ValueError, match=f"model.{field} must be"):
        ModelConfig(**options)


@pytest.mark.parametrize("options", [{"folding": (2,)}, {"support": 3}, {"members": 2}, {"skip_connections": True}])
def test_classifiers_are_not_folded_nor_doubled(options):
    with pytest.raises(ValueError, match="for the network alexnet"):
        dataclasses.replace(ALEXNET, **options)


def test_models_stored_before_there_were_these_fields_are_the_same():
    old = {"pyramid": "steerable", "scales": 3, "widths": [64, 64, 64, 3], "mixtures": 1, "head": "paper"}
    assert from_json(ModelConfig, old) == ModelConfig()


def test_skip_connections_add_a_layers_input_where_it_has_as_many_units():
    config = ModelConfig(pyramid="none", widths=(4, 4, 4, 4), skip_connections=True)
    params = pim.init(config, jax.random.key(0))
    layers = params["frontend"]["band0"]
    for layer in (1, 2):
        layers[f"conv{layer}"] = jax.tree.map(jnp.zeros_like, layers[f"conv{layer}"])
    image = jax.random.uniform(jax.random.key(1), (1, 16, 17, 3))
    without = dataclasses.replace(config, widths=(4, 4))
    short = {"frontend": {"band0": {"conv0": layers["conv0"], "conv1": layers["conv3"]}}}
    short |= {part: params[part] for part in ("marginal", "full")}
    for found, wanted in zip(pim.features(config, params, image), pim.features(without, short, image), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def layers(config, side):
    """Shapes of the features of an image."""
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(lambda params, image: pim.features(config, params, image), pim.shapes(config), image)


@pytest.mark.parametrize("kind", ["steerable", "laplacian"])
def test_only_the_cnns_are_ever_computed_with_fewer_bits(kind):
    config = ModelConfig(pyramid=kind, scales=2, orientations=1, widths=(8, 3), layers=1)
    params = pim.init(config, jax.random.key(0))

    def run(x, y):
        with jax.default_matmul_precision("default"):
            features = [pim.features(config, params, image) for image in (x, y)]
            return pim.marginal(config, params, features[0]), pim.full(config, params, *features)

    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    program = jax.export.export(jax.jit(run), platforms=["cuda"])(image, image).mlir_module()
    products = [line for line in program.splitlines() if "hlo.convolution" in line or "hlo.dot_general" in line]
    exact = [line for line in products if line.count("HIGHEST") == 2]
    of_cnns = 2 * len(config.widths) * len(config.receptive_fields)
    assert len(exact) > 0 and len(products) - len(exact) == of_cnns


def assert_close(found, wanted, tolerance=1e-4):
    """Relative to the tensor's largest value, as parity is stated."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
