"""The configurations of training: the shipped files, and the values that fields can have."""

import dataclasses
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from pim_jax import configuration
from pim_jax.model.pim import ModelConfig
from pim_jax.training import finite, step
from pim_jax.training.config import Config
from pim_jax.training.objectives import OBJECTIVES, Objective
from pim_jax.training.spips.config import SpipsConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
PIM5 = configuration.load(CONFIGS[0].with_name("pim5.py"), (Config,))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_loads_and_says_how_to_run_it(path):
    kind = SpipsConfig if path.stem.startswith("spips") else Config
    assert isinstance(configuration.load(path, (kind,)), kind)
    assert f"python train.py configs/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.stem.startswith("ablation")], ids=lambda path: path.stem)
def test_ablations_differ_from_pim5_in_what_they_ablate_alone(path):
    config = configuration.load(path, (Config,))
    differing = {
        field.name for field in dataclasses.fields(Config) if getattr(config, field.name) != getattr(PIM5, field.name)
    }
    assert differing <= {"model", "objective"}
    assert config != PIM5


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("batch=0", "batch must be at least 1"),
        ("contrast=pixel", "contrast must be one of position, band, joint"),
        ("patch=4", "patch must be at least 8"),
    ],
)
def test_values_that_no_run_can_have_name_the_field(assignment, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        configuration.override(Config(), [assignment])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_that_sample_the_marginal_encoder_need_one_component(name):
    Config(objective=name)
    if OBJECTIVES[name].samples_marginal:
        with pytest.raises(ValueError, match="mixtures=1, not 5"):
            Config(objective=name, model=ModelConfig(mixtures=5))
    else:
        Config(objective=name, model=ModelConfig(mixtures=5))


@pytest.mark.slow(kept="every objective of the table, in test_objectives.py")
def test_an_objective_is_added_by_one_line_of_the_table(monkeypatch):
    """It trains and is explained where it is not finite; nothing else knows objectives by name."""
    with pytest.raises(ValueError, match="objective must be one of ixyz, infonce, single-infonce, not 'ixy'"):
        Config(objective="ixy")

    def compression_alone(encoders, x, y, key, **options):
        _, terms = OBJECTIVES["ixyz"].loss(encoders, x, y, key, **options)
        return terms["Rx"] + terms["Ry"], {"loss": terms["Rx"] + terms["Ry"], "Rx": terms["Rx"]}

    monkeypatch.setitem(OBJECTIVES, "ixy", Objective(compression_alone, samples_marginal=False))
    config = Config(objective="ixy", model=ModelConfig(pyramid="none", widths=(4, 3)), batch=2, patch=32)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3)).astype(np.uint8)
    pairs = jax.device_put(frames, step.batched(mesh))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python floats with integer counts
        state, metrics = step.make(config, mesh)(step.init(config, mesh), pairs)
        assert set(metrics) == {"loss", "Rx", "gradient_norm"} and int(state.step) == 1
        assert finite.first(config, mesh, state, pairs) == "none when the step was repeated"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_assignments_lead_from_one_configuration_to_another(path):
    after = configuration.load(path, (Config, SpipsConfig))
    before = type(after)()
    assignments = configuration.assignments(before, after)
    assert configuration.override(before, assignments) == after
    assert configuration.assignments(after, after) == []
    changed = ["model.pim=a b", "learning_rate=0.125"] if isinstance(after, SpipsConfig) else ["model.widths=(7,)"]
    assert configuration.assignments(after, configuration.override(after, changed)) == changed
