"""The two encoders, from features of the frontend to distributions of z (paper, section 2.4 and Fig. 2)."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from pim_jax.model.mixture import Mixture

HEADS = ("paper", "released")

# Encoders have few operations beside the CNNs, and what they round goes into the distance as it is.
_linear = functools.partial(nnx.Linear, precision="highest")


class MarginalEncoder(nnx.Module):
    """q(z|x) of one band: a mixture at each position. `head="released"` has no last linear layer of the means."""

    def __init__(self, features: int, *, mixtures: int, dimensions: int, layers: int, head: str, rngs: nnx.Rngs):
        self.mixtures, self.dimensions, self.layers, self.head = mixtures, dimensions, layers, head
        width = mixtures * dimensions
        for layer in range(layers):
            setattr(self, f"mean{layer}", _linear(width if layer else features, width, rngs=rngs))
        if head == "paper":
            self.mean_out = _linear(width, width, rngs=rngs)
        if mixtures > 1:
            for layer in range(layers):
                setattr(self, f"logit{layer}", _linear(mixtures if layer else features, mixtures, rngs=rngs))
            self.logit_out = _linear(mixtures, mixtures, rngs=rngs)

    def __call__(self, features: jax.Array) -> Mixture:
        """[..., features] -> means [..., mixtures, dimensions], logits [..., mixtures]."""
        means = features
        for layer in range(self.layers):
            means = jax.nn.relu(getattr(self, f"mean{layer}")(means))
        if self.head == "paper":
            means = self.mean_out(means)
        means = means.reshape(*means.shape[:-1], self.mixtures, self.dimensions)
        return Mixture(means, self._logits(features))

    def _logits(self, features):
        if self.mixtures == 1:
            return jnp.zeros((*features.shape[:-1], 1), features.dtype)
        logits = features
        for layer in range(self.layers):
            logits = jax.nn.relu(getattr(self, f"logit{layer}")(logits))
        return self.logit_out(logits)


class FullEncoder(nnx.Module):
    """The mean of p(z|x,y) of one band: x's features, modulated by those of y. Only training needs it."""

    def __init__(self, features: int, *, dimensions: int, layers: int, head: str, rngs: nnx.Rngs):
        self.layers, self.head = layers, head
        for layer in range(layers):
            setattr(self, f"base{layer}", _linear(dimensions if layer else features, dimensions, rngs=rngs))
            setattr(self, f"multiply{layer}", _linear(features, dimensions, rngs=rngs))
            setattr(self, f"add{layer}", _linear(features, dimensions, rngs=rngs))
        if head == "paper":
            self.mean_out = _linear(dimensions, dimensions, rngs=rngs)

    def __call__(self, features_x: jax.Array, features_y: jax.Array) -> jax.Array:
        """[..., features] twice -> [..., dimensions]."""
        h = features_x
        for layer in range(self.layers):
            h = jax.nn.relu(getattr(self, f"base{layer}")(h))
            h = h * getattr(self, f"multiply{layer}")(features_y) + getattr(self, f"add{layer}")(features_y)
        return self.mean_out(h) if self.head == "paper" else h
