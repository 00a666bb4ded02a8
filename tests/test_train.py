"""The training command: runs, resumes to the bit, survives kills, and says what is wrong."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from marks import nightly, slow
from runs import ENDLESS, Command, Run, run
from runs import TINY as WITHOUT_PYRAMID

from pim_jax import metric, stored
from pim_jax.data import records
from pim_jax.training import heartbeat, log, summary

ROOT = Path(__file__).parents[1]
STEPS = 24
TINY = [
    "model.pyramid=none",  # one band: quick to trace
    "model.widths=(6,3)",
    "batch=8",
    f"steps={STEPS}",
    "log_every=1",
    "save_every=8",
]


def arguments(workdir, data, *overrides):
    return ["configs/tiny.py", "--workdir", str(workdir), "--data", str(data), *TINY, *overrides]


def train(workdir, data, *overrides):
    return run("train", *arguments(workdir, data, *overrides))


def numbers(workdir):
    """What a run computed, step by step, without what depends on the machine."""
    clock = {"pairs_per_second", "seconds_per_step", "waiting", "memory_gb"}
    return [{name: value for name, value in row.items() if name not in clock} for row in log.read(workdir).rows]


@pytest.fixture(scope="module")
def finished(one_device, clip_pairs, tmp_path_factory):
    """The working directory of a run of the script itself; the others are forked, which is quicker."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    command = [sys.executable, "train.py", *arguments(workdir, clip_pairs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=one_device)
    assert done.returncode == 0, done.stderr
    assert f"finished at step {STEPS}" in done.stdout
    assert heartbeat.read(workdir).state == "finished"
    return workdir


def test_logs_every_term_of_every_step(finished):
    rows = log.read(finished).rows
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    wanted = {"step", "loss", "I", "Rx", "Ry", "beta", "gradient_norm"}
    wanted |= {"pairs_per_second", "seconds_per_step", "waiting", "memory_gb"}
    assert all(set(row) == wanted for row in rows)


def test_the_metric_loads_from_the_working_directory(finished):
    pim = metric.load(finished)
    assert pim.config.widths == (6, 3) and "tiny" in pim.name


@pytest.mark.slow(kept="a state that continues, in test_checkpoint.py")
def test_running_again_continues_to_the_same_numbers(finished, clip_pairs, tmp_path):
    assert train(tmp_path, clip_pairs, "steps=10").returncode == 0
    again = train(tmp_path, clip_pairs)
    assert again.returncode == 0 and f"step 10 of {STEPS}" in again.stdout
    assert numbers(tmp_path) == numbers(finished)


@pytest.mark.slow(kept="test_hosts.py kills a process at random, and compares the losses up to rounding")
def test_killed_at_random_steps_the_losses_continue_as_if_nothing_had_happened(finished, clip_pairs, tmp_path):
    rng, kills = random.Random(0), 0
    for _ in range(3):
        with Command("train", *arguments(tmp_path, clip_pairs)) as command:
            target = rng.randrange(4 * kills + 2, 4 * kills + 8)
            while command.process.is_alive() and steps_done(tmp_path) < target:
                time.sleep(0.02)
            if command.process.is_alive():
                os.kill(command.process.pid, signal.SIGKILL)
                kills += command.end().returncode == -signal.SIGKILL
    assert kills == 3
    assert train(tmp_path, clip_pairs).returncode == 0
    assert numbers(tmp_path) == numbers(finished)


@pytest.mark.parametrize("number", [signal.SIGINT, *slow(signal.SIGTERM, kept="SIGINT")])
def test_a_signal_saves_and_leaves_with_a_clear_line(finished, clip_pairs, tmp_path, number):
    with Command("train", *arguments(tmp_path, clip_pairs, "save_every=1000")) as command:
        while command.process.is_alive() and steps_done(tmp_path) < 3:
            time.sleep(0.02)
        os.kill(command.process.pid, number)
        done = command.end()
    assert done.returncode == 0, done.stderr
    assert f"stopped by {number.name} at step" in done.stdout and "Traceback" not in done.stderr
    beat = heartbeat.read(tmp_path)
    assert (beat.state, beat.reason) == ("stopped", f"{number.name} at step {beat.step} of {STEPS}")
    (saved,) = (tmp_path / "checkpoints").iterdir()
    assert int(saved.name) == log.read(tmp_path).rows[-1]["step"]
    if number == signal.SIGTERM:
        assert train(tmp_path, clip_pairs).returncode == 0
        assert numbers(tmp_path) == numbers(finished)


