"""Agreement with human ratings: rank correlation of distances with opinion scores, for PSNR, SSIM and PIM weights.

    python benchmarks/agreement.py --scores tid.csv --crop 128 --ckpt pim-1 [--ckpt DIR ...]
    python benchmarks/agreement.py --elo originals/ decoded/ elo.csv --crop 256 --ckpt pim-1

A scores file has the columns reference,distorted,score,type, with paths relative to it. For `--elo`, `decoded/` has a
folder of images per method, named as in the column `method` of the table, which gives its `elo`. Needs dm-pix, scipy.

Spearman's correlation is negated where a high score means a close image, so that 1 is perfect. "per type" is
the mean over distortion types of the correlation within each; "pooled" is over all images at once.
"""

import argparse
import csv
import functools
from collections import defaultdict
from pathlib import Path

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

from pim_jax import metric
from pim_jax.data import images
from pim_jax.model import pim as networks

BATCH = 14  # divides the 70 images of a TID2013 reference


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--elo", type=Path, nargs=3, metavar=("ORIGINALS", "DECODED", "TABLE"))
    parser.add_argument("--crop", type=int, help="side of the centre crops; default: whole images")
    parser.add_argument("--ckpt", action="append", default=[], help="weights; `untrained` for random ones")
    args = parser.parse_args()
    metrics = {"PSNR": psnr, "SSIM": ssim}
    for name in args.ckpt:
        pim = untrained() if name == "untrained" else metric.load(name)
        metrics[f"{pim.name} {pim.digest}"] = pim.distance
    if args.scores:
        rows = list(csv.DictReader(args.scores.open()))
        pairs = [(args.scores.parent / row["reference"], args.scores.parent / row["distorted"]) for row in rows]
        scores, types = np.array([float(row["score"]) for row in rows]), [row["type"] for row in rows]
        print(f"| {args.scores} ({len(rows)} images, crop {args.crop}) | pooled | per type |\n|---|---|---|")
        for name, function in metrics.items():
            d = distances(function, pairs, args.crop)
            print(f"| {name} | {-spearmanr(d, scores)[0]:.3f} | {per_type(d, scores, types):.3f} |", flush=True)
    if args.elo:
        originals, decoded, table = args.elo
        elo = {row["method"]: float(row["elo"]) for row in csv.DictReader(table.open())}
        methods = sorted(path.name for path in decoded.iterdir() if path.name in elo and path != originals)
        print(f"| {table} ({len(methods)} methods, crop {args.crop}) | Spearman |\n|---|---|")
        files = [(method, path) for method in methods for path in sorted((decoded / method).iterdir())]
        pairs = [(next(originals.glob(f"{path.stem}.*")), path) for _, path in files]
        for name, function in metrics.items():
            d = distances(function, pairs, args.crop)
            means = [np.mean([v for v, (m, _) in zip(d, files, strict=True) if m == method]) for method in methods]
            print(f"| {name} | {-spearmanr(means, [elo[method] for method in methods])[0]:.3f} |", flush=True)


def distances(function, pairs, crop):
    """The distance of every pair; a reference is given once for a batch of images compared with it."""
    found = np.full(len(pairs), np.nan)
    groups = defaultdict(list)
    for index, (reference, _) in enumerate(pairs):
        groups[reference].append(index)
    for reference, indices in groups.items():
        x = centre(load(reference), crop)[None]
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            y = [centre(load(pairs[index][1]), crop) for index in batch]
            y = np.stack(y + y[:1] * (BATCH - len(y)))  # one shape, one compilation
            found[batch] = np.asarray(function(x, y))[: len(batch)]
    assert not np.isnan(found).any()
    return found


@functools.lru_cache(maxsize=2000)
def load(path):
    return (images.read(path) * 255).round().astype(np.uint8)


def centre(image, side):
    if side is not None:
        top, left = ((length - side) // 2 for length in image.shape[:2])
        image = image[top : top + side, left : left + side]
    return image.astype(np.float32) / 255


def per_type(found, scores, types):
    kinds = np.array(types)
    return np.mean([-spearmanr(found[kinds == k], scores[kinds == k])[0] for k in sorted(set(types))])


def psnr(x, y):
    return -np.asarray(dm_pix.psnr(jnp.broadcast_to(x, y.shape), jnp.asarray(y)))


@jax.jit
def ssim(x, y):
    """On luma, as usual."""
    luma = jnp.array([0.299, 0.587, 0.114])
    x, y = ((image @ luma)[..., None] for image in (jnp.broadcast_to(x, y.shape), y))
    return 1 - dm_pix.ssim(x, y)


def untrained():
    config = networks.ModelConfig()
    return metric.from_params(config, networks.init(config, jax.random.key(0)), name="untrained")


if __name__ == "__main__":
    main()
