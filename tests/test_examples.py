"""The examples do what they say, at a reduced size."""

import importlib.util
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.slow(kept="each of its calls, in test_metric.py")
def test_optimised_tables_are_closer_in_no_larger_files(tmp_path, capsys):
    example("jpeg_tables").main(steps=8, qualities=(25,), out=tmp_path / "tables.png")
    found = re.findall(r"(\w+): (\d+) bytes, PIM ([\d.]+)", capsys.readouterr().out)
    assert [name for name, *_ in found] == 3 * ["standard", "optimised"]
    for (_, size, distance), (_, our_size, our_distance) in zip(found[::2], found[1::2], strict=True):
        assert int(our_size) <= int(size)
        assert float(our_distance) < float(distance)
    assert Image.open(tmp_path / "tables.png").width > 500


@pytest.mark.slow(kept="each of its calls, in test_metric.py")
def test_the_autoencoder_learns_by_pim(tmp_path):
    autoencoder = example("autoencoder")
    x = np.asarray(Image.open(autoencoder.PHOTOGRAPHS / "parrots.png"), np.float32)[:64, :64] / 255
    models = [autoencoder.train([x], autoencoder.LOSSES["PIM"], steps, batch=1) for steps in (1, 20)]
    before, after = (float(autoencoder.pim.distance(x, model(x[None])[0])) for model in models)
    assert after < 0.7 * before
    autoencoder.main(steps=1, batch=1, out=tmp_path / "both.png")
    assert Image.open(tmp_path / "both.png").width > 500


@pytest.mark.nightly
def test_pixels_are_moved_until_pim_says_equal(tmp_path, capsys):
    example("metamers").main(steps=30, size=32, out=tmp_path / "metamers.png")
    for before, after in re.findall(r": ([\d.]+) to ([\d.]+) in", capsys.readouterr().out):
        assert float(after) < 0.5 * float(before)
    assert Image.open(tmp_path / "metamers.png").width > 500


@pytest.mark.slow(kept="the accumulator over a mesh, in test_accumulate.py")
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
