"""A training step is the same for any number of devices, and cropping changes nothing but the time."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import nightly, slow

from pim_jax.model.pim import ModelConfig
from pim_jax.training import step
from pim_jax.training.config import Config
from pim_jax.training.objectives import CONTRASTS

MODEL = ModelConfig(pyramid="laplacian", scales=2, widths=(6, 3), mixtures=2)  # two bands: quick to compile
SMALL = Config(model=MODEL, batch=8, beta_steps=4, learning_rate=1e-3)


def pairs(batch=8, seed=0):
    rng = np.random.default_rng(seed)
    smooth = rng.integers(0, 200, (1, batch, 8, 8, 3)).repeat(8, 2).repeat(8, 3)
    return (smooth + rng.integers(0, 40, (2, batch, 64, 64, 3))).astype(np.uint8)


def mesh_of(devices):
    return jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))


def loss_and_gradients(config, batch, mesh=None, **options):
    mesh = mesh or mesh_of(1)
    params = step.init(config, mesh).params
    batch = jax.device_put(batch, step.batched(mesh))

    def loss(params, batch):
        return step.loss(config, params, batch, jnp.int32(3), jax.random.key(1), **options)

    (_, metrics), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, batch)
    return metrics, gradients


@pytest.mark.parametrize(
    "contrast",
    [
        *slow(SMALL.contrast, kept="eight devices to one, in test_checkpoint.py"),
        *nightly(*sorted({*CONTRASTS} - {SMALL.contrast})),
    ],
)
def test_eight_devices_compute_what_one_does(contrast):
    """The minibatch marginal spans the global batch, so neither loss nor gradients know of devices."""
    config = dataclasses.replace(SMALL, contrast=contrast)
    one, eight = (loss_and_gradients(config, pairs(), mesh_of(n)) for n in (1, 8))
    for name in one[0]:
        np.testing.assert_allclose(eight[0][name], one[0][name], rtol=2e-5, atol=1e-6)
    assert_gradients_close(eight[1], one[1])


@pytest.mark.slow(kept="windows cut out of whole bands, in test_pim.py")
@pytest.mark.parametrize("pyramid", ["laplacian", *slow("steerable", kept="the Laplacian pyramid"), *nightly("none")])
def test_cropped_frontend_gives_the_loss_and_gradients_of_whole_bands(pyramid):
    config = dataclasses.replace(SMALL, model=dataclasses.replace(MODEL, pyramid=pyramid, orientations=1))
    assert_cropping_changes_nothing(config)


@pytest.mark.slow(kept="the crop without normalisation")
@pytest.mark.parametrize("members", [1, *slow(2, kept="one member")])
@pytest.mark.parametrize("objective", ["ixyz", *nightly("infonce", "single-infonce")])
def test_cropping_changes_nothing_where_the_loss_sees_z_normalised(objective, members):
    model = dataclasses.replace(MODEL, folding=(1, 2), support=3, members=members, mixtures=1, normalisation=0.3)
    config = dataclasses.replace(SMALL, model=model, objective=objective, normalised=True)
    assert_cropping_changes_nothing(config)


@pytest.mark.slow(kept="normalisation, in test_normalisation.py")
def test_the_loss_sees_z_normalised_only_if_told_so():
    model = dataclasses.replace(MODEL, mixtures=1, normalisation=0.3)
    config = dataclasses.replace(SMALL, model=model)
    unknown = dataclasses.replace(config, model=dataclasses.replace(model, normalisation=0.0))
    told = dataclasses.replace(config, normalised=True)
    params, rest = step.init(config, mesh_of(1)).params, (pairs(2), jnp.int32(3), jax.random.key(1))
    found = (jax.jit(functools.partial(step.loss, c))(params, *rest)[1] for c in (unknown, config, told))
    plain, same, other = (float(metrics["I"]) for metrics in found)
    assert plain == same and abs(plain - other) > 1e-3


@pytest.mark.nightly
def test_cropped_layers_of_a_classifier_give_the_loss_and_gradients_of_whole_ones():
    model = ModelConfig(pyramid="none", network="alexnet", hidden=True, mixtures=2)
    assert_cropping_changes_nothing(dataclasses.replace(SMALL, model=model))


def assert_cropping_changes_nothing(config):
    cropped, whole = (loss_and_gradients(config, pairs(2), crop=crop) for crop in (True, False))
    # Whole bands are large enough for minimal filtering, whose rounding is about 1e-5 of a feature.
    for name in whole[0]:
        np.testing.assert_allclose(cropped[0][name], whole[0][name], rtol=2e-5, atol=1e-5)
    assert_gradients_close(cropped[1], whole[1])


@pytest.mark.slow(kept="gradients of every objective, in test_objectives.py")
@pytest.mark.parametrize("objective", ["ixyz", "infonce", "single-infonce"])
def test_training_on_one_batch_raises_the_objective(objective, promoting):
    model = dataclasses.replace(MODEL, mixtures=1)
    config = dataclasses.replace(SMALL, objective=objective, model=model, learning_rate=3e-3, beta_steps=1000)
    mesh = mesh_of(1)
    state, train_step = step.init(config, mesh), step.make(config, mesh)
    batch = jax.device_put(pairs(), step.batched(mesh))
    information = []
    for _ in range(20):
        state, metrics = train_step(state, batch)
        information.append(float(metrics["I"]))
    assert int(state.step) == 20
    assert information[-1] > information[0] + 0.05
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.params))


@pytest.mark.slow(kept="a run that continues to the same numbers, in test_train.py")
def test_same_seed_same_state_and_noise_follows_the_step(promoting):
    mesh, batch = mesh_of(1), pairs()
    train_step = step.make(SMALL, mesh)
    batch = jax.device_put(batch, step.batched(mesh))
    first, second = (train_step(step.init(SMALL, mesh), batch) for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    state = step.init(SMALL, mesh)
    _, later = train_step(state._replace(step=state.step + 1), batch)
    assert float(later["I"]) != float(first[1]["I"])


def assert_gradients_close(found, wanted):
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(wanted))
    assert scale > 0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4 * scale)
