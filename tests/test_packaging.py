"""What is given away is whole, small, and works away from the checkout."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from pim_jax import stored

ROOT = Path(__file__).parents[1]
MAX_WHEEL_BYTES = 15e6

pytestmark = pytest.mark.slow(kept="the package in the checkout")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-q", "-n", "--outdir", str(out), str(ROOT)], check=True)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_wheel_has_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names, metadata = wheel.namelist(), wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA")))
    assert built[1].stat().st_size < MAX_WHEEL_BYTES
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"pim_jax"}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pim_jax").rglob("*") if path.is_file()}
    assert {name for name in package if "__pycache__" not in name} == {n for n in names if n.startswith("pim_jax/")}
    said = metadata.decode()
    for field in ("Requires-Python: >=3.11", "License-Expression: Apache-2.0", "Project-URL: ", "Classifier: "):
        assert field in said


def test_the_source_archive_has_what_the_tests_and_the_pages_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("train.py", "eval.py", "configs/pim1.py", "docs/index.md", "tests/conftest.py", "CONTRIBUTING.md"):
        assert name in names
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_an_installed_wheel_works_from_another_folder(built, tmp_path):
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(built[1])]
    subprocess.run(pip, check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pim_jax, numpy as np; from pim_jax import metric;"
        "assert pim_jax.__file__.startswith(sys.argv[1]);"
        "x = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3);"
        "print(*(f'{float(metric.load(name).distance(x, 1 - x)) > 0}' for name in sys.argv[2:]))"
    )
    run = [sys.executable, "-I", "-c", code, str(target), "pim-fast", "pim-1"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
    assert {path.name for path in (target / "pim_jax" / "weights").iterdir() if path.is_dir()} == {*stored.bundled()}
