"""Ablation: single-variable InfoNCE (paper, section 3.4), which takes one component. Otherwise `pim5`.

Command:  python train.py configs/ablation_single_infonce.py --workdir runs/ablation_single_infonce --data DATA
"""

import dataclasses
from pathlib import Path

from pim_jax.configuration import load
from pim_jax.training.config import Config

pim5 = load(Path(__file__).with_name("pim5.py"), (Config,))
config = dataclasses.replace(pim5, objective="single-infonce", model=dataclasses.replace(pim5.model, mixtures=1))
