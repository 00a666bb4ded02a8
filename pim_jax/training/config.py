"""The configuration of a training run."""

import dataclasses

from pim_jax.configuration import check_field
from pim_jax.model import normalisation
from pim_jax.model.convolution import PRECISIONS
from pim_jax.model.pim import ModelConfig
from pim_jax.training.objectives import CONTRASTS, OBJECTIVES


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes. The defaults are the paper's (appendix A.2) where it states them.

    Attributes:
      model: the networks.
      objective: a name in `pim_jax.training.objectives.OBJECTIVES`.
      contrast: where the minibatch marginal is taken: at every "position", per "band", or once for all ("joint").
      steps: gradient steps in all.
      batch: frame pairs in a global batch.
      patch: side of the random crops, pixels.
      centre: side of the window of each band that enters the loss, in the band's samples.
      normalised: whether the loss sees z normalised, as the metric does. It needs `model.normalisation`. Otherwise only
        the metric normalises.
      noise: largest standard deviation of the noise that is added to every frame, for images in [0, 1].
      learning_rate: Adam's, at the start.
      learning_rate_drops: steps after which the learning rate is divided by `learning_rate_factor`.
      learning_rate_factor: by how much.
      beta_steps: steps over which β grows smoothly from 0 to 1.
      precision: of matrix products in training. "default", "high" and "highest" differ on accelerators only. With
        "bfloat16" the CNNs multiply bfloat16 on every device.
      seed: of the initialisation, the order of the data and the noise.
      log_every, save_every: steps between log lines and between checkpoints.
      keep: how many of the newest checkpoints are kept.

    Raises:
      ValueError: a field has a value that no run can have.
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: str = "ixyz"
    contrast: str = "position"
    steps: int = 100_000
    batch: int = 50
    patch: int = 64
    centre: int = 8
    normalised: bool = False
    noise: float = 0.0
    learning_rate: float = 1e-4
    learning_rate_drops: tuple[int, ...] = ()
    learning_rate_factor: float = 10.0
    beta_steps: int = 10_000
    precision: str = "default"
    seed: int = 0
    log_every: int = 100
    save_every: int = 1000
    keep: int = 3

    def __post_init__(self):
        check_field("objective", self.objective, self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
        check_field("contrast", self.contrast, self.contrast in CONTRASTS, f"one of {', '.join(CONTRASTS)}")
        for field in ("steps", "batch", "patch", "centre", "log_every", "save_every", "keep"):
            check_field(field, getattr(self, field), getattr(self, field) >= 1, "at least 1")
        check_field("patch", self.patch, self.patch >= self.model.smallest_size, f"at least {self.model.smallest_size}")
        check_field("noise", self.noise, self.noise >= 0, "0 or more")
        check_field("learning_rate", self.learning_rate, self.learning_rate > 0, "positive")
        check_field("learning_rate_factor", self.learning_rate_factor, self.learning_rate_factor >= 1, "at least 1")
        check_field("beta_steps", self.beta_steps, self.beta_steps >= 0, "0 or more")
        check_field("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        if self.normalised and not self.model.normalisation:
            raise ValueError("normalised=True needs model.normalisation, the constant of the normalisation, not 0")
        if OBJECTIVES[self.objective].samples_marginal and self.model.mixtures != 1:
            raise ValueError(
                f"objective={self.objective} samples the marginal encoder, so it needs model.mixtures=1, "
                f"not {self.model.mixtures}"
            )

    @property
    def margin(self) -> int:
        """Samples to each side of the centre on which z within it depends, behind the encoders."""
        return normalisation.RADIUS if self.normalised else 0
