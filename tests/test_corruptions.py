"""Changes of an image: what each does, in numbers, and that it depends on the pixels and the change alone."""

import hashlib
import io
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pim_jax.data import images
from pim_jax.evaluation import corruptions
from pim_jax.evaluation.corruptions import CORRUPTIONS, IMAGENET_C, SEVERITIES, Change, apply

pytestmark = pytest.mark.slow(kept="the doctests of pim_jax.evaluation.corruptions")

PARROTS = Path(__file__).parents[1] / "pim_jax" / "assets" / "images" / "reference" / "parrots.png"
GREY = np.full((128, 160, 3), 128 / 255, np.float32)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("imagecorruptions", reason="needs the extra 'corruptions'")


@pytest.fixture(scope="module")
def photograph():
    return images.read(PARROTS)


def test_there_are_seventeen_corruptions_and_the_library_has_those_of_imagenet_c(library):
    assert tuple(library.get_corruption_names("common")) == IMAGENET_C
    assert len(CORRUPTIONS) == 17
    assert CORRUPTIONS[15:] == ("shift", "zoom")


@pytest.mark.parametrize("pixels", SEVERITIES)
def test_shift_moves_right_and_repeats_the_left_column(photograph, pixels):
    shifted = apply(photograph, Change("shift", pixels))
    np.testing.assert_array_equal(shifted[:, pixels:], photograph[:, :-pixels])
    np.testing.assert_array_equal(shifted[:, :pixels], photograph[:, :1].repeat(pixels, axis=1))