@pytest.mark.slow(kept="the search for the tensor, in test_finite.py")
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(clip_pairs, tmp_path):
    done = train(tmp_path, clip_pairs, "learning_rate=1e30", "save_every=1")
    assert done.returncode == 1
    assert "is not finite" in done.stderr and "Traceback" not in done.stderr
    assert "first not finite: " in done.stderr and "when the step was repeated" not in done.stderr
    failed = int(done.stderr.split("step ")[1].split()[0])
    kept = [int(entry.name) for entry in (tmp_path / "checkpoints").iterdir()]
    assert max(kept, default=0) < failed
    last = f"the last checkpoint is that of step {max(kept)}." if kept else "no checkpoint was written before it."
    assert last in done.stderr and "Lower learning_rate in a new --workdir" in done.stderr
    assert heartbeat.read(tmp_path).reason.startswith(f"step {failed} is not finite")
    assert all(json.dumps(row).find("NaN") < 0 for row in log.read(tmp_path).rows)


def test_other_settings_are_refused_in_a_used_directory(finished, clip_pairs):
    done = train(finished, clip_pairs, "batch=16")
    assert done.returncode == 2
    assert "holds a run with batch=8. Choose another --workdir, or continue that run: python train.py" in done.stderr


@pytest.mark.slow(kept="damaged weights, in test_checkpoint.py")
@pytest.mark.parametrize("file", ["params/manifest.ocdbt", *nightly("optimizer/_METADATA", "about/metadata")])
def test_a_damaged_checkpoint_is_named_with_the_one_before(finished, clip_pairs, tmp_path, file):
    workdir = shutil.copytree(finished, tmp_path / "w")
    damaged = workdir / "checkpoints" / str(STEPS) / file
    damaged.write_bytes(damaged.read_bytes()[:20])
    done = train(workdir, clip_pairs, f"steps={STEPS + 4}")
    # Dozens of threads fail with it, each with a traceback that nobody is to see.
    [error] = [line for line in done.stderr.splitlines() if line.startswith("train.py: ")]
    assert "Traceback" not in done.stderr
    assert done.returncode == 2 and f"checkpoints/{STEPS} is damaged" in error
    assert f"remove this folder to continue from step {STEPS - 8}" in error
    shutil.rmtree(damaged.parents[1])
    assert train(workdir, clip_pairs).returncode == 0
    assert numbers(workdir) == numbers(finished)


def test_a_training_set_that_lacks_a_shard_is_refused_at_the_start(clip_pairs, tmp_path):
    shutil.copytree(clip_pairs, tmp_path / "data")
    next((tmp_path / "data").glob("*array_record*")).unlink()
    done = train(tmp_path / "w", tmp_path / "data")
    assert done.returncode == 2 and not (tmp_path / "w").exists()
    assert "is missing or broken off" in done.stderr and done.stderr.count("\n") == 1


def test_a_damaged_record_ends_the_run_with_one_line(clip_pairs, tmp_path):
    shutil.copytree(clip_pairs, tmp_path / "data")
    shard = next((tmp_path / "data").glob("*array_record*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = train(tmp_path / "w", tmp_path / "data", "save_every=1")
    assert done.returncode == 1
    assert "has a damaged record, number" in done.stderr and "Traceback" not in done.stderr
    steps = [row["step"] for row in log.read(tmp_path / "w").rows]
    assert [int(saved.name) for saved in stored.of_run(tmp_path / "w")] == steps[-3:]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["configs/none.py"], "no configuration file"),
        (["configs/tiny.py", "batch=many"], "batch must be a whole number"),
        (["configs/tiny.py", "--data", "configs"], "configs is not a training set"),
        (["configs/tiny.py", "batch=9"], "batch=9 must be a multiple of the number of devices, 8"),
        (["configs/tiny.py", "--stall", "-1"], "it must be a number of minutes, 0 or more, not '-1'"),
        (["configs/tiny.py", "--processes", "2"], "--coordinator, --processes and --process belong together"),
        (["configs/tiny.py", "--coordinator", "a:1", "--processes", "2", "--process", "2"], "--process must be from 0"),
    ],
)
def test_mistakes_are_one_line_and_status_two(tmp_path, given, message):
    done = run("train", *given, "--workdir", tmp_path / "w", devices=8)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    *usage, error = done.stderr.splitlines()
    assert error.startswith("train.py: ") and (not usage or usage[0].startswith("usage: train.py"))


