"""What the bare installation must do: a distance, and one line for a command whose libraries are not there."""

import subprocess
import sys
from importlib import metadata

import numpy as np

from pim_jax import metric

heavy = {"grain", "tensorflow_datasets", "pyarrow", "av", "PIL", "matplotlib", "tqdm"}
installed = {name for names in metadata.packages_distributions().values() for name in names}
found = sorted(name for name in heavy if name in metadata.packages_distributions())
assert not found, f"the bare core brings {found}"

x, y = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
distance = float(metric.load().distance(x, y))
assert distance > 0
print(f"the core, {len(installed)} packages: the distance of two pictures of noise is {distance:.6g}")

for command in ("eval", "train", "inspect", "prepare", "release", "sweep"):
    extra = "eval" if command == "eval" else "train"
    done = subprocess.run([sys.executable, "-m", f"pim_jax.{command}"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith(f"pip install 'pim-jax[{extra}]'\n"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
