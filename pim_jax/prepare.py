"""`python -m pim_jax.prepare`: videos -> a training set. The work is in `pim_jax.data.prepare`."""

import sys

from pim_jax.data.prepare import main

if __name__ == "__main__":
    sys.exit(main())
