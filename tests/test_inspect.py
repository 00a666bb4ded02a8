"""How a run stands is told from its folder, whole or damaged, and its curves are drawn."""

import json
import math
import os
import shutil
import time

import jax
import numpy as np
import pytest
from PIL import Image

from pim_jax import configuration, inspect, metric, provenance, stored
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import checkpoint, step, summary
from pim_jax.training.config import Config

CONFIG = Config(model=ModelConfig(pyramid="none", widths=(4, 3)), steps=40, batch=8)
ABOUT = {
    "name": "tiny of w",
    "model": configuration.to_json(CONFIG.model),
    "training": configuration.to_json(CONFIG),
    "data": "d" * 64,
    "commit": "abc123",
}


def row(step, **values):
    terms = {"I": 1.0, "Rx": 0.5, "Ry": 0.4, "beta": 0.1, "loss": -0.9, "pairs_per_second": 20.0}
    return {"step": step, **terms, **values}


def write_log(workdir, rows, *, seconds_ago=0.0):
    path = workdir / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(path, (time.time() - seconds_ago,) * 2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with checkpoints at steps 20 and 40."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    state = step.init(CONFIG, step.mesh())
    with checkpoint.manager(workdir, keep=3) as manager:
        for done in (20, 40):
            checkpoint.save(manager, state._replace(step=state.step + done), ABOUT | {"step": done})
    write_log(workdir, [row(10), row(20), row(30), row(40)])
    return workdir


@pytest.fixture
def run(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "w")
    return tmp_path / "w"


def inspected(capsys, *arguments):
    status = inspect.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return status, printed.out, printed.err


def test_a_finished_run_is_told_whole(run, capsys):
    status, out, err = inspected(capsys, run)
    assert (status, err) == (0, "")
    assert "model.pyramid=none, model.widths=(4,3), steps=40, batch=8" in out and "seed" not in out
    assert f"data: {'d' * 64}" in out and "commit: abc123" in out
    assert "step 40 of 40 (100.0 %), 20 pairs/s" in out
    assert "loss -0.9" in out and "beta 0.1" in out
    digest = stored.read(run, metric.FORMAT).digest
    assert out.count(f"whole, finite, SHA-256 {digest}") == 2 and "checkpoint 20: " in out and "checkpoint 40: " in out
    assert "verdict: finished at step 40" in out
    assert f"curves: {run / 'curves.png'}" in out


def test_the_curves_are_a_picture_where_it_was_asked_for(run, tmp_path, capsys):
    assert inspected(capsys, run, "--png", tmp_path / "new" / "a.png")[0] == 0
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.format == "PNG" and len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert not (run / "curves.png").exists()


@pytest.mark.parametrize(
    ("rows", "seconds_ago", "wanted"),
    [
        ([row(10), row(20), row(25)], 5, "running: at step 25 of 40"),
        ([row(10), row(20)], 3600, "stopped: at step 20 of 40, the last line was written 1.0 h ago, and all is saved"),
        ([row(10), row(20), row(30)], 3600, "stalled: at step 30 of 40"),
        # A line every 1000 s is usual here, so an hour of silence is not.
        ([row(10, pairs_per_second=0.08), row(20, pairs_per_second=0.08)], 3600, "running: at step 20 of 40"),
        ([row(10), row(20, loss=math.nan)], 5, "not finite: loss at step 20"),
    ],
)
def test_the_verdict_follows_from_the_log_and_the_last_save(run, capsys, rows, seconds_ago, wanted):
    shutil.rmtree(run / "checkpoints" / "40")
    write_log(run, rows, seconds_ago=seconds_ago)
    status, out, _ = inspected(capsys, run)
    assert f"verdict: {wanted}" in out
    assert status == (1 if "not finite" in wanted else 0)


def test_a_run_before_its_first_checkpoint_is_running(tmp_path, capsys):
    write_log(tmp_path, [row(1)])
    status, out, _ = inspected(capsys, tmp_path)
    assert status == 0 and "not known before the first checkpoint" in out
    assert "checkpoints: none" in out and "verdict: running: at step 1," in out


def test_a_line_that_is_being_written_is_no_damage_but_one_in_the_middle_is(run, capsys):
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text + '{"step": 5')
    status, out, _ = inspected(capsys, run)
    assert status == 0 and "damaged" not in out
    (run / "metrics.jsonl").write_bytes(b"\xff\0\n[1]\n" + text.encode())
    status, out, _ = inspected(capsys, run)
    assert status == 1 and "2 lines are damaged and left out" in out and "step 40 of 40" in out


@pytest.mark.parametrize("part", ["params", "optimizer", "about"])
def test_a_damaged_checkpoint_is_named_and_the_others_are_told(run, capsys, part):
    files = [file for file in (run / "checkpoints" / "40" / part).rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    status, out, _ = inspected(capsys, run)
    assert status == 1
    (line,) = [line for line in out.splitlines() if line.startswith("checkpoint 40: ")]
    assert "cannot be read" in line and "whole" not in line
    assert "whole, finite" in out and "name: tiny of w" in out


def test_what_a_stranger_wrote_does_not_steer_the_terminal(run, capsys):
    about = run / "checkpoints" / "40" / "about" / "metadata"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"commit": "\x1b[2Jabc"}))
    status, out, _ = inspected(capsys, run)
    assert status == 0 and "commit: ?[2Jabc" in out and "\x1b" not in out


def test_parameters_that_are_not_finite_are_found(tmp_path, capsys):
    params = jax.tree.map(np.array, pim.init(CONFIG.model, jax.random.key(0)))
    params["frontend"]["band0"]["conv0"]["bias"][0] = np.nan
    stored.write(tmp_path / "w", CONFIG.model, params, name="bad")
    status, out, _ = inspected(capsys, tmp_path / "w")
    assert status == 1 and "not finite" in out.splitlines()[-1]


def test_weights_alone_are_told_without_curves(tmp_path, capsys):
    params = jax.tree.map(np.asarray, pim.init(CONFIG.model, jax.random.key(0)))
    stored.write(tmp_path / "w", CONFIG.model, params, name="small", commit="abc")
    status, out, _ = inspected(capsys, tmp_path / "w")
    assert status == 0
    assert "name: small" in out and "model.widths=(4,3)" in out and "commit: abc" in out
    assert f"weights: 0.0 MB, whole, finite, SHA-256 {provenance.digest(params)}" in out
    assert "verdict: weights" in out and "curves" not in out
    (tmp_path / "w" / "SHA256").write_text("0" * 64)
    status, out, _ = inspected(capsys, tmp_path / "w")
    assert status == 1 and "weights: 0.0 MB, it is not what its file SHA256 says" in out


def test_folders_of_something_else_are_refused_in_one_line(tmp_path, capsys):
    for folder, message in ((tmp_path / "none", "there is no folder"), (tmp_path, "holds no run and no weights")):
        status, out, err = inspected(capsys, folder)
        assert status == 2 and out == "" and message in err and err.count("\n") == 1


def test_curves_that_cannot_be_written_are_one_line(run, capsys):
    (run / "file").write_text("")
    status, _, err = inspected(capsys, run, "--png", run / "file" / "a.png")
    assert status == 1 and "the curves cannot be written: " in err and err.count("\n") == 1


def test_the_log_may_gain_columns_and_lose_others(run, capsys):
    write_log(run, [{"step": 20, "memory": 1e9, "note": "a text"}, {"step": 40, "seconds_per_step": None}])
    status, out, _ = inspected(capsys, run)
    assert status == 0 and "verdict: finished" in out
    assert summary.rate(summary.of(run).rows) is None
