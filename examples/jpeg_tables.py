"""Quantisation tables of JPEG for PIM: files of the same size that PIM finds closer to the photograph.

    python examples/jpeg_tables.py

JPEG divides the 64 frequencies of every block of 8 x 8 pixels by a table and rounds them. The file carries one table
for luma and one for chroma, so an encoder may choose them. Here a search chooses them for each photograph. It bends
the standard tables at random, and keeps what PIM finds closer: an evolution strategy with one parent and one child.
Every candidate is a file that Pillow wrote, never larger than the one with the standard tables. The picture is
runs/jpeg_tables.png.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pim_jax import metric

PHOTOGRAPHS = Path(metric.__file__).parent / "assets" / "images" / "reference"  # or a folder of yours
FREQUENCY = np.add.outer(np.arange(8), np.arange(8)) / 14  # 0 for the mean of a block, 1 for the finest pattern

pim = metric.load()


def pixels(image):
    return np.asarray(image.convert("RGB"), np.float32) / 255


def decoded(file):
    return pixels(Image.open(BytesIO(file)))


def written(image, **options):
    """The bytes of a JPEG file."""
    file = BytesIO()
    image.save(file, "JPEG", optimize=True, **options)
    return file.getvalue()


def bent(tables, shape):
    """The tables, [2, 8, 8], coarser or finer for high frequencies, for those in the middle, and for chroma."""
    high, middle, chroma = shape
    bend = high * FREQUENCY + middle * 4 * FREQUENCY * (1 - FREQUENCY)
    return tables * np.exp([bend, bend + chroma])


def fitted(image, tables, size):
    """The file with the finest multiple of the tables that has at most `size` bytes."""
    file, low, high = b"", np.log(0.1), np.log(10)
    for _ in range(10):
        scale = (low + high) / 2
        integers = np.clip(np.rint(np.exp(scale) * tables), 1, 255).astype(int).reshape(2, 64).tolist()
        candidate = written(image, qtables=integers)
        if len(candidate) <= size:
            file, high = candidate, scale
        else:
            low = scale
    return file


def optimised(image, standard, steps):
    """A file that is at most as large as the standard one, and at most as far from the image."""
    tables = np.array([Image.open(BytesIO(standard)).quantization[k] for k in (0, 1)], float).reshape(2, 8, 8)
    x, random = pixels(image), np.random.default_rng(0)
    best, least, shape, width = standard, pim.distance(x, decoded(standard)), np.zeros(3), 0.5
    for _ in range(steps):
        child = shape + width * random.normal(size=3)
        file = fitted(image, bent(tables, child), len(standard))
        distance = pim.distance(x, decoded(file)) if file else np.inf
        if distance < least:
            best, least, shape, width = file, distance, child, 1.5 * width
        else:
            width *= 1.5**-0.25  # a fifth of the children shall be better than their parents
    return best


def main(steps=30, qualities=(10, 25, 50), out="runs/jpeg_tables.png"):
    photographs = sorted(PHOTOGRAPHS.iterdir())
    figure = Figure(figsize=(13, 9), layout="constrained")
    for row, photograph in zip(figure.subplots(len(photographs), 3), photographs, strict=True):
        image = Image.open(photograph).convert("RGB")
        x, curves = pixels(image), {"standard": [], "optimised": []}
        for quality in qualities:
            standard = written(image, quality=quality)
            for name, file, axes in zip(curves, (standard, optimised(image, standard, steps)), row, strict=False):
                y = decoded(file)
                distance, mse = float(pim.distance(x, y)), ((x - y) ** 2).mean()
                curves[name].append((len(file), distance))
                title = f"{name}: {len(file)} bytes, PIM {distance:.3f}, MSE {mse:.5f}"
                print(f"{photograph.stem}, quality {quality}, {title}", flush=True)
                if quality == qualities[0]:
                    axes.imshow(y)
                    axes.set_title(title.replace(" bytes, ", " bytes\n"))
                    axes.set_axis_off()
        for name, points in curves.items():
            row[2].semilogy(*zip(*points, strict=True), marker="o", label=name)
        row[2].set(xlabel="bytes", ylabel="PIM")
        row[2].legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


if __name__ == "__main__":
    main()
