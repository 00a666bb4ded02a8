"""How a run stands is told from its folder, whole or damaged, and its curves are drawn."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from marks import slow
from PIL import Image

from pim_jax import configuration, inspect, metric, provenance, stored
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig
from pim_jax.training import checkpoint, heartbeat, step, summary
from pim_jax.training.config import Config
from pim_jax.training.spips.config import SpipsConfig

ROOT = Path(__file__).parents[1]
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


def write_beat(workdir, state, step, reason="", *, seconds_ago=0.0):
    path = workdir / heartbeat.FILE
    path.write_text(json.dumps({"state": state, "step": step, "reason": reason, "seconds": 10.0}))
    os.utime(path, (time.time() - seconds_ago,) * 2)


@pytest.mark.parametrize(
    ("beat", "seconds_ago", "wanted"),
    [
        (("running", 35), 5, "running: at step 35 of 40"),
        (("running", 35), -3700, "running: at step 35 of 40 (the clock of its disk is 1.0 h ahead)"),
        (("stalled", 35), 5, "stalled at step 35 of 40: the process is alive"),
        (("running", 35), 3600, "killed at step 35 of 40: its last sign of life was 1.0 h ago"),
        (("stalled", 35), 3600, "killed at step 35 of 40: its last sign of life was 1.0 h ago"),
        (
            ("stopped", 20, "SIGTERM at step 20 of 40"),
            3600,
            "stopped by SIGTERM at step 20 of 40; the last checkpoint is ",
        ),
        (
            ("failed", 35, "the disk is full"),
            5,
            "failed at step 35 of 40: the disk is full; the last checkpoint is that of",
        ),
        (("not finite", 35, "step 36 is not finite"), 5, "not finite: step 36 is not finite"),
        # The newest checkpoint is of step 20 of 40; the run was continued with fewer steps.
        (("finished", 30), 3600, "finished at step 30"),
    ],
)
def test_the_verdict_follows_from_the_last_sign_of_life(run, capsys, beat, seconds_ago, wanted):
    shutil.rmtree(run / "checkpoints" / "40")
    write_log(run, [row(10), row(20), row(30)], seconds_ago=seconds_ago)
    write_beat(run, *beat, seconds_ago=seconds_ago)
    status, out, _ = inspected(capsys, run)
    assert f"verdict: {wanted}" in out
    assert status == (1 if "not finite" in wanted else 0)


def test_what_is_to_go_is_told_and_that_the_first_rate_includes_compiling(run, capsys):
    write_log(run, [row(10)])
    assert "20 pairs/s, 12 s to go at that rate, which includes compiling\n" in inspected(capsys, run)[1]
    write_log(run, [row(10), row(20)])
    assert "20 pairs/s, 8 s to go at that rate\n" in inspected(capsys, run)[1]


def test_a_finished_run_that_goes_on_for_more_steps_is_running(run, capsys):
    write_beat(run, "running", 45)
    assert "verdict: running: at step 45" in inspected(capsys, run)[1]


@pytest.mark.parametrize(
    "damage", ["", *slow("[]", '{"state": "dancing", "step": 1, "reason": "", "seconds": 1}', "{", kept="no sign")]
)
def test_of_a_run_without_a_sign_of_life_the_log_tells_what_it_can(run, capsys, damage):
    """A run of an older version, or a damaged file."""
    if damage:
        (run / heartbeat.FILE).write_text(damage)
    shutil.rmtree(run / "checkpoints" / "40")
    write_log(run, [row(10), row(20), row(30)], seconds_ago=3600)
    out = inspected(capsys, run)[1]
    assert (
        "verdict: not finished, without a sign of life: at step 30, whose line was written 1.0 h ago; the last" in out
    )
    assert "running" not in out
    write_log(run, [row(10), row(20, loss=math.nan)])
    status, out, _ = inspected(capsys, run)
    assert status == 1 and "verdict: not finite: loss at step 20" in out


def test_a_run_before_its_first_checkpoint_is_running(tmp_path, capsys):
    write_log(tmp_path, [row(1)])
    write_beat(tmp_path, "running", 1)
    status, out, _ = inspected(capsys, tmp_path)
    assert status == 0 and "not known before the first checkpoint" in out
    assert "checkpoints: none" in out and "verdict: running: at step 1" in out


@pytest.mark.slow(kept="the remark, in test_collapse.py")
@pytest.mark.parametrize(
    ("terms", "wanted"),
    [
        ({"I": 0.01}, "finished at step 40, but it collapsed: I ends at 0.01 nats, of at most log B = 2.08 nats"),
        ({"I": 2.07, "Rx": 0.01, "Ry": 0.003}, "finished at step 40, but it is saturated: I ends at 2.1 nats"),
        ({"I": 2.07, "Rx": 0.3, "Ry": 0.003}, "finished at step 40\n"),
        ({"I": 1.0}, "finished at step 40\n"),
    ],
)
def test_a_finished_run_whose_information_is_none_or_all_says_what_to_change(run, capsys, terms, wanted):
    write_log(run, [row(10), row(20), row(30), row(40, **terms)])
    write_beat(run, "finished", 40)
    out = inspected(capsys, run)[1]
    assert f"verdict: {wanted}" in out
    if "but" in wanted:
        assert "In a new --workdir, " in out


@pytest.mark.parametrize("name", ["pim-1", "spips"])
def test_weights_of_the_package_are_inspected_by_name(capsys, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    status, out, _ = inspected(capsys, name)
    assert status == 0 and f"name: {name}\n" in out and "whole, finite" in out and "verdict: weights" in out
    if name == "pim-1":
        assert "whitened: by the data 3bd00" in out and "noise and regularisation are not said" in out
    else:
        assert "configuration: the defaults\n" in out and "data: TID2013" in out


def test_a_run_of_spips_is_told_by_its_folds(tmp_path, capsys, monkeypatch):
    training = configuration.to_json(SpipsConfig(folds=3))
    with stored.bundled_folder("spips") as folder:
        shutil.copytree(folder, tmp_path / "w" / "checkpoints" / "300")
    about = tmp_path / "w" / "checkpoints" / "300" / "about" / "metadata"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"training": training}))
    write_log(tmp_path / "w", [{"step": fold, "SROCC": 0.9} for fold in (1, 2, 3)])
    status, out, _ = inspected(capsys, tmp_path / "w")
    assert status == 0 and "configuration: folds=3\n" in out and "progress: fold 3 of 3\n" in out
    assert "verdict: finished at step 300\n" in out


@pytest.mark.slow(kept="the printer, in test_console.py")
def test_a_reader_that_leaves_ends_it_quietly_and_the_curves_are_written(run):
    command = [sys.executable, "-m", "pim_jax.inspect", str(run)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    assert (run / "curves.png").stat().st_size > 0


@pytest.mark.slow(kept="writing.unwritten, in test_writing.py")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(run):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pim_jax.inspect", str(run)]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "python -m pim_jax.inspect: standard output cannot be written: " in done.stderr
    assert "No space left" in done.stderr


@pytest.mark.slow(kept="console.one_line, in test_console.py")
@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", "\u65e5\u672c".encode()])
def test_a_name_that_cannot_be_shown_is_escaped(run, name):
    odd = os.path.join(os.path.dirname(os.fsencode(run)), name)
    os.rename(run, odd)
    command = [sys.executable, "-m", "pim_jax.inspect", odd]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    readable = name != b"caf\xe9"  # not by the library for checkpoints
    assert done.returncode == (0 if readable else 1) and done.stderr == b""
    assert readable or b" MB, the name of the folder " in done.stdout
    shown = {b"caf\xe9": rb"caf\xe9", b"a\nb": rb"a\x0ab"}.get(name, rb"\u65e5\u672c")
    assert shown + b"/curves.png" in done.stdout and (not readable or b"verdict: finished" in done.stdout)
    assert os.path.exists(os.path.join(odd, b"curves.png"))


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
    assert status == 0 and "commit: \\x1b[2Jabc" in out and "\x1b" not in out


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


def second(run, tmp_path, **fields):
    """The same run with other settings."""
    other = tmp_path / "v"
    shutil.copytree(run, other)
    for about in other.glob("checkpoints/*/about/metadata"):
        said = json.loads(about.read_text())
        about.write_text(json.dumps(said | {"training": said["training"] | fields}))
    return other


def test_of_several_runs_what_differs_is_told_and_all_are_drawn(run, tmp_path, capsys, monkeypatch):
    other = second(run, tmp_path, seed=3, learning_rate=0.5)
    write_log(other, [row(10), row(20, I=0.25)])
    monkeypatch.chdir(tmp_path)
    status, out, err = inspected(capsys, run, other)
    assert (status, err) == (0, "")
    assert "| run | learning_rate | seed | step | loss   | I     | Rx    | Ry    | pairs/s |" in out
    assert "| w   | 0.0001        | 0    | 40   | -0.900 | 1.000 | 0.500 | 0.400 | 20      |" in out
    assert "| v   | 0.5           | 3    | 20   | -0.900 | 0.250 | 0.500 | 0.400 | 20      |" in out
    assert "w: finished at step 40" in out and "over seeds" not in out
    assert "curves: curves.png" in out and (tmp_path / "curves.png").exists() and not (run / "curves.png").exists()
    status, out, _ = inspected(capsys, run, second(run, tmp_path / "more", seed=5), "--png", tmp_path / "a.png")
    assert "Mean and standard deviation over seeds:" in out and "| w, v | 0, 5  |" in out


def test_of_several_runs_a_damaged_one_is_named(run, tmp_path, capsys):
    other = second(run, tmp_path)
    (other / "metrics.jsonl").write_text("[]\n" + (other / "metrics.jsonl").read_text())
    shutil.rmtree(other / "checkpoints" / "20" / "params" / "d")
    status, out, _ = inspected(capsys, run, other, "--png", tmp_path / "a.png")
    assert status == 1 and "v: checkpoint 20: " in out and "v: metrics.jsonl: 1 lines are damaged" in out
    assert "w: checkpoint" not in out


def test_runs_in_folders_of_one_name_are_told_by_their_paths(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "more" / "w")
    out = inspected(capsys, run, tmp_path / "more" / "w", "--png", tmp_path / "a.png")[1]
    assert f"{run}: finished" in out and f"{tmp_path / 'more' / 'w'}: finished" in out


def test_a_checkpoint_is_named_by_its_step(run, capsys):
    status, out, _ = inspected(capsys, f"{run}@20")
    assert status == 0 and "checkpoint 20: " in out and "checkpoint 40: " not in out
    status, _, err = inspected(capsys, f"{run}@30")
    assert status == 2 and "has no checkpoint of step 30, but those of steps 20, 40" in err


def test_a_run_is_followed_until_it_ends(run, capsys, monkeypatch):
    write_beat(run, "running", 41)
    lives = iter([lambda: None, lambda: write_log(run, [row(10), row(50)]), lambda: write_beat(run, "finished", 50)])
    monkeypatch.setattr(inspect.time, "sleep", lambda seconds: next(lives)())
    status, out, _ = inspected(capsys, run, "--follow")
    assert status == 0 and next(lives, None) is None
    assert out.count("verdict: running: at step 41") == 1  # nothing was new after the first look
    assert out.count("verdict: running: at step 50") == 1 and out.count("verdict: finished at step 50") == 1
    assert "\x1b" not in out  # no terminal to clear
