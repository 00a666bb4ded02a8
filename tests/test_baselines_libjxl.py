"""SSIMULACRA, SSIMULACRA 2 and Butteraugli are what the programs print; failures say what happened."""

import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pim_jax.baselines import libjxl
from pim_jax.data import images


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Puts a shell script in the place of `butteraugli_main`, or of another program."""

    def install(script, name="butteraugli_main"):
        path = tmp_path / "bin" / name
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return install


def pictures(count, size=(16, 24), levels=255):
    return jnp.asarray(np.random.default_rng(0).integers(0, levels + 1, (count, *size, 3)) / levels, jnp.float32)


@pytest.mark.parametrize(
    ("name", "load", "options"),
    [
        ("ssimulacra_main", libjxl.ssimulacra, []),
        ("ssimulacra2", libjxl.ssimulacra2, []),
        ("butteraugli_main", lambda: libjxl.butteraugli(1), ["--pnorm", "1"]),
        ("butteraugli_main", lambda: libjxl.butteraugli(6), ["--pnorm", "6"]),
    ],
)
def test_the_distance_is_what_the_program_prints_last_for_png_files(name, load, options, tmp_path):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    x, y = pictures(2, (64, 48))
    paths = [tmp_path / "x.png", tmp_path / "y.png"]
    for image, path in zip((x, y), paths, strict=True):
        Image.fromarray(np.round(np.asarray(image) * 255).astype(np.uint8)).save(path)
    printed = subprocess.run([name, *paths, *options], capture_output=True, text=True, check=True).stdout
    expected = float(printed.split()[-1])
    if name == "ssimulacra2":
        expected = 100 - expected
    np.testing.assert_allclose(load().distance(x[None], y[None]), expected, rtol=1e-6)


def test_the_norm_is_read_and_not_the_maximum(program):
    program('echo 9.5; echo "6-norm: 2.25"')
    assert libjxl.butteraugli(6).distance(pictures(1), pictures(1)).tolist() == [2.25]


def test_ssimulacra_2_is_a_similarity_of_at_most_100(program):
    program("echo -12.5", name="ssimulacra2")
    assert libjxl.ssimulacra2().distance(pictures(1), pictures(1)).tolist() == [112.5]


def test_a_pair_that_repeats_is_measured_once(program, tmp_path):
    program(f'echo "$1 $2" >> {tmp_path}/log; echo 1; echo "6-norm: 2"')
    x, y = pictures(1), pictures(3)[jnp.array([0, 1, 2, 2, 2])]
    assert libjxl.butteraugli(6).distance(x, y).tolist() == [2.0] * 5
    assert len((tmp_path / "log").read_text().splitlines()) == 3


@pytest.mark.parametrize(("levels", "steps"), [(255, 255), (65535, 65535)])
def test_files_keep_8_and_16_bits(levels, steps, tmp_path):
    (picture,) = np.asarray(pictures(1, levels=levels))
    path = libjxl._write(picture, tmp_path)
    assert path.read_bytes().startswith(f"P6\n24 16\n{steps}\n".encode())
    np.testing.assert_allclose(images.read(path), picture, rtol=0, atol=1e-7)


def test_values_out_of_range_are_cut(tmp_path):
    picture = np.array([[[-0.01, 0.5, 1.2]] * 8] * 8, np.float32)
    np.testing.assert_allclose(images.read(libjxl._write(picture, tmp_path))[0, 0], [0, 0.5, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo starting >&2; echo out of paint >&2; exit 3", "failed with status 3; its last words: out of paint"),
        ("echo 1.5", "failed with status 0; its last words: 1.5"),
        ("exit 1", "its last words: nothing"),
    ],
)
def test_a_program_that_fails_is_an_error_with_its_last_words(program, script, said):
    program(script)
    with pytest.raises(RuntimeError, match=said):
        libjxl.butteraugli(6).distance(pictures(1), pictures(1))


def test_a_program_that_hangs_is_stopped(program, monkeypatch):
    program("exec sleep 20")
    monkeypatch.setattr(libjxl, "TIMEOUT", 0.2)
    with pytest.raises(RuntimeError, match=r"was stopped after 0\.2 seconds"):
        libjxl.butteraugli(6).distance(pictures(1), pictures(1))


@pytest.mark.parametrize(
    ("load", "what"),
    [
        (libjxl.ssimulacra, "ssimulacra_main"),
        (libjxl.ssimulacra2, "ssimulacra2 of libjxl 0.8 or newer"),
        (lambda: libjxl.butteraugli(1), "butteraugli_main"),
    ],
)
def test_a_missing_program_is_an_error_that_says_what_to_install(load, what, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"the program {what} is not installed: apt install libjxl-devtools"):
        load()


def test_another_program_is_another_metric(program, tmp_path):
    program("echo 1")
    one = repr(libjxl.butteraugli(1))
    (tmp_path / "bin" / "butteraugli_main").write_text("#!/bin/sh\necho 2\n")
    assert repr(libjxl.butteraugli(1)) != one


def test_images_under_8_pixels_are_an_error(program):
    program("echo 1")
    with pytest.raises(ValueError, match=r"x is 7 x 24 pixels \(height x width\); Butteraugli-1 needs at least 8 x 8"):
        libjxl.butteraugli(1).distance(pictures(1, (7, 24)), pictures(1, (7, 24)))
