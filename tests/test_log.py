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
    assert log.read(tmp_path) == [{"step": s, "loss": v} for s, v in ((10, 10.0), (20, 20.0), (30, -1.0))]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert "step 30  loss -1" in capsys.readouterr().out
