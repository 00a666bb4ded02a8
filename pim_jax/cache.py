"""Where files that can be made again are kept between runs."""

import contextlib
import os
import warnings
from pathlib import Path

import jax


def folder() -> Path:
    """The user's folder for what pim_jax computed once: `$XDG_CACHE_HOME/pim_jax`, or `~/.cache/pim_jax`.

    Returns:
      the folder, which may not exist yet.

    Raises:
      OSError: the user has no home folder.

    References:
      XDG Base Directory Specification.

    Examples:
      >>> folder().name
      'pim_jax'
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pim_jax"
    except RuntimeError as error:
        raise OSError("this user has no home folder to keep a cache in; set XDG_CACHE_HOME to a folder") from error


def keep_compiled() -> None:
    """Lets JAX keep what it compiles in `folder`, so that only the first run with images of one size compiles.

    Nothing changes where the user has chosen a folder (`JAX_COMPILATION_CACHE_DIR`), or where none can be made. What
    cannot be kept there is compiled again, without a word. A size takes some 150 KB; the folder may be removed at any
    time. `JAX_ENABLE_COMPILATION_CACHE=0` keeps nothing.

    Examples:
      >>> keep_compiled()
      >>> jax.config.jax_compilation_cache_dir is None
      False
    """
    if jax.config.jax_compilation_cache_dir is None:
        with contextlib.suppress(OSError):
            compiled = folder() / "compiled"
            compiled.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", os.fspath(compiled))
            # Where an entry cannot be kept, as on a full disk, it is compiled again: no result depends on it.
            warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
