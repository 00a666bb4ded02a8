"""How SPIPS is trained: the configuration that `configs/spips_*.py` define."""

import dataclasses

from pim_jax.configuration import check_field
from pim_jax.spips.config import SpipsModel


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
        check_field("steps", self.steps, self.steps >= 1, "at least 1")
        check_field("learning_rate", self.learning_rate, self.learning_rate > 0, "positive")
        for field in ("decay", "ranking"):
            check_field(field, getattr(self, field), getattr(self, field) >= 0, "0 or more")
        check_field("validation", self.validation, 0 < self.validation < 1, "between 0 and 1")
        check_field("folds", self.folds, self.folds == 0 or self.folds >= 2, "0, or at least 2")
