"""The engine of Apache Beam, with the runner that has workers on this machine."""

import hashlib
import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
from videos import encode, panning, still

from pim_jax import prepare
from pim_jax.data.beam import Beam

pytest.importorskip("apache_beam", reason="needs the extra 'beam'")

RUNNER = ("--runner", "FnApiRunner", "--direct_num_workers=2", "--direct_running_mode=multi_threading")


class Line(NamedTuple):
    """A task that writes a line in a file, once."""

    path: Path

    @property
    def done(self):
        return self.path.exists()

    def run(self):
        with self.path.open("a") as file:
            file.write("run\n")

    def give_up(self):
        self.path.write_text("given up\n")


class Crash(Line):
    """A task whose process dies, as with a decoder that crashes."""

    def run(self):
        os.kill(os.getpid(), signal.SIGKILL)


def run(tasks, shared=()):
    seen = []
    with Beam(RUNNER[1], RUNNER[2:], shared) as engine:
        engine.run(tasks, lambda done, total: seen.append((done, total)))
    return seen


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("options", [(), ("--region", "64", "32")])
def test_a_set_has_the_same_bytes_as_that_of_the_local_pool(tmp_path, options, capsys):
    for number in range(3):
        encode(tmp_path / "in" / f"{number}.mp4", panning(60, seed=number))
    encode(tmp_path / "in" / "black.mp4", still(30, level=0))
    (tmp_path / "in" / "broken.mp4").write_bytes(b"not a video" * 100)
    printed = []
    for out, engine in (("local", ("--workers", "1")), ("beam", RUNNER)):
        arguments = [str(tmp_path / "in"), "--out", str(tmp_path / out), *options, *engine]
        assert prepare.main(arguments) == 0
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line.startswith(("skipped", "dropped"))]
        printed.append([captured.out.replace(out, ""), *said])
    assert digests(tmp_path / "beam") == digests(tmp_path / "local")
    assert printed[0] == printed[1] and "broken.mp4: InvalidDataError" in "".join(printed[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam", "in", "local"]


def test_what_is_done_is_not_done_again(tmp_path):
    tasks = [Line(tmp_path / f"{number}") for number in range(4)]
    assert run(tasks[:2]) == [(0, 2), (2, 2)]
    assert run(tasks) == [(2, 4), (4, 4)]
    assert run(tasks) == [(4, 4)]
    assert {task.path.read_text() for task in tasks} == {"run\n"}


def test_a_task_that_kills_its_process_is_given_up_and_the_others_are_done(tmp_path):
    tasks = [Line(tmp_path / "0"), Crash(tmp_path / "1"), Line(tmp_path / "2")]
    run(tasks)
    assert [task.path.read_text() for task in tasks] == ["run\n", "given up\n", "run\n"]


def test_a_worker_that_does_not_see_the_files_is_one_line(tmp_path):
    with pytest.raises(OSError, match=rf"{tmp_path}/in is not there on .*: all workers must see it") as caught:
        run([Line(tmp_path / "0")], [tmp_path / "in"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner", "Nonesuch"], "--runner Nonesuch: Unexpected pipeline runner"),
        ([*RUNNER, "--sede=1"], "--sede: neither this command nor Beam has such a flag."),
    ],
)
def test_a_runner_or_flag_that_does_not_exist_is_refused(tmp_path, flags, message, capsys):
    assert prepare.main(["a.mp4", "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
