"""One training step: a pure function of (state, frame pairs), for any mesh of devices."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pim_jax.model import frontend, mixture, pim
from pim_jax.training import objectives, schedule
from pim_jax.training.config import Config


class State(NamedTuple):
    """What a checkpoint holds. The random numbers of a step follow from the seed and the step alone."""

    step: jax.Array  # int32, steps done
    params: pim.Params
    optimizer: optax.OptState


def mesh() -> Mesh:
    """Returns the mesh of all devices of all processes, with the one axis "data"."""
    # In the order of the processes, so that their parts of a batch, one after the other, are the batch.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


def init(config: Config, mesh: Mesh) -> State:
    """Returns the state before the first step, replicated over the mesh."""

    def init(key):
        params = pim.init(config.model, key)
        return State(jnp.zeros((), jnp.int32), params, schedule.optimizer(config).init(params))

    return jax.jit(init, out_shardings=replicated(mesh))(jax.random.key(config.seed))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of the state."""
    return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch of frame pairs, [2, B, H, W, 3]."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def make(config: Config, mesh: Mesh):
    """Returns the jitted step.

    Returns:
      A function (state, pairs) -> (state, metrics). `pairs`: uint8 [2, B, H, W, 3], axis 0 is x and y, sharded as
      `batched`; `metrics`: scalars `loss`, `gradient_norm`, `I`, and, for IXYZ, `Rx`, `Ry`, `beta`.
    """
    optimizer = schedule.optimizer(config)

    def step(state: State, pairs: jax.Array):
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        grad = jax.value_and_grad(functools.partial(loss, mesh=mesh), argnums=1, has_aux=True)
        (_, metrics), gradients = grad(config, state.params, pairs, state.step, key)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return State(state.step + 1, optax.apply_updates(state.params, updates), optimizer_state), metrics

    return jax.jit(
        step, donate_argnums=0, in_shardings=(replicated(mesh), batched(mesh)), out_shardings=replicated(mesh)
    )


def loss(
    config: Config,
    params: pim.Params,
    pairs: jax.Array,
    step,
    key: jax.Array,
    *,
    mesh: Mesh | None = None,
    crop: bool = True,
):
    """The loss of a batch and its terms.

    Args:
      config: objective, contrast, centre, β and precision are used.
      params: parameters of `config.model`.
      pairs: uint8 [2, B, H, W, 3].
      step: steps done, for β.
      key: of the noise in z; one key gives the same noise for any number of devices.
      mesh: over which the batch is sharded; None for one device.
      crop: compute features only where the loss needs them. False computes whole bands and then cuts the same windows.

    Returns:
      (loss, {name: scalar}).
    """
    with jax.default_matmul_precision(config.precision):
        # Pairs before frames: merged the other way, a sharded batch would have to move between devices.
        images = pairs.swapaxes(0, 1).astype(jnp.float32) / 255
        if config.noise:
            noise_key, key = jax.random.split(key)
            images = sensor_noise(images, config.noise, noise_key)
        x, y = _features(config, params, images, crop, mesh)
        of_centres = functools.partial(_of_centres, config, images.shape[2:4], crop)
        if config.objective == "ixyz":
            return _ixyz(config, params, x, y, of_centres, step, key)
        return _infonce(config, params, x, y, of_centres, key)


def sensor_noise(images: jax.Array, most: float, key: jax.Array) -> jax.Array:
    """Adds white noise to [..., H, W, C], of a standard deviation from 0 to `most` that each image draws for itself.

    Images that shared a level would have it in common, and a representation of what they have in common would keep it.
    """
    level_key, key = jax.random.split(key)
    levels = jax.random.uniform(level_key, (*images.shape[:-3], 1, 1, 1), maxval=most)
    # Drawn as a vector, which compiles fastest.
    return images + levels * jax.random.normal(key, (images.size,)).reshape(images.shape)


def _features(config, params, images, crop, mesh):
    """The features of x and of y, [B, h, w, channels] per band each."""
    if mesh is None:
        return _local_features(config, params, images, crop)

    # Every device computes its own images' features with its own copy of the parameters, and gradients are added up
    # once. Left to itself, XLA adds them up in every strip of every convolution.
    def of_shard(params, images):
        params = jax.tree.map(lambda leaf: jax.lax.pcast(leaf, "data", to="varying"), params)
        return _local_features(config, params, images, crop)

    shard = PartitionSpec("data")
    return jax.shard_map(of_shard, mesh=mesh, in_specs=(PartitionSpec(), shard), out_specs=shard)(params, images)


def _local_features(config, params, images, crop):
    batch = len(images)
    images = images.reshape(-1, *images.shape[2:])
    window = dict(centre=config.centre, margin=config.margin) if crop else {}
    features = pim.features(config.model, params, images, **window)
    pairs = [f.reshape(batch, 2, *f.shape[1:]) for f in features]
    return [f[:, 0] for f in pairs], [f[:, 1] for f in pairs]


def _of_centres(config, size, crop, bands):
    """What of the mixtures of `_features`, [B, h, w, …], enters the loss: [B, positions, …] per band."""
    if config.normalised:
        bands = pim.normalise(config.model, bands)
    want = pim.centres(config.model, size, config.centre)
    have = pim.centres(config.model, size, config.centre, config.margin) if crop else pim.wholes(config.model, size)
    return [
        jax.tree.map(lambda leaf, h=h, w=w: _positions(frontend.cut(leaf, h, w)), band)
        for band, h, w in zip(bands, have, want, strict=True)
    ]


def _positions(leaf: jax.Array) -> jax.Array:
    """[B, h, w, …] -> [B, h w, …]"""
    return leaf.reshape(len(leaf), -1, *leaf.shape[3:])


def _ixyz(config, params, x, y, of_centres, step, key):
    joint = of_centres([mixture.gaussian(m) for m in pim.full(config.model, params, x, y)])
    means = [m.means[..., 0, :] for m in joint]
    z = _sample(means, key)
    q_x, q_y = (of_centres(pim.marginal(config.model, params, f)) for f in (x, y))
    terms = objectives.ixyz(z, means, q_x, q_y, contrast=config.contrast)
    beta = schedule.beta(step, config.beta_steps)
    value = objectives.ixyz_loss(terms, beta)
    metrics = {"loss": value, "I": terms.information, "Rx": terms.rate_x, "Ry": terms.rate_y, "beta": beta}
    return value, metrics


def _infonce(config, params, x, y, of_centres, key):
    q_x = of_centres(pim.marginal(config.model, params, x))
    q = q_x if config.objective == "single-infonce" else of_centres(pim.marginal(config.model, params, y))
    z = _sample([mixture.mean(m) for m in q_x], key)
    information = objectives.infonce(z, q, contrast=config.contrast)
    return -information, {"loss": -information, "I": information}


def _sample(means: list[jax.Array], key: jax.Array) -> list[jax.Array]:
    """One sample of unit variance around every mean."""
    sizes = [m.size for m in means]
    noise = jnp.split(jax.random.normal(key, (sum(sizes),)), np.cumsum(sizes)[:-1])  # one draw compiles fastest
    return [m + n.reshape(m.shape) for m, n in zip(means, noise, strict=True)]
