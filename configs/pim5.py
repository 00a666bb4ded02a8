"""PIM as in the paper: five mixture components, steerable pyramid, four layers, IXYZ. The ablations start from it.

Command:  python train.py configs/pim5.py --workdir runs/pim5 --data DATA
"""

from pim_jax.model.pim import ModelConfig
from pim_jax.training.config import Config

config = Config(
    model=ModelConfig(mixtures=5),
    steps=100_000,
    learning_rate=5e-4,
    learning_rate_drops=(60_000, 85_000),
    beta_steps=10_000,
)
