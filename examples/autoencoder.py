"""A small autoencoder, trained three times: with the mean squared error, with PIM, and with both.

    python examples/autoencoder.py

All start from the same parameters and see the same crops of three photographs. The picture runs/autoencoder.png has
what they make of the whole photographs. With PIM alone they are covered by a pattern that PIM takes for texture. So use
PIM together with the MSE.
"""

from pathlib import Path

import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure
from PIL import Image

from pim_jax import metric

PHOTOGRAPHS = Path(metric.__file__).parent / "assets" / "images" / "reference"  # or a folder of yours

pim = metric.load()


def mse(x, y):
    return ((x - y) ** 2).mean()


LOSSES = {
    "MSE": mse,
    "PIM": lambda x, y: pim.against(x)(y).mean(),
    "PIM + 5000 MSE": lambda x, y: pim.against(x)(y).mean() + 5000 * mse(x, y),
}


class Autoencoder(nnx.Module):
    """Every block of 8 x 8 pixels, which are 192 numbers, becomes 16 numbers and pixels again."""

    def __init__(self, rngs: nnx.Rngs, width: int = 64, latents: int = 16):
        self.encoder = nnx.Sequential(
            nnx.Conv(3, width, (4, 4), strides=4, rngs=rngs),
            nnx.gelu,
            nnx.Conv(width, width, (3, 3), rngs=rngs),
            nnx.gelu,
            nnx.Conv(width, latents, (2, 2), strides=2, rngs=rngs),
        )
        self.decoder = nnx.Sequential(
            nnx.ConvTranspose(latents, width, (4, 4), strides=(2, 2), rngs=rngs),
            nnx.gelu,
            nnx.ConvTranspose(width, width // 2, (4, 4), strides=(2, 2), rngs=rngs),
            nnx.gelu,
            nnx.ConvTranspose(width // 2, 3, (4, 4), strides=(2, 2), rngs=rngs),
            nnx.sigmoid,  # PIM compares images in [0, 1]
        )

    def __call__(self, x):
        return self.decoder(self.encoder(x))


def crops(photographs, random, batch, size=64):
    """[batch, size, size, 3] of photographs and places drawn at random."""

    def crop():
        x = photographs[random.integers(len(photographs))]
        i, j = (random.integers(n - size + 1) for n in x.shape[:2])
        return x[i : i + size, j : j + size]

    return np.stack([crop() for _ in range(batch)])


def train(photographs, loss, steps, batch):
    random, model = np.random.default_rng(0), Autoencoder(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(optax.cosine_decay_schedule(3e-3, steps)), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x):
        gradient = nnx.grad(lambda model: loss(x, model(x)))(model)
        optimizer.update(model, gradient)

    for _ in range(steps):
        step(model, optimizer, crops(photographs, random, batch))
    return model


def main(steps=200, batch=4, out="runs/autoencoder.png"):
    photographs = [np.asarray(Image.open(f).convert("RGB"), np.float32) / 255 for f in sorted(PHOTOGRAPHS.iterdir())]
    models = {name: train(photographs, loss, steps, batch) for name, loss in LOSSES.items()}
    figure = Figure(figsize=(13, 7), layout="constrained")
    for row, x in zip(figure.subplots(len(photographs), 1 + len(models)), photographs, strict=True):
        shown = {"photograph": x} | {name: np.asarray(model(x[None])[0]) for name, model in models.items()}
        for axes, (name, y) in zip(row, shown.items(), strict=True):
            axes.imshow(y)
            axes.set_title(f"{name}\nPIM {pim.distance(x, y):.2f}, MSE {mse(x, y):.4f}")
            axes.set_axis_off()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return models, photographs


if __name__ == "__main__":
    main()
