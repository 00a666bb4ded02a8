"""Which tensor of a step is the first that is not finite, in the order in which they are computed."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from pim_jax.model import pim
from pim_jax.training import step
from pim_jax.training.config import Config


def first(config: Config, mesh: Mesh, state: step.State, pairs: jax.Array) -> str:
    """Names the first tensor of a step that is not finite, such as "full encoder, means, band 3".

    Args:
      config: of the run.
      mesh: of the run.
      state: the state before the step.
      pairs: uint8 [2, B, H, W, 3], the step's batch.

    Returns:
      The name. Or that there is none: some devices do not repeat a step to the bit.
    """
    names: list[str] = []

    def flags(state: step.State, pairs: jax.Array) -> list[jax.Array]:
        found = list(_tensors(config, mesh, state, pairs))
        names[:] = [name for name, _ in found]
        return [jnp.isfinite(tensor).all() for _, tensor in found]

    sound = jax.jit(flags, out_shardings=step.replicated(mesh))(state, pairs)
    return next((name for name, good in zip(names, sound, strict=True) if not good), "none when the step was repeated")


def _tensors(config: Config, mesh: Mesh, state: step.State, pairs: jax.Array) -> Iterator[tuple[str, jax.Array]]:
    yield from _leaves("parameter", state.params)
    yield from _leaves("optimizer state", state.optimizer)
    # The noise that training may add to the frames is left out here: it is always finite.
    x, y = (
        pim.features(config.model, state.params, images.astype(jnp.float32) / 255, centre=config.centre)
        for images in pairs
    )
    for name, features in (("x", x), ("y", y)):
        yield from _bands(f"features of {name}", features)
    for name, features in (("x", x), ("y", y)):
        mixtures = pim.marginal(config.model, state.params, features)
        yield from _bands(f"marginal encoder of {name}, means", [m.means for m in mixtures])
        yield from _bands(f"marginal encoder of {name}, logits", [m.logits for m in mixtures])
    yield from _bands("full encoder, means", pim.full(config.model, state.params, x, y))

    key = step.noise_key(config, state)

    def loss(params):
        return step.loss(config, params, pairs, state.step, key, mesh=mesh)

    gradients, terms = jax.grad(loss, has_aux=True)(state.params)
    yield from terms.items()
    yield from _leaves("gradient of", gradients)
    yield "gradient_norm", optax.tree.norm(gradients)


def _bands(name: str, tensors: list[jax.Array]) -> Iterator[tuple[str, jax.Array]]:
    for band, tensor in enumerate(tensors):
        yield f"{name}, band {band}", tensor


def _leaves(name: str, tree: Any) -> Iterator[tuple[str, jax.Array]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield f"{name} {jax.tree_util.keystr(path, simple=True, separator='/')}", leaf
