"""Draws what whitening does to z, from whitening.json: python docs/whitening.py [WEIGHTS DATA]

With arguments it measures first, which takes some minutes: how far z differs between neighbouring frames with noise,
along its principal directions. WEIGHTS are as they were trained, not whitened, and DATA is a training set.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pictures import DOCS, save

from pim_jax import metric
from pim_jax.training import whiten

MEASURED = DOCS / "whitening.json"
REGULARISATION = 0.001  # that of the bundled pim-1


def measure(weights: str, data: str) -> np.ndarray:
    """The variances of the difference, [bands, directions], the largest first."""
    pim = metric.load(weights)
    covariances = whiten.covariances(pim.config, pim.params, Path(data))
    return np.linalg.eigvalsh(covariances)[:, ::-1].clip(0)


def whitened(variances: np.ndarray) -> np.ndarray:
    """The same after `whiten.whiten`, which divides z by the root of the variance and a little more."""
    return variances / (variances + REGULARISATION * variances.mean(1, keepdims=True))


def draw(variances: np.ndarray) -> Figure:
    """What share of the distance each band has, before and after: a bar for each band, cut into the directions of z."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = {"as trained": variances, "whitened": whitened(variances)}
    for axes, (title, values) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        shares, bands = 100 * values / values.sum(), np.arange(1, len(values) + 1)
        for bottom, share in zip((shares.cumsum(1) - shares).T, shares.T, strict=True):
            axes.bar(bands, share, bottom=bottom, color="tab:blue", edgecolor="white", linewidth=0.7)
        axes.set(title=title, xlabel="band, from low to high frequencies", xticks=bands)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of the distance, per cent")
    return figure


if __name__ == "__main__":
    if sys.argv[1:]:
        measured = {"command": " ".join(["python", *sys.argv]), "variances": measure(*sys.argv[1:]).tolist()}
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    save(draw(np.array(json.loads(MEASURED.read_text())["variances"])), "whitening.png")
