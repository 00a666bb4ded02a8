"""What SPIPS looks like and how it is trained: frozen dataclasses, for `train.py configs/spips_*.py`."""

import dataclasses

PERCEPTUAL = ("alex", "vgg", "pim", "none")
SEMANTIC = ("alex", "vgg", "none")


@dataclasses.dataclass(frozen=True)
class SpipsModel:
    """What is compared, and the size of what makes a score of it.

    Attributes:
      conventional: whether to compare by PSNR, SSIM and MS-SSIM.
      perceptual: whose representation is the perceptual stream: early layers of "alex" (AlexNet) or "vgg" (VGG16),
        "pim", or "none".
      semantic: whose late layers are the semantic stream: "alex", "vgg" or "none".
      pim: the weights of the perceptual stream "pim": a name or a folder, as for `pim_jax.metric.load`.
      hidden: units of the MLP's hidden layer.
      members: how many MLPs, each started and stopped by its own split of the data, are averaged.

    Raises:
      ValueError: a field has a value that no model can have.
    """

    conventional: bool = True
    perceptual: str = "alex"
    semantic: str = "alex"
    pim: str = "pim-1"
    hidden: int = 64
    members: int = 16

    def __post_init__(self):
        _check("model.perceptual", self.perceptual, self.perceptual in PERCEPTUAL, f"one of {', '.join(PERCEPTUAL)}")
        _check("model.semantic", self.semantic, self.semantic in SEMANTIC, f"one of {', '.join(SEMANTIC)}")
        for field in ("hidden", "members"):
            _check(f"model.{field}", getattr(self, field), getattr(self, field) >= 1, "at least 1")
        if not self.conventional and self.perceptual == self.semantic == "none":
            raise ValueError("conventional=False, perceptual=none and semantic=none leave nothing to compare")


@dataclasses.dataclass(frozen=True)
class SpipsConfig:
    """Everything that decides what training computes.

    Attributes:
      model: what is compared and what makes a score of it.
      steps: gradient steps at most; early stopping ends sooner.
      learning_rate: Adam's.
      decay: of weights, by AdamW.
      ranking: weight of the loss on pairs of images of one reference, beside that of the regression on scores.
      validation: share of the training references that each member holds back, to stop early by.
      folds: into how many parts the references are divided for cross-validation; 0 for none.
      seed: of initialisation and splits.
    """

    model: SpipsModel = dataclasses.field(default_factory=SpipsModel)
    steps: int = 300
    learning_rate: float = 1e-2
    decay: float = 1e-3
    ranking: float = 1.0
    validation: float = 0.1
    folds: int = 12
    seed: int = 0

    def __post_init__(self):
        _check("steps", self.steps, self.steps >= 1, "at least 1")
        _check("learning_rate", self.learning_rate, self.learning_rate > 0, "positive")
        for field in ("decay", "ranking"):
            _check(field, getattr(self, field), getattr(self, field) >= 0, "0 or more")
        _check("validation", self.validation, 0 < self.validation < 1, "between 0 and 1")
        _check("folds", self.folds, self.folds == 0 or self.folds >= 2, "0, or at least 2")


def _check(field: str, value, holds: bool, wanted: str):
    if not holds:
        raise ValueError(f"{field} must be {wanted}, not {value!r}")
