"""SSIMULACRA, SSIMULACRA 2 and Butteraugli, computed by the programs of libjxl.

Debian and Ubuntu have them in the package libjxl-devtools, and SSIMULACRA 2 from libjxl 0.8 on: Debian from 13 on. Not
differentiable, and not symmetric: the programs judge what became of the first image.
"""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.baselines.baseline import Baseline

PIXELS_PER_BATCH = 2**22  # many images, for as many processes as there are processors
SMALLEST = 8  # pixels; of less, Butteraugli reports no difference whatever it is
TIMEOUT = 600  # seconds for one pair


def ssimulacra() -> Baseline:
    """SSIMULACRA, the first: 0 for equal images, at most 1.

    Raises:
      FileNotFoundError: the program `ssimulacra_main` is not installed.

    References:
      Sneyers: Detecting the psychovisual impact of compression related artifacts using SSIMULACRA. 2017.
    """
    return _baseline("SSIMULACRA", "ssimulacra_main", (), r"^(\S+)$")


def ssimulacra2() -> Baseline:
    """100 - SSIMULACRA 2: 0 for equal images, 100 and more for strong distortions.

    Raises:
      FileNotFoundError: the program `ssimulacra2` is not installed.

    References:
      Sneyers: Detecting the psychovisual impact of compression related artifacts using SSIMULACRA 2. 2023.
    """
    return _baseline("SSIMULACRA2", "ssimulacra2", (), r"^(\S+)$", best=100.0)


def butteraugli(norm: int) -> Baseline:
    """Butteraugli, averaged over the image as libjxl does: the mean of the norms of orders p, 2p and 4p of its map.

    Args:
      norm: p.

    Raises:
      FileNotFoundError: the program `butteraugli_main` is not installed.

    References:
      Alakuijala et al.: Guetzli: perceptually guided JPEG encoder. 2017.
    """
    pattern = rf"^{norm}-norm: (\S+)$"  # the line before it is the maximum
    return _baseline(f"Butteraugli-{norm}", "butteraugli_main", ("--pnorm", str(norm)), pattern)


def _baseline(
    name: str, program: str, options: tuple[str, ...], pattern: str, *, best: float | None = None
) -> Baseline:
    """A metric that a program prints; with `best`, what equal images get, it prints a similarity."""
    path = shutil.which(program)
    if path is None:
        of = " of libjxl 0.8 or newer" if program == "ssimulacra2" else ""
        raise FileNotFoundError(
            f"the program {program}{of} is not installed: apt install libjxl-devtools, or build libjxl with its "
            "development tools and put them on PATH"
        )
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    measure = functools.partial(_measure, (path, *options), pattern)
    compare = functools.partial(_compare, name, measure if best is None else lambda *pair: best - measure(*pair))
    return Baseline(name, f"{program} {digest}", SMALLEST, lambda x: x, compare, PIXELS_PER_BATCH)


def _compare(name: str, measure: Callable[[Path, Path], float], x: jax.Array, y: jax.Array) -> jax.Array:
    """The distances of [N, H, W, 3] images, each pair in a process of its own and repeated pairs once."""
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        raise TypeError(
            f"{name} is computed by a program, so it takes concrete arrays: call it outside of jit and grad"
        )
    x, y = np.broadcast_arrays(np.asarray(x), np.asarray(y))
    with tempfile.TemporaryDirectory(prefix="pim_jax_") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        sides = ([_write(image, Path(folder)) for image in side] for side in (x, y))
        pairs = list(zip(*sides, strict=True))
        unique = list(dict.fromkeys(pairs))
        found = dict(zip(unique, pool.map(measure, *zip(*unique, strict=True)), strict=True))
    return jnp.array([found[pair] for pair in pairs], jnp.float32)


def _measure(command: tuple[str, ...], pattern: str, reference: Path, distorted: Path) -> float:
    """What the program prints for two files."""
    program, *options = command
    try:
        done = subprocess.run(
            [program, str(reference), str(distorted), *options], capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{program} was stopped after {TIMEOUT} seconds for one pair") from None
    printed = re.search(pattern, done.stdout, re.MULTILINE)
    if done.returncode != 0 or printed is None:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise RuntimeError(f"{program} failed with status {done.returncode}; its last words: {said}")
    return float(printed[1])


def _write(image: np.ndarray, folder: Path) -> Path:
    """Writes an image as a PPM named by its content, with 8 bits a channel if these hold it and with 16 otherwise."""
    levels = image.astype(np.float64) * 255
    if np.abs(levels - levels.round()).max() < 1e-3:
        steps, pixels = 255, levels.round().clip(0, 255).astype(np.uint8)
    else:
        steps, pixels = 65535, (image.astype(np.float64) * 65535).round().clip(0, 65535).astype(">u2")
    height, width, _ = image.shape
    content = f"P6\n{width} {height}\n{steps}\n".encode() + pixels.tobytes()
    path = folder / f"{hashlib.sha256(content).hexdigest()}.ppm"
    path.write_bytes(content)
    return path
