"""Ablation: no pyramid, and one four-layer network on the image (paper, section 3.4). Otherwise `pim5`.

Command:  python train.py configs/ablation_no_pyramid.py --workdir runs/ablation_no_pyramid --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim5 = load(Path(__file__).with_name("pim5.py"), (Config,))
config = dataclasses.replace(pim5, model=dataclasses.replace(pim5.model, pyramid="none"))
