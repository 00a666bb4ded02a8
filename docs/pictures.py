"""Draws the pictures of the README from the bundled photographs and weights: python docs/pictures.py

It needs `pip install 'pim-jax[benchmarks,eval]'`, and takes some minutes on a CPU. Distances that `eval.py --benchmark
imagenet-c` has measured are not measured again.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pim_jax import baselines, metric
from pim_jax.data import images
from pim_jax.evaluation import datasets, store
from pim_jax.evaluation.measure import measure
from pim_jax.evaluation.store import Store
from pim_jax.writing import replacing

DOCS = Path(__file__).parent
PHOTOGRAPHS = DOCS.parent / "pim_jax" / "assets" / "images"
SHOWN = {"parrots": ("JPEG", ".jpg"), "lighthouse": ("blur", ".png"), "boats": ("noise", ".png")}
COMPARED = ("psnr", "ms-ssim", "nlpd", "lpips-alex", "lpips-alex-lin")


def maps(pim: metric.Pim) -> Figure:
    """A row for every photograph: the reference, the distorted one, and where they differ."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    for row, (name, (distortion, suffix)) in zip(figure.subplots(3, 3), SHOWN.items(), strict=True):
        x = images.read(PHOTOGRAPHS / "reference" / f"{name}.png")
        y = images.read(PHOTOGRAPHS / "distorted" / f"{name}{suffix}")
        values = np.asarray(pim.distance_map(x, y))
        titles = "reference", distortion, f"distance map, mean {values.mean():.3f}"
        for axes, title, shown in zip(row, titles, (x, y, values), strict=True):
            drawn = axes.imshow(shown, cmap="inferno", vmin=0)
            axes.set_title(title)
            axes.set_axis_off()
        figure.colorbar(drawn, ax=row[-1])
    return figure


def equivalent_noise(pim: metric.Pim) -> Figure:
    """For each corruption, the noise that a metric finds as bad."""
    metrics = {loaded.name: loaded for loaded in (*map(baselines.load, COMPARED), pim)}
    benchmark = datasets.read("imagenet-c", PHOTOGRAPHS / "reference")
    with Store(store.path()) as kept:
        distances, problems = measure(metrics, benchmark.pairs, kept)
    if problems:
        raise SystemExit(f"could not be measured: {problems}")
    return benchmark.figures(distances)["Equivalent noise of all corruptions (Fig. 6)"]


def save(figure: Figure, name: str) -> None:
    """Writes a PNG of 256 colours. It is a third as large as one with all colours."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi="figure")
    with replacing(DOCS / name) as temporary:
        Image.open(drawn).convert("RGB").quantize(256).save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    default = metric.load("pim-1")
    save(maps(default), "map.png")
    save(equivalent_noise(default), "equivalent-noise.png")
