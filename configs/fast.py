"""A fast PIM: bands folded into blocks of 2 x 2, the finest three of 4 x 4, and six layers of 3 x 3. Otherwise `pim1`.

Command:  python train.py configs/fast.py --workdir runs/fast --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim1 = load(Path(__file__).with_name("pim1.py"), (Config,))
folding = (1, 2, 2, 2, 2, 4, 4, 4)
model = dataclasses.replace(pim1.model, folding=folding, widths=(32, 32, 32, 32, 32, 3), support=3, normalisation=1.0)
config = dataclasses.replace(pim1, model=model)
