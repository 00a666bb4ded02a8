"""The metrics that the paper compares PIM with, all behind one small interface.

A baseline takes the arrays that PIM takes, float sRGB in [0, 1], [N, H, W, 3], and gives a distance per pair: lower is
closer. `embed` is what can be computed from one image alone, `between` compares two such, and either side may have
N = 1 against a batch, as in `pim_jax.metric.Metric`. docs/calibration.md compares their values with published ones.
"""

from pim_jax.evaluation.baselines import fidelity, libjxl, lpips, nlpd, structure
from pim_jax.evaluation.baselines.baseline import Baseline

_LOADERS = {
    "psnr": fidelity.psnr,
    "ssim": structure.ssim,
    "ms-ssim": structure.ms_ssim,
    "nlpd": nlpd.nlpd,
    "lpips-alex": lambda: lpips.lpips("alex", linear=False),
    "lpips-alex-lin": lambda: lpips.lpips("alex", linear=True),
    "lpips-vgg": lambda: lpips.lpips("vgg", linear=False),
    "lpips-vgg-lin": lambda: lpips.lpips("vgg", linear=True),
    "ssimulacra": libjxl.ssimulacra,
    "butteraugli-1": lambda: libjxl.butteraugli(1),
    "butteraugli-6": lambda: libjxl.butteraugli(6),
}
NAMES = tuple(_LOADERS)


def load(name: str) -> Baseline:
    """Returns a metric from the literature.

    Args:
      name: one of `NAMES`, in any case.

    Raises:
      ValueError: there is no metric of that name.
      ImportError: a library that it needs is not installed: `pip install 'pim-jax[benchmarks]'`.
      FileNotFoundError: a program that it needs is not installed.

    Example:
      >>> load("NLPD")
      Baseline('NLPD', 2017)
    """
    if name.lower() not in _LOADERS:
        raise ValueError(f"there is no metric {name!r}: choose from {', '.join(NAMES)}")
    return _LOADERS[name.lower()]()
