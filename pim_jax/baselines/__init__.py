"""The metrics of the literature that PIM is compared with, each behind `baseline.Baseline`.

docs/calibration.md compares their values with published ones. `pim_jax.metrics.load` loads them beside PIM and SPIPS.
"""

from pim_jax.baselines import (
    ciede2000,
    dists,
    fidelity,
    fsim,
    gmsd,
    haarpsi,
    libjxl,
    lpips,
    mdsi,
    nlpd,
    structure,
    vif,
    vsi,
)
from pim_jax.baselines.baseline import Baseline

_LOADERS = {
    "psnr": fidelity.psnr,
    "ssim": structure.ssim,
    "ms-ssim": structure.ms_ssim,
    "nlpd": nlpd.nlpd,
    "lpips-alex": lambda: lpips.lpips("alex", linear=False),
    "lpips-alex-lin": lambda: lpips.lpips("alex", linear=True),
    "lpips-vgg": lambda: lpips.lpips("vgg", linear=False),
    "lpips-vgg-lin": lambda: lpips.lpips("vgg", linear=True),
    "dists": dists.dists,
    "gmsd": gmsd.gmsd,
    "ms-gmsdc": gmsd.ms_gmsdc,
    "haarpsi": haarpsi.haarpsi,
    "mdsi": mdsi.mdsi,
    "vsi": vsi.vsi,
    "fsim": lambda: fsim.fsim(colour=False),
    "fsimc": lambda: fsim.fsim(colour=True),
    "vifp": vif.vifp,
    "ciede2000": ciede2000.ciede2000,
    "ssimulacra": libjxl.ssimulacra,
    "ssimulacra2": libjxl.ssimulacra2,
    "butteraugli-1": lambda: libjxl.butteraugli(1),
    "butteraugli-6": lambda: libjxl.butteraugli(6),
}
NAMES = tuple(_LOADERS)


def load(name: str) -> Baseline:
    """Returns a metric of the literature.

    Args:
      name: one of `NAMES`, in small letters or capitals.

    Raises:
      ValueError: there is no metric of that name.
      ImportError: a library that it needs is not installed: `pip install 'pim-jax[benchmarks]'`.
      FileNotFoundError: a program that it needs is not installed.

    Examples:
      >>> load("nlpd")
      Baseline('NLPD', 2017)
    """
    if name.lower() not in _LOADERS:
        raise ValueError(f"there is no metric {name!r}: choose from {', '.join(NAMES)}")
    return _LOADERS[name.lower()]()
