"""Theorems about the objectives."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from pim_jax.model import mixture
from pim_jax.model.mixture import Mixture
from pim_jax.training import objectives

BATCH, DIMENSIONS, POSITIONS = 8, 10, (64, 16)
# Compiled as a whole: one by one, their operations take ten times as long.
ixyz, infonce, minibatch_marginal = (
    jax.jit(function, static_argnames="contrast")
    for function in (objectives.ixyz, objectives.infonce, objectives.minibatch_marginal)
)
every_contrast = pytest.mark.parametrize("contrast", objectives.CONTRASTS)


@functools.partial(jax.jit, static_argnames="components")
def random_terms(seed=0, spread=1.0, components=3):
    """(z, means, q_x, q_y) for two bands."""
    keys = iter(jax.random.split(jax.random.key(seed), 8 * len(POSITIONS)))

    def mixtures(positions):
        shape = (BATCH, positions, components)
        means = spread * jax.random.normal(next(keys), (*shape, DIMENSIONS))
        return Mixture(means, jax.random.normal(next(keys), shape))

    means = [spread * jax.random.normal(next(keys), (BATCH, p, DIMENSIONS)) for p in POSITIONS]
    z = [m + jax.random.normal(next(keys), m.shape) for m in means]
    return z, means, [mixtures(p) for p in POSITIONS], [mixtures(p) for p in POSITIONS]


@every_contrast
def test_minibatch_marginal_equals_its_definition(contrast):
    """In float64, one pair of examples at a time."""
    z, means, _, _ = random_terms()
    log_prob = [
        -0.5 * ((np.float64(s)[:, None] - np.float64(m)[None]) ** 2).sum(-1) - DIMENSIONS / 2 * math.log(2 * math.pi)
        for s, m in zip(z, means, strict=True)
    ]  # [B, B, P]: z of i under j
    log_mean_exp = lambda values: np.log(np.exp(values).mean(1))  # noqa: E731
    if contrast == "position":
        wanted = np.mean([log_mean_exp(p).mean(-1) for p in log_prob], 0)
    elif contrast == "band":
        wanted = np.mean([log_mean_exp(p.mean(-1)) for p in log_prob], 0)
    else:
        wanted = log_mean_exp(np.mean([p.mean(-1) for p in log_prob], 0))
    np.testing.assert_allclose(minibatch_marginal(z, means, contrast=contrast), wanted, rtol=1e-5)


@every_contrast
def test_at_beta_one_the_loss_is_minus_the_bound(contrast):
    terms = ixyz(*random_terms(), contrast=contrast)
    bound = terms.information - terms.rate_x - terms.rate_y
    assert float(objectives.ixyz_loss(terms, 1.0)) == pytest.approx(-float(bound), rel=1e-6)
    assert float(objectives.ixyz_loss(terms, 0.0)) == -float(terms.information)


@every_contrast
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 30.0, 1000.0])
def test_information_is_at_most_log_batch(contrast, spread):
    information = ixyz(*random_terms(spread=spread), contrast=contrast).information
    assert float(information) <= math.log(BATCH) + 1e-5
    if spread >= 30:
        assert float(information) == pytest.approx(math.log(BATCH), abs=1e-4)
    if spread == 0:
        assert float(information) == pytest.approx(0, abs=1e-5)


def test_identical_encoders_have_no_rate():
    z, means, _, q_y = random_terms()
    same = [mixture.gaussian(m) for m in means]
    terms = ixyz(z, means, same, q_y, contrast="position")
    assert float(terms.rate_x) == 0
    assert float(terms.rate_y) > 0


@every_contrast
def test_single_variable_infonce_is_the_information_of_its_own_encoder(contrast):
    z, means, _, _ = random_terms()
    q = [mixture.gaussian(m) for m in means]
    found = infonce(z, q, contrast=contrast)
    wanted = ixyz(z, means, q, q, contrast=contrast).information
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_infonce_is_zero_for_an_encoder_that_ignores_its_image():
    z, means, _, _ = random_terms()
    constant = [mixture.gaussian(jnp.zeros_like(m)) for m in means]
    assert float(infonce(z, constant, contrast="position")) == pytest.approx(0, abs=1e-5)


def test_far_means_lose_no_precision():
    """A common offset of 1000 changes nothing: the marginal depends on differences alone."""
    z, means, _, _ = random_terms()
    near = minibatch_marginal(z, means, contrast="position")
    far = minibatch_marginal([s + 1000 for s in z], [m + 1000 for m in means], contrast="position")
    np.testing.assert_allclose(far, near, atol=5e-3)


@pytest.mark.slow(kept="eight devices to one, in test_checkpoint.py")
def test_each_device_compares_some_positions_of_the_whole_batch_and_sends_only_its_own_examples():
    """Neither z nor means are gathered: the bytes would grow with the batch, and a pod would wait for its network."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    z, means, _, _ = random_terms(seed=3)
    terms = [s[:, :-3] for s in z], [m[:, :-3] for m in means]  # positions are no multiple of the devices

    def value_and_gradients(weights, terms, mesh=None):
        marginal = functools.partial(objectives.minibatch_marginal, contrast="position", mesh=mesh)
        value, back = jax.vjp(marginal, *terms)
        return value, back(weights)

    weights, shard = jnp.arange(1.0, BATCH + 1), NamedSharding(mesh, PartitionSpec("data"))
    sharded = jax.jit(functools.partial(value_and_gradients, mesh=mesh), in_shardings=shard, out_shardings=shard)
    sharded = sharded.lower(weights, terms).compile()
    assert set(re.findall(r" (all-[a-z-]+|reduce-scatter|collective-[a-z]+)\(", sharded.as_text())) == {"all-to-all"}
    found, wanted = sharded(weights, terms), jax.jit(value_and_gradients)(weights, terms)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_unknown_contrast_is_refused():
    z, means, _, _ = random_terms()
    with pytest.raises(ValueError, match="position, band, joint"):
        minibatch_marginal(z, means, contrast="pixel")


