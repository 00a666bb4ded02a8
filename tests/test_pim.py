"""The networks agree with the official implementation, and windows with whole bands."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax import convert
from pim_jax.model import mixture, pim
from pim_jax.model.pim import ModelConfig

SMALL = ModelConfig(widths=(8, 6, 3))
PYRAMIDS = [SMALL, *(dataclasses.replace(SMALL, pyramid=kind) for kind in ("laplacian", "none"))]


def official(golden_folder, name):
    return convert.to_model(*convert.read(golden_folder / name)[:2])


@pytest.mark.parametrize("size", ["s0", "s2"])
@pytest.mark.parametrize("name", ["pim-1", "pim-5"])
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


@pytest.mark.parametrize("config", PYRAMIDS, ids=lambda config: config.pyramid)
@pytest.mark.parametrize("size", [(64, 64), (51, 70)])
def test_windows_are_cut_out_of_whole_bands(config, size):
    params, image = pim.init(config, jax.random.key(0)), jax.random.uniform(jax.random.key(1), (1, *size, 3))
    whole = pim.features(config, params, image)
    cropped = pim.features(config, params, image, centre=8)
    for band, window, spans in zip(whole, cropped, pim.centres(config, whole, 8), strict=True):
        rows, columns = (slice(*span) for span in spans)
        np.testing.assert_allclose(window, band[:, rows, columns], atol=1e-6)


def test_window_larger_than_a_band_is_the_whole_band():
    params, image = pim.init(SMALL, jax.random.key(0)), jax.random.uniform(jax.random.key(1), (1, 24, 40, 3))
    whole, cropped = (pim.features(SMALL, params, image, centre=centre) for centre in (None, 64))
    for band, window in zip(whole, cropped, strict=True):
        np.testing.assert_array_equal(window, band)


@pytest.mark.parametrize("config", PYRAMIDS, ids=lambda config: config.pyramid)
def test_windows_are_aligned_across_scales(config):
    bands = pim.features(config, pim.init(config, jax.random.key(0)), jnp.zeros((1, 64, 64, 3)))
    points = {
        grid.stride * (span[0] + 4) + grid.offset
        for (span, _), grid in zip(pim.centres(config, bands, 8), config.grids, strict=True)
    }
    assert len(points) == 1


@pytest.mark.parametrize(
    "options", [{"pyramid": "wavelet"}, {"orientations": 3}, {"widths": ()}, {"mixtures": 0}, {"head": "tail"}], ids=str
)
def test_impossible_models_are_refused(options):
    (field,) = options
    with pytest.raises(ValueError, match=f"model.{field} must be"):
        ModelConfig(**options)


def assert_close(found, wanted, tolerance=1e-4):
    """Relative to the tensor's largest value, as parity is stated."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
