"""SPIPS with VGG16 for both streams.

Command:  python train.py configs/spips_vgg.py --workdir runs/spips-vgg --data tid2013/
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.spips.config import SpipsConfig

alex = load(Path(__file__).with_name("spips_alex.py"), (SpipsConfig,))
config = dataclasses.replace(alex, model=dataclasses.replace(alex.model, perceptual="vgg", semantic="vgg"))
