"""Training on several processes: they compute what one does, stop together, and whatever dies, the next start goes on.

The processes are forked from a server that has imported everything, because imports take longer than these runs. They
run the command itself, talk over the loopback interface, and are signalled and killed for real.
"""

import contextlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import train
from pim_jax.data import pairs
from pim_jax.training import checkpoint, hosts, log

TINY = ["model.pyramid=none", "model.widths=(4,3)", "patch=32", "batch=8", "log_every=1", "save_every=4"]
# While β is 0 the bias of the full encoder's means has no gradient but rounding, which Adam scales up to a whole step.
TINY += ["beta_steps=0"]
BATCH, ENDLESS, PATIENCE = 8, "steps=100000", 900  # seconds: for busy machines

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["train", "jax.experimental.multihost_utils"])


class Run:
    """The command on a number of processes of a number of devices each; a context that leaves none behind."""

    def __init__(self, workdir, data, *overrides, layout=(1, 1), slurm=False, prelude=None, elsewhere=None):
        count, devices = layout
        self.workdir, self._outputs, self.processes = Path(workdir), Path(tempfile.mkdtemp()), []
        arguments = ["configs/tiny.py", "--data", str(data), *TINY, *overrides, "--workdir"]
        port = free_port()
        for i in range(count):
            environment = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
            mine = [*arguments, str(elsewhere if i and elsewhere else workdir)]
            if slurm:
                environment |= as_slurm(count, i, port)
            elif count > 1:
                which = ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(i)]
                mine = [*which, *mine]
            output = self._outputs / str(i)
            self.processes.append(processes.Process(target=child, args=(mine, environment, output, prelude)))

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *exception):
        for process in self.processes:
            process.kill()
            process.join()
        shutil.rmtree(self._outputs)

    def wait_for(self, rows, saves=0):
        """Until that many steps were logged and checkpoints complete, or a process ended."""
        while all(p.is_alive() for p in self.processes) and (
            logged(self.workdir) < rows or len(saved(self.workdir)) < saves
        ):
            time.sleep(0.01)

    def signal(self, process, number):
        os.kill(self.processes[process].pid, number)

    def end(self):
        """The exit status of each process once all have ended."""
        for process in self.processes:
            process.join(PATIENCE)
        self.said = [path.read_text() for path in sorted(self._outputs.iterdir())]
        return [process.exitcode for process in self.processes]


def child(arguments, environment, output, prelude):
    file = os.open(output, os.O_CREAT | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(Path(train.__file__).parent)
    os.environ.update(environment)
    if prelude:
        prelude()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    sys.exit(train.main(arguments))


def impatient():
    """A peer that dies is missed for as long as it may take to join, or between two heartbeats."""
    hosts.JOIN_SECONDS, hosts.HEARTBEAT_SECONDS = 20, 10


def alert():
    hosts.HEARTBEAT_SECONDS = 10


def hasty():
    train.SHARED_WITHIN_SECONDS = 1


def careless():
    checkpoint._check_room = lambda directory, tree: None


def as_slurm(count, process, port):
    """What srun sets; the port is not left to the number of the job, as another program may have it."""
    numbers = {"JOB_ID": 7, "NTASKS": count, "STEP_NUM_TASKS": count, "PROCID": process, "LOCALID": process}
    return {
        **{f"SLURM_{name}": str(number) for name, number in numbers.items()},
        "SLURM_STEP_NODELIST": "localhost",
        "JAX_COORDINATOR_PORT": str(port),
    }


def free_port():
    with socket.socket() as held:
        held.bind(("localhost", 0))
        return held.getsockname()[1]


def logged(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def saved(workdir):
    return sorted(int(entry.name) for entry in (workdir / "checkpoints").glob("*") if entry.name.isdigit())


def losses(workdir):
    return {
        row["step"]: [row[name] for name in ("loss", "I", "Rx", "Ry", "gradient_norm")] for row in log.read(workdir)
    }


@pytest.fixture(scope="module")
def assert_as_one(clip_pairs, tmp_path_factory):
    """Compares what a run computed with one process on one device, which goes on for as long as need be."""
    workdir = tmp_path_factory.mktemp("one") / "w"

    def compare(found):
        last = max(losses(found))
        if not workdir.exists() or max(losses(workdir)) < last:
            with Run(workdir, clip_pairs, f"steps={last}") as one:
                assert one.end() == [0], one.said
        wanted = losses(workdir)
        assert sorted(losses(found)) == list(range(1, last + 1))
        for step, values in losses(found).items():
            np.testing.assert_allclose(values, wanted[step], rtol=1e-4, atol=1e-5, err_msg=f"step {step}")
        worst = max(
            abs(a - b) for step, values in losses(found).items() for a, b in zip(values, wanted[step], strict=True)
        )
        print(f"{last} steps, largest difference of a term {worst:.2g}")

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
    assert step == log.read(preempted.workdir)[-1]["step"]
    assert f"stopped by a signal to another process at step {step} of 100000, saved" in preempted.said[0]


def test_only_the_first_process_speaks(preempted):
    # Gloo's threads write without a lock, so that their lines come in pieces.
    gloo = r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :|[\d\s]"
    assert re.sub(gloo, "", preempted.said[1]) == ""


def test_two_processes_compute_what_one_does(preempted, assert_as_one):
    assert_as_one(preempted.workdir)


@pytest.mark.parametrize(
    "layout", [(1, 1), *(pytest.param(layout, marks=pytest.mark.nightly) for layout in [(1, 4), (4, 2), (2, 4)])]
)
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
    assert time.monotonic() - began < 10 + 60
    assert "train.py: process 0: " in run.said[0] and "Another process may have ended" in run.said[0]
    assert "Traceback" not in run.said[0]
    newest = max(saved(tmp_path / "w"))
    with Run(tmp_path / "w", clip_pairs, f"steps={newest + 6}") as again:
        assert again.end() == [0], again.said
    assert f"step {newest} of {newest + 6}" in again.said[0]
    assert_as_one(tmp_path / "w")


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("layout", [(1, 1), pytest.param((2, 1), marks=pytest.mark.nightly)])
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
            assert checkpoint.load_weights(workdir).about["step"] == newest
        survived += 1
    assert survived == kills
    last = max(saved(workdir), default=0) + 2
    with Run(workdir, clip_pairs, f"steps={last}", "save_every=2", layout=layout) as run:
        assert run.end() == [0] * layout[0], run.said[0]
    assert not list((workdir / "checkpoints").glob("*tmp*"))
    assert_as_one(workdir)


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"needs root, to mount a small disk: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
@pytest.mark.parametrize("prelude", [None, careless], ids=["before a save", "during a save"])
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
        assert saved(workdir) == [4] and checkpoint.load_weights(workdir).about["step"] == 4
        ballast.unlink()
        with Run(workdir, clip_pairs, "steps=12") as run:
            assert run.end() == [0], run.said
        assert "step 4 of 12" in run.said[0]
        assert_as_one(workdir)


def fill(path, *, leave):
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(path, path.stat().st_size - leave)
