"""Training SPIPS on human answers: nothing of what is tested is trained on, and what is there to learn is learned."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image
from runs import run

from pim_jax.spips import parts, score
from pim_jax.spips.config import SpipsModel
from pim_jax.training import log
from pim_jax.training.spips import answers, features, fit
from pim_jax.training.spips.config import SpipsConfig

pytestmark = pytest.mark.slow(kept="the doctests of pim_jax.training.spips")

pytest.importorskip("dm_pix", reason="dm-pix is not installed")

CONVENTIONAL = SpipsModel(perceptual="none", semantic="none", hidden=8, members=2)
CONFIG = SpipsConfig(model=CONVENTIONAL, steps=150, folds=3)


def synthetic(references=6, each=24, seed=0):
    """Features whose amount people see, but of two kinds of difference one four times as much as the other."""
    rng = np.random.default_rng(seed)
    count = references * each
    kinds, amount = rng.integers(0, 2, count), rng.uniform(0.2, 2, count)
    profile = np.array([[1, 2, 0.1, 0.5, 1], [1, 0.1, 2, 1, 0.5]])[kinds]
    found = (amount[:, None] * profile * rng.lognormal(0, 0.1, (count, 5))).astype(np.float32)
    reference = np.repeat(np.arange(references), each)
    felt = amount * np.where(kinds == 1, 4, 1)
    scores = (felt - felt.mean()) / felt.std()
    questions = np.concatenate(
        [rng.permutation(np.flatnonzero(reference == r)).reshape(-1, 2) for r in range(references)]
    )
    second = (scores[questions[:, 0]] > scores[questions[:, 1]]).astype(float)
    return answers.Answers("synthetic", (), reference, scores, questions, second), found


@pytest.mark.slow(kept="its parts")
def test_learns_how_much_people_mind_each_kind_and_says_so_of_new_references():
    human, found = synthetic()
    folds = list(fit.cross_validate(CONFIG, human, found))
    assert sorted(np.concatenate([fold.pairs for fold in folds]).tolist()) == list(range(len(found)))
    assert np.mean([fit.agreement(human, fold)["SROCC"] for fold in folds]) > 0.93
    unaware = -np.corrcoef(found.sum(1).argsort().argsort(), (-human.scores).argsort().argsort())[0, 1]
    assert unaware < 0.8


def test_learns_from_answers_alone():
    human, found = synthetic()
    human = human._replace(scores=np.full(len(found), np.nan))
    agreements = [fit.agreement(human, fold)["2AFC"] for fold in fit.cross_validate(CONFIG, human, found)]
    assert np.mean(agreements) > 88


def test_what_is_held_out_changes_nothing():
    human, found = synthetic()
    kept = np.arange(4)
    out = ~np.isin(human.reference, kept)
    changed = human._replace(scores=np.where(out, -human.scores, human.scores))
    spoiled = np.where(out[:, None], 7.0, found).astype(np.float32)
    before, after = fit.fit(CONFIG, human, found, kept), fit.fit(CONFIG, changed, spoiled, kept)
    for name in ("extractor", "members"):
        for key in before[name]:
            np.testing.assert_array_equal(before[name][key], after[name][key])


def test_the_slopes_share_out_the_distance():
    human, found = synthetic()
    params = fit.fit(dataclasses.replace(CONFIG, steps=5), human, found, np.arange(6))
    some = np.concatenate([found[:5], np.zeros((1, 5), np.float32)])
    slopes = np.asarray(score.slopes(params, some))
    assert (slopes > 0).all()
    np.testing.assert_allclose((some * slopes).sum(1), score.distance(params, some), rtol=1e-5)


def test_a_map_of_a_zero_feature_has_its_slope_at_zero():
    human, found = synthetic()
    params = fit.fit(dataclasses.replace(CONFIG, steps=5), human, found, np.arange(6))
    near, at = (np.asarray(score.slopes(params, np.full((1, 5), value, np.float32))) for value in (1e-7, 0))
    np.testing.assert_allclose(near, at, rtol=1e-3)


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """Three references with noise of four levels, and scores that fall with it; a table of one's own."""
    folder, rng, rows = tmp_path_factory.mktemp("rated"), np.random.default_rng(0), []
    for r in range(3):
        clean = rng.uniform(0.2, 0.8, (6, 6, 3)).repeat(6, 0).repeat(6, 1)
        for level in range(5):
            noisy = np.clip(clean + 0.05 * level * rng.normal(size=clean.shape), 0, 1)
            Image.fromarray(np.round(noisy * 255).astype(np.uint8)).save(folder / f"{r}_{level}.png")
            if level:
                rows.append((f"{r}_0.png", f"{r}_{level}.png", 5 - level + 0.1 * r))
    with open(folder / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows([("reference", "distorted", "score"), *rows])
    return folder / "scores.csv"


def test_scores_become_differences_and_questions_within_a_reference(rated):
    human = answers.read(rated)
    assert len(human.pairs) == 12 and len(np.unique(human.reference)) == 3
    assert (np.diff(human.scores.reshape(3, 4)) > 0).all()  # more noise, more different
    assert len(human.questions) == 3 * 6
    first, second = human.questions.T
    assert (human.reference[first] == human.reference[second]).all()
    assert ((human.second > 0.5) == (human.scores[first] > human.scores[second])).all()


def test_triplets_become_questions():
    class Triplets:
        title, pairs, judge = "BAPPS-2AFC", ("a0", "a1", "b0", "b1"), np.array([0.2, 0.8])

    human = answers.of_triplets(Triplets)
    assert human.questions.tolist() == [[0, 1], [2, 3]] and human.second.tolist() == [0.2, 0.8]
    assert human.reference.tolist() == [0, 0, 1, 1] and np.isnan(human.scores).all()


def test_features_are_computed_once(rated, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    human = answers.read(rated)
    first = features.of_pairs(CONVENTIONAL, human.pairs)
    assert first.shape == (12, 5) and (first >= 0).all() and first.dtype == np.float32

    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(parts, "embed", never)
    monkeypatch.setattr(features, "_embed", never)
    np.testing.assert_array_equal(features.of_pairs(CONVENTIONAL, human.pairs), first)


def train(workdir, data, *overrides):
    small = ["model.perceptual=none", "model.semantic=none", "model.members=2", "steps=20", "folds=3"]
    arguments = ["configs/spips_alex.py", "--workdir", workdir, *small, *overrides]
    return run("train", *arguments, *(["--data", data] if data else []))


@pytest.mark.slow(kept="the fit to made-up answers")
def test_the_command_trains_once_and_its_weights_score_images(rated, tmp_path):
    done = train(tmp_path / "w", rated)
    assert done.returncode == 0, done.stderr
    assert "SROCC on references held out" in done.stdout and "over 3 folds" in done.stdout
    assert [row["step"] for row in log.read(tmp_path / "w").rows] == [1, 2, 3]
    with open(tmp_path / "w" / "held_out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and all(float(row["distance"]) > 0 for row in rows)

    again = train(tmp_path / "w", rated)
    assert again.returncode == 0 and "finished" in again.stdout and "held out" not in again.stdout
    other = train(tmp_path / "w", rated, "seed=1")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1) and "other settings (training)" in other.stderr

    images = [rated.parent / name for name in ("0_0.png", "0_3.png")]
    scored = run("eval", *images, "--ckpt", tmp_path / "w", "--maps", tmp_path / "maps")
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout.startswith("# spips_alex of w ")
    values = np.load(tmp_path / "maps" / "0_3.npy")
    assert values.mean() == pytest.approx(float(scored.stdout.split()[-1]), rel=1e-4)


@pytest.mark.slow(kept="errors of the parts, in test_spips.py")
def test_what_is_missing_is_a_line_that_says_so(tmp_path):
    for data, message in ((None, "give their folder, --data"), (tmp_path / "none", "does not exist")):
        done = train(tmp_path / "w", data)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and message in done.stderr
    assert not (tmp_path / "w").exists()
