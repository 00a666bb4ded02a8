"""How far a shift of 1 to 5 pixels moves a distance, relative to a distortion, with and without folding.

    python benchmarks/shift_sensitivity.py [WEIGHTS ...] [--draws 3]

People hardly notice such a shift (the paper's section 3.2). Folding by 2 or 4 keeps equivariance only for shifts by a
multiple of that. So the script measures the network of `configs/fast.py` with random parameters, not folded and folded
by 2 and by 4, and beside it WEIGHTS: names of bundled weights or folders.

The images are the bundled pairs: a photograph, and its copy after JPEG compression, blur or noise. A shift is a cut
from the photograph some columns to the left, so that nothing is made up at the border. A figure is the distance to that
cut over the distance to the distorted copy, as the geometric mean over photographs. Of random networks it is the mean
over draws, with the least and the greatest. Agreement with people under shifts is `eval.py --benchmark iqa --shift`.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from pim_jax import metric, metrics
from pim_jax.configuration import load
from pim_jax.data import images
from pim_jax.model import pim as networks
from pim_jax.training.config import Config

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ROOT / "pim_jax" / "assets" / "images"
SHIFTS = (1, 2, 3, 4, 5)
FOLDINGS = {"not folded": (1,), "folded by 2": (1, 2), "folded by 4": (1, 4)}


def main():
    args = parse()
    loaded = [metrics.load(name) for name in args.weights]
    print(f"| distance to a shift / to a distortion | {' | '.join(f'{k} px' for k in SHIFTS)} |")
    print("|---" * (1 + len(SHIFTS)) + "|")
    for measured in loaded:
        print(f"| {measured.name} | {' | '.join(f'{value:.3f}' for value in sensitivity(measured))} |", flush=True)
    for name, folding in FOLDINGS.items():
        found = np.array([sensitivity(random) for random in drawn(folding, args.draws)])
        cells = (f"{of.mean():.3f} ({of.min():.3f} to {of.max():.3f})" for of in found.T)
        print(f"| random, {name} | {' | '.join(cells)} |", flush=True)


def drawn(folding: tuple[int, ...], draws: int) -> Iterator[metric.Pim]:
    """The network of `configs/fast.py` with another folding and random parameters."""
    fast = load(ROOT / "configs" / "fast.py", (Config,)).model
    model = dataclasses.replace(fast, folding=folding)
    for seed in range(draws):
        yield metric.from_params(model, networks.init(model, jax.random.key(seed)))


def sensitivity(measured: metrics.Metric) -> np.ndarray:
    """The distance to each of `SHIFTS` over that to the distortion, the geometric mean over photographs."""
    logs = []
    for reference, distorted in pairs():
        start, width = max(SHIFTS), reference.shape[1] - max(SHIFTS)
        others = [distorted[:, start:], *(reference[:, start - shift :][:, :width] for shift in SHIFTS)]
        to_distortion, *to_shifts = np.asarray(measured.distance(reference[None, :, start:], np.stack(others)))
        logs.append(np.log(np.array(to_shifts) / to_distortion))
    return np.exp(np.mean(logs, 0))


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    folders = (sorted((PHOTOGRAPHS / folder).iterdir()) for folder in ("reference", "distorted"))
    return [tuple(map(images.read, paths)) for paths in zip(*folders, strict=True)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help="names of bundled weights, or folders")
    parser.add_argument("--draws", type=int, default=3, help="of random parameters (default: %(default)s)")
    args = parser.parse_args()
    if args.draws < 1:
        parser.error(f"--draws must be at least 1, not {args.draws}")
    return args


if __name__ == "__main__":
    main()
