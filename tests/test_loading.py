"""Metrics of a command line are told apart by what they are called in its table."""

import jax
import pytest

from pim_jax import stored
from pim_jax.evaluation import loading
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig

MODEL = ModelConfig(pyramid="none", widths=(4, 3))


@pytest.fixture
def run(tmp_path):
    """Checkpoints of two steps, which have one name."""
    for step in (5, 40):
        params = pim.init(MODEL, jax.random.key(step))
        stored.write(tmp_path / "w" / "checkpoints" / f"{step}", MODEL, params, name="tiny of w")
    return str(tmp_path / "w")


def test_checkpoints_of_one_run_are_called_as_they_were_named(run):
    loaded, skipped = loading.load([f"{run}@5", f"{run}@40", run, "psnr"], "pim-1")
    assert [*loaded] == [f"{run}@5", f"{run}@40", run, "PSNR"] and not skipped
    assert loaded[f"{run}@5"].digest != loaded[f"{run}@40"].digest == loaded[run].digest


def test_a_metric_has_its_own_name_where_no_other_has_it(run):
    assert [*loading.load([f"{run}@5", "gmsd"], "pim-1")[0]] == ["tiny of w", "GMSD"]


def test_a_step_that_is_not_there_is_refused(run):
    with pytest.raises(ValueError, match="no checkpoint of step 6, but those of steps 5, 40"):
        loading.load([f"{run}@6"], "pim-1")
