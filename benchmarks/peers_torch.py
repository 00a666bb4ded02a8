"""Metrics of the packages lpips and piq in PyTorch, for `benchmarks/peers.py`: python benchmarks/peers_torch.py fsim

The networks that classify images are random, because the trained ones are a download. They take as long. The linear
layers of LPIPS are those of the package. DISTS is without the resizing that piq begins with, as in `pim_jax`.
"""

import functools
import importlib.metadata
from collections.abc import Callable

import numpy as np
from peers_worker import Call, resident_peak, serve

LPIPS = {f"lpips-{net}{lin}": (net, bool(lin)) for net in ("alex", "vgg") for lin in ("", "-lin")}
# By name: as `pim_jax` calls it, the function of piq, and its options.
PIQ = {
    "gmsd": ("GMSD", "gmsd", {}),
    "ms-gmsdc": ("MS-GMSDc", "multi_scale_gmsd", {"chromatic": True}),
    "haarpsi": ("HaarPSI", "haarpsi", {}),
    "mdsi": ("MDSI", "mdsi", {}),
    "vsi": ("VSI", "vsi", {}),
    "fsim": ("FSIM", "fsim", {"chromatic": False}),
    "fsimc": ("FSIMc", "fsim", {"chromatic": True}),
    "vifp": ("VIFp", "vif_p", {}),
}


def load(name: str) -> tuple[dict, Callable, Callable]:
    """See `peers_worker.serve`."""
    import torch

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    package = "lpips" if name in LPIPS else "piq"
    shown, about, loss = lpips_loss(name) if name in LPIPS else dists_loss() if name == "dists" else piq_loss(name)
    if isinstance(loss, torch.nn.Module):
        loss = loss.to(device).requires_grad_(False)
    about = {
        "name": shown,
        "about": about,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "torchvision", package, "numpy")},
    }

    def make(figure: str, x: np.ndarray, y: np.ndarray) -> Call:
        x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().to(device) for image in (x, y))
        if figure == "gradient":
            x.requires_grad_()

        def call():
            value = loss(x, y).sum()
            found = torch.autograd.grad(value, x) if figure == "gradient" else value
            if on_gpu:
                torch.cuda.synchronize()
            return found

        return call

    def peak() -> int | None:
        return torch.cuda.max_memory_allocated() if on_gpu else resident_peak()

    return about, make, peak


def lpips_loss(name: str) -> tuple[str, str, Callable]:
    import lpips

    net, linear = LPIPS[name]
    loss = lpips.LPIPS(net=net, lpips=linear, pretrained=True, pnet_rand=True, verbose=False)
    loss.forward = functools.partial(loss.forward, normalize=True)
    return f"LPIPS-{name.partition('-')[2]}", "lpips.LPIPS, the trunk random", loss


def piq_loss(name: str) -> tuple[str, str, Callable]:
    import piq

    shown, function, options = PIQ[name]
    return shown, f"piq.{function}", functools.partial(getattr(piq, function), **options)


def dists_loss() -> tuple[str, str, Callable]:
    import torch
    import torchvision
    from piq import perceptual

    perceptual.vgg16 = lambda **options: torchvision.models.vgg16(weights=None)
    channels = 3 + 64 + 128 + 256 + 512 + 512
    weights = {name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}
    torch.hub.load_state_dict_from_url = lambda *arguments, **options: weights
    loss = perceptual.DISTS()
    loss.forward = functools.partial(perceptual.ContentLoss.forward, loss)
    return "DISTS", "piq.DISTS, the network and its weights random", loss


if __name__ == "__main__":
    serve(load)
