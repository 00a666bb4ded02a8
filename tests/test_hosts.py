"""Several processes compute what one does and stop together, and whatever dies, the next start goes on."""

import random
import re
import shutil
import signal
import sys
import time

import pytest
from disks import fill, small_disk
from marks import nightly, slow
from runs import ALERT_SECONDS, BATCH, ENDLESS, Run, alert, assert_same_losses, logged, losses, saved

from pim_jax import metric, stored, train
from pim_jax.data import pairs
from pim_jax.training import hosts, log

pytestmark = pytest.mark.slow(kept="one process, in test_train.py")


def impatient():
    """A peer that dies is missed for as long as it may take to join, or between two heartbeats."""
    hosts.JOIN_SECONDS, hosts.HEARTBEAT_SECONDS = 20, 10


def hasty():
    train.SHARED_WITHIN_SECONDS = 1


def careless():
    stored.check_room = lambda directory, tree: None


@pytest.fixture(scope="module")
def assert_as_one(clip_pairs, tmp_path_factory):
    """Compares what a run computed with one process on one device, which goes on for as long as need be."""
    workdir = tmp_path_factory.mktemp("one") / "w"

    def compare(found):
        last = max(losses(found))
        if not workdir.exists() or max(losses(workdir)) < last:
            with Run(workdir, clip_pairs, f"steps={last}") as one:
                assert one.end() == [0], one.said
        assert sorted(losses(found)) == list(range(1, last + 1))
        print(f"{last} steps, largest difference of a term {assert_same_losses(found, workdir):.2g}")

    return compare


@pytest.fixture(scope="module")
def preempted(clip_pairs, tmp_path_factory):
    """A run on two processes of four devices, one of which was told to end."""
    workdir = tmp_path_factory.mktemp("two") / "w"
    with Run(workdir, clip_pairs, ENDLESS, "save_every=100000", layout=(2, 4)) as run:
        run.wait_for(2)
        run.signal(1, signal.SIGTERM)
        assert run.end() == [0, 0], run.said[0] + run.said[1]
    return run


def test_the_records_divide_neither_into_batches_nor_among_processes(clip_pairs):
    """What makes the comparisons of this file those of uneven data."""
    count = len(pairs.records.open_dataset(clip_pairs))
    assert count % BATCH and count % 2


def test_a_signal_to_one_process_saves_once_on_all(preempted):
    [step] = saved(preempted.workdir)
    assert step == log.read(preempted.workdir).rows[-1]["step"]
    assert f"stopped by a signal to another process at step {step} of 100000, saved" in preempted.said[0]


def test_only_the_first_process_speaks(preempted):
    # Gloo's threads write without a lock, so that their lines come in pieces.
    gloo = r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :|[\d\s]"
    assert re.sub(gloo, "", preempted.said[1]) == ""


def test_two_processes_compute_what_one_does(preempted, assert_as_one):
    assert_as_one(preempted.workdir)


@pytest.mark.parametrize("layout", [(1, 1), *nightly((1, 4), (4, 2), (2, 4))])
def test_a_run_continues_on_other_devices(preempted, clip_pairs, tmp_path, layout, assert_as_one):
    workdir = shutil.copytree(preempted.workdir, tmp_path / "w")
    [step] = saved(workdir)
    with Run(workdir, clip_pairs, f"steps={step + 6}", layout=layout) as run:
        assert run.end() == [0] * layout[0], run.said[0]
    assert f"step {step} of {step + 6}" in run.said[0] and f"finished at step {step + 6}" in run.said[0]
    assert_as_one(workdir)


def test_a_working_directory_that_is_not_shared_is_refused(clip_pairs, tmp_path):
    with Run(tmp_path / "w", clip_pairs, ENDLESS, layout=(2, 1), elsewhere=tmp_path / "v", prelude=hasty) as run:
        assert run.end() == [2, 2], run.said
    [error] = [line for line in run.said[0].splitlines() if line.startswith("train.py: ")]
    assert "process 1: " in error and "does not show what process 0 writes" in error


