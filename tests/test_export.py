"""An exported metric is one file that gives the metric's numbers, without this package."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from pim_jax import export, metrics

DOCS = Path(__file__).parents[1] / "docs" / "serving.md"
SIZE = ("--height", "16", "--width", "24")


def images(n):
    random = np.random.default_rng(n)
    return [random.uniform(size=(n, 16, 24, 3)).astype(np.float32) for _ in "xy"]


def test_the_file_holds_a_metric_for_every_platform_and_any_number_of_images(tmp_path, capsys):
    file, psnr = tmp_path / "new" / "psnr.jax", metrics.load("psnr")
    assert export.main([str(file), *SIZE, "--ckpt", "psnr"]) == 0
    assert f"{file}: distance of PSNR ({psnr.digest})" in capsys.readouterr().out
    exported = jax.export.deserialize(file.read_bytes())
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert exported.fun_name == f"distance of PSNR ({psnr.digest})"
    for n in (1, 3):
        np.testing.assert_allclose(exported.call(*images(n)), psnr.distance(*images(n)), rtol=1e-6)


@pytest.mark.slow(kept="PSNR, within this process")
def test_the_default_metric_is_served_as_the_docs_tell_where_this_package_cannot_be_imported(tmp_path, one_device):
    assert export.main([str(tmp_path / "pim-fast.jax"), *SIZE]) == 0
    x, y = images(3)
    np.savez(tmp_path / "images.npz", x=x, y=y)
    served = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    code = f"""
import sys
sys.modules["pim_jax"] = None  # importing it is an error
import numpy as np
x, y = np.load("images.npz").values()
{served}
np.save("distances.npy", distances)
assert not [name for name in sys.modules if name.startswith(("pim_jax.", "flax", "orbax"))]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=one_device, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "distances.npy"), metrics.load("pim-fast").distance(x, y), rtol=1e-5)


def test_standard_output_holds_the_file_alone(capfdbinary):
    assert export.main(["-", *SIZE, "--ckpt", "psnr"]) == 0
    out, errors = capfdbinary.readouterr()
    assert jax.export.deserialize(bytearray(out)).platforms == export.PLATFORMS
    assert b"distance of PSNR" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--height", "4", "--width", "24"], "pim-fast needs images of at least 8 x 8, not 4 x 24 (height x width)"),
        (["--height", "-1", "--width", "24", "--ckpt", "psnr"], "not -1 x 24"),
        ([*SIZE, "--ckpt", "pim-fat"], "there is no metric and no folder pim-fat: did you mean pim-fast?"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_no_file(options, message, tmp_path, capsys):
    assert export.main([str(tmp_path / "file"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_metric_that_a_program_computes_is_refused(tmp_path, capsys):
    try:
        metrics.load("ssimulacra")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert export.main([str(tmp_path / "file"), *SIZE, "--ckpt", "ssimulacra"]) == 2
    assert "outside of jit" in capsys.readouterr().err


def test_a_folder_is_no_file_to_write(tmp_path, capsys):
    assert export.main([str(tmp_path), *SIZE, "--ckpt", "psnr"]) == 2
    assert f"OUT {tmp_path} is a folder; name a file" in capsys.readouterr().err
