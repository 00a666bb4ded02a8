"""Named, repeatable changes of an image: the corruptions of ImageNet-C, pixel shift and zoom (section 3.3 and A.3)."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np
from PIL import Image

IMAGENET_C = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
# The noises come first, as in ImageNet-C: A.3 calls them "the top three" of Fig. 6.
CORRUPTIONS = (*IMAGENET_C, "shift", "zoom")
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 32  # pixels a side that the corruptions of ImageNet-C need

# The paper gives no numbers. With these the border of ImageNet's 224 x 224 moves by 2 pixels at severity 1 and by 10 at
# severity 5: about as far as in the pixel shift, and less than in the zoom blur of ImageNet-C (11 to 31 %).
_ZOOM = (1.02, 1.04, 1.06, 1.08, 1.10)

_OWN_GENERATOR = ("impulse_noise", "glass_blur")  # these take a seed, and ignore NumPy's global state
_global_state = threading.Lock()


class Change(NamedTuple):
    """A change and its amount.

    Attributes:
      name: "shift" (pixels to the right, the left column repeated), "noise" (standard deviation of Gaussian noise, for
        pixels in [0, 1]), "zoom", or a corruption of ImageNet-C.
      amount: in the change's own unit; for "zoom" and the corruptions of ImageNet-C the severity, 1 to 5.
    """

    name: str
    amount: float

    def __str__(self):
        return f"{self.name} {self.amount:g}"


def apply(image: np.ndarray, change: Change) -> np.ndarray:
    """The changed image: a function of the image's pixels and the change alone.

    A digest of the pixels and the change seeds what is random. So every process gets the same pixels from the same
    versions of the libraries. "noise" is clipped to [0, 1]. "zoom" magnifies about the centre, by
    2, 4, 6, 8 or 10 %, with bicubic interpolation. It and the corruptions of ImageNet-C work on the image rounded to
    8 bits, and give 8 bits.

    The corruptions of ImageNet-C draw from NumPy's global random state, which is put back afterwards. Calls in several
    threads wait for each other; other code must not draw from that state in another thread meanwhile.

    Args:
      image: [H, W, 3] float32 in [0, 1]; for a corruption of ImageNet-C at least 32 x 32.
      change: what to do.

    Returns:
      [H, W, 3] float32 in [0, 1].

    Raises:
      ValueError: there is no such change or amount, or the image is too small for it.
      ImportError: as `library`.

    References:
      Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019.
      Section 3.3 and appendix A.3 of the PIM paper.

    Examples:
      >>> ramp = np.repeat(np.linspace(0, 1, 5, dtype=np.float32)[None, :, None], 3, axis=-1)
      >>> apply(ramp, Change("shift", 2))[0, :, 0].tolist()
      [0.0, 0.0, 0.0, 0.25, 0.5]
    """
    name, amount = change
    if name == "shift":
        return _shift(image, amount)
    if name == "noise":
        return _noise(image, amount, _seed(image, change))
    if name not in CORRUPTIONS:
        raise ValueError(f"there is no change called {name!r}; there are noise, {', '.join(CORRUPTIONS)}")
    if amount not in SEVERITIES:
        raise ValueError(f"{name} has the severities 1 to 5, not {amount:g}")
    severity, pixels = int(amount), np.rint(image * 255).astype(np.uint8)
    changed = _zoom(pixels, severity) if name == "zoom" else _imagenet_c(pixels, name, severity, _seed(image, change))
    return changed.astype(np.float32) / np.float32(255)


def library() -> ModuleType:
    """The library of ImageNet-C's corruptions, `imagecorruptions`, which is optional.

    Raises:
      ImportError: it or something that it needs is missing. The message says what to install.
    """
    try:
        import imagecorruptions
    except ImportError as error:
        raise ImportError(
            f"the corruptions of ImageNet-C need more packages ({error}): pip install 'pim-jax[benchmarks]'. If OpenCV"
            " lacks a library such as libGL, as on a machine without a display: pip uninstall opencv-python, then pip "
            "install opencv-python-headless"
        ) from None
    return imagecorruptions


def _shift(image: np.ndarray, amount: float) -> np.ndarray:
    if amount < 0 or amount != int(amount):
        raise ValueError(f"a shift is a whole number of pixels to the right, not {amount:g}")
    return np.pad(image, ((0, 0), (int(amount), 0), (0, 0)), mode="edge")[:, : image.shape[1]]


def _noise(image: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    if deviation < 0:
        raise ValueError(f"noise has a standard deviation of 0 or more, not {deviation:g}")
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    return np.clip(image + np.float32(deviation) * noise, 0, 1)


def _zoom(pixels: np.ndarray, severity: int) -> np.ndarray:
    height, width, _ = pixels.shape
    margin = (1 - 1 / _ZOOM[severity - 1]) / 2  # of either side that moves out of the picture
    box = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box))


def _imagenet_c(pixels: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    height, width, _ = pixels.shape
    if min(height, width) < SMALLEST:
        raise ValueError(f"{name} needs at least {SMALLEST} x {SMALLEST} pixels, not {width} x {height}")
    corrupt = library().corrupt
    with _seeded(seed):
        own = {"seed": seed} if name in _OWN_GENERATOR else {}
        return corrupt(pixels, corruption_name=name, severity=severity, **own)


def _seed(image: np.ndarray, change: Change) -> int:
    """32 bits, the most that NumPy's global state takes, of a digest of everything that the result may depend on."""
    digest = hashlib.sha256(f"{change} {image.shape} ".encode() + image.tobytes()).digest()
    return int.from_bytes(digest[:4], "little")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with _global_state:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
