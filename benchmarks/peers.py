"""Times metrics beside those that people use instead, in PyTorch and in JAX, on a CPU or a GPU.

    python benchmarks/peers.py [WEIGHTS ...] --out FILE.json [--torch PYTHON] [--repeats 5]

WEIGHTS are names of bundled weights or folders, as for `pim_jax.metrics.load`; without any, the bundled ones of PIM.
Beside them it times the metrics of the literature that `--peers` names, and those among them that lpips and piq have
also in PyTorch. PYTHON is an interpreter with torch, torchvision, lpips and piq. Without these, PyTorch is left out,
and the output says so.

Every metric has a process of its own, so that each is timed warm and without the others. One works at a time. They
take turns, because other load on the machine comes and goes. The figures are:
  forward      the distance of a pair
  gradient     the gradient of the distance with respect to one of the two images
  fixed        for WEIGHTS: the same with the other image embedded before, as for a loss against a fixed reference
  fresh        the first distance in a new process, once the metric is loaded; and the peak memory up to then: resident
               memory on a CPU, memory of the device on a GPU. WEIGHTS also have those of one pair of the size `--large`

Standard output gets Markdown: the medians, and for each of WEIGHTS its ratios to the others. FILE gets every single
measurement, with what is known of the machine and the metrics. Until the end it is called FILE.partial. Turn 0 of a
figure compiles; it is in FILE and not in the medians.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pim_jax import metrics, stored
from pim_jax.evaluation.outputs import partial
from pim_jax.model.convolution import PRECISIONS
from pim_jax.writing import check_outputs, replacing

HERE = Path(__file__).parent
JAX, TORCH = "JAX", "PyTorch"
FIGURES = ("forward", "gradient", "fixed", "fresh")
FIRST, MEMORY = "first call", "peak memory"  # what a fresh process tells
PEERS = ("lpips-alex-lin", "lpips-vgg-lin", "ssim")
IN_TORCH = (
    *("lpips-alex", "lpips-alex-lin", "lpips-vgg", "lpips-vgg-lin"),
    *("dists", "gmsd", "ms-gmsdc", "haarpsi", "mdsi", "vsi", "fsim", "fsimc", "vifp"),
)
COLUMNS = {
    "forward": "forward, s",
    "gradient": "gradient, s",
    "fixed": "gradient, fixed reference, s",
    FIRST: "first call, s",
    MEMORY: "peak memory, GiB",
}
ENVIRONMENT = {
    "JAX_ENABLE_COMPILATION_CACHE": "0",  # a first call would find what the last run compiled
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # on a GPU, the processes share its memory
}

Size = tuple[int, int]


class FailedError(Exception):
    """A metric could not do what it was asked; the message says why in one line."""


class Peer:
    """A metric in a process of its own, which starts when it is first asked."""

    def __init__(self, metric: str, framework: str, command: Sequence[str], *, is_weights: bool = False):
        self.metric, self.framework, self.is_weights = metric, framework, is_weights
        self._command = command
        self._process = None

    def about(self) -> dict:
        """Starts the process, and returns what it tells about the metric.

        Raises:
          FailedError: the metric cannot be loaded.
        """
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 `end` closes it
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        return self._answer()

    def ask(self, *question) -> float | None:
        """Returns the seconds of a call, for a question such as ("forward", 512, 768); bytes for ("memory",).

        Raises:
          FailedError: the metric cannot do it.
        """
        if self._process is None:
            self.about()
        with contextlib.suppress(BrokenPipeError):  # there is no answer then, and `_answer` says why
            print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """Ends the process, if there is one."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._errors.close()
            self._process = None

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            told = (self._errors.read().splitlines() or ["it said nothing"])[-1]
            self.end()
            raise FailedError(f"its process ended with status {status}: {told}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise FailedError(answer["error"])
        return answer


class Measured(NamedTuple):
    """One measurement: seconds or, for `MEMORY`, bytes."""

    metric: str
    framework: str
    size: Size
    figure: str
    turn: int
    value: float


def main():
    args = parse()
    record = {"command": " ".join(["python", *sys.argv]), "machine": machine(), "metrics": [], "skipped": {}}
    rows: list[Measured] = []
    with ended(peers(args)) as started:
        chosen = begin(started, record)
        try:
            for found in measure(chosen, args, record["skipped"]):
                rows += found
                write(partial(args.out), record, rows)
        except KeyboardInterrupt:
            where = f"; what was measured is in {partial(args.out)}" if rows else ""
            sys.exit(f"interrupted{where}")
    record["load after"] = os.getloadavg()
    write(args.out, record, rows)
    partial(args.out).unlink(missing_ok=True)
    print(report(record, rows, [peer.metric for peer in chosen if peer.is_weights], args.repeats))


def peers(args: argparse.Namespace) -> list[Peer]:
    def of_jax(name, **options):
        return Peer(name, JAX, [sys.executable, str(HERE / "peers_jax.py"), name, args.precision], **options)

    found = [of_jax(name, is_weights=True) for name in args.weights]
    for name in args.peers:
        found.append(of_jax(name))
        if name in IN_TORCH:
            found.append(Peer(name, TORCH, [args.torch, str(HERE / "peers_torch.py"), name]))
    return found


@contextlib.contextmanager
def ended(found: list[Peer]) -> Iterator[list[Peer]]:
    try:
        yield found
    finally:
        for peer in found:
            peer.end()


def begin(started: list[Peer], record: dict) -> list[Peer]:
    """Starts all processes, and returns the metrics that this machine can run, by the names to show."""
    chosen = []
    for peer in started:
        try:
            about = peer.about()
        except FailedError as error:
            if peer.is_weights:
                sys.exit(f"error: {peer.metric}: {error}")
            skip(record["skipped"], f"{peer.metric} in {peer.framework}", error)
            continue
        shown = about.pop("name")
        taken = (shown, peer.framework) in {(other.metric, other.framework) for other in chosen}
        peer.metric = peer.metric if taken else shown
        own = {"metric": peer.metric, "framework": peer.framework, "is_weights": peer.is_weights}
        record["metrics"].append({**own, **about})
        chosen.append(peer)
    return chosen


def measure(chosen: list[Peer], args: argparse.Namespace, skipped: dict) -> Iterator[list[Measured]]:
    """Gives the measurements of one figure after the other, all metrics in turns."""
    weights = [peer for peer in chosen if peer.is_weights]
    if "fresh" in args.figures:
        # First, while no other process holds memory that it has used.
        for size, repeats, those in [*((size, args.repeats, chosen) for size in args.sizes), (args.large, 1, weights)]:
            yield in_turns(those, "fresh", size, range(1, 1 + repeats), skipped)
    for size in args.sizes:
        for figure in args.figures:
            if figure != "fresh":
                those = weights if figure == "fixed" else chosen
                yield in_turns(those, figure, size, range(1 + args.repeats), skipped)


def in_turns(those: list[Peer], figure: str, size: Size, turns: Iterable[int], skipped: dict) -> list[Measured]:
    print(f"{figure}, {shown(size)}", file=sys.stderr, flush=True)
    rows, failed = [], set()
    for turn in turns:
        for peer in those:
            if peer in failed:
                continue
            try:
                found = fresh(peer, size) if figure == "fresh" else {figure: peer.ask(figure, *size)}
            except FailedError as error:
                failed.add(peer)
                skip(skipped, f"{peer.metric} in {peer.framework}, {figure}, {shown(size)}", error)
                continue
            rows += [
                Measured(peer.metric, peer.framework, size, name, turn, value)
                for name, value in found.items()
                if value is not None
            ]
    return rows


def fresh(peer: Peer, size: Size) -> dict[str, float | None]:
    """What a new process of the metric tells of its first distance."""
    with ended([Peer(peer.metric, peer.framework, peer._command)]) as (new,):
        return {FIRST: new.ask("forward", *size), MEMORY: new.ask("memory")}


def skip(skipped: dict, what: str, error: FailedError) -> None:
    skipped[what] = str(error)
    print(f"{what} is skipped: {error}", file=sys.stderr, flush=True)


def write(path: Path, record: dict, rows: list[Measured]) -> None:
    content = json.dumps({**record, "measurements": [row._asdict() for row in rows]}, indent=1)
    with replacing(path) as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")


def report(record: dict, rows: list[Measured], weights: list[str], repeats: int) -> str:
    """The medians and ratios, in Markdown."""
    found = medians(rows)
    present = [figure for figure in COLUMNS if any(key[3] == figure for key in found)]
    table = [["metric", "in", "pair", *(COLUMNS[figure] for figure in present)]]
    for metric, framework, size in dict.fromkeys(key[:3] for key in found):
        cells = (cell(figure, found.get((metric, framework, size, figure))) for figure in present)
        table.append([metric, framework, shown(size), *cells])
    about = record["machine"]
    devices = {row["framework"]: row["device"] for row in record["metrics"]}
    lines = [
        f"{about['processor']}, {about['cores']} cores, {about['memory'] / 2**30:.0f} GiB; "
        + ", ".join(f"{framework} on {device}" for framework, device in devices.items())
        + f"; medians of {repeats}",
        "",
        *rendered(table),
    ]
    for name in weights:
        lines += ["", *rendered(ratios(found, name, [other for other in weights if other != name]))]
    lines += [f"\n{what} was skipped: {why}" for what, why in record["skipped"].items()]
    return "\n".join(lines)


def medians(rows: list[Measured]) -> dict[tuple[str, str, Size, str], float]:
    """The median of each (metric, framework, size, figure)."""
    values = {}
    for row in rows:
        if row.turn > 0:  # turn 0 compiles
            values.setdefault(row[:4], []).append(row.value)
    return {key: float(np.median(found)) for key, found in values.items()}


def ratios(found: dict, name: str, others: list[str]) -> list[list[str]]:
    """A table of a metric's ratios: a row for each, a column for each size."""
    sizes = list(dict.fromkeys(key[2] for key in found if key[3] in FIGURES))
    against = [(other, JAX) for other in others]
    against += dict.fromkeys(key[:2] for key in found if key[0] not in (name, *others))

    def ratio(size, figure, of, to_figure, to):
        values = found.get((*of, size, figure)), found.get((*to, size, to_figure))
        return "-" if None in values else f"{values[0] / values[1]:.2f}"

    own = name, JAX
    table = [[f"ratios of {name}", *map(shown, sizes)]]
    for figure in ("forward", "gradient"):
        for other in against:
            what = f"{figure}: {' in '.join(other)} / {name}"
            table.append([what, *(ratio(size, figure, other, figure, own) for size in sizes)])
    for figure in ("gradient", "fixed"):
        what = f"{COLUMNS[figure].removesuffix(', s')} / forward"
        table.append([what, *(ratio(size, figure, own, "forward", own) for size in sizes)])
    return [table[0], *(row for row in table[1:] if set(row[1:]) != {"-"})]


def cell(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 2**30:.2f}" if figure == MEMORY else f"{value:.3g}"


def rendered(table: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in table]
    return [lines[0], "|---" * len(table[0]) + "|", *lines[1:]]


def shown(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def machine() -> dict:
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "Python": platform.python_version(),
        "load before": os.getloadavg(),
    }


def processor() -> str:
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def bundled_pim() -> list[str]:
    """The names of the bundled weights that are PIM's."""
    abouts = {name: stored.load(name, metrics.FORMATS).about for name in stored.bundled()}
    return [name for name, about in abouts.items() if about.get("metric", "pim") == "pim"]


def size_of(text: str) -> Size:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text} is not HEIGHTxWIDTH, such as 512x768")
    return int(height), int(width)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help="names of bundled weights, or folders")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the measurements go, as JSON")
    parser.add_argument("--peers", nargs="*", default=PEERS, metavar="METRIC", help=f"default: {' '.join(PEERS)}")
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="with torch, lpips and piq")
    parser.add_argument("--sizes", nargs="+", type=size_of, metavar="HxW", help="default: 256x256 512x768 1080x1920")
    parser.add_argument("--large", type=size_of, default=(2160, 3840), metavar="HxW", help="default: 2160x3840")
    parser.add_argument("--figures", nargs="+", default=FIGURES, choices=FIGURES, help="default: all")
    parser.add_argument("--precision", default="highest", choices=PRECISIONS, help="of PIM (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each figure (default: %(default)s)")
    args = parser.parse_args()
    check(parser, args)
    args.sizes = args.sizes or [(256, 256), (512, 768), (1080, 1920)]
    args.weights = args.weights or bundled_pim()
    if unknown := [name for name in args.peers if name not in metrics.NAMES]:
        parser.error(f"--peers {unknown[0]} is no metric: choose from {', '.join(metrics.NAMES)}")
    return args


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Checks `--repeats`, `--torch` and `--out`, or ends the program; the path of `--torch` becomes absolute."""
    if args.repeats < 1:
        parser.error(f"--repeats must be at least 1, not {args.repeats}")
    python = shutil.which(args.torch)
    if python is None:
        parser.error(f"--torch {args.torch} is not a program")
    args.torch = os.path.abspath(python)
    try:
        check_outputs([("--out", args.out)], [])
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
