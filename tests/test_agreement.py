"""Agreement along runs is that of each checkpoint, differences are paired, and nothing is measured twice."""

import csv

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from pim_jax import inspect, metric, stored
from pim_jax.evaluation import datasets
from pim_jax.metric import Pim
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import agreement, summary, whiten

pytestmark = pytest.mark.slow(kept="the tables of benchmarks, in test_benchmark_run.py")

MODEL = ModelConfig(pyramid="none", widths=(4, 3))
SIZE = (16, 24)


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """Four references with noise and blur of three levels, and scores that fall with the level."""
    folder, rng, rows = tmp_path_factory.mktemp("rated"), np.random.default_rng(0), []
    for number in range(4):
        reference = rng.integers(0, 256, (*SIZE, 3)).astype(float)
        write(folder / f"r{number}.png", reference)
        for level in (1, 2, 3):
            noisy = reference + 20 * level * rng.standard_normal(reference.shape)
            flat = reference + level / 4 * (reference.mean((0, 1)) - reference)
            for kind, image in (("noise", noisy), ("contrast", flat)):
                write(folder / f"{kind}{number}{level}.png", image)
                score = 5 - level + rng.random()
                rows.append((f"r{number}.png", f"{kind}{number}{level}.png", score, kind))
    with open(folder / "rated.csv", "w", newline="") as file:
        csv.writer(file).writerows([("reference", "distorted", "score", "type"), *rows])
    return folder / "rated.csv"


def write(path, image):
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, which have the same weights at the step that they share."""
    folder = tmp_path_factory.mktemp("runs")
    for run, seeds in (("a", {20: 1, 40: 2}), ("b", {40: 2})):
        for step, seed in seeds.items():
            place = folder / run / "checkpoints" / f"{step}"
            stored.write(place, MODEL, pim.init(MODEL, jax.random.key(seed)), name=f"tiny of {run}")
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def found(runs, rated):
    return along(runs, ["a", "b"], rated)


def along(runs, names, rated, **options):
    of = {name: summary.of(runs / name) for name in names}
    return agreement.along(of, datasets.read("iqa", rated), lambda message: None, **options)


def test_a_checkpoint_has_the_agreement_of_its_weights(runs, rated, found):
    assert [*found.scores] == [("a", 20), ("a", 40), ("b", 40)] and not found.problems
    loaded, benchmark = metric.load(f"{runs / 'a'}@20"), datasets.read("iqa", rated)
    pairs = [[np.asarray(Image.open(p.path), np.float32) / 255 for p in pair] for pair in benchmark.pairs]
    distances = loaded.distance(*(np.stack(side) for side in zip(*pairs, strict=True)))
    wanted = -stats.spearmanr(distances, [rating.score for rating in benchmark.ratings]).statistic
    assert found.scores["a", 20]["SROCC"].value == pytest.approx(wanted, abs=1e-6)
    assert found.last()["a"]["SROCC"] == found.scores["a", 40]["SROCC"].value


def test_differences_are_paired_and_at_one_step(found):
    assert [*found.gaps] == [("b", 40)] and found.gaps["b", 40]["SROCC"] == (0, 0, 0)
    assert found.scores["a", 20] != found.scores["a", 40]
    assert found.scores["a", 40]["SROCC"].high > found.scores["a", 40]["SROCC"].low
    shown = found.tables()
    assert "| a@20 " in shown and "Differences from a at the same step" in shown and "0.000 [0.000, 0.000]" in shown


def test_every_run_is_a_line_with_intervals_over_its_steps(found):
    figure = agreement.draw(found)
    assert len(figure.axes) == 2 * len(found.columns)
    assert figure.get_suptitle() == f"Agreement with people, {found.title}. Bars are 95 % intervals."
    one, other = figure.axes[0].containers
    assert np.abs(one[0].get_xdata() - [20, 40]).max() < 1 and np.abs(other[0].get_xdata() - [40]).max() < 1
    np.testing.assert_allclose(one[0].get_ydata(), [found.scores["a", step]["SROCC"].value for step in (20, 40)])
    low, high = one[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose([low, high], found.scores["a", 20]["SROCC"][1:])
    assert len(figure.axes[len(found.columns)].containers) == 1  # the first run has no difference from itself


@pytest.mark.slow(kept="what is measured and drawn, above; the store, in test_store.py")
def test_inspect_tells_and_draws_it_and_what_was_measured_is_not_measured_again(
    runs, rated, found, tmp_path, capsys, monkeypatch
):
    for method in ("embed", "distance"):
        monkeypatch.setattr(Pim, method, lambda *arguments: pytest.fail("measured again"))
    arguments = [runs / "a", runs / "b", "--agreement", rated, "--png", tmp_path / "x.png"]
    assert inspect.main([str(argument) for argument in arguments]) == 0
    out = capsys.readouterr().out
    assert "Agreement with people, rated: 24 images of 2 types, 4 references:" in out and found.tables() in out
    assert f"agreement: {tmp_path / 'x-agreement.png'}" in out
    with Image.open(tmp_path / "x-agreement.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.slow(kept="whitening, in test_release.py")
def test_whitened_checkpoints_agree_as_their_release_does_and_whitening_is_kept(
    runs, rated, found, clip_pairs, monkeypatch
):
    white = along(runs, ["b"], rated, whitened_by=clip_pairs)
    assert white.scores["b", 40] != found.scores["b", 40] and "whitened by" in white.title
    loaded = metric.load(runs / "a")
    wanted = whiten.whiten(loaded.params, whiten.covariances(MODEL, loaded.params, clip_pairs))
    jax.tree.map(np.testing.assert_array_equal, whiten.whitened(loaded, clip_pairs).params, wanted)
    monkeypatch.setattr(whiten, "covariances", lambda *arguments: pytest.fail("computed again"))
    whiten.whitened(loaded, clip_pairs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--agreement", "none.csv"], ": none.csv does not exist"),
        (["--agreement", "{rated}", "--benchmark", "raid"], "responses.csv"),
        (["--agreement", "{rated}", "--benchmark", "nothing"], "there is no benchmark 'nothing'"),
        (["--agreement", "{folder}", "--benchmark", "imagenet-c"], "there are no human answers"),
        (["--agreement", "{rated}", "--whiten", "{folder}"], "is not a training set"),
        (["--agreement", "{folder}"], "is none of the data sets of rated images. Expected:\n  TID2008: "),
    ],
)
def test_what_cannot_be_measured_is_said(runs, rated, options, message, capsys):
    options = [option.format(rated=rated, folder=rated.parent) for option in options]
    assert inspect.main([str(runs / "a"), *options]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and "\\x0a" not in err
