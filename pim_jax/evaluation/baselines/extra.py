"""The libraries of the extra `benchmarks`, which a user may not have installed."""

from importlib import metadata


def version(library: str) -> str:
    """The name and version of an installed library, such as "dm-pix 0.4.5".

    Args:
      library: its name on PyPI.

    Raises:
      ImportError: it is not installed; the message says how to install it.

    Example:
      >>> version("numpy").startswith("numpy ")
      True
    """
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        raise ImportError(f"{library} is not installed: pip install 'pim-jax[benchmarks]'") from None
