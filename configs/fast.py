"""A fast PIM: bands folded into 2 x 2 blocks, six layers of 3 x 3, and z normalised. Otherwise `pim1`.

Command:  python train.py configs/fast.py --workdir runs/fast --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim1 = load(Path(__file__).with_name("pim1.py"), (Config,))
model = dataclasses.replace(pim1.model, folding=(1, 2), widths=(32, 32, 32, 32, 32, 3), support=3, normalisation=1.0)
config = dataclasses.replace(pim1, model=model)
