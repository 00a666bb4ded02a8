"""Weights come back as they were written; damaged and hostile folders are clear errors."""

import json
import os
import pickle
import shutil

import jax
import numpy as np
import pytest
import tensorstore

from pim_jax import metric, provenance, stored
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig

MODEL = ModelConfig(pyramid="none", widths=(4, 3))


@pytest.fixture
def params():
    return jax.tree.map(np.asarray, pim.init(MODEL, jax.random.key(0)))


def assert_equal(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_round_trip_with_their_name(tmp_path, params):
    stored.write(tmp_path / "w", MODEL, params, name="small", commit="abc")
    weights = stored.read(tmp_path / "w", metric.FORMAT)
    assert_equal(weights.params, params)
    assert (weights.model, weights.about["name"], weights.about["commit"]) == (MODEL, "small", "abc")
    assert weights.digest == provenance.digest(params)


def test_a_planted_pickle_is_never_run(tmp_path, params):
    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    bomb = pickle.dumps(Bomb())
    good = tmp_path / "good"
    stored.write(good, MODEL, params, name="small")
    for file in ("evil.pkl", "params/evil.npy", "about/evil.pkl"):
        (good / file).write_bytes(bomb)
    assert_equal(stored.read(good, metric.FORMAT).params, params)
    (good / "params" / "checkpoint").touch()  # the place of a format that is not ours
    for number, file in enumerate(file for file in sorted(good.rglob("*")) if file.is_file()):
        copy = tmp_path / f"{number}"
        shutil.copytree(good, copy)
        (copy / file.relative_to(good)).write_bytes(bomb)
        try:
            stored.read(copy, metric.FORMAT)
        except ValueError as error:
            assert "cannot be read" in str(error) and "\n" not in str(error)
    assert not (tmp_path / "ran").exists()
    pickle.loads(bomb)
    assert (tmp_path / "ran").exists(), "the pickle would have run"


def claim(directory, **changes):
    """Rewrites what the header of one stored array claims."""
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{directory}/params/"}).result()
    key = next(key for key in sorted(store.list().result()) if key.endswith(b"conv0.kernel/.zarray"))
    header = json.loads(store.read(key).result().value)
    store.write(key, json.dumps(header | changes).encode()).result()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [5, 5, 3, 10**12]}, "not float32"),
        ({"chunks": [5, 5, 3, 10**9]}, "chunks of"),
        ({"dtype": "<f8"}, "is float64"),
    ],
)
def test_arrays_that_claim_another_size_are_refused_unread(tmp_path, params, changes, message):
    stored.write(tmp_path / "w", MODEL, params, name="small")
    claim(tmp_path / "w", **changes)
    with pytest.raises(ValueError, match=message):
        stored.read(tmp_path / "w", metric.FORMAT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"scales": 10**18, "pyramid": "steerable"}}, "layers; at most"),
        ({"model": {"layers": 10**18}}, "layers; at most"),
        ({"model": {"widths": [10**6, 10**6]}}, "numbers; at most"),
        ({"model": {"widths": "many"}}, "cannot be read"),
        ({"model": {"scales": None}}, "cannot be read"),
        ({"name": "two\nlines"}, "no text of one line"),
        ({"name": 3}, "no text of one line"),
        ({"note": "x" * 2**20}, "bytes; at most"),
    ],
)
def test_weights_that_claim_too_much_are_refused(tmp_path, params, changes, message):
    stored.write(tmp_path / "w", MODEL, params, name="small")
    file = tmp_path / "w" / "about" / "metadata"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | changes | {"model": about["model"] | changes.get("model", {})}))
    with pytest.raises(ValueError, match=message):
        stored.read(tmp_path / "w", metric.FORMAT)


@pytest.mark.parametrize("content", ["", "[" * 100_000, "[]", "{}"])
def test_about_that_tells_nothing_is_refused(tmp_path, params, content):
    stored.write(tmp_path / "w", MODEL, params, name="small")
    (tmp_path / "w" / "about" / "metadata").write_text(content)
    with pytest.raises(ValueError, match="cannot be read"):
        stored.read(tmp_path / "w", metric.FORMAT)


def test_a_pipe_among_the_files_is_refused_and_not_waited_for(tmp_path, params):
    stored.write(tmp_path / "w", MODEL, params, name="small")
    (tmp_path / "w" / "about" / "metadata").unlink()
    os.mkfifo(tmp_path / "w" / "about" / "metadata")
    with pytest.raises(ValueError, match="not a plain file"):
        stored.read(tmp_path / "w", metric.FORMAT)


def test_missing_and_foreign_folders_are_clear_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        stored.read(tmp_path / "none", metric.FORMAT)
    with pytest.raises(ValueError, match="holds no weights"):
        stored.read(tmp_path, metric.FORMAT)


def test_damaged_weights_are_a_clear_error(tmp_path, params):
    stored.write(tmp_path / "w", MODEL, params, name="small")
    shutil.rmtree(tmp_path / "w" / "params" / "ocdbt.process_0", ignore_errors=True)
    shutil.rmtree(tmp_path / "w" / "params" / "d")
    with pytest.raises(ValueError, match="cannot be read"):
        stored.read(tmp_path / "w", metric.FORMAT)


def test_weights_of_another_model_are_a_clear_error(tmp_path, params):
    stored.write(tmp_path / "w", ModelConfig(pyramid="none", widths=(5, 3)), params, name="small")
    with pytest.raises(ValueError, match="cannot be read"):
        stored.read(tmp_path / "w", metric.FORMAT)


def test_a_checkpoint_is_named_by_its_step(tmp_path, params):
    for step in (5, 40):
        scaled = jax.tree.map(lambda leaf, step=step: leaf * step, params)
        stored.write(tmp_path / "run" / "checkpoints" / f"{step}", MODEL, scaled, name="small")
    run = f"{tmp_path}/run"
    for name, step in ((f"{run}@5", 5), (f"{run}@40", 40), (run, 40)):
        assert_equal(stored.load(name, metric.FORMAT).params, jax.tree.map(lambda leaf, step=step: leaf * step, params))
    with pytest.raises(ValueError, match=r"run has no checkpoint of step 7, but those of steps 5, 40"):
        stored.load(f"{run}@7", metric.FORMAT)
    with pytest.raises(FileNotFoundError, match="no_run@7 is neither"):
        stored.load(f"{tmp_path}/no_run@7", metric.FORMAT)
    stored.write(tmp_path / "run@5", MODEL, params, name="small")  # a folder that is called so
    assert_equal(stored.load(f"{run}@5", metric.FORMAT).params, params)
