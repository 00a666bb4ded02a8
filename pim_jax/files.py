"""Where files are, on disk or in a bucket, and which of them are a system's and no user's."""

import importlib.util
import os
from pathlib import Path, PurePath

from etils import epath

_BUCKET = "gs://"

# What systems, servers and office programs leave in folders, in lower case: thumbnails, icons, bins, metadata.
_SYSTEM_NAMES = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "zbthumbnail.info", "icon\r",
    "__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found", "network trash folder",
    "temporary items", "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb",
}  # fmt: skip
_SYSTEM_PREFIXES = (".", "~$")  # hidden files, of which ._NAME is macOS's metadata of NAME; Office's locks


def place(name: str | os.PathLike) -> Path | epath.Path:
    """A file or folder, on disk or in a bucket of Google Cloud Storage.

    Args:
      name: a path, or "gs://bucket/path"; a place is returned as it is.

    Raises:
      ValueError: it is another kind of address, or the library for buckets is missing.

    Examples:
      >>> place("runs/pim1").is_absolute()
      True
    """
    text = os.fspath(name)
    if "://" not in text:
        return Path(text).absolute()
    if not text.startswith(_BUCKET):
        raise ValueError(f"{text} is neither a path nor a bucket of Google Cloud Storage (gs://bucket/path)")
    if importlib.util.find_spec("gcsfs") is None:
        raise ValueError(f"{text} is in a bucket, which takes another library: pip install 'pim-jax[gcs]'")
    import fsspec  # here, not above: a tenth of a second

    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False  # other processes write there too
    return epath.Path(text)


def in_bucket(path: str | os.PathLike) -> bool:
    """Whether a place is in a bucket."""
    return os.fspath(path).startswith(_BUCKET)


def exists(path: Path | epath.Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
      OSError: its bucket cannot be reached.
    """
    try:
        return path.exists()
    except OSError:
        raise
    except Exception as error:  # the libraries for buckets have no common one
        raise OSError(f"{path} cannot be reached: {error}") from error


def size(folder: Path | epath.Path) -> int:
    """The bytes of all files in a folder."""
    if in_bucket(folder):
        import fsspec

        return fsspec.filesystem("gcs").du(os.fspath(folder))
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def is_system_file(path: str | os.PathLike) -> bool:
    """Whether a file or folder was left by a system and is not the user's: what every search of a folder passes over.

    Args:
      path: relative to the folder that is searched; a file in a system's folder is a system's file. What lies above the
        searched folder does not count.

    Raises:
      ValueError: the path is absolute.

    Examples:
      >>> [is_system_file(path) for path in ("a.png", "._a.png", "b/Thumbs.db", "@eaDir/a.png/SYNO_THUMB.png")]
      [False, True, True, True]
    """
    path = PurePath(path)
    if path.is_absolute():
        raise ValueError(f"{path} must be relative to the folder that is searched")
    names = [part.lower() for part in path.parts if part != ".."]
    return any(name in _SYSTEM_NAMES or name.startswith(_SYSTEM_PREFIXES) for name in names)
