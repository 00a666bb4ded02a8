"""Lets a function of plain batches take every batch that a JAX program may have.

A metric is written for plain batches: the number of images is known, and the compiler chooses how arrays are sharded.
Two more kinds of batches come from programs:

- Sharded over a mesh with explicit axes, which is what `jax.make_mesh` makes. There JAX wants to be told the sharding
  of every intermediate array. Within the metric it is left to the compiler. The result is sharded as the batch was.
- Of a symbolic size, as in `jax.export`. Then the function of one image is mapped over the batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec


def of_images(function: Callable) -> Callable:
    """Decorates a function of images, so that their batch may be of every kind.

    Args:
      function: its first argument is the metric. Every other argument is images, [N, H, W, 3] or [H, W, 3], a key, or a
        Python value. It returns a pytree of arrays with the number of images leading.

    Examples:
      >>> brightness = of_images(lambda metric, x: x.mean((1, 2, 3)))
      >>> x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 8, 8, 3"), "float32")
      >>> jax.export.export(jax.jit(lambda x: brightness(None, x)))(x).out_avals
      (ShapedArray(float32[b]),)
    """
    return _decorated(function, lambda leaf: leaf.ndim == 4)


def of_embeddings(function: Callable) -> Callable:
    """Decorates a function of embeddings, so that their batch may be of every kind.

    Args:
      function: its first argument is the metric. Every other argument is a pytree of arrays with the number of images
        leading, a key, or a Python value. It returns a pytree of arrays with the number of images leading.

    Examples:
      >>> largest = of_embeddings(lambda metric, z: z.max(1))
      >>> largest(None, jax.numpy.ones((2, 3))).tolist()
      [1.0, 1.0]
    """
    return _decorated(function, lambda leaf: leaf.ndim > 0)


def _decorated(function: Callable, leads: Callable[[jax.Array], bool]) -> Callable:
    """Decorates a function of arrays that have the number of images leading where `leads` says so."""

    @functools.wraps(function)
    def wrapped(metric, *arguments):
        return _over_symbolic_batch(functools.partial(_within_mesh, function, leads, metric), leads, arguments)

    return wrapped


def _over_symbolic_batch(function: Callable, leads: Callable[[jax.Array], bool], arguments: tuple) -> Any:
    """Calls `function`, image by image if their number is symbolic: model code compares and divides it."""
    leaves, structure = jax.tree.flatten(arguments)
    symbolic = [_is(leads, leaf) and not isinstance(leaf.shape[0], int) for leaf in leaves]
    if not any(symbolic):
        return function(*arguments)

    def of_one(*images):
        image = iter(images)
        alone = [next(image)[None] if varies else leaf for leaf, varies in zip(leaves, symbolic, strict=True)]
        return jax.tree.map(lambda leaf: leaf[0], function(*jax.tree.unflatten(structure, alone)))

    return jax.vmap(of_one)(*(leaf for leaf, varies in zip(leaves, symbolic, strict=True) if varies))


def _within_mesh(function: Callable, leads: Callable[[jax.Array], bool], metric: Any, *arguments: Any) -> Any:
    """Calls `function`, with explicit axes of a mesh as axes that the compiler takes care of."""
    leaves, structure = jax.tree.flatten((metric, arguments))
    meshes = {place: _mesh(leaf) for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)}
    mesh = next((mesh for mesh in (*meshes.values(), jax.sharding.get_abstract_mesh()) if mesh.explicit_axes), None)
    if mesh is None:
        return function(metric, *arguments)

    def of_arrays(arrays):
        metric, arguments = jax.tree.unflatten(structure, [arrays.get(i, leaf) for i, leaf in enumerate(leaves)])
        return function(metric, *arguments)

    batches = (jax.typeof(leaf).sharding.spec[0] for leaf in jax.tree.leaves(arguments) if _is(leads, leaf))
    sharding = NamedSharding(mesh, PartitionSpec(next((axes for axes in batches if axes), None)))
    explicit = {place: leaves[place] for place in meshes if meshes[place].explicit_axes}
    return jax.sharding.auto_axes(of_arrays, axes=mesh.explicit_axes, out_sharding=sharding)(explicit)


def _mesh(array: jax.Array) -> AbstractMesh:
    return jax.typeof(array).sharding.mesh


def _is(leads: Callable[[jax.Array], bool], leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and leads(leaf)