def encoders(components):
    """A marginal and a full encoder that are linear, for features of two bands."""
    kernels = [jax.random.normal(jax.random.key(band), (3, DIMENSIONS)) for band in range(len(POSITIONS))]

    def marginal(features):
        means = [
            (f @ k)[:, :, None] + jnp.arange(1.0, components + 1)[None, None, :, None]
            for f, k in zip(features, kernels, strict=True)
        ]
        return [Mixture(m, jnp.zeros(m.shape[:-1])) for m in means]

    def full(x, y):
        return [(a + b) @ k for a, b, k in zip(x, y, kernels, strict=True)]

    return objectives.Encoders(marginal, full)


def features(seed):
    return [jax.random.normal(jax.random.key(seed + band), (BATCH, p, 3)) for band, p in enumerate(POSITIONS)]


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_every_objective_of_the_table_logs_its_loss_and_information_and_has_gradients(name, promoting):
    objective = objectives.OBJECTIVES[name]
    found = encoders(1 if objective.samples_marginal else 3)

    def loss(x):
        return objective.loss(found, x, features(10), jax.random.key(2), beta=jnp.float32(0.5), contrast="position")

    (value, terms), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(features(0))
    assert float(terms["loss"]) == float(value) and {"loss", "I"} <= terms.keys()
    assert float(terms["I"]) <= math.log(BATCH) + 1e-5
    assert all(float(jnp.abs(g).max()) > 0 for g in gradients)


@pytest.mark.slow(kept="every objective has gradients")
def test_only_single_variable_infonce_does_without_y():
    @functools.partial(jax.jit, static_argnums=0)
    def loss(name, y):
        loss, _ = objectives.OBJECTIVES[name].loss(
            encoders(1), features(0), y, jax.random.key(2), beta=jnp.float32(0.5), contrast="position"
        )
        return loss

    changed = {
        name: float(loss(name, features(10))) != float(loss(name, features(20))) for name in objectives.OBJECTIVES
    }
    assert changed == {"ixyz": True, "infonce": True, "single-infonce": False}
