"""Times a distance from the start of a process: ours as a command and from Python, against lpips in PyTorch. On CPU.

    python benchmarks/cold_start.py [--lpips-python INTERPRETER] [--repeats 5]

INTERPRETER has torch and lpips. Without it, only ours is timed. Every program is timed from its start to its end. The
programs take turns. A first start of each is not counted, so files are in memory, as on a machine that has run it
before. The pair is one of those in the package.

It prints three things:
* the time of each program. Imports alone are among them, as floors
* where the time goes, as told by programs that report their own phases
* what a persistent compilation cache saves from the second start on
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pim_jax.data import images

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "pim_jax" / "assets" / "images"
PAIR = [str(ASSETS / folder / "boats.png") for folder in ("reference", "distorted")]

# Both libraries get their images in the same way.
READ = """
import sys
import numpy as np
from PIL import Image

x, y = (np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in sys.argv[1:])
"""
OURS = f"""
from pim_jax import metric
{READ}
print(metric.load().distance(x, y))
"""
# The trunk is random, because the trained one is a download. That leaves out the time to read it, and nothing else.
BUILD = """
loss = lpips.LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False)


def distance():
    with torch.no_grad():
        return float(loss(*(torch.from_numpy(image).permute(2, 0, 1)[None] for image in (x, y)), normalize=True))

"""
LPIPS = f"""
import torch, lpips
{READ}
{BUILD}
print(distance())
"""

# A phase ends where `end` is called; the first began when the parent started the process.
PHASES = """
import json, os, time

phases, last = {}, float(os.environ["STARTED"])

def end(name):
    global last
    now = time.time()
    phases[name], last = now - last, now

end("start Python")
"""
OURS_PHASES = f"""
{PHASES}
import jax
end("import jax")
from pim_jax import metric
end("import pim_jax.metric")
{READ}
end("import Pillow, read the images")
import orbax.checkpoint
end("import orbax, which reads weights")

spent = {{}}
def listen(event, seconds, **_):
    spent.setdefault(event, []).append(seconds)
jax.monitoring.register_event_duration_secs_listener(listen)

def explain(phase):
    global last
    for name, event in (("trace", "jaxpr_trace"), ("lower", "jaxpr_to_mlir_module"), ("compile", "backend_compile")):
        seconds = spent.pop(f"/jax/core/compile/{{event}}_duration", [])
        phases[f"  of the {{phase}}, {{name}} {{len(seconds)}} programs"] = sum(seconds)
    last = time.time()

