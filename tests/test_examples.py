"""The examples do what they say, at a reduced size."""

import importlib.util
import json
import re
from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def as_users():
    """With JAX's own rules of promotion, as in a user's program."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def jpeg():
    return example("jpeg_tables")


@pytest.fixture(scope="module")
def parrots(jpeg):
    return Image.open(jpeg.PHOTOGRAPHS / "parrots.png").convert("RGB")


def tables(file):
    return np.array([Image.open(BytesIO(file)).quantization[k] for k in (0, 1)]).reshape(2, 8, 8)


def test_the_model_of_jpeg_decodes_what_pillow_does(jpeg, parrots):
    """But for what Pillow rounds on the way, which is much less than what the quantisation changes."""
    file, x = jpeg.written(parrots, quality=30), jpeg.pixels(parrots)
    modelled = jpeg.decoded(list(map(jpeg.quantised, jpeg.coefficients(x), tables(file).astype(np.float32))))
    decoded = jpeg.pixels(Image.open(BytesIO(file)))
    assert np.abs(modelled - decoded).mean() < 0.25 * np.abs(x - decoded).mean()


def test_pillow_writes_the_tables_that_it_is_given(jpeg, parrots):
    given = np.arange(1, 129).reshape(2, 8, 8)
    assert np.array_equal(tables(jpeg.written(parrots, qtables=given.reshape(2, 64).tolist())), given)


def test_the_rate_is_the_entropy_of_rounded_laplace_variables(jpeg):
    c = np.random.default_rng(0).laplace(scale=8, size=(30, 40, 1, 8, 8)).astype(np.float32)
    table = np.geomspace(1, 200, 64, dtype=np.float32).reshape(8, 8)
    scale = np.abs(c).mean((0, 1, 2))
    scale[0, 0] = np.abs(np.diff(c[..., 0, 0].ravel())).mean()
    edges = np.arange(-2000.5, 2001)[:, None, None] * table
    expected = 1200 * stats.entropy(np.diff(stats.laplace.cdf(edges, scale=scale), axis=0), base=2).sum()
    assert float(jpeg.bits(jnp.asarray(c), table)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow(kept="the model of JPEG")
def test_optimised_tables_are_closer_in_no_larger_files(jpeg, monkeypatch, tmp_path, capsys):
    jpeg.main(steps=20, qualities=(25,), out=tmp_path / "tables.png")
    found = re.findall(r"(\w+): ([\d.]+) bpp, PIM ([\d.]+)", capsys.readouterr().out)
    for (_, rate, distance), (_, our_rate, our_distance) in zip(found[::2], found[1::2], strict=True):
        assert float(our_rate) <= float(rate)
        assert float(our_distance) < float(distance)
    assert Image.open(tmp_path / "tables.png").width > 500


@pytest.mark.slow(kept="each of its calls, in test_metric.py")
def test_the_autoencoder_learns_by_pim(tmp_path):
    autoencoder = example("autoencoder")
    x = np.asarray(Image.open(autoencoder.PHOTOGRAPHS / "parrots.png"), np.float32)[:64, :64] / 255
    models = [autoencoder.train([x], autoencoder.LOSSES["PIM"], steps, batch=1) for steps in (0, 20)]
    before, after = (float(autoencoder.pim.distance(x, model(x[None])[0])) for model in models)
    assert after < 0.7 * before
    autoencoder.main(steps=1, batch=1, out=tmp_path / "both.png")
    assert Image.open(tmp_path / "both.png").width > 500


@pytest.mark.slow(kept="each of its calls, in test_metric.py")
def test_pixels_are_moved_until_pim_says_equal(tmp_path, capsys):
    example("metamers").main(steps=30, size=32, out=tmp_path / "metamers.png")
    for before, after in re.findall(r": ([\d.]+) to ([\d.]+) in", capsys.readouterr().out):
        assert float(after) < 0.5 * float(before)
    assert Image.open(tmp_path / "metamers.png").width > 500


def test_pairs_are_measured_on_all_devices(tmp_path, capsys):
    """Twenty on eight devices: the last batch is not full."""
    sharded = example("sharded")
    sharded.main(count=20, batch_per_device=1, size=16, out=tmp_path / "sharded.png")
    printed = re.search(r"pim-fast: ([\d.]+) ± ([\d.]+) over 20 pairs on 8 devices", capsys.readouterr().out)
    pim = sharded.metrics.load("pim-fast")
    batches = sharded.batches(20, 8, 16)
    d = np.concatenate([pim.distance(b["targets"], b["predictions"])[b["mask"]] for b in batches])
    assert [float(x) for x in printed.groups()] == pytest.approx([d.mean(), d.std(ddof=1) / 20**0.5], abs=1e-4)
    assert Image.open(tmp_path / "sharded.png").width > 500


@pytest.mark.slow(kept="each of its calls, in test_metric.py and test_accumulate.py")
def test_the_notebook_runs():
    names = {}
    for cell in json.loads((EXAMPLES / "pim.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert float(names["against"](names["image"])) < 0.5 * float(names["against"](names["start"]))
    assert names["measured"].compute()["pim"].count == 8 * 16 * 3
