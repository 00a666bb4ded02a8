"""benchmarks/peers.py times metrics in their own processes, keeps every measurement, and says what it could not do."""

import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def peers():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("peers", FOLDER / "peers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(peers, monkeypatch, *arguments):
    """Runs the script with arguments, where its processes find the package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(sys, "argv", ["peers.py", *map(str, arguments)])
    peers.main()


@pytest.fixture
def no_torch(tmp_path):
    """An interpreter that finds no packages, and so no PyTorch."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    python.chmod(0o755)
    return python


def test_every_measurement_is_kept_and_shown(peers, monkeypatch, capsys, tmp_path):
    out = tmp_path / "times.json"
    line = ("psnr", "--peers", "--sizes", "8x9", "--figures", "forward", "gradient", "fixed", "--repeats", 2)
    run(peers, monkeypatch, *line, "--out", out)
    kept = json.loads(out.read_text())
    found = [(row["figure"], row["turn"]) for row in kept["measurements"]]
    assert found == [(figure, turn) for figure in ("forward", "gradient", "fixed") for turn in range(3)]
    assert all(row["value"] > 0 and row["size"] == [8, 9] for row in kept["measurements"])
    assert [(row["metric"], row["framework"]) for row in kept["metrics"]] == [("PSNR", "JAX")]
    assert not kept["skipped"] and kept["machine"]["cores"] >= 1
    text = capsys.readouterr().out
    assert "| metric | in | pair | forward, s | gradient, s | gradient, fixed reference, s |" in text
    assert "| gradient / forward | " in text
    assert os.listdir(tmp_path) == ["times.json"]


@pytest.mark.slow(kept="the figures that need no new process, above")
def test_what_a_metric_cannot_do_is_said_and_the_others_are_measured(peers, monkeypatch, capsys, tmp_path, no_torch):
    out = tmp_path / "times.json"
    options = ("--figures", "forward", "fresh", "--repeats", 1, "--torch", no_torch)
    peers_of = ("--peers", "lpips-alex-lin", "vifp")
    run(peers, monkeypatch, "psnr", *peers_of, "--sizes", "40x40", "--large", "64x50", *options, "--out", out)
    kept = json.loads(out.read_text())
    by_metric = {}
    for row in kept["measurements"]:
        by_metric.setdefault(row["metric"], set()).add((row["figure"], *row["size"]))
    own = {(figure, 40, 40) for figure in ("forward", "first call", "peak memory")}
    assert by_metric == {
        "PSNR": own | {("first call", 64, 50), ("peak memory", 64, 50)},
        "LPIPS-alex-lin": own,
    }
    memory = [row["value"] for row in kept["measurements"] if row["figure"] == "peak memory"]
    assert min(memory) > 50e6  # Python, NumPy and JAX
    reasons = kept["skipped"]
    assert "No module named 'numpy'" in reasons["lpips-alex-lin in PyTorch"]
    assert "VIFp" in reasons["VIFp in JAX, forward, 40 x 40"]
    text = capsys.readouterr().out
    assert all(f"{what} was skipped: {why}" in text for what, why in reasons.items())


def test_a_process_that_ends_says_why(peers):
    peer = peers.Peer("a", "JAX", [sys.executable, "-c", "import sys; sys.exit('no room')"])
    with pytest.raises(peers.FailedError, match=r"^its process ended with status 1: no room$"):
        peer.ask("forward", 8, 8)


def test_medians_are_without_the_turn_that_compiles(peers):
    key = ("a", "JAX", (8, 8), "forward")
    rows = [peers.Measured(*key, turn, value) for turn, value in enumerate([90.0, 1.0, 5.0, 2.0])]
    assert peers.medians(rows) == {key: 2.0}


def test_ratios_are_those_of_one_size(peers):
    small, large = (8, 8), (16, 16)
    found = {
        ("a", "JAX", small, "forward"): 2.0,
        ("a", "JAX", large, "forward"): 4.0,
        ("a", "JAX", small, "gradient"): 5.0,
        ("b", "JAX", small, "forward"): 1.0,
        ("b", "JAX", large, "forward"): 40.0,
        ("c", "PyTorch", large, "forward"): 1.0,
    }
    assert peers.ratios(found, "a", ["b"]) == [
        ["ratios of a", "8 x 8", "16 x 16"],
        ["forward: b in JAX / a", "0.50", "10.00"],
        ["forward: c in PyTorch / a", "-", "0.25"],
        ["gradient / forward", "2.50", "-"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "512"], "512 is not HEIGHTxWIDTH"),
        (["--sizes", "0x8"], "0x8 is not HEIGHTxWIDTH"),
        (["--repeats", "0"], "--repeats must be at least 1, not 0"),
        (["--peers", "lpips"], "--peers lpips is no metric: choose from"),
        (["--torch", "no/python"], "--torch no/python is not a program"),
        (["--out", "."], "is a folder"),
    ],
)
def test_mistakes_are_one_line(peers, monkeypatch, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit):
        run(peers, monkeypatch, "psnr", "--out", tmp_path / "times.json", *arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_weights_that_are_not_there_are_one_line(peers, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: nowhere: there is no metric and no folder nowhere"):
        run(peers, monkeypatch, "nowhere", "--peers", "--out", tmp_path / "times.json")
    assert not os.listdir(tmp_path)