pim = metric.load()
end("load the weights")
explain("load")
pim.distance(x, y).block_until_ready()
end("first distance")
explain("distance")
pim.distance(x, y).block_until_ready()
end("second distance: run only")
print(json.dumps(phases))
"""
LPIPS_PHASES = f"""
{PHASES}
import torch
end("import torch")
import lpips
end("import lpips")
{READ}
end("import Pillow, read the images")
{BUILD}
end("build the networks, load the weights")
distance()
end("first distance")
distance()
end("second distance: run only")
print(json.dumps(phases))
"""

NOTHING, JAX, METRIC, TORCH = "python -c pass", "import jax, flax.nnx", "import pim_jax.metric", "import torch"
PYTHON, COMMAND, PEER = "ours, from Python", "ours, eval.py A B", "lpips, from Python"
OURS_TOLD, PEER_TOLD = "ours", "lpips"
CACHED = ", compilation cached"


def main():
    args = parse()
    with tempfile.TemporaryDirectory() as cache:
        seconds, told = measure(programs(args.lpips_python, cache), args.repeats)
    height, width = images.size(PAIR[0])
    print(f"a pair of {height} x {width} on {os.cpu_count()} cores, medians of {args.repeats}")
    if args.lpips_python:
        print(f"lpips with AlexNet, {args.torch}; the trunk's weights are random, so that none are read")
    print("seconds from the start of a process to its end, and as a multiple of:")
    others = [JAX, PEER] if args.lpips_python else [JAX]
    print(" " * 54 + "".join(f"{other:>20}" for other in others))
    for name, value in seconds.items():
        if name not in told:
            multiples = "".join(f"{value / seconds[other]:20.2f}" for other in others)
            print(f"  {name:44}{value:8.2f}{multiples}")
    for name, phases in told.items():
        print(f"where the time goes, {name}:")
        for phase, value in phases.items():
            print(f"  {phase:44}{value:8.2f}")


def programs(lpips_python: str | None, cache: str) -> dict[str, tuple[str, list[str], dict[str, str]]]:
    """What to run, by name: the interpreter, the arguments before the images, and additions to the environment."""
    ours, cached = sys.executable, {"JAX_COMPILATION_CACHE_DIR": cache}
    afresh = {"JAX_ENABLE_COMPILATION_CACHE": "0"}  # the command would find what its last run compiled
    found = {
        NOTHING: (ours, ["-c", "pass"], {}),
        JAX: (ours, ["-c", "import jax, flax.nnx"], {}),
        METRIC: (ours, ["-c", "import pim_jax.metric"], {}),
        PYTHON: (ours, ["-c", OURS], {}),
        PYTHON + CACHED: (ours, ["-c", OURS], cached),
        COMMAND: (ours, ["eval.py"], afresh),
        COMMAND + CACHED: (ours, ["eval.py"], cached),
        OURS_TOLD: (ours, ["-c", OURS_PHASES], {}),
        OURS_TOLD + CACHED: (ours, ["-c", OURS_PHASES], cached),
    }
    if lpips_python:
        found[TORCH] = (lpips_python, ["-c", "import torch"], {})
        found[PEER] = (lpips_python, ["-c", LPIPS], {})
        found[PEER_TOLD] = (lpips_python, ["-c", LPIPS_PHASES], {})
    return found


def measure(programs: dict, repeats: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns (median seconds of each program, median seconds of each phase of those programs that report phases).

    Programs take turns, because other load on the machine comes and goes. The first turn brings files into memory and
    fills the compilation cache.
    """
    seconds, told = {name: [] for name in programs}, {}
    for turn in range(1 + repeats):
        for name, program in programs.items():
            spent, output = run(*program)
            if turn == 0:
                continue
            seconds[name].append(spent)
            if output.startswith("{"):
                phases = json.loads(output)
                own = sum(value for phase, value in phases.items() if not phase.startswith(" "))
                told.setdefault(name, []).append({**phases, "end Python": spent - own})
    phases = {
        name: {phase: median(t[phase] for t in reports) for phase in reports[0]} for name, reports in told.items()
    }
    return {name: median(spent) for name, spent in seconds.items()}, phases


def run(interpreter: str, arguments: list[str], additions: dict[str, str]) -> tuple[float, str]:
    """Returns (seconds from start to end, standard output) of a program."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    started = time.time()
    devices = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**plain, **devices, **additions, "STARTED": str(started)}
    done = subprocess.run([interpreter, *arguments, *PAIR], cwd=ROOT, env=environment, capture_output=True, text=True)
    seconds = time.time() - started
    if done.returncode:
        sys.exit(f"error: a program of the benchmark failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
    return seconds, done.stdout


def median(values) -> float:
    return float(np.median(list(values)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lpips-python", metavar="INTERPRETER", help="an interpreter with torch and lpips")
    parser.add_argument("--repeats", type=int, default=5, help="timed starts of each program (default: %(default)s)")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"--repeats must be at least 1, not {args.repeats}")
    if args.lpips_python:
        python = shutil.which(args.lpips_python)
        if python is None:
            parser.error(f"--lpips-python {args.lpips_python} is not a program")
        args.lpips_python = os.path.abspath(python)
        versions = "import lpips, torch; print('PyTorch', torch.__version__)"
        asked = subprocess.run([args.lpips_python, "-c", versions], capture_output=True, text=True)
        if asked.returncode:
            reason = (asked.stderr.splitlines() or ["no message"])[-1]
            parser.error(f"--lpips-python {args.lpips_python} cannot import lpips and torch: {reason}")
        args.torch = asked.stdout.strip()
    return args


if __name__ == "__main__":
    main()
