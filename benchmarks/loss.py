"""Times metrics as losses: the gradient for one of two images, and what compiling it takes.

    python benchmarks/loss.py --out FILE.json [--weights pim-fast] [--torch PYTHON] [--clock cpu]

The losses are, each in a process of its own:
  distance     the gradient of `metric.distance(x, y)` for x
  against      that of `metric.against(y)(x)`, so that y is encoded in every step, but nothing is differentiated there
  fixed        the same with y encoded before, for one reference of many steps
  psnr         MSE in decibels
  lpips-alex   in JAX, and in PyTorch if PYTHON has torch, torchvision and lpips

They take turns, because other load on the machine comes and goes. `--clock cpu` counts the seconds that the threads of
the process ran, which other load changes less. Standard output gets Markdown: for each size the first call, which
traces and compiles, and the median of the others. FILE gets every single measurement. Until the end it is called
FILE.partial.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import peers
from peers import JAX, TORCH, FailedError, Measured, Peer, Size
from peers_worker import CLOCKS

from pim_jax.evaluation.outputs import partial
from pim_jax.model.convolution import PRECISIONS

SIZES = tuple((side, side) for side in (64, 128, 256, 512))
FIGURES = {"distance": "gradient", "against": "against", "fixed": "fixed"}
OTHERS = ("psnr", "lpips-alex")


def main():
    args = parse()
    record = {"command": " ".join(["python", *sys.argv]), "machine": peers.machine(), "metrics": [], "skipped": {}}
    rows: list[Measured] = []
    losses = started(args)
    with peers.ended([peer for peer, _ in losses.values()]):
        for name, (peer, _) in list(losses.items()):
            try:
                record["metrics"].append({"loss": name, **peer.about()})
            except FailedError as error:
                peers.skip(record["skipped"], name, error)
                del losses[name]
        for size in args.sizes:
            rows += measured(losses, size, args, record["skipped"])
            peers.write(partial(args.out), record, rows)
    record["load after"] = os.getloadavg()
    peers.write(args.out, record, rows)
    partial(args.out).unlink(missing_ok=True)
    print("\n".join(peers.rendered(table(rows))))


def started(args: argparse.Namespace) -> dict[str, tuple[Peer, str]]:
    """The process of each loss and the figure that it is asked for, by the name to show."""

    def of_jax(name):
        return Peer(name, JAX, [sys.executable, str(peers.HERE / "peers_jax.py"), name, args.precision])

    found = {f"{args.weights}, {name}": (of_jax(args.weights), figure) for name, figure in FIGURES.items()}
    found |= {f"{name} in {JAX}": (of_jax(name), "gradient") for name in OTHERS}
    torch = Peer("lpips-alex", TORCH, [args.torch, str(peers.HERE / "peers_torch.py"), "lpips-alex"])
    return found | {f"lpips-alex in {TORCH}": (torch, "gradient")}


def measured(losses: dict, size: Size, args: argparse.Namespace, skipped: dict) -> Iterator[Measured]:
    """Gives the measurements of one size, all losses in turns."""
    failed = set()
    for turn in range(1 + args.repeats):
        for name, (peer, figure) in losses.items():
            if name in failed:
                continue
            try:
                yield Measured(name, peer.framework, size, figure, turn, peer.ask(figure, *size, args.clock))
            except FailedError as error:
                failed.add(name)
                peers.skip(skipped, f"{name}, {peers.shown(size)}", error)


def table(rows: list[Measured]) -> list[list[str]]:
    """A row for each loss, and two columns for each size: the first call, and the median of the others."""
    sizes = list(dict.fromkeys(row.size for row in rows))
    values = {}
    for row in rows:
        values.setdefault((row.metric, row.size, row.turn > 0), []).append(row.value)
    found = [["loss", *(f"{peers.shown(size)}, {what}" for size in sizes for what in ("first call, s", "then, s"))]]
    for name in dict.fromkeys(row.metric for row in rows):
        cells = (values.get((name, size, warm)) for size in sizes for warm in (False, True))
        found.append([name, *("-" if cell is None else f"{np.median(cell):.3g}" for cell in cells)])
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the measurements go, as JSON")
    parser.add_argument("--weights", default="pim-fast", help="of PIM, a name or a folder (default: %(default)s)")
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="an interpreter with torch and lpips")
    parser.add_argument(
        "--sizes", nargs="+", type=peers.size_of, default=SIZES, metavar="HxW", help="default: 64 to 512"
    )
    parser.add_argument("--precision", default="highest", choices=PRECISIONS, help="of PIM (default: %(default)s)")
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="of each loss (default: %(default)s)")
    args = parser.parse_args()
    peers.check(parser, args)
    return args


if __name__ == "__main__":
    main()
