"""Scores images by how different they look: `python eval.py --help`."""

import sys

from pim_jax.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
