"""Where files that can be made again are kept between runs."""

import os
from pathlib import Path


def folder() -> Path:
    """The user's folder for what pim_jax computed once: `$XDG_CACHE_HOME/pim_jax`, or `~/.cache/pim_jax`.

    Returns:
      the folder, which may not exist yet.

    References:
      XDG Base Directory Specification.

    Example:
      >>> folder().name
      'pim_jax'
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pim_jax"
