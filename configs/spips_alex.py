"""SPIPS with AlexNet for both streams. Early layers are the perceptual stream, late layers the semantic one.

Command:  python train.py configs/spips_alex.py --workdir runs/spips --data tid2013/
It needs the extra `all`. The features of 840 pairs of 512 x 384 pixels take minutes on two cores, once.
Cross-validation and training follow. Ablations: `model.semantic=none`, `model.perceptual=none` and
`model.conventional=False`.
"""

from pim_jax.training.spips.config import SpipsConfig

config = SpipsConfig()
