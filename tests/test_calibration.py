"""docs/calibration.md is what the code computes, and agrees with the independent and published values beside it."""

import importlib.util
import sys
from pathlib import Path

import pytest
from marks import nightly, slow

from pim_jax import baselines, metric

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def calibration():
    """The script that writes the page, as a module."""
    spec = importlib.util.spec_from_file_location("calibration", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["calibration"]


@pytest.fixture(scope="module")
def page(calibration):
    """The text of every metric's section, by its name."""
    _, *sections = calibration.PAGE.read_text(encoding="utf-8").split("\n## ")
    return {text.partition("\n")[0]: text for text in sections}


def load(name):
    try:
        return metric.load(name) if name == "pim-1" else baselines.load(name)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


def cells(section):
    """The text in a section's table, by pair and column."""
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = lines
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def half_a_unit(number):
    return 0.5 * 10.0 ** -len(number.partition(".")[2])


def compare(calibration, page, name, pairs):
    measure = load(name)
    check, section = calibration.CHECKS[name], page[name]
    # Of another build of a library or program the page says nothing, but of other weights it would be wrong.
    current = f"`{measure!r}`" in section
    assert current or name != "pim-1", "the weights are new: python benchmarks/calibration.py"
    for pair, pixels in calibration.pairs_of(name, pairs).items():
        row = dict(zip(calibration.COLUMNS, calibration.row(measure, pair, pixels), strict=True))
        written = {column: "" if text == "-" else text for column, text in cells(section)[pair].items()}
        found = float(row["pim_jax"])
        if current:
            assert found == pytest.approx(float(written["pim_jax"]), rel=1e-3, abs=2e-5), pair
        assert row["independent"] == written.get("independent", "")
        assert row["published"] == written.get("published", "")
        if row["independent"]:
            assert found == pytest.approx(float(row["independent"]), rel=check.rtol, abs=check.atol), pair
        if row["published"]:
            published = float(row["published"])
            tolerance = 1.001 * half_a_unit(row["published"]) + check.published_rtol * abs(published)
            assert float(row["so defined"] or found) == pytest.approx(published, rel=0, abs=tolerance), pair


NAMES = [
    "PSNR",
    "SSIM",
    "MS-SSIM",
    "NLPD",
    "LPIPS-alex",
    "LPIPS-alex-lin",
    "LPIPS-vgg",
    "LPIPS-vgg-lin",
    "DISTS",
    "GMSD",
    "MS-GMSDc",
    "HaarPSI",
    "MDSI",
    "VSI",
    "FSIM",
    "FSIMc",
    "VIFp",
    "CIEDE2000",
    "SSIMULACRA",
    "SSIMULACRA2",
    "Butteraugli-1",
    "Butteraugli-6",
    "pim-1",
]
PIQ = ["GMSD", "MS-GMSDc", "HaarPSI", "MDSI", "VSI", "FSIM", "FSIMc", "VIFp"]
HEAVY = ["DISTS", "LPIPS-vgg", "LPIPS-vgg-lin", "pim-1"]  # five minutes for whole photographs
SHARED = slow(*(name for name in NAMES if name not in HEAVY), kept="the bundled pairs") + nightly(*HEAVY)
BUNDLED = [name for name in NAMES if name not in ("DISTS", "FSIM", "VSI", "LPIPS-vgg", "pim-1")]
BUNDLED += slow("FSIM", "VSI", "LPIPS-vgg", kept="FSIMc and LPIPS-vgg-lin, and tests of their own")
BUNDLED += slow("DISTS", kept="the definition, in test_baselines_dists.py")
BUNDLED += slow("pim-1", kept="official distances, in test_metric.py")


def test_the_page_has_every_metric_and_pair(calibration, page):
    assert list(page) == NAMES == list(calibration.CHECKS)
    common = frozenset(cells(page["PSNR"]))
    varied = {"boats-odd", "parrots-grey", "mosaic"}
    assert len(common) == 11
    assert {frozenset(cells(section)) - varied for section in page.values()} == {common}
    assert [name for name in NAMES if varied <= set(cells(page[name]))] == PIQ


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_pairs(calibration, page, name):
    compare(calibration, page, name, calibration.bundled_pairs())


@pytest.mark.parametrize("name", SHARED)
def test_shared_pairs(calibration, page, name, shared):
    compare(calibration, page, name, calibration.shared_pairs(shared))
