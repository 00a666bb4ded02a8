"""A key of computed values changes with the code and the libraries that computed them, and with nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pim_jax import baselines, metric, provenance
from pim_jax.evaluation import pictures
from pim_jax.model import pim as networks
from pim_jax.spips import metric as spips

PACKAGE = Path(provenance.__file__).parent


def test_equal_parameters_have_an_equal_digest_and_any_change_another():
    params = {"a": {"kernel": np.ones((2, 3), np.float32)}, "b": np.zeros(3, np.float32)}
    changed = {"a": {"kernel": np.full((2, 3), 1.0000001, np.float32)}, "b": np.zeros(3, np.float32)}
    renamed = {"c": params["a"], "b": params["b"]}
    reshaped = {"a": {"kernel": np.ones((3, 2), np.float32)}, "b": np.zeros(3, np.float32)}
    digests = [provenance.digest(tree) for tree in (params, changed, renamed, reshaped)]
    assert len(set(digests)) == 4 and digests[0] == provenance.digest({"a": params["a"], "b": params["b"]})


def test_a_distance_of_pim_depends_on_its_networks_and_inputs_and_not_on_other_metrics():
    config = networks.ModelConfig(pyramid="none", widths=(3,))
    pim = metric.Pim({}, config, "small", "0")
    modules, packages = provenance.sources(pim)
    assert {"pim_jax.metric", "pim_jax.inputs", "pim_jax.model.regions", "pim_jax.model.filters"} <= set(modules)
    assert not [name for name in modules if name.startswith(("pim_jax.spips", "pim_jax.baselines", "pim_jax.training"))]
    assert {"jax", "flax", "numpy"} <= packages


def test_a_baseline_stands_for_the_functions_that_compute_it():
    modules, packages = provenance.sources(baselines.load("nlpd"))
    assert {"pim_jax.baselines.nlpd", "pim_jax.baselines.luma", "pim_jax.baselines.baseline"} <= set(modules)
    _, packages = provenance.sources(baselines.fidelity)
    assert "dm_pix" in packages  # imported within a function


def test_spips_depends_on_pim_and_not_on_what_trains_it():
    modules, _ = provenance.sources(spips)
    assert {"pim_jax.metric", "pim_jax.spips.score", "pim_jax.baselines.structure"} <= set(modules)
    assert not [name for name in modules if name.startswith("pim_jax.training")]


def test_reading_a_picture_depends_on_its_decoders():
    modules, packages = provenance.sources(pictures)
    assert {"pim_jax.data.images", "pim_jax.evaluation.corruptions"} <= set(modules)
    assert {"PIL", "av", "numpy"} <= packages


def test_what_only_type_checkers_import_counts_for_nothing(tmp_path):
    source = tmp_path / "some.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "def f():\n    from . import c\n"
    )
    found = provenance.imports(source, "package.some")
    assert "a" not in found and {"b", "package.c"} <= found


def test_a_version_of_a_library_changes_the_key(monkeypatch):
    before = provenance.of(pictures)
    provenance._of.cache_clear()
    monkeypatch.setattr(provenance, "_version", lambda package: "0" if package == "PIL" else "1")
    changed = provenance.of(pictures)
    provenance._of.cache_clear()
    assert changed != before


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        pytest.param("model/area.py", True, marks=pytest.mark.slow(kept="what a key is made of")),
        pytest.param("inputs.py", True, marks=pytest.mark.slow(kept="what a key is made of")),
        pytest.param("training/log.py", False, marks=pytest.mark.slow(kept="what a metric does not depend on")),
    ],
)
def test_an_edited_file_changes_the_keys_of_what_imports_it(tmp_path, edited, changes):
    shutil.copytree(PACKAGE, tmp_path / "pim_jax", ignore=shutil.ignore_patterns("weights", "assets", "__pycache__"))
    program = "from pim_jax import metric, provenance; print(provenance.of(metric))"

    def key():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    before = key()
    with open(tmp_path / "pim_jax" / edited, "a") as file:
        file.write("# another line\n")
    assert (key() != before) == changes
