"""The mean of many numbers and its standard error, from batch after batch, in float32.

A float32 sum stands still once it is some ten million times as large as what is added. So nothing is summed up that
grows with the numbers: batches are merged by their means, as in Chan, Golub and LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances", 1979. And whatever is added to carries what float32 drops of it.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_TINY = float(np.finfo(np.float32).tiny)


class Estimate(NamedTuple):
    """A mean, and how sure it is.

    Attributes:
      mean: [] float32, weighted; NaN of nothing.
      standard_error: [] float32, of the mean: the standard deviation over the square root of the number of examples. It
        is infinite for fewer than two, which show no spread.
      count: [] int32, examples whose weight is not 0.
    """

    mean: jax.Array
    standard_error: jax.Array
    count: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moments:
    """What is kept of the numbers seen so far: a pytree that goes through `jit`, `scan` and collectives.

    Attributes:
      weight, weight_squares: sums of the weights, and of their squares.
      mean: weighted.
      squares: sum of the weighted squared differences from the mean.
      count: [] int32, numbers whose weight is not 0.

    All but `count` are [2] float32, a value and what float32 drops of it.

    Examples:
      >>> first, second = Moments.of(jnp.array([1.0, 2.0])), Moments.of(jnp.array([3.0, 9.0]), jnp.array([1.0, 0.0]))
      >>> [f"{x:.4g}" for x in first.merge(second).estimate()]
      ['2', '0.5774', '3']
    """

    weight: jax.Array
    weight_squares: jax.Array
    mean: jax.Array
    squares: jax.Array
    count: jax.Array

    @classmethod
    def empty(cls) -> "Moments":
        """The moments of no numbers; merged with others, they change nothing."""
        return cls(*(jnp.zeros(2, jnp.float32) for _ in range(4)), jnp.zeros((), jnp.int32))

    @classmethod
    def of(cls, values: jax.Array, weights: jax.Array | None = None) -> "Moments":
        """The moments of one batch.

        Args:
          values: [N].
          weights: [N] of at least 0, by default 1. A value of weight 0 is left out, also if it is NaN.
        """
        weights = (jnp.ones_like(values) if weights is None else weights).astype(jnp.float32)
        values = jnp.where(weights > 0, values, 0).astype(jnp.float32)
        weight = weights.sum()

        def mean(x):
            return (weights * x).sum() / jnp.maximum(weight, _TINY)

        high = mean(values)
        low = mean(values - high)  # what rounding left of it
        squares = weight * jnp.maximum(mean(jnp.square(values - high)) - jnp.square(low), 0)
        return cls(
            _pair(weight),
            _pair(jnp.square(weights).sum()),
            _add(_pair(high), _pair(low)),
            _pair(squares),
            (weights > 0).sum(dtype=jnp.int32),
        )

    def merge(self, other: "Moments") -> "Moments":
        """The moments of all numbers of both, in any order."""
        swapped = other.weight[0] > self.weight[0]
        pairs = jax.tree.map(lambda a, b: (jnp.where(swapped, b, a), jnp.where(swapped, a, b)), self, other)
        heavy, light = jax.tree.transpose(jax.tree.structure(self), jax.tree.structure((0, 0)), pairs)
        weight = _add(heavy.weight, light.weight)
        share = light.weight[0] / jnp.maximum(weight[0], _TINY)
        difference = _add(light.mean, -heavy.mean)[0]
        between = jnp.square(difference) * share * heavy.weight[0]
        return Moments(
            weight,
            _add(heavy.weight_squares, light.weight_squares),
            _add(heavy.mean, _pair(difference * share)),
            _add(_add(heavy.squares, light.squares), _pair(between)),
            heavy.count + light.count,
        )

    def estimate(self) -> Estimate:
        """The mean, its standard error and the count.

        Numbers with weights w are taken for draws of one spread. Its square is estimated by
        Σ w (v - mean)² / (Σ w - Σ w² / Σ w). That of the mean is Σ w² / (Σ w)² times it. Only ratios of weights matter.
        """
        weight = jnp.maximum(self.weight[0], _TINY)
        share = self.weight_squares[0] / weight / weight  # one over the number of examples, if their weights are equal
        variance = self.squares[0] / weight * share / jnp.maximum(1 - share, _TINY)
        known = (self.count > 1) & (share < 1)
        return Estimate(
            jnp.where(self.count > 0, self.mean[0], jnp.nan),
            jnp.where(known, jnp.sqrt(variance), jnp.inf),
            self.count,
        )


def _pair(value: jax.Array) -> jax.Array:
    return jnp.stack([value, jnp.zeros_like(value)])


def _add(a: jax.Array, b: jax.Array) -> jax.Array:
    """The sum of two numbers, each a value and what float32 drops of it: Knuth's two-sum."""
    total = a[0] + b[0]
    of_b = total - a[0]
    dropped = (a[0] - (total - of_b)) + (b[0] - of_b) + (a[1] + b[1])
    value = total + dropped
    return jnp.stack([value, dropped - (value - total)])
