"""Scores images by how different they look: `python eval.py --help`. The command is `pim_jax.eval`."""

import sys

from pim_jax.eval import main

if __name__ == "__main__":
    sys.exit(main())
