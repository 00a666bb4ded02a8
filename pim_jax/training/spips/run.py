"""Training SPIPS, as `train.py configs/spips_*.py` does: features, cross-validation, then all references.

    python train.py configs/spips_alex.py --workdir runs/spips --data tid2013/

The working directory gets `metrics.jsonl` (the agreement of every fold), `held_out.csv` (the distance of every pair by
members that saw neither its reference nor its distorted versions) and one checkpoint, `checkpoints/<steps>`, trained on
all references. Features are kept in the user's cache folder, so that a run that was stopped goes on from there.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from pim_jax import configuration, provenance, stored
from pim_jax.evaluation.outputs import CsvOutput
from pim_jax.spips import parts
from pim_jax.spips.metric import FORMAT
from pim_jax.training.log import Log
from pim_jax.training.spips import answers as human
from pim_jax.training.spips import features, fit
from pim_jax.training.spips.answers import Answers
from pim_jax.training.spips.config import SpipsConfig


def run(config: SpipsConfig, *, name: str, workdir: Path, data: Path | None, commit: str | None) -> None:
    """Trains, or says that it is done.

    Args:
      config: what and how.
      name: of the weights.
      workdir: gets the results; an existing one is continued.
      data: a data set with human answers; see `pim_jax.training.spips.answers.read`.
      commit: of the code.

    Raises:
      FileNotFoundError, ValueError: the data are not as expected, or the working directory holds another run.
      ImportError: the extra `benchmarks` is not installed.
    """
    if data is None:
        raise ValueError("SPIPS is trained on human answers: give their folder, --data tid2013/")
    answers = human.read(data)
    identities = {part: parts.identity(part, weights) for part, weights in parts.load(config.model).items()}
    training_about = configuration.to_json(config)
    about = {
        "metric": "spips",
        "training": training_about,
        "data": answers.title,
        "parts": identities,
        "commit": commit,
    }
    final = workdir / stored.CHECKPOINTS / str(config.steps)
    done = _is_finished(workdir, about)
    workdir.mkdir(parents=True, exist_ok=True)
    with Log(workdir, step=config.folds if done else 0, steps=config.folds) as log:
        if done:
            log.say(f"finished: {final} is there")
            return
        log.say(
            f"{answers.title}; comparing {', '.join(f'{part} {identity}' for part, identity in identities.items())}"
        )
        found = _features(config, answers)
        if config.folds:
            _cross_validate(config, answers, found, workdir, log)
        params = fit.fit(config, answers, found, np.unique(answers.reference))
        stored.write(final, config.model, params, name=name, **about)
        log.say(f"finished: {final}, weights {provenance.digest(params)[:12]}")


def _is_finished(workdir: Path, about: dict) -> bool:
    """Whether the run is finished; an error if the working directory holds another one."""
    if not (workdir / stored.CHECKPOINTS).is_dir():
        return False
    before = stored.read(workdir, FORMAT).about
    if different := [key for key in ("training", "data", "parts") if before[key] != about[key]]:
        raise ValueError(
            f"{workdir} holds a run with other settings ({', '.join(different)}): choose another --workdir"
        )
    return True


def _features(config: SpipsConfig, answers: Answers) -> np.ndarray:
    total = len(answers.pairs) * len(parts.names(config.model))
    with tqdm(total=total, desc="features", unit="pair", disable=None) as bar:
        return features.of_pairs(config.model, answers.pairs, progress=bar.update)


def _cross_validate(config: SpipsConfig, answers: Answers, found: np.ndarray, workdir: Path, log: Log) -> None:
    distances, folds, agreements = np.full(len(found), np.nan), np.zeros(len(found), int), []
    for number, fold in enumerate(fit.cross_validate(config, answers, found), 1):
        distances[fold.pairs], folds[fold.pairs] = fold.distances, number
        agreements.append(fit.agreement(answers, fold))
        log.advance()
        log.write(number, agreements[-1])
    for measure in agreements[0]:
        values = [agreement[measure] for agreement in agreements]
        log.say(
            f"{measure} on references held out: {np.mean(values):.4f} ± {np.std(values):.4f} over {len(values)} folds"
        )
    numbers = zip(folds, answers.scores, distances, strict=True)
    table = CsvOutput(workdir / "held_out.csv", ["reference", "distorted", "fold", "score", "distance"], log.say)
    table.finish(
        [pair.reference.path.name, pair.distorted.path.name, *row]
        for pair, row in zip(answers.pairs, numbers, strict=True)
    )
