"""The metrics that a command line names."""

from collections import Counter
from collections.abc import Sequence

from pim_jax import baselines, metrics
from pim_jax.metrics import Metric


def load(names: Sequence[str], ckpt: str) -> tuple[dict[str, Metric], dict[str, str]]:
    """Loads metrics.

    Args:
      names: what `metrics.load` takes, or "pim" for the one that `ckpt` names.
      ckpt: what `metrics.load` takes.

    Returns:
      metrics by the name to show, which is their own where no other has it; and by name the reasons for those that this
        machine cannot run.

    Raises:
      OSError, ValueError, ImportError: as `metrics.load`, for what is no metric of the literature.

    Examples:
      >>> load(["psnr"], "pim-1")
      ({'PSNR': Baseline('PSNR', dm-pix 0.4.5)}, {})
    """
    loaded, skipped = {}, {}
    for name in names:
        try:
            found = metrics.load(ckpt if name == "pim" else name)
        except (ImportError, OSError) as error:
            if name.lower() not in baselines.NAMES:
                raise
            skipped[name] = str(error)  # what it needs is not on this machine
            continue
        loaded[name] = found
    called = Counter(found.name for found in loaded.values())  # checkpoints of one run have one name
    shown = {name: called[found.name] == 1 and found.name not in loaded for name, found in loaded.items()}
    return {found.name if shown[name] else name: found for name, found in loaded.items()}, skipped
