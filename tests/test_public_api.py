"""The package is light to import, silent, and documented."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import pim_jax

MODULES = [module.name for module in pkgutil.walk_packages(pim_jax.__path__, "pim_jax.")]


def test_importing_the_metric_is_light_and_silent():
    code = (
        "import sys, pim_jax.metric;"
        "heavy = {'grain', 'tensorflow_datasets', 'PIL', 'matplotlib', 'tensorflow', 'av', 'tqdm'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__, f"{name}.{key} has no docstring"
