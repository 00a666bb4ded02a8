"""Ablation: the outputs of VGG16's layers in place of the pyramid's bands (paper, section 3.4). Otherwise `pim5`.

Command:  python train.py configs/ablation_vgg16_hidden.py --workdir runs/ablation_vgg16_hidden --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim5 = load(Path(__file__).with_name("pim5.py"), (Config,))
model = dataclasses.replace(pim5.model, pyramid="none", network="vgg16", hidden=True)
config = dataclasses.replace(pim5, model=model)
