"""LPIPS of the package lpips in PyTorch, for `benchmarks/peers.py`: python benchmarks/peers_torch.py lpips-alex-lin

The networks that classify images are random, because the trained ones are a download. They take as long. The linear
layers are those of the package.
"""

import importlib.metadata
from collections.abc import Callable

import numpy as np
from peers_worker import Call, resident_peak, serve

METRICS = {f"lpips-{net}{lin}": (net, bool(lin)) for net in ("alex", "vgg") for lin in ("", "-lin")}


def load(name: str) -> tuple[dict, Callable, Callable]:
    """See `peers_worker.serve`."""
    import lpips
    import torch

    net, linear = METRICS[name]
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    loss = lpips.LPIPS(net=net, lpips=linear, pretrained=True, pnet_rand=True, verbose=False)
    loss = loss.to(device).requires_grad_(False)
    about = {
        "name": f"LPIPS-{name.partition('-')[2]}",
        "about": "lpips.LPIPS, the trunk random",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "lpips", "numpy")},
    }

    def make(figure: str, x: np.ndarray, y: np.ndarray) -> Call:
        x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().to(device) for image in (x, y))
        if figure == "gradient":
            x.requires_grad_()

        def call():
            value = loss(x, y, normalize=True).sum()
            found = torch.autograd.grad(value, x) if figure == "gradient" else value
            if on_gpu:
                torch.cuda.synchronize()
            return found

        return call

    def peak() -> int | None:
        return torch.cuda.max_memory_allocated() if on_gpu else resident_peak()

    return about, make, peak


if __name__ == "__main__":
    serve(load)
