"""One training step: a pure function of (state, frame pairs), for any mesh of devices."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pim_jax.model import frontend, mixture, pim
from pim_jax.training import schedule
from pim_jax.training.config import Config
from pim_jax.training.objectives import OBJECTIVES, Encoders


class State(NamedTuple):
    """What a checkpoint holds."""

    step: jax.Array  # int32, steps done
    params: pim.Params
    optimizer: optax.OptState


def mesh() -> Mesh:
    """Returns the mesh of all devices of all processes, with the one axis "data"."""
    # In the order of the processes: their parts of a batch, one after the other, are the batch.
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
      `batched`. `metrics`: scalars, what the objective logs and `gradient_norm`.
    """
    optimizer = schedule.optimizer(config)

    def step(state: State, pairs: jax.Array):
        key = noise_key(config, state)
        grad = jax.value_and_grad(functools.partial(loss, mesh=mesh), argnums=1, has_aux=True)
        (_, metrics), gradients = grad(config, state.params, pairs, state.step, key)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return State(state.step + 1, optax.apply_updates(state.params, updates), optimizer_state), metrics

    return jax.jit(
        step, donate_argnums=0, in_shardings=(replicated(mesh), batched(mesh)), out_shardings=replicated(mesh)
    )


def noise_key(config: Config, state: State) -> jax.Array:
    """The key of the random numbers of the next step: they follow from the seed and the step alone."""
    return jax.random.fold_in(jax.random.key(config.seed), state.step)


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
      config: of the run.
      params: parameters of `config.model`.
      pairs: uint8 [2, B, H, W, 3].
      step: steps done, for β.
      key: of the noise. It gives the same noise for any number of devices.
      mesh: the batch is sharded over it; None for one device.
      crop: whether to compute features only where the loss needs them. Otherwise whole bands are computed, and the same
        windows are cut from them.

    Returns:
      (loss, {name: scalar}).
    """
    with jax.default_matmul_precision(config.precision):
        # Pairs before frames. The other way round a sharded batch would have to move between devices.
        images = pairs.swapaxes(0, 1).astype(jnp.float32) / 255
        if config.noise:
            noise_key, key = jax.random.split(key)
            images = sensor_noise(images, config.noise, noise_key)
        x, y = _features(config, params, images, crop, mesh)
        encoders = _encoders(config, params, images.shape[2:4], crop)
        beta = schedule.beta(step, config.beta_steps)
        objective = OBJECTIVES[config.objective].loss
        return objective(encoders, x, y, key, beta=beta, contrast=config.contrast, mesh=mesh)


def sensor_noise(images: jax.Array, most: float, key: jax.Array) -> jax.Array:
    """Adds white noise to images [..., H, W, C]. Each draws the standard deviation for itself, from 0 to `most`.

    Two frames of one level would have the level in common, and training keeps what two frames have in common.
    """
    level_key, key = jax.random.split(key)
    levels = jax.random.uniform(level_key, (*images.shape[:-3], 1, 1, 1), maxval=most)
    # Drawn as a vector, which compiles fastest.
    return images + levels * jax.random.normal(key, (images.size,)).reshape(images.shape)


def _features(config, params, images, crop, mesh):
    """The features of x and of y, [B, h, w, channels] per band each."""
    if mesh is None:
        return _local_features(config, params, images, crop)

    # Every device computes the features of its own images with its own copy of the parameters. The gradients are then
    # added up once. Left to itself, XLA adds them up in every strip of every convolution.
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


def _encoders(config, params, size, crop) -> Encoders:
    """The encoders, whose outputs are those of the centres: what enters the loss."""
    of_centres = functools.partial(_of_centres, config, size, crop)

    def marginal(features):
        return of_centres(pim.marginal(config.model, params, features))

    def full(x, y):
        joint = of_centres([mixture.gaussian(means) for means in pim.full(config.model, params, x, y)])
        return [band.means[..., 0, :] for band in joint]

    return Encoders(marginal, full)


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
