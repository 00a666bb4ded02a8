"""SPIPS whose perceptual stream is PIM's representation. Local perception is unsupervised, and semantics supervised.

Command:  python train.py configs/spips_pim.py --workdir runs/spips-pim --data tid2013/
PIM's features take some seconds a pair on a CPU, once. The weights hold for the PIM that they were trained on. With
another one, loading them is an error, so run the command again after a change of `pim-1`. Features of the other parts
are kept.
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.spips.config import SpipsConfig

alex = load(Path(__file__).with_name("spips_alex.py"), (SpipsConfig,))
config = dataclasses.replace(alex, model=dataclasses.replace(alex.model, perceptual="pim"))
