"""Trains the ablations of the paper (section 3.4) alike, and compares their agreement with people.

    python benchmarks/ablations.py --data DATA --tid2013 DIR --raid DIR --work W [--only NAME ...]

`train.py` trains every configuration on the same frame pairs, for the same number of steps. Then a Markdown table is
printed: the last values of the objective's terms, Spearman's correlation with people, and the paper's own numbers. The
correlation is pooled, and the mean within the types of distortion. It is given as trained, and whitened like released
weights. Run again, the script goes on where it was. Images are cut to their centres. That is quick, and agreement is
lower than on whole images.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from pim_jax import configuration, metric
from pim_jax.data import images
from pim_jax.evaluation import datasets
from pim_jax.evaluation.datasets.rated import Rated, select
from pim_jax.evaluation.measure import measure
from pim_jax.evaluation.store import Store
from pim_jax.model import pim
from pim_jax.training import log, whiten
from pim_jax.training.config import Config

ROOT = Path(__file__).parents[1]
LAST = 10  # steps over which the terms are averaged

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
    untrained = configuration.load(ROOT / "configs" / "pim5.py", (Config,)).model
    loaded = metric.from_params(untrained, pim.init(untrained, jax.random.key(args.seed)))
    print(row("untrained: PIM", {}, agreements(loaded, rated, args), "", ""), flush=True)
    for name in args.only or ROWS:
        workdir = args.work / name
        train(name, workdir, args)
        what, afc, jnd = ROWS[name]
        print(row(what, terms(workdir), agreements(metric.load(workdir), rated, args), afc, jnd), flush=True)


def train(name: str, workdir: Path, args: argparse.Namespace) -> None:
    """Trains a configuration, or goes on with it."""
    drops = int(0.8 * args.steps), int(0.95 * args.steps)
    command = [
        *(sys.executable, "train.py", f"configs/{name}.py", "--workdir", workdir, "--data", args.data),
        *(f"steps={args.steps}", f"batch={args.batch}", f"beta_steps={int(0.4 * args.steps)}", "log_every=1"),
        f"seed={args.seed}",
        f"learning_rate_drops={drops}",
    ]
    with (args.work / f"{name}.txt").open("w") as output:
        subprocess.run(command, cwd=ROOT, check=True, stdout=output, stderr=output)


def terms(workdir: Path) -> dict[str, float]:
    """The objective's terms, averaged over the last steps."""
    rows = log.read(workdir).rows[-LAST:]
    return {name: float(np.mean([r[name] for r in rows])) for name in ("I", "Rx", "Ry") if name in rows[0]}


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


def agreements(loaded: metric.Pim, rated: dict[str, Rated], args: argparse.Namespace) -> list[str]:
    """Agreement of a metric as it is, then whitened."""
    params = whiten.whiten(loaded.params, whiten.covariances(loaded.config, loaded.params, args.data))
    return [*agreement(loaded, rated, args), *agreement(metric.from_params(loaded.config, params), rated, args)]


def agreement(loaded: metric.Pim, rated: dict[str, Rated], args: argparse.Namespace) -> list[str]:
    """Spearman's correlations of a metric, as "pooled / mean of types" for every data set."""
    found = []
    with Store(args.work / "distances.sqlite") as store:
        for benchmark in rated.values():
            distances, problems = measure({"pim": loaded}, benchmark.pairs, store)
            if problems:
                raise SystemExit(f"could not be measured: {problems}")
            scores = benchmark.scores(distances["pim"])
            columns = "SROCC", f"SROCC, mean of {benchmark.kinds}"
            found.append(" / ".join(f"{scores[column].value:.3f}" for column in columns))
    return found


def row(what: str, terms: dict[str, float], agreement: list[str], *paper) -> str:
    """A line of the table. A term that the objective does not have is left empty."""
    values = [f"{terms[name]:.2f}" if name in terms else "" for name in ("I", "Rx", "Ry")]
    return "| " + " | ".join([what, *values, *agreement, *map(str, paper)]) + " |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a training set by python -m pim_jax.prepare")
    parser.add_argument("--tid2013", type=Path, required=True, help="as for eval.py --benchmark iqa")
    parser.add_argument("--raid", type=Path, required=True, help="as for eval.py --benchmark raid")
    parser.add_argument("--work", type=Path, required=True, help="where runs, centres and distances are kept")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the runs; give each seed a --work of its own")
    parser.add_argument("--side", type=int, default=128, help="pixels a side of the images' centres")
    parser.add_argument("--references", type=int, default=6, help="how many of each data set, from the first")
    parser.add_argument("--only", nargs="*", choices=ROWS, metavar="NAME", help="only these rows")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in ("data", "tid2013", "raid", "work"):  # train.py runs in another folder
        setattr(args, name, getattr(args, name).absolute())
    return args


if __name__ == "__main__":
    main()
