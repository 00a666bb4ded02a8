"""What SPIPS compares, and the size of what makes a score of it."""

import dataclasses

from pim_jax.configuration import check_field

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
        check_field(
            "model.perceptual", self.perceptual, self.perceptual in PERCEPTUAL, f"one of {', '.join(PERCEPTUAL)}"
        )
        check_field("model.semantic", self.semantic, self.semantic in SEMANTIC, f"one of {', '.join(SEMANTIC)}")
        for field in ("hidden", "members"):
            check_field(f"model.{field}", getattr(self, field), getattr(self, field) >= 1, "at least 1")
        if not self.conventional and self.perceptual == self.semantic == "none":
            raise ValueError("conventional=False, perceptual=none and semantic=none leave nothing to compare")
