"""A run's log holds each step once, however often the run was killed."""

import json

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
