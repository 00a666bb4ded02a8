"""Tables of several runs: what differs between them, how they end, and the mean over seeds."""

import statistics

import pytest

from pim_jax import configuration
from pim_jax.training import log, results
from pim_jax.training.config import Config
from pim_jax.training.summary import Stored, Summary


def run(end, *, steps=100, about=True, **fields):
    """A run whose I rises to `end`."""
    config = Config(**fields)
    about = {"name": "r", "training": configuration.to_json(config), "data": "d" * 64, "commit": "c"} if about else {}
    rows = [{"step": step, "I": end * step / steps, "pairs_per_second": 50.0} for step in range(1, steps + 1)]
    stored = [Stored(None, steps, 0, about, "", None)] if about else []
    return Summary(rows, 0, 1.0, None, stored)


def table(rows):
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


RUNS = {
    "a0": run(2.0, seed=0, batch=8),
    "a1": run(2.4, seed=1, batch=8),
    "a2": run(2.5, seed=2, batch=8, keep=9),
    "b0": run(1.0, seed=0, batch=16),
}


def test_only_what_differs_is_a_column():
    rows = table(results.by_run(RUNS))
    assert [*rows[0]] == ["run", "batch", "seed", "keep", "step", "I", "pairs/s"]
    assert [row["batch"] for row in rows] == ["8", "8", "8", "16"] and [row["run"] for row in rows] == [*RUNS]
    assert rows[0]["I"] == f"{2.0 * 0.955:.3f}" and rows[0]["pairs/s"] == "50"


def test_runs_that_differ_in_the_seed_alone_are_one_row_with_mean_and_standard_deviation():
    scores = {name: {"SROCC": value} for name, value in zip(RUNS, (0.7, 0.8, 0.75, 0.5), strict=True)}
    a, b = table(results.over_seeds(RUNS, scores))
    assert a["runs"] == "a0, a1, a2" and a["seeds"] == "0, 1, 2" and a["batch"] == "8" and a["step"] == "100"
    ends = [log.ending(RUNS[name].rows)["I"] for name in ("a0", "a1", "a2")]
    assert a["I"] == f"{statistics.mean(ends):.3f} ± {statistics.stdev(ends):.3f}"
    assert a["SROCC"] == "0.750 ± 0.050" and b["SROCC"] == "0.500" and "keep" not in a


@pytest.mark.parametrize(
    "runs",
    [
        {"a": run(2.0, seed=0), "b": run(2.0, seed=1, batch=8)},
        {"a": run(2.0, seed=0), "b": run(2.0, seed=1, steps=50)},  # still on its way
        {"a": run(2.0, about=False), "b": run(2.0, about=False)},  # before the first checkpoint
    ],
)
def test_runs_that_are_not_alike_have_no_mean(runs):
    assert results.over_seeds(runs) == []


def test_what_a_run_has_not_said_yet_is_a_dash():
    row = table(results.by_run({"a": run(2.0, batch=8), "b": run(2.0, about=False)}))[1]
    assert row["batch"] == "-" and row["I"] == f"{2.0 * 0.955:.3f}"
