"""Ablation: no pyramid, and the outputs of VGG16 on the image (paper, section 3.4). Otherwise `pim5`.

Command:  python train.py configs/ablation_vgg16.py --workdir runs/ablation_vgg16 --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim5 = load(Path(__file__).with_name("pim5.py"), (Config,))
model = dataclasses.replace(pim5.model, pyramid="none", network="vgg16")
config = dataclasses.replace(pim5, model=model)
