"""Draws the pictures of the pages from the bundled photographs and weights: python docs/pictures.py [NAME ...]

It needs `pip install '.[all]'`, and takes some minutes on a CPU. NAME is the file name of a picture.
Distances that `eval.py --benchmark imagenet-c` has measured are not measured again.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from PIL import Image, ImageEnhance, ImageFilter

from pim_jax import metric, metrics
from pim_jax.data import bundled, frames, images
from pim_jax.evaluation import datasets, store
from pim_jax.evaluation.measure import measure
from pim_jax.evaluation.store import Store
from pim_jax.metrics import Metric
from pim_jax.writing import replacing

DOCS = Path(__file__).parent
PHOTOGRAPHS = DOCS.parent / "pim_jax" / "assets" / "images"
SHOWN = {"parrots": ("JPEG", ".jpg"), "lighthouse": ("blur", ".png"), "boats": ("noise", ".png")}
COMPARED = ("psnr", "ms-ssim", "nlpd", "lpips-alex", "lpips-alex-lin", "pim-fast")
JUDGES = ("psnr", "ssim", "lpips-alex-lin", "pim-fast")


def photograph(name: str) -> np.ndarray:
    return images.read(PHOTOGRAPHS / "reference" / f"{name}.png")


def maps() -> Figure:
    """A row for every photograph: the reference, the distorted one, and where they differ."""
    pim, figure = metrics.load("pim-fast"), Figure(figsize=(10, 7), layout="constrained")
    for row, (name, (distortion, suffix)) in zip(figure.subplots(3, 3), SHOWN.items(), strict=True):
        x, y = photograph(name), images.read(PHOTOGRAPHS / "distorted" / f"{name}{suffix}")
        values = np.asarray(pim.distance_map(x, y))
        titles = "reference", distortion, f"distance map, mean {values.mean():.3f}"
        for axes, title, shown in zip(row, titles, (x, y, values), strict=True):
            drawn = show(axes, shown, title)
        figure.colorbar(drawn, ax=row[-1])
    return figure


def show(axes, shown, title, most=None):
    """Shows a picture, or a map [H, W] from 0 to `most`, by default its largest value."""
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
    return axes.imshow(shown, cmap="inferno", vmin=0, vmax=most)


# Distortions: from a photograph [H, W, 3] in [0, 1] and a strength to another one.


def by_pillow(change: Callable) -> Callable:
    def distort(x, strength):
        pixels = Image.fromarray(np.uint8(np.rint(255 * x)))
        return np.asarray(change(pixels, strength).convert("RGB"), np.float32) / 255

    return distort


def coded(format: str) -> Callable:
    def code(pixels, quality):
        file = BytesIO()
        pixels.save(file, format, quality=int(quality))
        return Image.open(file)

    return by_pillow(code)


def noise(x, strength):
    return np.clip(x + np.float32(strength) * np.random.default_rng(0).normal(size=x.shape).astype(np.float32), 0, 1)


def impulses(x, strength):
    random = np.random.default_rng(0)
    hit = random.random(x.shape[:2]) < strength
    return np.where(hit[..., None], random.integers(0, 2, x.shape[:2])[..., None], x).astype(np.float32)


def shift(x, strength):
    return np.pad(x, ((0, 0), (int(strength), 0), (0, 0)), "edge")[:, : x.shape[1]]


def rotation(x, degrees):
    turn = by_pillow(lambda pixels, degrees: pixels.rotate(degrees, Image.Resampling.BICUBIC))
    return turn(np.pad(x, ((16, 16), (16, 16), (0, 0)), "edge"), degrees)[16:-16, 16:-16]


def contrast(x, strength):
    return np.clip(x.mean() + (x - x.mean()) * np.float32(strength), 0, 1)


blur = by_pillow(lambda pixels, radius: pixels.filter(ImageFilter.GaussianBlur(radius)))
colour = by_pillow(lambda pixels, share: ImageEnhance.Color(pixels).enhance(share))

DISTORTIONS = {
    "Gaussian noise": (noise, 0.06),
    "impulse noise": (impulses, 0.02),
    "blur": (blur, 1.2),
    "JPEG": (coded("JPEG"), 15),
    "WebP": (coded("WEBP"), 10),
    "less contrast": (contrast, 0.6),
    "less colour": (colour, 0.3),
    "shift by a pixel": (shift, 1),
    "rotation by 1°": (rotation, 1),
}


def distortions() -> Figure:
    """Nine distortions of one photograph, each beside its map, on one scale."""
    pim, x = metrics.load("pim-fast"), photograph("parrots")
    found = {
        name: (y := change(x, strength), np.asarray(pim.distance_map(x, y)))
        for name, (change, strength) in DISTORTIONS.items()
    }
    most = np.sqrt(np.quantile([values for _, values in found.values()], 0.995))
    figure = Figure(figsize=(11, 5), layout="constrained")
    for (left, right), (name, (y, values)) in zip(figure.subplots(3, 6).reshape(9, 2), found.items(), strict=True):
        show(left, y, name)
        show(right, np.sqrt(values), f"mean {values.mean():.2f}", most)
    return figure


def at_distance(wanted: float, judge: Metric, x: np.ndarray, change: Callable, low: float, high: float) -> np.ndarray:
    """The distorted picture at a distance, which grows with the strength of the distortion, by bisection."""
    distance = judge.against(x)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if float(distance(change(x, middle))) > wanted else (middle, high)
    return change(x, high)


def neighbours() -> Figure:
    """A frame beside the next one and beside a blurred copy: how their pixels differ, and what PIM says."""
    with bundled.clip() as clip:
        pair = [np.asarray(frame.image, np.float32)[:, :256] / 255 for frame in islice(frames.frames(clip), 14, 16)]
    x, psnr, pim = pair[0], metrics.load("psnr"), metrics.load("pim-fast")
    copy = at_distance(float(psnr.distance(*pair)), psnr, x, blur, 0.0, 8.0)
    others = {"the next frame": pair[1], "the frame, blurred": copy}
    differences = [np.sqrt(((x - y) ** 2).mean(-1)) for y in others.values()]
    distances = [np.sqrt(pim.distance_map(x, y)) for y in others.values()]
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for row, (name, y), difference, values in zip(
        figure.subplots(2, 4), others.items(), differences, distances, strict=True
    ):
        show(row[0], x, "a frame")
        show(row[1], y, name)
        rms, mean = 255 * np.sqrt((difference**2).mean()), (values**2).mean()
        show(row[2], difference, f"pixels differ by {rms:.1f} of 255", np.quantile(differences, 0.995))
        show(row[3], values, f"PIM: {mean:.2f}", np.quantile(distances, 0.995))
    return figure


def pyramid() -> Figure:
    """A photograph and the bands that the pyramid of pim-fast makes of it. Grey is 0, and each has its own scale."""
    x, config = photograph("parrots"), metric.load("pim-fast").config
    low, *oriented, high = (np.asarray(band[0]) for band in config.multiscale.pyramid.bands(jnp.asarray(x)[None]))
    figure, size = Figure(figsize=(10, 7.4), layout="constrained"), "{} x {}".format
    axes = figure.subplots(3, 3)
    show(axes[0, 0], x, f"photograph, {size(*x.shape)}")
    show(axes[0, 1], signed(high), f"highest frequencies, {size(*high.shape)}")
    show(axes[0, 2], low / low.max(), f"lowest frequencies, {size(*low.shape)}")
    finest_first = oriented[::-1]
    for scale, column in enumerate(axes[1:].T):
        for place, edges, band in zip(column, ("vertical", "horizontal"), finest_first[2 * scale :], strict=False):
            show(place, signed(band), f"scale {scale + 1}, {edges} edges, {size(*band.shape)}")
    return figure


def signed(band: np.ndarray) -> np.ndarray:
    """A band as a picture, in which 0 is grey."""
    return np.clip(0.5 + 0.5 * band / np.quantile(np.abs(band), 0.995), 0, 1)


def verdicts() -> Figure:
    """Two pairs of pictures that PSNR, or SSIM, thinks equal, with the verdicts of several metrics."""
    judges = {name: metrics.load(name) for name in JUDGES}
    pairs = (
        ("psnr", photograph("lighthouse"), "less contrast", lambda x: contrast(x, 0.75), "blur", blur, 8.0),
        ("ssim", photograph("boats"), "rotation by half a degree", lambda x: rotation(x, 0.5), "noise", noise, 1.0),
    )
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for row, (name, x, kind_a, make_a, kind_b, change, most) in zip(figure.subplots(2, 3), pairs, strict=True):
        judge, a = judges[name], make_a(x)
        b = at_distance(float(judge.distance(x, a)), judge, x, change, 0.0, most)
        show(row[0], x, f"reference; A and B are equal for {judge.name}")
        for axes, title, y in ((row[1], f"A: {kind_a}", a), (row[2], f"B: {kind_b}", b)):
            said = [f"{m.name} {float(m.distance(x, y)):.3g}" for m in judges.values()]
            show(axes, y, "\n".join([title, ", ".join(said[:2]), ", ".join(said[2:])]))
    return figure


def descend(loss: Callable, y: jax.Array, steps: int, rate: float = 0.02) -> jax.Array:
    """The image in [0, 1] that Adam finds from another one."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    @jax.jit
    def step(y, state):
        change, state = optimizer.update(jax.grad(loss)(y), state)
        return jnp.clip(y + change, 0, 1), state

    state = optimizer.init(y)
    for _ in range(steps):
        y, state = step(y, state)
    return y


