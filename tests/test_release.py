"""Released weights are those of the run, under their own name, and say nothing about the machine."""

import os

import jax
import numpy as np
import pytest
from disks import read_only, small_disk
from marks import slow

from pim_jax import inspect, metric, provenance, release, stored
from pim_jax.data import pairs
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import whiten

MODEL = ModelConfig(pyramid="none", widths=(4, 3))


@pytest.fixture
def run(tmp_path):
    """A checkpoint at the place where train.py writes it."""
    params = pim.init(MODEL, jax.random.key(0))
    training = {"steps": 7}
    stored.write(tmp_path / "run" / "checkpoints" / "7", MODEL, params, name="of a run", training=training)
    return tmp_path / "run"


def test_the_weights_of_a_run_load_under_their_new_name(run, tmp_path, capsys):
    assert release.main([str(run), str(tmp_path / "weights" / "pim-x")]) == 0
    released, trained = metric.load(tmp_path / "weights" / "pim-x"), metric.load(run)
    assert (released.name, released.digest) == ("pim-x", trained.digest)
    jax.tree.map(np.testing.assert_array_equal, released.params, trained.params)
    about = stored.read(tmp_path / "weights" / "pim-x", metric.FORMAT).about
    assert about["training"] == {"steps": 7}
    digest = (tmp_path / "weights" / "pim-x" / "SHA256").read_text().strip()
    assert digest.startswith(released.digest) and digest in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["pim-x"]