def test_when_one_process_dies_the_other_ends_and_says_so(clip_pairs, tmp_path, assert_as_one):
    with Run(tmp_path / "w", clip_pairs, ENDLESS, layout=(2, 1), slurm=True, prelude=alert) as run:
        run.wait_for(6, saves=1)  # steps may be quicker than the first save
        run.signal(1, signal.SIGKILL)
        began = time.monotonic()
        first, _ = run.end()
    assert first not in (0, None), run.said[0]
    assert time.monotonic() - began < ALERT_SECONDS + 60
    assert "train.py: process 0: " in run.said[0] and "Another process may have ended" in run.said[0]
    assert "Traceback" not in run.said[0]
    newest = max(saved(tmp_path / "w"))
    with Run(tmp_path / "w", clip_pairs, f"steps={newest + 6}") as again:
        assert again.end() == [0], again.said
    assert f"step {newest} of {newest + 6}" in again.said[0]
    assert_as_one(tmp_path / "w")


@pytest.mark.parametrize("kills", [3, *nightly(60)])
@pytest.mark.parametrize("layout", [(1, 1), *nightly((2, 1))])
def test_whenever_a_process_is_killed_the_next_start_continues(clip_pairs, tmp_path, kills, layout, assert_as_one):
    """Saving every second step, so that most kills fall into an asynchronous save; some fall into the start."""
    rng, workdir, survived = random.Random(kills), tmp_path / "w", 0
    for _ in range(kills):
        before = max(saved(workdir), default=0)
        with Run(workdir, clip_pairs, ENDLESS, "save_every=2", layout=layout, prelude=impatient) as run:
            if rng.random() < 0.9:
                run.wait_for(before + rng.randrange(1, 9))
            time.sleep(rng.random() * 0.3)
            assert all(process.is_alive() for process in run.processes)
            run.signal(rng.randrange(layout[0]), signal.SIGKILL)
            done = logged(workdir)
            assert all(status != 0 for status in run.end())
        newest = max(saved(workdir), default=0)
        assert newest >= max(before, done - done % 2 - 4)  # one save may be under way, and the next wait for it
        if newest:
            assert stored.read(workdir, metric.FORMAT).about["step"] == newest
        survived += 1
    assert survived == kills
    last = max(saved(workdir), default=0) + 2
    with Run(workdir, clip_pairs, f"steps={last}", "save_every=2", layout=layout) as run:
        assert run.end() == [0] * layout[0], run.said[0]
    assert not list((workdir / "checkpoints").glob("*tmp*"))
    assert_as_one(workdir)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
@pytest.mark.parametrize(
    "prelude", [None, *slow(careless, kept="a disk that is full before a save")], ids=["before a save", "during a save"]
)
def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_continues_when_there_is_room(
    clip_pairs, tmp_path, assert_as_one, prelude
):
    with small_disk(tmp_path / "disk", "3m") as disk:
        workdir = disk / "w"
        with Run(workdir, clip_pairs, "steps=4") as run:
            assert run.end() == [0], run.said
        ballast = disk / "ballast"
        fill(ballast, leave=16384)  # room for lines of the log, not for a checkpoint
        with Run(workdir, clip_pairs, "steps=12", prelude=prelude) as run:
            assert run.end() == [1], run.said
        errors = [line for line in run.said[0].splitlines() if line.startswith("train.py: ")]
        assert len(errors) == 1 and "run again to continue" in errors[0]
        if prelude is None:  # a save that has begun makes orbax's threads talk
            assert all(line.startswith(("step ", "configs/", "train.py: ")) for line in run.said[0].splitlines())
        assert saved(workdir) == [4] and stored.read(workdir, metric.FORMAT).about["step"] == 4
        ballast.unlink()
        with Run(workdir, clip_pairs, "steps=12") as run:
            assert run.end() == [0], run.said
        assert "step 4 of 12" in run.said[0]
        assert_as_one(workdir)
