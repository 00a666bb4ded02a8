"""benchmarks/shift_sensitivity.py compares shifts with distortions on the pictures, for any metric."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pim_jax import baselines, metric

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ROOT / "pim_jax" / "assets" / "images"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("shift_sensitivity", ROOT / "benchmarks" / "shift_sensitivity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_figure_is_the_distance_to_a_shift_over_that_to_the_distortion(script):
    ssim = baselines.load("ssim")
    logs = []
    for name, suffix in (("boats", ".png"), ("lighthouse", ".png"), ("parrots", ".jpg")):
        paths = PHOTOGRAPHS / "reference" / f"{name}.png", PHOTOGRAPHS / "distorted" / f"{name}{suffix}"
        x, y = (np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in paths)
        whole = float(ssim.distance(x[:, 5:], y[:, 5:]))
        logs.append([np.log(float(ssim.distance(x[:, 5:], x[:, 5 - k : -k])) / whole) for k in range(1, 6)])
    np.testing.assert_allclose(script.sensitivity(ssim), np.exp(np.mean(logs, 0)), rtol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["not folded", "folded by 2", "folded by 4"])
def test_random_networks_mind_a_longer_shift_more(script, name):
    (random,) = script.drawn(script.FOLDINGS[name], 1)
    assert isinstance(random, metric.Pim) and random.config.folding == script.FOLDINGS[name]
    found = script.sensitivity(random)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all()