def assert_ends(workdir, data, *overrides, status=0, settings=WITHOUT_PYRAMID):
    """What the command prints."""
    done = run("train", "configs/tiny.py", "--workdir", workdir, "--data", data, *settings, *overrides)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow(kept="a run that continues")
def test_without_overrides_a_run_continues_with_its_own(clip_pairs, tmp_path):
    assert_ends(tmp_path, clip_pairs, "steps=2", "save_every=2")
    said = assert_ends(tmp_path, clip_pairs, "steps=4", settings=[])
    assert "configs/tiny.py: step 2 of 4" in said and "finished at step 4" in said
    assert "with the overrides of the run: model.pyramid=none 'model.widths=(4,3)' patch=32" in said
    again = assert_ends(tmp_path, clip_pairs, settings=[])
    assert "configs/tiny.py: step 4 of 4" in again
    fewer = assert_ends(tmp_path, clip_pairs, "steps=3", settings=[], status=2)
    assert "is at step 4 already: steps must be at least 4, not 3" in fewer


@pytest.mark.slow(kept="configuration.assignments, in test_config.py")
def test_a_difference_is_shown_as_the_command_that_continues(clip_pairs, tmp_path):
    workdir = tmp_path / "a run"
    assert_ends(workdir, clip_pairs, "steps=2")
    said = assert_ends(workdir, clip_pairs, "steps=4", "batch=16", "seed=3", status=2)
    assert "holds a run with batch=8 seed=0. Choose another --workdir, or continue that run: " in said
    python, script, config, *words = shlex.split(said.partition("continue that run: ")[2])
    assert (python, script, config) == ("python", "train.py", "configs/tiny.py")
    assert words[:4] == ["--workdir", str(workdir), "--data", str(clip_pairs)] and "steps=4" in words[4:]
    assert "finished at step 4" in assert_ends(workdir, clip_pairs, settings=words[4:])


@pytest.mark.slow(kept="signs of life, in test_heartbeat.py and test_inspect.py")
def test_what_is_killed_leaves_a_sign_of_life_that_grows_old(clip_pairs, tmp_path):
    with Run(tmp_path, clip_pairs, ENDLESS) as run:
        run.wait_for(2)
        assert summary.verdict(summary.of(tmp_path)).startswith("running: at step ")
        run.signal(0, signal.SIGKILL)
        assert run.end() == [-signal.SIGKILL]
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / heartbeat.FILE, (an_hour_ago, an_hour_ago))
    assert summary.verdict(summary.of(tmp_path)).startswith("killed at step ")


@pytest.mark.slow(kept="other mistakes before the first step")
def test_a_batch_of_more_pairs_than_there_are_is_said_before_the_first_step(clip_pairs, tmp_path):
    count = len(records.open_dataset(clip_pairs))
    said = assert_ends(tmp_path / "more", clip_pairs, f"batch={count + 1}", "steps=1")
    line = f"batch={count + 1} is more than the {count} pairs of the training set"
    assert line in said and said.index(line) < said.index("step 1  ")
    assert "is more than" not in assert_ends(tmp_path / "as-many", clip_pairs, f"batch={count}", "steps=1")


@pytest.mark.slow(kept="the remark, in test_collapse.py")
def test_a_run_that_learned_nothing_says_that_it_collapsed(clip_pairs, tmp_path):
    said = assert_ends(tmp_path, clip_pairs, "steps=2", "learning_rate=1e-9")
    assert "finished at step 2" in said and "it collapsed: I ends at " in said and "beta_steps" in said
    assert summary.verdict(summary.of(tmp_path)).startswith("finished at step 2, but it collapsed: ")


@pytest.mark.slow(kept="such names of pim-prepare, in test_prepare.py")
def test_a_name_with_a_line_end_trains_and_one_that_is_not_utf_8_is_refused(clip_pairs, tmp_path):
    assert "finished" in assert_ends(tmp_path / "a\nb", clip_pairs, "steps=1")
    assert metric.load(tmp_path / "a\nb").name == r"tiny of a\x0ab"
    said = assert_ends(tmp_path / os.fsdecode(b"caf\xe9"), clip_pairs, status=2)
    assert r"caf\xe9 is not UTF-8" in said


def steps_done(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0
