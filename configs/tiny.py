"""Shows that everything runs, in a minute on a laptop's CPU. Its weights are of no use.

β hardly begins to grow in 60 steps: a network that small, compressed so soon, gives up what it has learned.

Command:  python train.py configs/tiny.py --workdir runs/tiny
"""

from pim_jax.model.pim import ModelConfig
from pim_jax.training.config import Config

config = Config(
    model=ModelConfig(widths=(8, 8, 3)),
    steps=60,
    batch=8,
    learning_rate=1e-3,
    beta_steps=2000,
    log_every=10,
    save_every=20,
)
