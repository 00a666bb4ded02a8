"""Quantisation tables of JPEG for PIM: files of the same size that PIM finds closer to the photograph.

    python examples/jpeg_tables.py

JPEG divides the 64 coefficients of every block of 8 x 8 pixels by a table and rounds them. The file carries the table,
so an encoder may choose it. Here gradient descent chooses it for each photograph, at the rate of the standard table.
Rounding has no gradient, so that noise stands for it. The rate is estimated: the entropy of coefficients with
Laplace distributions. In the end Pillow writes files with both tables, the optimised one never larger than the
standard one, and PIM compares what is decoded from them. The picture is runs/jpeg_tables.png.
"""

from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from PIL import Image

from pim_jax import metric

PHOTOGRAPHS = Path(metric.__file__).parent / "assets" / "images" / "reference"  # or a folder of yours
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
FREQUENCY, PLACE = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
DCT = np.cos(np.pi * FREQUENCY * (2 * PLACE + 1) / 16, dtype=np.float32) * np.where(FREQUENCY, 0.5, 8**-0.5)

pim = metric.load()
optimizer = optax.adam(0.02)


def coefficients(x):
    """The luma and the two halved chroma planes of [H, W, 3], as blocks: two of [rows, columns, planes, 8, 8]."""
    planes = 255 * x @ YCBCR.T - jnp.array([128, 0, 0])
    halved = planes.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, 3).mean((1, 3))
    cut = [p.reshape(p.shape[0] // 8, 8, p.shape[1] // 8, 8, -1) for p in (planes[..., :1], halved[..., 1:])]
    return [jnp.einsum("fi,rickp,gk->rcpfg", DCT, blocks, DCT) for blocks in cut]


def decoded(coded):
    """The image, [H, W, 3] in [0, 1], whose `coefficients` these are."""
    blocks = [jnp.einsum("fi,rcpfg,gk->rickp", DCT, c, DCT) for c in coded]
    luma, halved = (b.reshape(8 * b.shape[0], 8 * b.shape[2], -1) for b in blocks)
    chroma = jax.image.resize(halved, (*luma.shape[:2], 2), "linear")
    return jnp.clip((jnp.concatenate([luma + 128, chroma], -1) @ np.linalg.inv(YCBCR).T) / 255, 0, 1)


def quantised(c, table):
    """What a decoder makes of coefficients that were divided by the table and rounded."""
    return table * jnp.round(c / table)


def noisy(c, table, key):
    """The same with a gradient: noise in place of rounding, never larger than the coefficient itself."""
    noise = table * jax.random.uniform(key, c.shape, minval=-0.5, maxval=0.5)
    return c + jnp.clip(noise, -jnp.abs(c), jnp.abs(c))


def bits(c, table):
    """The entropy of quantised coefficients, if those of each frequency have a Laplace distribution."""
    steps = jnp.diff(c[..., 0, 0].reshape(-1, c.shape[2]), axis=0)  # for the means of blocks JPEG codes differences
    scale = jnp.abs(c).mean((0, 1, 2)).at[0, 0].set(jnp.abs(steps).mean()) + 1e-3
    ratio = jnp.minimum(table / scale, 40)  # so rare that nothing is coded
    nonzero, decay = jnp.exp(-ratio / 2), jnp.exp(-ratio)  # P(not 0), and P(|level| > n + 1) / P(|level| > n)
    nats = nonzero * (ratio / 2 + jnp.log(2) - jnp.log1p(-decay) + ratio * decay / (1 - decay))
    nats -= (1 - nonzero) * jnp.log1p(-nonzero)
    return nats.sum() / jnp.log(2) * c[..., 0, 0].size


@jax.jit
def step(logarithms, state, coded, against, rate, key):
    def loss(logarithms):
        tables = jnp.exp(logarithms)
        distance = against(decoded(list(map(noisy, coded, tables, jax.random.split(key)))))
        excess = sum(map(bits, coded, tables)) / rate - 1
        return jnp.log(distance) + 100 * excess**2

    change, state = optimizer.update(jax.grad(loss)(logarithms), state)
    return jnp.clip(logarithms + change, 0, jnp.log(255)), state


def optimised(x, tables, steps):
    """Tables, [2, 8, 8] for luma and chroma, of about the same rate."""
    coded, against, logarithms = coefficients(x), pim.against(x), jnp.log(tables)
    rate, state = sum(map(bits, coded, tables)), optimizer.init(logarithms)
    for key in jax.random.split(jax.random.key(0), steps):
        logarithms, state = step(logarithms, state, coded, against, rate, key)
    return np.exp(logarithms)


def written(image, **options):
    """The bytes of a JPEG file."""
    file = BytesIO()
    image.save(file, "JPEG", subsampling="4:2:0", optimize=True, **options)
    return file.getvalue()


def both(image, quality, steps):
    """A file with Pillow's tables, and one with optimised tables that is not larger."""
    standard = written(image, quality=quality)
    tables = np.array([Image.open(BytesIO(standard)).quantization[k] for k in (0, 1)], np.float32).reshape(2, 8, 8)
    tables = optimised(pixels(image), tables, steps)
    for scale in np.geomspace(0.5, 4, 300):
        integers = np.clip(np.rint(scale * tables), 1, 255).astype(int).reshape(2, 64).tolist()
        if len(ours := written(image, qtables=integers)) <= len(standard):
            return standard, ours


def pixels(image):
    return np.asarray(image.convert("RGB"), np.float32) / 255


def main(steps=100, qualities=(10, 25, 50), out="runs/jpeg_tables.png"):
    photographs = sorted(PHOTOGRAPHS.iterdir())
    figure = Figure(figsize=(13, 8), layout="constrained")
    for row, photograph in zip(figure.subplots(len(photographs), 3, squeeze=False), photographs, strict=True):
        image = Image.open(photograph)
        image = image.convert("RGB").crop((0, 0, image.width // 16 * 16, image.height // 16 * 16))
        x, curves = pixels(image), {"standard": [], "optimised": []}
        for quality in qualities:
            for name, file, axes in zip(curves, both(image, quality, steps), row, strict=False):
                y = pixels(Image.open(BytesIO(file)))
                rate, distance = 8 * len(file) / x[..., 0].size, float(pim.distance(x, y))
                psnr = -10 * np.log10(((x - y) ** 2).mean())
                curves[name].append((rate, distance))
                print(f"{photograph.stem}, {quality}, {name}: {rate:.3f} bpp, PIM {distance:.3f}, PSNR {psnr:.2f} dB")
                if quality == qualities[0]:
                    axes.imshow(y)
                    axes.set_title(f"{name}: {rate:.3f} bits per pixel, PIM {distance:.2f}")
                    axes.set_axis_off()
        for name, points in curves.items():
            row[2].loglog(*zip(*points, strict=True), marker="o", label=name)
        row[2].set(xlabel="bits per pixel", ylabel="PIM")
        row[2].legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


if __name__ == "__main__":
    main()
