"""What PIM's networks look like, as numbers."""

import dataclasses

from pim_jax.configuration import check_field
from pim_jax.model import classifiers, encoders, filters
from pim_jax.model.pyramid import PYRAMIDS, Pyramid
from pim_jax.model.receptive_field import ReceptiveField

NETWORKS = ("cnn", *classifiers.NETWORKS)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the networks look like. The defaults are the paper's PIM-1.

    Attributes:
      pyramid: "steerable", "laplacian" or "none" (one network on the image itself).
      scales: bandpass scales of the steerable pyramid, bands of the Laplacian one.
      orientations: oriented bands per scale of the steerable pyramid: 1, 2, 4 or 6.
      laplacian_residual: the coarsest Laplacian band is the lowpass image.
      network: "cnn", PIM's own; or "alexnet" or "vgg16", on the image itself: the outputs of their last convolution
        stand in for the bands (paper, section 3.4).
      hidden: the outputs of every layer that LPIPS compares are bands of their own. Not for "cnn".
      widths: units of each convolutional layer of the "cnn".
      mixtures: components K of the marginal encoder.
      dimensions: dimensions of z at each position.
      layers: ReLU layers in each path of the encoders.
      head: "paper" ends the means' path with a linear layer, "released" (the official checkpoints) does not.

    Raises:
      ValueError: a field has a value that no model can have.
    """

    pyramid: str = "steerable"
    scales: int = 3
    orientations: int = 2
    laplacian_residual: bool = True
    network: str = "cnn"
    hidden: bool = False
    widths: tuple[int, ...] = (64, 64, 64, 3)
    mixtures: int = 1
    dimensions: int = 10
    layers: int = 2
    head: str = "paper"

    def __post_init__(self):
        check_field("model.pyramid", self.pyramid, self.pyramid in PYRAMIDS, f"one of {', '.join(PYRAMIDS)}")
        check_field("model.scales", self.scales, self.scales >= 1, "at least 1")
        check_field("model.orientations", self.orientations, self.orientations in filters.ORIENTATIONS, "1, 2, 4 or 6")
        check_field("model.network", self.network, self.network in NETWORKS, f"one of {', '.join(NETWORKS)}")
        if self.network == "cnn":
            check_field("model.hidden", self.hidden, not self.hidden, "False for the network cnn")
        else:
            check_field("model.pyramid", self.pyramid, self.pyramid == "none", f"none for the network {self.network}")
        check_field(
            "model.widths", self.widths, len(self.widths) >= 1 and min(self.widths) >= 1, "one or more positive numbers"
        )
        check_field("model.mixtures", self.mixtures, self.mixtures >= 1, "at least 1")
        check_field("model.dimensions", self.dimensions, self.dimensions >= 1, "at least 1")
        check_field("model.layers", self.layers, self.layers >= 1, "at least 1")
        check_field("model.head", self.head, self.head in encoders.HEADS, f"one of {', '.join(encoders.HEADS)}")

    @property
    def multiscale(self) -> Pyramid:
        """The pyramid that `pyramid` names, with what it needs to know."""
        kind = PYRAMIDS[self.pyramid]
        return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

    @property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        """Of the samples of each band."""
        if self.network != "cnn":
            layers = classifiers.receptive_fields(classifiers.NETWORKS[self.network])
            return tuple(classifiers.bands(layers, hidden=self.hidden))
        return self.multiscale.receptive_fields

    @property
    def smallest_size(self) -> int:
        """The least height and width of an image, in pixels."""
        if self.network != "cnn":
            return classifiers.NETWORKS[self.network].smallest
        return self.multiscale.smallest_size

    @property
    def channels(self) -> tuple[int, ...]:
        """How many features each band has.

        Example:
          >>> ModelConfig(pyramid="none", network="vgg16", hidden=True).channels
          (512, 512, 256, 128, 64)
        """
        if self.network != "cnn":
            network = classifiers.NETWORKS[self.network]
            return tuple(classifiers.bands([network.units[layer] for layer in network.compared], hidden=self.hidden))
        return (self.widths[-1],) * self.multiscale.count
