"""Fits the extractor and the MLP to people's answers, and tests them on references that they never saw.

The loss is the squared error of the predicted scores plus, weighed by `ranking`, the cross-entropy of the answers to
"which of two images is closer to the reference?". Each member holds back some references of its own, and the parameters
that do best on these are kept: early stopping, for all members in one compiled loop.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pim_jax.evaluation import statistics
from pim_jax.spips import score
from pim_jax.training.spips.answers import STEEPNESS, Answers
from pim_jax.training.spips.config import SpipsConfig


class Fold(NamedTuple):
    """A part of the references, predicted by members trained on the others.

    Attributes:
      pairs: indices of its pairs.
      distances: of these.
    """

    pairs: np.ndarray
    distances: np.ndarray


def fit(config: SpipsConfig, answers: Answers, features: np.ndarray, references: np.ndarray) -> score.Params:
    """Trains on the pairs of some references.

    Args:
      config: how.
      answers: of people.
      features: [pairs, features] of all pairs.
      references: the numbers of those to train on; nothing of the others is used.

    Returns:
      Parameters of all members, as `score.distance` takes them.
    """
    rng = np.random.default_rng(config.seed)
    held = max(1, round(config.validation * len(references)))
    stop = np.stack(
        [np.isin(answers.reference, rng.permutation(references)[:held]) for _ in range(config.model.members)]
    )
    train = np.isin(answers.reference, references) & ~stop
    scored = np.isfinite(answers.scores)
    extractor = score.fit_extractor(features[np.isin(answers.reference, references)])
    amount, kind = score.amount_and_kind(extractor, jnp.asarray(features, jnp.float32))
    data = _Data(
        amount,
        kind,
        jnp.asarray(np.where(scored, answers.scores, 0), jnp.float32),
        jnp.asarray(scored, jnp.float32),
        jnp.asarray(answers.questions),
        jnp.asarray(answers.second, jnp.float32),
    )
    keys = jax.random.split(jax.random.key(config.seed), config.model.members)
    train, stop = (jnp.asarray(mask, jnp.float32) for mask in (train, stop))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python floats with integer counts
        members = _fit(config, data, keys, train, stop)
    return {"extractor": extractor, "members": jax.tree.map(np.asarray, members)}


def cross_validate(config: SpipsConfig, answers: Answers, features: np.ndarray):
    """Yields a `Fold` for every part of the references; no pair of a reference trains what it tests."""
    references = np.unique(answers.reference)
    shuffled = np.random.default_rng(config.seed).permutation(references)
    for held_out in np.array_split(shuffled, min(config.folds, len(references))):
        params = fit(config, answers, features, np.setdiff1d(references, held_out))
        pairs = np.flatnonzero(np.isin(answers.reference, held_out))
        yield Fold(pairs, np.asarray(score.distance(params, jnp.asarray(features[pairs], jnp.float32)), np.float64))


def agreement(answers: Answers, fold: Fold) -> dict[str, float]:
    """How well the distances of a fold agree with people: SROCC and PLCC with scores, or the share of answers."""
    if np.isfinite(answers.scores[fold.pairs]).all():
        closer = -answers.scores[fold.pairs]
        return {
            "SROCC": statistics.spearman(fold.distances, closer),
            "PLCC": statistics.pearson_after_logistic(fold.distances, closer),
        }
    distance = dict(zip(fold.pairs.tolist(), fold.distances, strict=True))
    asked = np.isin(answers.questions[:, 0], fold.pairs)
    d0, d1 = np.array([[distance[i] for i in question] for question in answers.questions[asked].tolist()]).T
    return {"2AFC": float(statistics.two_alternative_agreement(d0, d1, answers.second[asked]).mean())}


class _Data(NamedTuple):
    amount: jax.Array  # [pairs]
    kind: jax.Array  # [pairs, features]
    scores: jax.Array  # [pairs]
    scored: jax.Array  # [pairs] 1 or 0
    questions: jax.Array  # [questions, 2]
    second: jax.Array  # [questions]


@jax.jit(static_argnums=0)
def _fit(config: SpipsConfig, data: _Data, keys, train, stop):
    """Parameters of members, one for each key and row of the two masks of pairs."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(config.learning_rate, config.steps), weight_decay=config.decay)
    loss = functools.partial(_loss, config, data)

    def member(key, train, stop):
        # "equal" is the score of equal images: distances are measured from there.
        params = {"member": score.init_member(key, data.kind.shape[1], config.model.hidden), "equal": jnp.float32(-1.0)}

        def step(carry, _):
            params, state, best, least = carry
            validation = loss(params, stop)
            best = jax.tree.map(lambda old, new: jnp.where(validation < least, new, old), best, params)
            updates, state = optimizer.update(jax.grad(loss)(params, train), state, params)
            return (optax.apply_updates(params, updates), state, best, jnp.minimum(validation, least)), None

        start = (params, optimizer.init(params), params, jnp.float32(jnp.inf))
        (_, _, best, _), _ = jax.lax.scan(step, start, length=config.steps)
        return best["member"]

    return jax.vmap(member)(keys, train, stop)


def _loss(config: SpipsConfig, data: _Data, params, chosen):
    """The loss of the chosen pairs (1, others 0) and of the questions about them."""
    distances = data.amount * score.gain(params["member"], data.kind)
    scored = chosen * data.scored
    errors = jnp.square(distances + params["equal"] - data.scores)
    regression = (scored * errors).sum() / jnp.maximum(scored.sum(), 1)
    first, second = data.questions.T
    asked = chosen[first] * chosen[second]
    entropies = optax.sigmoid_binary_cross_entropy(STEEPNESS * (distances[first] - distances[second]), data.second)
    return regression + config.ranking * (asked * entropies).sum() / jnp.maximum(asked.sum(), 1)
