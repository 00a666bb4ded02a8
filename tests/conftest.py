"""Strict settings for every test: eight CPU devices, no implicit promotion of types or ranks."""

import os
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Several tests run the commands as processes of their own: they share what is compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="pim_jax_tests_"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# Most of the tests' time is compiling. Without LLVM's costly passes it halves, and without XLA's newer fusion it halves
# again. Set it to 0 to test what users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8"]
    + ["--xla_cpu_use_fusion_emitters=false"] * (os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")
)
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="pim_jax_tests_")  # not the user's

import jax
import numpy as np
import pytest

from pim_jax import prepare
from pim_jax.data import bundled

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def one_device() -> dict[str, str]:
    """The environment of a command run as a process of its own, on one device as on a laptop: quicker than eight."""
    return os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"}


@pytest.fixture(scope="session")
def clip_pairs(tmp_path_factory) -> Path:
    """The bundled clip as a training set, not to be changed."""
    out = tmp_path_factory.mktemp("clip") / "pairs"
    with bundled.clip() as clip:
        assert prepare.main([str(clip), "--out", str(out), "--workers", "1"]) == 0
    return out


@pytest.fixture
def optimized():
    """Compiles as for users: quicker where images are not tiny, or where gradients of the pyramid are computed."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def promoting():
    """optax, Flax and CLU mix floats with integers, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data folder beside the checkout; a test that needs it is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared):
    """Inputs and outputs of the official implementation."""
    with np.load(shared / "golden" / "golden.npz") as arrays:
        return dict(arrays)
