"""The architecture of PIM's networks, as numbers."""

import dataclasses
import math

from pim_jax.configuration import check_field
from pim_jax.model import classifiers, encoders, filters, normalisation
from pim_jax.model.folding import Folded
from pim_jax.model.frontend import COLOURS
from pim_jax.model.pyramid import PYRAMIDS
from pim_jax.model.receptive_field import ReceptiveField

NETWORKS = ("cnn", *classifiers.NETWORKS)

_OF_CNN = ("folding", "support", "skip_connections", "members")  # fields that mean nothing to other networks


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The architecture of the networks. The defaults are the paper's PIM-1.

    Attributes:
      pyramid: "steerable", "laplacian" or "none" (one network on the image itself).
      scales: bandpass scales of the steerable pyramid, or bands of the Laplacian one.
      orientations: oriented bands per scale of the steerable pyramid: 1, 2, 4 or 6.
      laplacian_residual: whether the coarsest Laplacian band is the lowpass image.
      network: "cnn" is PIM's own. "alexnet" and "vgg16" see the image itself, and the outputs of their last
        convolution stand in for the bands (paper, section 3.4).
      hidden: whether the outputs of every layer that LPIPS compares are bands of their own. Not for "cnn".
      folding: sides of the blocks of samples that are folded into channels before the "cnn", for each band, coarse to
        fine. The last one holds for all further bands. 1 leaves a band as it is.
      widths: units of each convolutional layer of the "cnn".
      support: samples a side of its kernels. It is odd.
      skip_connections: whether a layer adds its input before the ReLU. The last layer does not, nor does one whose
        number of units differs from that of its input.
      members: networks side by side. Each has its own parameters, and their distances are averaged.
      mixtures: components K of the marginal encoder.
      dimensions: dimensions of z at each position.
      layers: ReLU layers in each path of the encoders.
      normalisation: c of the divisive normalisation of z, see `pim_jax.model.normalisation`. 0 leaves z as it is.
      head: "paper" ends the path of the means with a linear layer. "released" does not, like the official checkpoints.

    Raises:
      ValueError: a field has a value that no model can have.
    """

    pyramid: str = "steerable"
    scales: int = 3
    orientations: int = 2
    laplacian_residual: bool = True
    network: str = "cnn"
    hidden: bool = False
    folding: tuple[int, ...] = (1,)
    widths: tuple[int, ...] = (64, 64, 64, 3)
    support: int = 5
    skip_connections: bool = False
    members: int = 1
    mixtures: int = 1
    dimensions: int = 10
    layers: int = 2
    normalisation: float = 0.0
    head: str = "paper"

    def __post_init__(self):
        check_field("model.pyramid", self.pyramid, self.pyramid in PYRAMIDS, f"one of {', '.join(PYRAMIDS)}")
        check_field("model.scales", self.scales, self.scales >= 1, "at least 1")
        check_field("model.orientations", self.orientations, self.orientations in filters.ORIENTATIONS, "1, 2, 4 or 6")
        check_field("model.network", self.network, self.network in NETWORKS, f"one of {', '.join(NETWORKS)}")
        if self.network == "cnn":
            bands = self.multiscale.count
            of_bands = 1 <= len(self.folding) <= bands and min(self.folding) >= 1
            check_field("model.folding", self.folding, of_bands, f"one to {bands} positive numbers")
            check_field("model.support", self.support, self.support >= 1 and self.support % 2 == 1, "odd and positive")
            check_field("model.members", self.members, self.members >= 1, "at least 1")
            check_field("model.hidden", self.hidden, not self.hidden, "False for the network cnn")
        else:
            self._check_classifier()
        check_field(
            "model.widths", self.widths, len(self.widths) >= 1 and min(self.widths) >= 1, "one or more positive numbers"
        )
        check_field("model.mixtures", self.mixtures, self.mixtures >= 1, "at least 1")
        check_field("model.dimensions", self.dimensions, self.dimensions >= 1, "at least 1")
        check_field("model.layers", self.layers, self.layers >= 1, "at least 1")
        is_constant = 0 <= self.normalisation < math.inf
        check_field("model.normalisation", self.normalisation, is_constant, "0 or a positive number")
        check_field("model.head", self.head, self.head in encoders.HEADS, f"one of {', '.join(encoders.HEADS)}")

    def _check_classifier(self):
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, wanted in {"pyramid": "none", **{name: defaults[name] for name in _OF_CNN}}.items():
            value = getattr(self, name)
            check_field(f"model.{name}", value, value == wanted, f"{wanted} for the network {self.network}")

    @property
    def multiscale(self) -> Folded:
        """The pyramid that `pyramid` names, with its settings, folded."""
        kind = PYRAMIDS[self.pyramid]
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(kind)}
        return Folded(kind(**options), self.folding)

    @property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        """The receptive fields of the samples of each band, which the networks see. Members follow one another."""
        if self.network != "cnn":
            layers = classifiers.receptive_fields(classifiers.NETWORKS[self.network])
            return tuple(classifiers.bands(layers, hidden=self.hidden))
        return self.multiscale.receptive_fields * self.members

    @property
    def radius(self) -> int:
        """On how many samples of a band to each side z depends, after the "cnn".

        Examples:
          >>> ModelConfig().radius, ModelConfig(support=3, normalisation=1.0).radius
          (8, 6)
        """
        return len(self.widths) * (self.support // 2) + (normalisation.RADIUS if self.normalisation else 0)

    @property
    def smallest_size(self) -> int:
        """The least height and width of an image, in pixels."""
        if self.network != "cnn":
            return classifiers.NETWORKS[self.network].smallest
        return self.multiscale.smallest_size

    @property
    def inputs(self) -> tuple[int, ...]:
        """How many channels of each band the "cnn" sees.

        Examples:
          >>> ModelConfig(scales=1, orientations=1, folding=(1, 2)).inputs
          (3, 12, 12)
        """
        return tuple(COLOURS * side**2 for side in self.multiscale.sides) * self.members

    @property
    def channels(self) -> tuple[int, ...]:
        """How many features each band has.

        Examples:
          >>> ModelConfig(pyramid="none", network="vgg16", hidden=True).channels
          (512, 512, 256, 128, 64)
        """
        if self.network != "cnn":
            network = classifiers.NETWORKS[self.network]
            return tuple(classifiers.bands([network.units[layer] for layer in network.compared], hidden=self.hidden))
        return (self.widths[-1],) * self.multiscale.count * self.members
