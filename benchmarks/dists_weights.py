"""Writes pim_jax/baselines/dists.npz: how much DISTS counts every channel, from its authors' package on PyPI.

    pip download --no-deps dists-pytorch==0.1 && python benchmarks/dists_weights.py DISTS_pytorch-0.1-py3-none-any.whl

The package holds them as a pickle, which could run any code when loaded. It is not loaded: the numbers of its two
arrays are the last bytes of a file with a known SHA-256, each after their count.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np

OUT = Path(__file__).parents[1] / "pim_jax" / "baselines" / "dists.npz"
SHA256 = "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"
CHANNELS = 3 + 64 + 128 + 256 + 512 + 512


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        content = wheel.read("DISTS_pytorch/weights.pt")
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{sys.argv[1]} is not dists-pytorch 0.1")
    array = np.dtype([("count", "<i8"), ("values", "<f4", CHANNELS)])
    alpha, beta = np.frombuffer(content[-2 * array.itemsize :], array)
    assert alpha["count"] == beta["count"] == CHANNELS
    np.savez(OUT, structure=alpha["values"], texture=beta["values"])


if __name__ == "__main__":
    main()
