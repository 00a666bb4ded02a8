"""The picture of agreement against time shows what was measured, and its labels are apart."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from marks import slow
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    sys.path.insert(0, str(DOCS))
    spec = importlib.util.spec_from_file_location("agreement_and_time", DOCS / "agreement_and_time.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(DOCS))


def times(seconds):
    """What benchmarks/peers.py would have measured."""
    rows = [{"metric": name, "framework": "JAX", "turn": 1, "value": value} for name, value in seconds.items()]
    return {
        "machine": {"processor": "a processor", "cores": 2},
        "metrics": [{"metric": name, "is_weights": name.startswith("pim")} for name in seconds],
        "measurements": [{**row, "figure": "forward", "size": [512, 768]} for row in rows],
    }


def test_a_time_is_the_median_of_the_faster_framework(script):
    rows = [
        {"metric": "a", "framework": framework, "figure": figure, "size": size, "turn": turn, "value": value}
        for framework, figure, size, values in (
            ("JAX", "forward", [512, 768], [90, 3, 4, 8]),
            ("PyTorch", "forward", [512, 768], [1, 7, 2, 3]),
            ("PyTorch", "forward", [256, 256], [1, 1, 1, 1]),
            ("JAX", "gradient", [512, 768], [1, 1, 1, 1]),
        )
        for turn, value in enumerate(values)
    ]
    assert script.medians({"measurements": rows}) == {"a": 3}


def test_agreement_is_that_of_the_page(script):
    page = (DOCS / "agreement.md").read_text(encoding="utf-8")
    tid, raid = (script.agreement(page, data) for data in script.DATA)
    assert (tid["PSNR"], raid["PSNR"]) == (0.756, 0.265)
    times = json.loads((DOCS / "times.json").read_text(encoding="utf-8"))
    assert script.medians(times).keys() >= tid.keys() | raid.keys() > {"PSNR", "VSI", "LPIPS-alex-lin", "pim-fast"}


@pytest.mark.parametrize("seed", [0, *slow(1, kept="one layout")])
def test_dots_are_where_measured_and_no_label_is_over_another(script, seed):
    random = np.random.default_rng(seed)
    names = ["PSNR", "SSIM", "MS-SSIM", "NLPD", "LPIPS-alex", "LPIPS-alex-lin", "LPIPS-vgg-lin", "SSIMULACRA"]
    names += ["Butteraugli-1", "Butteraugli-6", "pim-1", "pim-5", "pim-fast"]
    seconds = {name: float(10 ** random.uniform(-2, 1)) for name in names}
    # Two near each other, as two heads of one network are.
    seconds["LPIPS-alex-lin"] = seconds["LPIPS-alex"]
    agreements = {data: {name: float(random.uniform(0.2, 0.8)) for name in names} for data in ("TID2013", "RAID")}
    figure = script.draw(times(seconds), agreements)
    figure.draw_without_rendering()
    for axes, found in zip(figure.axes, agreements.values(), strict=True):
        dots = [tuple(line.get_xydata()[0]) for line in axes.lines]
        assert dots == [(seconds[name], found[name]) for name in names]
        labels = [child for child in axes.get_children() if isinstance(child, Annotation)]
        assert sorted(text.get_text() for text in labels) == sorted(names)
        boxes = [Text.get_window_extent(text) for text in labels]  # without their lines
        assert not [pair for pair in itertools.combinations(boxes, 2) if Bbox.intersection(*pair)]
