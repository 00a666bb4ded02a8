"""Runs of the commands on processes that can be signalled and killed, for the tests of several modules.

The processes are forked from a server that has imported everything, because imports take longer than these runs. They
run the command itself, talk over the loopback interface, and are signalled and killed for real.
"""

import importlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from pim_jax import files, stored
from pim_jax.training import hosts, log

TINY = ["model.pyramid=none", "model.widths=(4,3)", "patch=32", "batch=8", "log_every=1", "save_every=4"]
# While β is 0 the bias of the full encoder's means has no gradient but rounding, which Adam scales up to a whole step.
TINY += ["beta_steps=0"]
BATCH, ENDLESS, PATIENCE = 8, "steps=100000", 900  # seconds: for busy machines
ALERT_SECONDS = 10

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pim_jax.train", "pim_jax.eval", "jax.experimental.multihost_utils"])


class Run:
    """The command on a number of processes of a number of devices each; a context that leaves none behind."""

    def __init__(
        self, workdir, data, *overrides, layout=(1, 1), slurm=False, prelude=None, elsewhere=None, environment=None
    ):
        count, devices = layout
        self.workdir, self._outputs, self.processes = files.place(workdir), Path(tempfile.mkdtemp()), []
        arguments = ["configs/tiny.py", "--data", str(data), *TINY, *overrides, "--workdir"]
        port = free_port()
        for i in range(count):
            variables = {**on_devices(devices), **(environment or {})}
            mine = [*arguments, str(elsewhere if i and elsewhere else workdir)]
            if slurm:
                variables |= as_slurm(count, i, port)
            elif count > 1:
                which = ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(i)]
                mine = [*which, *mine]
            output = self._outputs / str(i)
            self.processes.append(
                processes.Process(target=child, args=("train", mine, variables, (output, output), prelude))
            )

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


class Command:
    """`python NAME.py ARGUMENTS` on one process of its own; a context that leaves none behind."""

    def __init__(self, name, *arguments, devices=1):
        self._arguments, self._folder = list(map(str, arguments)), Path(tempfile.mkdtemp())
        self._outputs = [self._folder / stream for stream in ("stdout", "stderr")]
        arguments = (name, self._arguments, on_devices(devices), self._outputs, None)
        self.process = processes.Process(target=child, args=arguments)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.join()
        shutil.rmtree(self._folder)

    def end(self) -> subprocess.CompletedProcess:
        """What `subprocess.run` returns, once it has ended."""
        self.process.join(PATIENCE)
        said = [path.read_text() for path in self._outputs]
        return subprocess.CompletedProcess(self._arguments, self.process.exitcode, *said)


def run(name, *arguments, devices=1) -> subprocess.CompletedProcess:
    """Runs a command to its end."""
    with Command(name, *arguments, devices=devices) as command:
        return command.end()


def on_devices(count):
    """The environment of a process with that many devices; of a flag that is given twice, XLA takes the last."""
    return {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"}


def child(name, arguments, variables, outputs, prelude):
    for stream, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    os.chdir(Path(__file__).parents[1])
    os.environ.update(variables)
    if prelude:
        prelude()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    sys.argv = [f"{name}.py", *arguments]
    sys.exit(importlib.import_module(f"pim_jax.{name}").main())


def alert():
    """A prelude: the end of another process is noticed soon."""
    hosts.HEARTBEAT_SECONDS = ALERT_SECONDS


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
    return [int(folder.name) for folder in stored.of_run(workdir)]


def losses(workdir):
    return {
        row["step"]: [row[name] for name in ("loss", "I", "Rx", "Ry", "gradient_norm")]
        for row in log.read(workdir).rows
    }


def assert_same_losses(found, wanted):
    """Of every step of `found`, up to rounding. Returns the largest difference."""
    wanted, worst = losses(wanted), 0.0
    for step, values in losses(found).items():
        np.testing.assert_allclose(values, wanted[step], rtol=1e-4, atol=1e-5, err_msg=f"step {step}")
        worst = max(worst, *(abs(a - b) for a, b in zip(values, wanted[step], strict=True)))
    return worst