def optimised(steps: int = 300) -> Figure:
    """What is made of noise when a metric is minimised: how each metric sees the photograph."""
    x = jnp.asarray(photograph("parrots")[:, 32:160])
    start = jax.random.uniform(jax.random.key(0), x.shape)
    losses = {"MSE": lambda y: 1e3 * ((x - y) ** 2).mean()}
    losses |= {name: metrics.load(name).against(x) for name in ("lpips-alex-lin", "pim-fast")}
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    axes = figure.subplots(1, 2 + len(losses))
    show(axes[0], x, "photograph")
    show(axes[1], start, "start")
    for place, (name, loss) in zip(axes[2:], losses.items(), strict=True):
        show(place, descend(loss, start, steps), f"{name}, {steps} steps")
    return figure


def differentiation(steps: int = 300) -> Figure:
    """Maximum differentiation: images that are equal for one metric, and best and worst for the other."""
    x = jnp.asarray(photograph("boats")[:, 32:160])
    start = jnp.asarray(noise(np.asarray(x), 0.05))
    pim, lpips = (metrics.load(name) for name in ("pim-fast", "lpips-alex-lin"))
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for row, (held, moved) in zip(figure.subplots(2, 4), ((lpips, pim), (pim, lpips)), strict=True):
        show(row[0], x, "photograph")
        for axes, title, sign in (
            (row[1], "start: noise", 0),
            (row[2], f"best for {moved.name}", 1),
            (row[3], f"worst for {moved.name}", -1),
        ):
            y = differing(held, moved, x, start, sign, steps) if sign else start
            values = (f"{m.name} {float(m.distance(x, y)):.3f}" for m in (held, moved))
            show(axes, y, "\n".join([title, ", ".join(values)]))
    return figure


