"""Trains the ablations of the paper (section 3.4) alike, and compares their agreement with people.

    python benchmarks/ablations.py --data DATA --tid2013 DIR --raid DIR --work W [--seeds 0 1 2] [--only NAME ...]

`pim_jax.sweep` trains every configuration on the same frame pairs, for the same number of steps, with every seed. Then
a Markdown table is printed: the last values of the objective's terms, Spearman's correlation with people, and the
paper's own numbers. The correlation is pooled, and the mean within the types of distortion. It is given as trained, and
whitened like released weights. Of several seeds, numbers are the mean and the standard deviation. Run again, the script
goes on where it was. Images are cut to their centres. That is quick, and agreement is lower than on whole images.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from pim_jax import configuration, stored, sweep
from pim_jax.data import images
from pim_jax.evaluation import datasets
from pim_jax.evaluation.datasets.rated import Rated, select
from pim_jax.model import pim
from pim_jax.training import agreement, log, results, summary
from pim_jax.training.config import Config
from pim_jax.training.summary import Summary

ROOT = Path(__file__).parents[1]

# For each configuration: what it is, and the paper's BAPPS-2AFC and BAPPS-JND (Fig. 4, section 3.4), in per cent.
ROWS = {
    "pim5": ("IXYZ, steerable pyramid, 4 layers: PIM", 69.09, 64.29),
    "ablation_infonce": ("InfoNCE", 68.99, 64.12),
    "ablation_single_infonce": ("single-variable InfoNCE", 65.15, 44.79),
    "ablation_steerable_3layer": ("steerable pyramid, 3 layers", 69.21, 63.79),
    "ablation_steerable_2layer": ("steerable pyramid, 2 layers", 69.00, 61.18),
    "ablation_laplacian_4layer": ("Laplacian pyramid, 4 layers", 67.43, 61.85),
    "ablation_laplacian_3layer": ("Laplacian pyramid, 3 layers", 67.50, 62.77),
    "ablation_laplacian_2layer": ("Laplacian pyramid, 2 layers", 68.26, 62.43),
    "ablation_no_pyramid": ("no pyramid, 4 layers", 64.88, 51.69),
    "ablation_alexnet": ("no pyramid, AlexNet", 56.8, 37.84),
    "ablation_vgg16": ("no pyramid, VGG16", 57.31, 36.43),
    "ablation_alexnet_hidden": ("no pyramid, AlexNet with hidden layers", 61.09, 44.52),
    "ablation_vgg16_hidden": ("no pyramid, VGG16 with hidden layers", 67.46, 60.07),
}


def main() -> None:
    args = parse()
    rated = {name: centres(getattr(args, name), name, args) for name in ("tid2013", "raid")}
    sets = "TID2013 | RAID | whitened: TID2013 | RAID"
    print(f"| | I | Rx | Ry | {sets} | paper: 2AFC | JND |", "|" + "---|" * 10, sep="\n", flush=True)
    print(row("untrained: PIM", untrained(args), rated, args, "", ""), flush=True)
    for name in args.only or ROWS:
        what, afc, jnd = ROWS[name]
        print(row(what, trained(name, args), rated, args, afc, jnd), flush=True)


def trained(name: str, args: argparse.Namespace) -> dict[str, Summary]:
    """The runs of a configuration, once they are finished."""
    drops = int(0.8 * args.steps), int(0.95 * args.steps)
    overrides = [f"steps={args.steps}", f"batch={args.batch}", f"beta_steps={int(0.4 * args.steps)}"]
    overrides += [f"learning_rate_drops={drops}", "log_every=1", "keep=1"]
    config = ROOT / "configs" / f"{name}.py"
    runs = sweep.train([config], args.seeds, args.work, data=args.data, overrides=overrides, say=to_stderr)
    return {run.name: summary.of(run) for run, finished in runs.items() if finished}


def untrained(args: argparse.Namespace) -> dict[str, Summary]:
    """PIM with its initial parameters, by seed."""
    model, found = configuration.load(ROOT / "configs" / "pim5.py", (Config,)).model, {}
    for seed in args.seeds:
        place = args.work / f"untrained-{seed}"
        if not place.exists():
            stored.write(place, model, pim.init(model, jax.random.key(seed)), name="untrained")
        found[place.name] = summary.of(place)
    return found


def centres(folder: Path, name: str, args: argparse.Namespace) -> Rated:
    """A benchmark on the first references of a data set, whose images are cut to their centres."""
    whole = datasets.read({"tid2013": "iqa"}.get(name, name), folder, shifts=(0,), allow_missing=False)
    kept = list(dict.fromkeys(rating.reference for rating in whole.ratings))[: args.references]
    into = args.work / f"{name}-{args.side}"

    def cut(path: Path) -> Path:
        out = (into / path.relative_to(folder)).with_suffix(".png")
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            image = np.round(images.read(path) * 255).astype(np.uint8)
            top, left = ((length - args.side) // 2 for length in image.shape[:2])
            Image.fromarray(image[top : top + args.side, left : left + args.side]).save(out)
        return out

    ratings = [
        rating._replace(reference=cut(rating.reference), distorted=cut(rating.distorted))
        for rating in whole.ratings
        if rating.reference in kept
    ]
    same = {"scale": whole.scale, "sign": whole.sign, "kinds": whole.kinds}
    return select(name, ratings, **same, shifts=(0,), allow_missing=False)


def agreements(found: dict[str, Summary], rated: dict[str, Rated], args: argparse.Namespace) -> list[str]:
    """Spearman's correlations as trained, then whitened, as "pooled / mean of types" for every data set."""
    cells = []
    for whitened_by in (None, args.data):
        for benchmark in rated.values():
            measured = agreement.along(found, benchmark, to_stderr, whitened_by=whitened_by)
            if measured.problems:
                raise SystemExit(f"could not be measured: {measured.problems}")
            scores, columns = measured.last().values(), ("SROCC", f"SROCC, mean of {benchmark.kinds}")
            cells.append(" / ".join(results.spread([score[column] for score in scores]) for column in columns))
    return cells


def row(what: str, found: dict[str, Summary], rated: dict[str, Rated], args: argparse.Namespace, *paper) -> str:
    """A line of the table. A term that the objective does not have is left empty, and so is all if no run finished."""
    ends = [log.ending(of.rows) for of in found.values()]
    terms = [results.spread([end[name] for end in ends if name in end]) for name in ("I", "Rx", "Ry")]
    measured = agreements(found, rated, args) if found else [""] * 4
    return (
        "| " + " | ".join([what, *("" if term == "-" else term for term in terms), *measured, *map(str, paper)]) + " |"
    )


def to_stderr(line: str) -> None:
    """Keeps standard output for the table."""
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a training set by python -m pim_jax.prepare")
    parser.add_argument("--tid2013", type=Path, required=True, help="as for eval.py --benchmark iqa")
    parser.add_argument("--raid", type=Path, required=True, help="as for eval.py --benchmark raid")
    parser.add_argument("--work", type=Path, required=True, help="where runs, centres and distances are kept")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the runs")
    parser.add_argument("--side", type=int, default=128, help="pixels a side of the images' centres")
    parser.add_argument("--references", type=int, default=6, help="how many of each data set, from the first")
    parser.add_argument("--only", nargs="*", choices=ROWS, metavar="NAME", help="only these rows")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()
