"""What the README tells people to type works."""

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "pim_jax" / "assets" / "images"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.slow(kept="each of its calls, in test_metric.py")
def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source, name in (("reference/parrots.png", "reference.png"), ("distorted/parrots.jpg", "distorted.jpg")):
        Image.open(IMAGES / source).crop((100, 20, 132, 52)).save(name)
    names = {}
    exec(blocks("python")[0], names)
    assert float(names["d"]) > 0
    assert float(names["m"].mean()) == pytest.approx(float(names["d"]), rel=1e-4)
    assert names["g"].shape == names["x"].shape
    assert float(names["many"][0]) == pytest.approx(float(names["d"]), rel=1e-4)


@pytest.mark.slow(kept="each of its commands is run in test_train.py and test_compare.py")
def test_the_first_command_trains_resumes_and_scores(tmp_path, one_device):
    command = blocks("sh")[0].replace("pip install -e '.[eval,train]' && ", "").replace("runs/", f"{tmp_path}/")
    as_users = one_device | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=600, env=as_users)
    assert done.returncode == 0, done.stderr
    assert "step 30 of 60" in done.stdout and "finished at step 60" in done.stdout
    distances = dict(re.findall(r"^(\w+)\t([\d.e-]+)$", done.stdout, re.MULTILINE))
    assert set(distances) == {"parrots", "lighthouse", "boats"}
    assert all(float(value) > 0 for value in distances.values())
    assert (tmp_path / "scores.csv").is_file()
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {
        f"{name}.{kind}" for name in distances for kind in ("png", "npy")
    }
