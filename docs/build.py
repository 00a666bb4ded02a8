"""Builds the site into `site/`: pip install -e '.[docs]' && python docs/build.py

The page of the commands is made from their `--help`. Zensical checks all links, and here a warning ends the build.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = ("eval", "train", "sweep", "prepare", "inspect", "release", "convert", "export")


def commands() -> str:
    """The page with what `--help` says of every command, in Markdown."""
    page = ["# Commands", "Each is also `python -m pim_jax.NAME`."]
    for name in COMMANDS:
        run = [sys.executable, "-m", f"pim_jax.{name}", "--help"]
        said = subprocess.run(run, cwd=ROOT, env=os.environ | {"COLUMNS": "80"}, stdout=subprocess.PIPE, text=True)
        said.check_returncode()
        usage = said.stdout.replace(f"python -m pim_jax.{name}", f"pim-{name}")
        page += [f"## pim-{name}", f"```text\n{usage.rstrip()}\n```"]
    return "\n\n".join(page) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "commands.md").write_text(commands())
    sys.exit(subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT).returncode)
