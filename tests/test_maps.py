"""The pictures of distance maps show the values they are given."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from pim_jax.evaluation import maps

LABELS = {"title": "a", "subtitle": "distance 0.5", "text": {}}


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return ((1 + np.sin(x / 7) * np.cos(y / 5)) / 2).astype(np.float32)


def drawn(path, values, **changes):
    maps.draw(values, path, **{"maximum": float(values.max()), **LABELS, **changes})
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")), image.info


@pytest.mark.parametrize("shape", [(64, 64), (65, 83), (300, 500), (512, 768), (700, 40)])
def test_every_value_is_whole_pixels_of_its_colour(tmp_path, shape):
    values = smooth(*shape)
    picture, _ = drawn(tmp_path / "a.png", values, maximum=1.0)
    zoom = max(1, 640 // max(shape))
    expected = (
        matplotlib.colormaps["inferno"](np.sqrt(values), bytes=True)[..., :3].repeat(zoom, axis=0).repeat(zoom, axis=1)
    )
    found = picture[64 : 64 + shape[0] * zoom, 16 : 16 + shape[1] * zoom]
    np.testing.assert_array_equal(found, expected)


def test_one_scale_gives_one_value_one_colour(tmp_path):
    low, _ = drawn(tmp_path / "a.png", np.full((64, 64), 0.25, np.float32), maximum=1.0)
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    ramp[0, 0] = 0.25
    both, _ = drawn(tmp_path / "b.png", ramp, maximum=1.0)
    np.testing.assert_array_equal(low[70, 20], both[70, 20])


def test_a_large_map_is_shrunk_whole(tmp_path):
    values = np.zeros((1500, 3000), np.float32)
    values[:, 1500:] = 1.0
    picture, _ = drawn(tmp_path / "a.png", values)
    assert picture.shape[1] < 2300
    assert picture[500, 500].sum() < 50 < 500 < picture[500, 1800].sum()


def test_the_labels_are_in_the_file(tmp_path):
    _, info = drawn(tmp_path / "a.png", smooth(64, 64), text={"Distance": "0.5", "Weights": "pim-1 abc"})
    assert (info["Distance"], info["Weights"]) == ("0.5", "pim-1 abc")


@pytest.mark.parametrize("name", ["cost $5 and $6", "日本語", "a_{b}^c", "%d", "x" * 300])
def test_any_name_can_be_a_title(tmp_path, name, recwarn, capfd):
    plain, _ = drawn(tmp_path / "plain.png", smooth(64, 64), title="")
    titled, _ = drawn(tmp_path / "titled.png", smooth(64, 64), title=name)
    assert not np.array_equal(plain[:40], titled[:40])
    np.testing.assert_array_equal(plain[64:], titled[64:])
    assert not recwarn
    assert capfd.readouterr() == ("", "")


def test_pyplot_is_left_alone(tmp_path):
    """Drawing must not touch the global figures or the backend of a program that plots for itself."""
    code = """
import pathlib, sys, numpy
from pim_jax.evaluation import maps
maps.draw(numpy.eye(64), pathlib.Path(sys.argv[1]), maximum=1.0, title="", subtitle="", text={})
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"]).returncode == 0
    assert (tmp_path / "a.png").exists()