def differing(held: Metric, moved: Metric, x: jax.Array, y: jax.Array, sign: int, steps: int) -> jax.Array:
    """The image at the distance of `y` for one metric, and nearer (sign 1) or farther (-1) for the other.

    References:
      Wang and Simoncelli (2008), Maximum differentiation competition, with a penalty in place of a projection.
    """
    to_held, to_moved = held.against(x), moved.against(x)
    wanted = jnp.log(to_held(y))

    def loss(y):
        return sign * jnp.log(to_moved(y)) + 100 * (jnp.log(to_held(y)) - wanted) ** 2

    return descend(loss, y, steps, rate=0.005)


def equivalent_noise() -> Figure:
    """For each corruption, the noise that a metric finds as bad."""
    benchmark = datasets.read("imagenet-c", PHOTOGRAPHS / "reference")
    with Store(store.path()) as kept:
        distances, problems = measure({name: metrics.load(name) for name in COMPARED}, benchmark.pairs, kept)
    if problems:
        raise SystemExit(f"could not be measured: {problems}")
    return benchmark.figures(distances)["Equivalent noise of all corruptions (Fig. 6)"]


PICTURES = {
    "map.jpg": maps,
    "neighbours.jpg": neighbours,
    "pyramid.jpg": pyramid,
    "distortions.jpg": distortions,
    "verdicts.jpg": verdicts,
    "optimised.jpg": optimised,
    "differentiation.jpg": differentiation,
    "equivalent-noise.png": equivalent_noise,
}


def save(figure: Figure, name: str) -> None:
    format = Path(name).suffix[1:]
    options = {"quality": 92, "subsampling": 0} if format == "jpg" else {"optimize": True}
    with replacing(DOCS / name) as temporary:
        figure.savefig(temporary, format=format, dpi="figure", pil_kwargs=options)


if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        save(PICTURES[name](), name)
