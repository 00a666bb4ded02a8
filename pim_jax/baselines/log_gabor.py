"""Log-Gabor filters in the frequency domain: each lets pass what is near one wavelength.

They are made with NumPy while JAX traces, for the sizes are known then.
"""

import numpy as np


def frequencies(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The grid of frequencies on which the filters' authors define them, zero first, as a Fourier transform has them.

    For an odd side the step is 1 / (side - 1), and not the 1 / side of the transform.

    Args:
      height, width: in pixels, at least 2.

    Returns:
      Two arrays, [height, width], from -0.5 to 0.5: down and right, in cycles per pixel.

    Examples:
      >>> [grid[0].tolist() for grid in frequencies(3, 4)]
      [[0.0, 0.0, 0.0, 0.0], [0.0, 0.25, -0.5, -0.25]]
    """
    axes = [np.fft.ifftshift(np.arange(-(n // 2), n - n // 2) / (n - n % 2)) for n in (height, width)]
    return tuple(np.meshgrid(*axes, indexing="ij"))


def radial(radius: np.ndarray, centre: float, deviation: float) -> np.ndarray:
    """How much of every frequency passes, whatever its direction.

    Args:
      radius: of the frequencies, in cycles per pixel.
      centre: the frequency that passes best.
      deviation: of the logarithm of the frequency.

    Returns:
      As `radius`, 0 to 1; the frequency 0 does not pass.

    References:
      Field: Relations between the statistics of natural images and the response properties of cortical cells. 1987.

    Examples:
      >>> radial(np.array([0.0, 0.25]), 0.25, 1.0).tolist()
      [0.0, 1.0]
    """
    logarithm = np.log(np.where(radius > 0, radius, centre) / centre)
    return np.where(radius > 0, np.exp(-np.square(logarithm) / (2 * deviation**2)), 0.0)
