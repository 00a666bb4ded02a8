"""Trains PIM: `python train.py --help`. The command is `pim_jax.train`."""

import sys

from pim_jax.train import main

if __name__ == "__main__":
    sys.exit(main())
