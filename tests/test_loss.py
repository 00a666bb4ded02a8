"""benchmarks/loss.py shows what every loss took at every size, and says what it cannot do."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def loss():
    """The script as a module."""
    sys.path.insert(0, str(FOLDER))  # it imports its neighbours
    spec = importlib.util.spec_from_file_location("loss", FOLDER / "loss.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))


def run(loss, monkeypatch, *arguments):
    """Runs the script with arguments, where its processes find the package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(sys, "argv", ["loss.py", *map(str, arguments)])
    loss.main()


def test_a_row_for_each_loss_and_two_columns_for_each_size(loss):
    small, large = (8, 8), (16, 16)
    rows = [
        loss.Measured("a", "JAX", small, "gradient", turn, value) for turn, value in enumerate([90.0, 1.0, 5.0, 2.0])
    ]
    rows.append(loss.Measured("b", "JAX", large, "gradient", 0, 4.0))
    assert loss.table(rows) == [
        ["loss", "8 x 8, first call, s", "8 x 8, then, s", "16 x 16, first call, s", "16 x 16, then, s"],
        ["a", "90", "2", "-", "-"],
        ["b", "-", "-", "4", "-"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "512"], "512 is not HEIGHTxWIDTH"),
        (["--repeats", "0"], "--repeats must be at least 1, not 0"),
        (["--torch", "no/python"], "--torch no/python is not a program"),
        (["--clock", "sun"], "invalid choice: 'sun'"),
        (["--out", "."], "is a folder"),
    ],
)
def test_mistakes_are_one_line(loss, monkeypatch, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit):
        run(loss, monkeypatch, "--out", tmp_path / "times.json", *arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
