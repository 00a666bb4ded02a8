"""Configurations are read, overridden and kept as JSON; mistakes name the field."""

import re

import pytest

from pim_jax import configuration
from pim_jax.model.pim import ModelConfig
from pim_jax.training.config import Config


def test_round_trips_through_json():
    config = Config(model=ModelConfig(widths=(4, 3), mixtures=5), learning_rate_drops=(1, 2))
    assert configuration.from_json(Config, configuration.to_json(config)) == config


def test_fields_that_an_older_version_did_not_write_have_their_defaults():
    config = Config(model=ModelConfig(widths=(4, 3)), batch=3)
    stored = configuration.to_json(config)
    del stored["noise"], stored["model"]["network"], stored["model"]["hidden"]
    assert configuration.from_json(Config, stored) == config


def test_fields_of_a_newer_version_are_refused():
    stored = configuration.to_json(Config())
    stored["model"]["depth"] = 3
    with pytest.raises(ValueError, match="newer version of pim_jax: it has depth"):
        configuration.from_json(Config, stored)


def test_overrides_keep_types():
    config = configuration.override(
        Config(),
        [
            "batch=16",
            "learning_rate=1",
            "model.head=released",
            "model.laplacian_residual=False",
            "learning_rate_drops=()",
        ],
    )
    assert (config.batch, config.learning_rate, config.model.head) == (16, 1.0, "released")
    assert config.model.laplacian_residual is False and config.learning_rate_drops == ()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("batch", "field=value"),
        ("bach=3", "no field 'bach'; it has batch"),
        ("model.size=3", "no field 'size'"),
        ("batch=3.5", "batch must be a whole number, not '3.5'"),
        ("batch=True", "batch must be a whole number"),
        ("model.widths=3", "model.widths must be whole numbers"),
        ("learning_rate=fast", "learning_rate must be a number, not 'fast'"),
        ("model=3", "name one value"),
        ("batch.size=3", "name one value"),
    ],
)
def test_wrong_overrides_name_the_field(assignment, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        configuration.override(Config(), [assignment])


def test_a_file_without_config_is_refused(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="must define `config`"):
        configuration.load(tmp_path / "empty.py", (Config,))
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        configuration.load(tmp_path / "none.py", (Config,))
