"""A fast PIM: bands folded into blocks of 2 x 2, the finest three of 4 x 4, and six layers of 3 x 3. Otherwise `pim1`.

Command:  python train.py configs/fast.py --workdir runs/fast --data DATA
Without an accelerator, add `batch=32 steps=1000 beta_steps=800 "learning_rate_drops=(700,900)"`, as for `pim1`.
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim1 = load(Path(__file__).with_name("pim1.py"), (Config,))
model = dataclasses.replace(pim1.model, folding=(1, 2, 2, 2, 2, 4, 4, 4), widths=(32, 32, 32, 32, 32, 3), support=3)
config = dataclasses.replace(pim1, model=model)
