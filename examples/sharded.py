"""The mean distance of a thousand pairs, measured on all devices at once, with its standard error.

    python examples/sharded.py
    XLA_FLAGS=--xla_force_host_platform_device_count=2 python examples/sharded.py  # a CPU as two devices

Every device takes its part of a batch. The accumulators merge what the devices find, and keep nothing of the images.
The pairs are crops of the bundled photographs, which were distorted by noise, blur and JPEG compression. The picture
runs/sharded.png shows how the mean settles.
"""

from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from matplotlib.figure import Figure
from PIL import Image

from pim_jax import accumulate, metrics

IMAGES = Path(metrics.__file__).parent / "assets" / "images"  # or a folder of yours with reference/ and distorted/


def read(folder):
    return [np.asarray(Image.open(f).convert("RGB"), np.float32) / 255 for f in sorted(folder.iterdir())]


def batches(count, batch, size):
    """Crops of `count` pairs, drawn at random. All batches have one size; in the last one a mask tells what counts."""
    photographs = list(zip(read(IMAGES / "reference"), read(IMAGES / "distorted"), strict=True))
    random = np.random.default_rng(0)

    def pair():
        x, y = photographs[random.integers(len(photographs))]
        i, j = (random.integers(n - size + 1) for n in x.shape[:2])
        return [image[i : i + size, j : j + size] for image in (x, y)]

    for start in range(0, count, batch):
        targets, predictions = map(np.stack, zip(*(pair() for _ in range(batch)), strict=True))
        yield {"targets": targets, "predictions": predictions, "mask": start + np.arange(batch) < count}


def main(count=1000, batch_per_device=16, size=64, out="runs/sharded.png"):
    sharding = NamedSharding(jax.make_mesh((jax.device_count(),), ("data",)), P("data"))
    names = "pim-fast", "gmsd"
    measured = nnx.MultiMetric(**{name: accumulate.MeanDistance(metrics.load(name)) for name in names})
    update = nnx.jit(lambda measured, batch: measured.update(**batch))
    history = []
    for batch in batches(count, batch_per_device * jax.device_count(), size):
        update(measured, jax.device_put(batch, sharding))
        history.append(measured.compute())
    for name, (mean, error, n) in history[-1].items():
        print(f"{name}: {mean:.4f} ± {error:.4f} over {n} pairs on {jax.device_count()} devices")

    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        means, errors, counts = np.array([estimates[name] for estimates in history]).T
        axes.plot(counts, means)
        axes.fill_between(counts, means - errors, means + errors, alpha=0.3)
        axes.set(title=name, xlabel="pairs", ylabel="mean distance ± standard error")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


if __name__ == "__main__":
    main()