def test_noise_has_its_standard_deviation_and_is_clipped():
    faint, strong = apply(GREY, Change("noise", 0.05)), apply(GREY, Change("noise", 0.6))
    error = faint - GREY  # 61440 draws: their deviation has a relative standard error of 0.3 %
    assert error.std() == pytest.approx(0.05, rel=0.015)
    assert abs(error.mean()) < 4 * 0.05 / math.sqrt(error.size)
    assert abs(np.corrcoef(error[:-1].ravel(), error[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(error[..., 0].ravel(), error[..., 1].ravel())[0, 1]) < 0.04
    for share, distance in [(strong == 1).mean(), 127 / 255], [(strong == 0).mean(), 128 / 255]:
        assert share == pytest.approx(math.erfc(distance / 0.6 / math.sqrt(2)) / 2, abs=0.008)


@pytest.mark.parametrize(("severity", "factor"), [(1, 1.02), (2, 1.04), (3, 1.06), (4, 1.08), (5, 1.1)])
def test_zoom_magnifies_about_the_centre(severity, factor):
    """Bicubic interpolation reproduces a linear ramp, so that the value is the place that a pixel came from."""
    height, width = 90, 150
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ramps = np.stack([y, x, 255 - x], axis=-1)
    zoomed = apply(ramps / 255, Change("zoom", severity)) * 255
    from_y, from_x = ((length - 1) / 2 + (at - (length - 1) / 2) / factor for at, length in ((y, height), (x, width)))
    np.testing.assert_allclose(zoomed, np.stack([from_y, from_x, 255 - from_x], axis=-1), atol=0.51)


@pytest.mark.parametrize("name", ["shift", "zoom"])
def test_a_higher_severity_changes_more(photograph, name):
    errors = [((apply(photograph, Change(name, severity)) - photograph) ** 2).mean() for severity in SEVERITIES]
    assert errors == sorted(errors)
    assert errors[0] > 0


def test_noises_have_their_published_strengths(library):
    """Constants of Hendrycks & Dietterich; the noise of a count with mean n has the variance n."""
    for severity, deviation in enumerate((0.08, 0.12), 1):  # stronger noise is clipped
        assert apply(GREY, Change("gaussian_noise", severity)).std() == pytest.approx(deviation, rel=0.02)
    for severity, count in enumerate((60, 25), 1):
        deviation = math.sqrt(128 / 255 / count)
        assert apply(GREY, Change("shot_noise", severity)).std() == pytest.approx(deviation, rel=0.03)
    for severity, share in enumerate((0.03, 0.06, 0.09, 0.17, 0.27), 1):
        noisy = apply(GREY, Change("impulse_noise", severity))
        changed = noisy[noisy != GREY]
        assert changed.size / GREY.size == pytest.approx(share, rel=0.05)
        assert set(np.unique(changed)) == {0, 1}


def test_digital_corruptions_are_what_their_definitions_say(library, photograph):
    bytes_ = np.rint(photograph * 255)
    for severity, factor in enumerate((0.4, 0.3, 0.2, 0.1, 0.05), 1):
        mean = bytes_.mean((0, 1))
        expected = (bytes_ - mean) * factor + mean
        found = apply(photograph, Change("contrast", severity)) * 255
        np.testing.assert_allclose(found, expected - 0.5, atol=0.51)  # rounded down, as in ImageNet-C
    for severity, quality in enumerate((25, 18, 15, 10, 7), 1):
        file = io.BytesIO()
        Image.open(PARROTS).convert("RGB").save(file, "JPEG", quality=quality)
        found = apply(photograph, Change("jpeg_compression", severity)) * 255
        np.testing.assert_array_equal(np.rint(found), np.asarray(Image.open(file)))
    for severity, added in enumerate((0.1, 0.2, 0.3, 0.4), 1):
        np.testing.assert_allclose(apply(GREY, Change("brightness", severity)), GREY + added, atol=1.01 / 255)
    blocks = bytes_.reshape(64, 2, 96, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(apply(photograph, Change("pixelate", 2)) * 255, blocks, atol=1.01)  # rounded twice


@pytest.mark.parametrize("size", [(65, 83), (32, 97), (128, 32)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_size_and_severity_gives_an_image_in_silence(library, photograph, name, size, capfd):
    image = photograph[: size[0], : size[1]]
    before = image.copy()
    for severity in SEVERITIES:
        changed = apply(image, Change(name, severity))
        assert changed.dtype == np.float32
        assert changed.shape == image.shape
        assert 0 <= changed.min() <= changed.max() <= 1
        assert (changed != image).any()
    np.testing.assert_array_equal(image, before)
    assert capfd.readouterr() == ("", "")


DIGESTS = """
import hashlib, sys
from pim_jax.data import images
from pim_jax.evaluation.corruptions import CORRUPTIONS, Change, apply
image = images.read(sys.argv[1])[:64, :65]
for change in [*(Change(name, 3) for name in CORRUPTIONS), Change("noise", 0.1)]:
    print(hashlib.sha256(apply(image, change).tobytes()).hexdigest(), change)
"""


@pytest.mark.nightly
def test_another_process_gives_the_same_pixels_in_any_order(library, photograph):
    command = [sys.executable, "-c", DIGESTS, str(PARROTS)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = dict(line.split(" ", 1)[::-1] for line in output.splitlines())
    assert len(expected) == 18
    changes = [Change("noise", 0.1), *(Change(name, 3.0) for name in reversed(CORRUPTIONS))]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda change: apply(photograph[:64, :65], change), changes))
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in found]
    assert dict(zip(map(str, changes), digests, strict=True)) == expected


@pytest.mark.parametrize("name", ["gaussian_noise", "impulse_noise", "glass_blur", "motion_blur", "frost", "noise"])
def test_another_picture_gets_other_randomness(library, photograph, name):
    other = photograph.copy()
    other[0, 0] = 1 - other[0, 0]
    away = np.s_[64:, 64:]  # from the one pixel that differs
    assert (apply(photograph, Change(name, 1))[away] != apply(other, Change(name, 1))[away]).any()


def test_another_level_gets_other_noise():
    signs = [np.sign(apply(GREY, Change("noise", level)) - GREY) for level in (0.1, 0.2)]
    assert (signs[0] == signs[1]).mean() == pytest.approx(0.5, abs=0.02)


def test_the_global_random_state_is_put_back(library, photograph):
    for name in IMAGENET_C:
        np.random.seed(5)
        expected = np.random.random(3)
        np.random.seed(5)
        apply(photograph[:40, :40], Change(name, 1))
        np.testing.assert_array_equal(np.random.random(3), expected, err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change("blur", 1), "no change called 'blur'; there are noise, gaussian_noise, .*zoom"),
        (Change("zoom", 0), "zoom has the severities 1 to 5, not 0"),
        (Change("fog", 2.5), "fog has the severities 1 to 5, not 2.5"),
        (Change("shift", -1), "whole number of pixels to the right, not -1"),
        (Change("shift", 0.5), "whole number of pixels to the right, not 0.5"),
        (Change("noise", -0.1), "0 or more, not -0.1"),
        (Change("snow", 1), "snow needs at least 32 x 32 pixels, not 40 x 31"),
    ],
)
def test_what_cannot_be_done_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        apply(np.zeros((31, 40, 3), np.float32), change)


def test_a_missing_library_is_said_with_what_to_install(monkeypatch, photograph):
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(ImportError, match=r"pip install 'pim-jax\[benchmarks\]'.*opencv-python-headless"):
        corruptions.library()
    with pytest.raises(ImportError, match="corruptions"):
        apply(photograph, Change("fog", 1))
    assert apply(photograph, Change("zoom", 1)).shape == photograph.shape
