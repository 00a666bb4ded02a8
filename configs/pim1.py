"""PIM-1, the default metric. With one mixture component the distance has a closed form and is differentiable.

Command:  python train.py configs/pim1.py --workdir runs/pim1 --data DATA
Without an accelerator, add `batch=32 steps=1000 beta_steps=800 "learning_rate_drops=(700,900)"`. That takes about an
hour on two cores.
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim5 = load(Path(__file__).with_name("pim5.py"), (Config,))
config = dataclasses.replace(pim5, model=dataclasses.replace(pim5.model, mixtures=1))