def test_weights_take_less_room_than_their_numbers_and_lose_none(tmp_path):
    params = stored.load("pim-fast", metric.FORMAT).params
    with stored.bundled_folder("pim-fast") as bundled:
        digest = release.release([bundled], tmp_path / "pim-fast")
    assert digest == provenance.digest(params)
    jax.tree.map(np.testing.assert_array_equal, metric.load(tmp_path / "pim-fast").params, params)
    files = [path for path in (tmp_path / "pim-fast" / "params").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 0.95 * sum(leaf.nbytes for leaf in jax.tree.leaves(params))


def test_runs_side_by_side_average_their_distances(tmp_path, capsys):
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, run in enumerate(runs):
        params = pim.init(MODEL, jax.random.key(seed))
        stored.write(run, MODEL, params, name="one", training={"seed": seed}, commit="abc")
    assert release.main([*map(str, runs), str(tmp_path / "both")]) == 0
    x, y = jax.random.uniform(jax.random.key(2), (2, 1, 16, 16, 3))
    alone = [metric.load(run).distance(x, y) for run in runs]
    np.testing.assert_allclose(metric.load(tmp_path / "both").distance(x, y), np.mean(alone, 0), rtol=1e-6)
    about = stored.read(tmp_path / "both", metric.FORMAT).about
    assert about["commit"] == "abc" and about["members"] == [{"training": {"seed": 0}}, {"training": {"seed": 1}}]
    capsys.readouterr()
    assert inspect.main([str(tmp_path / "both")]) == 0
    assert "model.members=2" in capsys.readouterr().out


def test_runs_of_two_models_are_not_put_side_by_side(run, tmp_path, capsys):
    other = ModelConfig(pyramid="none", widths=(5, 3))
    stored.write(tmp_path / "other", other, pim.init(other, jax.random.key(0)), name="other")
    assert release.main([str(run), str(tmp_path / "other"), str(tmp_path / "both")]) == 2
    assert f"{tmp_path / 'other'} is of another model than {run}" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("mixtures", [1, *slow(2, kept="one component")])
def test_whitened_weights_bring_the_directions_of_z_to_one_scale(tmp_path, clip_pairs, mixtures, monkeypatch, capsys):
    monkeypatch.setattr(whiten, "_BATCHES", 2)
    model = ModelConfig(pyramid="none", widths=(4, 3), dimensions=3, mixtures=mixtures)
    params = pim.init(model, jax.random.key(0))
    stored.write(tmp_path / "run", model, params, name="of a run", training={"steps": 7})
    assert release.main([str(tmp_path / "run"), str(tmp_path / "white"), "--whiten", str(clip_pairs)]) == 0

    weights = stored.read(tmp_path / "white", metric.FORMAT)
    assert weights.about["whitened_by"] == pairs.data_hash(clip_pairs)
    assert weights.about["whitening"] == {"noise": whiten.NOISE, "regularisation": whiten.REGULARISATION}
    capsys.readouterr()
    assert inspect.main([str(tmp_path / "white")]) == 0
    told = f"whitened: by the data {pairs.data_hash(clip_pairs)}, noise 0.025, regularisation {whiten.REGULARISATION}\n"
    assert told in capsys.readouterr().out
    (before,), (after,) = (whiten.covariances(model, p, clip_pairs) for p in (params, weights.params))
    values = np.linalg.eigvalsh(before)
    want = values / (values + whiten.REGULARISATION * values.mean())
    np.testing.assert_allclose(np.linalg.eigvalsh(after), want, rtol=1e-3)


@pytest.mark.slow(kept="whitened weights of one network, and members without whitening, are in the default run")
def test_folded_networks_and_members_are_whitened_band_by_band(tmp_path, clip_pairs, monkeypatch):
    monkeypatch.setattr(whiten, "_BATCHES", 2)
    networks = dict(folding=(1, 2), widths=(4, 3), support=3, members=2)
    model = ModelConfig(scales=1, orientations=1, normalisation=1.0, **networks)
    params = pim.init(model, jax.random.key(0))
    stored.write(tmp_path / "run", model, params, name="of a run", training={})
    release.release([tmp_path / "run"], tmp_path / "white", whitened_by=clip_pairs)
    white = stored.read(tmp_path / "white", metric.FORMAT).params
    for before, after in zip(*(whiten.covariances(model, p, clip_pairs) for p in (params, white)), strict=True):
        values = np.linalg.eigvalsh(before)
        want = values / (values + whiten.REGULARISATION * values.mean())
        np.testing.assert_allclose(np.linalg.eigvalsh(after), want, rtol=1e-2, atol=1e-3)


def test_weights_without_a_last_linear_layer_are_not_whitened(tmp_path, clip_pairs, capsys):
    model = ModelConfig(pyramid="none", widths=(4, 3), head="released")
    stored.write(tmp_path / "run", model, pim.init(model, jax.random.key(0)), name="of a run", training={})
    assert release.main([str(tmp_path / "run"), str(tmp_path / "out"), "--whiten", str(clip_pairs)]) == 2
    assert "only models with head='paper'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_file_holds_a_path_of_the_machine(run, tmp_path):
    release.release([run], tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(run, tmp_path, capfd):
    with small_disk(tmp_path / "disk", "64k") as disk:
        assert release.main([str(run), str(disk / "w")]) == 1
        assert list(disk.iterdir()) == []
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "cannot be written: it needs 0.5 MB, and the disk has 0.1 MB left" in errors


def test_a_read_only_folder_is_refused_before_any_work(run, tmp_path, capsys):
    with small_disk(tmp_path / "disk", "64k") as disk, read_only(disk):
        assert release.main([str(run), str(disk / "w"), "--whiten", "no-training-set"]) == 2
    said = f"OUT {disk / 'w'} cannot be written: {disk} is read-only, or somebody else's\n"
    assert capsys.readouterr().err.endswith(f": {said}")


def test_a_name_is_shown_in_one_line_and_one_that_is_not_utf_8_is_refused(run, tmp_path, capsys):
    assert release.main([str(run), str(tmp_path / "a\nb")]) == 2
    assert r"a\nb" in capsys.readouterr().err
    assert release.main([str(run), str(tmp_path / os.fsdecode(b"caf\xe9"))]) == 2
    assert r"caf\xe9 is not UTF-8" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_nothing_is_replaced(run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert release.main([str(run), str(tmp_path / "out")]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_folder_without_weights_leaves_nothing_behind(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert release.main([str(tmp_path / "empty"), str(tmp_path / "weights" / "w")]) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()
