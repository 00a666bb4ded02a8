"""SPIPS with AlexNet for both streams: early layers are the perceptual one, late layers the semantic one.

Command:  python train.py configs/spips_alex.py --workdir runs/spips --data tid2013/
It needs the extra `benchmarks`. Features of 840 pairs of 512 x 384 pixels take minutes on two cores, once; then
cross-validation and training. Ablations: `model.semantic=none`, `model.perceptual=none`, `model.conventional=False`.
"""

from pim_jax.training.spips.config import SpipsConfig

config = SpipsConfig()
