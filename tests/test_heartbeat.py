"""A run that lives says so, one that ends says how, and neither ever costs the run itself."""

import json
import os
import time

import pytest

from pim_jax.training import heartbeat
from pim_jax.training.heartbeat import Heartbeat


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "SECONDS", 0.02)


def wait_for(holds):
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_is_renewed_while_the_run_lives_and_not_after_its_end(quick, tmp_path):
    path = tmp_path / heartbeat.FILE
    with Heartbeat(tmp_path, step=3, minutes=10) as beat:
        assert heartbeat.read(tmp_path)[:2] == ("running", 3) and not heartbeat.read(tmp_path).ended
        os.utime(path, (0, 0))
        beat.step(4)
        wait_for(lambda: heartbeat.read(tmp_path).step == 4 and path.stat().st_mtime > 0)
        beat.end("finished")
    os.utime(path, (0, 0))
    time.sleep(0.2)
    assert path.stat().st_mtime == 0 and heartbeat.read(tmp_path)[:3] == ("finished", 4, "")
    assert [file.name for file in tmp_path.iterdir()] == [heartbeat.FILE]


def test_without_steps_it_says_that_the_run_is_stalled_and_takes_it_back(quick, tmp_path):
    with Heartbeat(tmp_path, step=0, minutes=0.0001) as beat:
        beat.step(1)
        wait_for(lambda: heartbeat.read(tmp_path).state == "stalled")
        beat._minutes = 10
        beat.step(2)
        wait_for(lambda: heartbeat.read(tmp_path).state == "running")
        beat.end("finished")


def test_the_first_step_may_take_longer_and_0_minutes_are_for_ever():
    first = Heartbeat("unused", step=0, minutes=10)
    before = first._patience
    first.step(1)
    assert before == 3 * first._patience == 1800
    assert Heartbeat("unused", step=0, minutes=0)._patience == float("inf")


def test_an_exception_is_the_reason(quick, tmp_path):
    with pytest.raises(OSError), Heartbeat(tmp_path, step=3, minutes=10):
        raise OSError("the disk\nis full")
    assert heartbeat.read(tmp_path)[:3] == ("failed", 3, "the disk is full")
    with pytest.raises(KeyboardInterrupt), Heartbeat(tmp_path, step=3, minutes=10):
        raise KeyboardInterrupt
    assert heartbeat.read(tmp_path).reason == "KeyboardInterrupt"


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_sign_of_life(quick, tmp_path):
    (tmp_path / "w").write_text("a file")
    with Heartbeat(tmp_path / "w", step=3, minutes=10) as beat:
        beat.end("finished")
    assert heartbeat.read(tmp_path / "w") is None


def test_of_several_processes_one_writes(quick, tmp_path):
    with Heartbeat(tmp_path, step=3, minutes=10, writes=False) as beat:
        beat.step(4)
        beat.end("finished")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        {"state": "asleep"},
        {"step": "1"},
        {"step": True},
        {"reason": 3},
        {"seconds": None},
    ],
)
def test_what_is_no_sign_of_life_is_none(tmp_path, said):
    whole = {"state": "running", "step": 1, "reason": "", "seconds": 10.0}
    content = json.dumps(whole | said).encode() if isinstance(said, dict) else said
    (tmp_path / heartbeat.FILE).write_bytes(content)
    assert heartbeat.read(tmp_path) is None
    (tmp_path / heartbeat.FILE).write_text(json.dumps(whole))
    assert heartbeat.read(tmp_path).alive
