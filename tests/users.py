"""What is compiled as users compile it, where the tests' own options would show."""

import jax


def as_users(function):
    """Jits a function with XLA's newer fusion, which conftest.py turns off.

    Without it, what SSIM of equal images lacks to 1 by rounding is larger, and distances that must be 0 are not.
    """
    return jax.jit(function, compiler_options={"xla_cpu_use_fusion_emitters": True})
