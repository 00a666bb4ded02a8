"""A run's log holds each step once, however often the run was killed."""

import json
import shutil
import struct

import pytest
from disks import fill, small_disk
from tensorboardX.proto import event_pb2

from pim_jax.training import log


def test_writes_lines_and_forgets_those_of_steps_that_will_be_repeated(tmp_path, capsys):
    with log.Log(tmp_path, step=0, steps=40) as first:
        for step in (10, 20, 30):
            first.write(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # a line that a killed run cut short
    with log.Log(tmp_path, step=20, steps=40) as second:
        second.write(30, {"loss": -1.0})
    assert log.read(tmp_path).rows == [{"step": s, "loss": v} for s, v in ((10, 10.0), (20, 20.0), (30, -1.0))]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert "step 30  loss -1" in capsys.readouterr().out


def test_a_damaged_line_is_told_apart_and_costs_no_other_row(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    whole = [b'{"step": 10, "loss": 1.0}\n', b'{"step": 20, "loss": NaN}\n', b'{"step": 30}\n']
    damaged = [b"\xff\0\n", b"[1]\n", b"\n", b'{"loss": 1.0}\n', b'{"step": "7"}\n', b"[" * 100_000 + b"\n", b"null\n"]
    for line in damaged:
        path.write_bytes(whole[0] + line + b"".join(whole[1:]) + b'{"step": 4')
        lines = log.read(tmp_path)
        assert [row["step"] for row in lines.rows] == [10, 20, 30] and lines.damaged == [2], line
    with log.Log(tmp_path, step=20, steps=40):
        pass
    assert [row["step"] for row in log.read(tmp_path).rows] == [10, 20] and log.read(tmp_path).damaged == []
    assert "damaged and removed: line 2" in capsys.readouterr().out


def test_without_a_log_there_are_no_lines(tmp_path):
    assert log.read(tmp_path) == ([], [])


def events(workdir):
    """What TensorBoard shows of a run, as rows: at the start of a session it forgets what it has from that step on."""
    rows = {}
    for file in sorted((workdir / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.session_log.status == event_pb2.SessionLog.START:
                rows = {step: row for step, row in rows.items() if step < event.step}
            for value in event.summary.value:
                rows.setdefault(event.step, {"step": event.step})[value.tag] = value.simple_value
    return list(rows.values())


def test_tensorboard_shows_what_the_log_holds_whatever_happened_to_the_run(tmp_path):
    with log.Log(tmp_path, step=0, steps=40) as first:
        for step in (10, 20, 30):
            first.write(step, {"loss": float(step), "I": 0.5})
    shutil.rmtree(tmp_path / "tensorboard")  # trained without the library, or copied without it
    with log.Log(tmp_path, step=30, steps=40) as second:
        second.write(40, {"loss": 40.0, "I": 0.25})
    assert events(tmp_path) == log.read(tmp_path).rows and len(events(tmp_path)) == 4
    path = tmp_path / "metrics.jsonl"
    path.write_text("damage\n" + path.read_text())
    with log.Log(tmp_path, step=20, steps=40) as third:  # killed, and continued from an earlier checkpoint
        third.write(30, {"loss": -1.0, "I": 0.75})
    assert events(tmp_path) == log.read(tmp_path).rows and len(events(tmp_path)) == 3


def test_a_full_disk_is_an_error_and_not_a_wait_without_end(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as disk, log.Log(disk, step=0, steps=1000) as run:
        fill(disk / "ballast", leave=16384)
        with pytest.raises(OSError, match="No space left"):
            for step in range(1, 1000):
                run.write(step, {"loss": 1.0, "I": 0.5, "Rx": 0.25, "Ry": 0.125})
    assert log.read(disk).damaged == []
