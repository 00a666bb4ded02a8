"""PIM-1: one mixture component, so that the distance has a closed form and is differentiable. The default metric.

Command:  python train.py configs/pim1.py --workdir runs/pim1 --data DATA
Without an accelerator, `batch=32 steps=1000 beta_steps=400 "learning_rate_drops=(700,900)"` takes about an hour on two
cores.
"""

from pim_jax.model.pim import ModelConfig
from pim_jax.training.config import Config

config = Config(
    model=ModelConfig(mixtures=1),
    steps=100_000,
    learning_rate=5e-4,
    learning_rate_drops=(60_000, 85_000),
    beta_steps=10_000,
)
