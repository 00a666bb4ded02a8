"""The small real files in the package, for the first command and the tests; see `pim_jax/assets/README.md`."""

from importlib import resources

_ASSETS = "assets"


def clip():
    """Returns a context that gives the path of a one-second natural video, CC BY 4.0."""
    return resources.as_file(resources.files("pim_jax") / _ASSETS / "clip.mp4")
