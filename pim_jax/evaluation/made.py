"""How results were made: what a report and a JSON file say besides them."""

import platform
from datetime import datetime

import jax

from pim_jax import provenance


def of(command: str) -> dict[str, str]:
    """The command, when and where it ran, and the versions that its numbers depend on, by what they are."""
    device = jax.devices()[0]
    versions = [f"{package} {provenance.installed(package)}" for package in ("pim-jax", "jax", "numpy")]
    return {
        "Command": command,
        "Date": datetime.now().astimezone().isoformat(" ", "seconds"),
        "Versions": ", ".join([*versions, f"Python {platform.python_version()}"]),
        "Machine": f"{platform.platform()}, {device.platform}: {device.device_kind}",
    }
