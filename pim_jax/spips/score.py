"""From features of a pair to one score: an extractor and an MLP, as pure functions of (parameters, features).

Features are means of maps, f >= 0, and 0 for equal images. The extractor compresses each, u = log(1 + f / scale), and
knows two things of u: its mean, the amount of difference; and its deviations from the training set, the kind of
difference. People mind kinds differently, so the score is the amount times a gain, and the gain is what an MLP makes of
the kind:

    d = mean(u) * softplus(MLP((u - mean_u) / deviation_u))

It is 0 for equal images, never negative, and its slope is finite everywhere. Several MLPs, the members, are averaged.
"""

import jax
import jax.numpy as jnp
import numpy as np

Params = dict

_SMALL = 0.1  # what counts as a small difference, as a part of the training set's median
_FLOOR = 1e-7  # the least scale: some maps never differ in a training set
_STILL = 0.05  # the least deviation, for the same reason


def shapes(maps: int, hidden: int, members: int) -> Params:
    """The tree of parameters with a `jax.ShapeDtypeStruct` at each leaf.

    Args:
      maps: what is compared, and so the number of features.
      hidden: units of the hidden layer.
      members: MLPs.

    Examples:
      >>> {name: leaf.shape for name, leaf in shapes(2, 4, 5)["members"].items()}
      {'bias': (5, 4), 'first': (5, 2, 4), 'offset': (5,), 'second': (5, 4)}
    """
    sizes = {"first": (maps, hidden), "bias": (hidden,), "second": (hidden,), "offset": ()}
    return {
        "extractor": {name: jax.ShapeDtypeStruct((maps,), jnp.float32) for name in ("deviation", "mean", "scale")},
        "members": {name: jax.ShapeDtypeStruct((members, *size), jnp.float32) for name, size in sorted(sizes.items())},
    }


def fit_extractor(features: np.ndarray) -> Params:
    """The extractor of a training set, which needs no human answers.

    Args:
      features: [pairs, features] of the training set.
    """
    scale = np.maximum(_SMALL * np.median(features, axis=0), _FLOOR)
    u = np.log1p(features / scale)
    # So that the variances of all features add up to 1.
    deviation = np.maximum(u.std(0), _STILL) * np.sqrt(features.shape[1])
    found = {"scale": scale, "mean": u.mean(0), "deviation": deviation}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def init_member(key: jax.Array, maps: int, hidden: int) -> Params:
    """An MLP before training, whose gain is 1 or so."""
    first, bias, second = jax.random.split(key, 3)
    # Hidden units that each respond to a region of the kinds, as the features of a kernel machine do.
    return {
        "first": 2 * jax.random.normal(first, (maps, hidden)),
        "bias": jax.random.normal(bias, (hidden,)),
        "second": 0.1 * jax.random.normal(second, (hidden,)),
        "offset": jnp.float32(0.5),
    }


def amount_and_kind(extractor: Params, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The amount of difference, [N], and its kind, [N, features], of features, [N, features]."""
    u = jnp.log1p(features / extractor["scale"][None])
    return u.mean(-1), (u - extractor["mean"][None]) / extractor["deviation"][None]


def gain(member: Params, kind: jax.Array) -> jax.Array:
    """How much people mind a kind of difference, [N], according to one member."""
    hidden = jnp.tanh(jnp.matmul(kind, member["first"], precision="highest") + member["bias"][None])
    return jax.nn.softplus((hidden * member["second"][None]).sum(-1) + member["offset"])


def distance(params: Params, features: jax.Array) -> jax.Array:
    """The score of all members together.

    Args:
      params: see `shapes`.
      features: [N, features].

    Returns:
      [N] float32.
    """
    amount, kind = amount_and_kind(params["extractor"], features)
    return amount * _mean_gain(params, kind)


def slopes(params: Params, features: jax.Array) -> jax.Array:
    """What each feature contributes to the distance, per unit of the feature.

    The amount is a mean over features, so each has its own part of it; the gain is of the pair as a whole, and scales
    all of them.

    Args:
      params, features: as for `distance`.

    Returns:
      [N, features], not negative; the sum of features times slopes is the distance.
    """
    extractor = params["extractor"]
    _, kind = amount_and_kind(extractor, features)
    scale = jnp.broadcast_to(extractor["scale"], features.shape)
    positive = features > 0
    safe = jnp.where(positive, features, scale)
    ratios = jnp.where(positive, jnp.log1p(safe / scale) / safe, 1 / scale)
    return _mean_gain(params, kind)[:, None] * ratios / features.shape[-1]


def _mean_gain(params, kind):
    return jax.vmap(gain, (0, None))(params["members"], kind).mean(0)
