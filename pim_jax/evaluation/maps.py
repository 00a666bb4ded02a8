"""Pictures of where two images differ."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pim_jax.console import printable
from pim_jax.writing import replacing

DPI = 100
COLOURS = "inferno"  # perceptually uniform, dark where images look alike


def shares(values: np.ndarray, maximum: float) -> np.ndarray:
    """Values as shares of the one scale of colours that all maps have, in files and in reports.

    The scale is of square roots: the maps of a run often differ by orders of magnitude, and share one scale.

    Args:
      values: of a map.
      maximum: the value of the brightest colour, above 0.

    Returns:
      0 to 1.

    Examples:
      >>> shares(np.array([-1.0, 0.0, 1.0, 4.0, 9.0]), 4.0).tolist()
      [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    return np.sqrt(np.clip(np.asarray(values) / np.asarray(values).dtype.type(maximum), 0, 1))


def ticks(maximum: float) -> tuple[float, float, float]:
    """The values at the beginning, the middle and the end of the scale.

    Examples:
      >>> ticks(4.0)
      (0.0, 1.0, 4.0)
    """
    return 0.0, maximum / 4, maximum


def draw(values: np.ndarray, path: Path, *, maximum: float, title: str, subtitle: str, text: dict[str, str]) -> None:
    """Writes a distance map as a PNG, with the values of its colours on a bar.

    Every value is drawn as a square of whole pixels, so nothing is smoothed; only maps longer than 2048 are shrunk.

    Args:
      values: [H, W], a map from `pim.distance_map`.
      path: the PNG to write; its folder is made if need be.
      maximum: the value of the brightest colour (see `shares`). One for a whole run makes its pictures comparable.
      title: the first line above the map; of a long one, the end.
      subtitle: the second line, smaller.
      text: what to store in the PNG's text chunks, by keyword.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "a.png"
      ...     draw(np.eye(64), path, maximum=1.0, title="a", subtitle="distance 0.0156", text={"Distance": "0.0156"})
      ...     path.read_bytes()[1:4]
      b'PNG'
    """
    height, width = _drawn_size(*values.shape)
    left, top, gap, bar, labels, bottom = 16, 64, 14, 16, 76, 16
    figure_width = max(left + width + gap + bar + labels, 520)  # room for the title above a narrow map
    figure_height = top + height + bottom

    def box(x, y, w, h):  # pixels from the top left to Matplotlib's fractions from the bottom left
        return x / figure_width, 1 - (y + h) / figure_height, w / figure_width, h / figure_height

    figure = Figure(figsize=(figure_width / DPI, figure_height / DPI), dpi=DPI)
    axes = figure.add_axes(box(left, top, width, height))
    axes.set_axis_off()
    shown = axes.imshow(shares(values, maximum), cmap=COLOURS, vmin=0, vmax=1, aspect="auto")
    bar_axes = figure.add_axes(box(left + width + gap, top, bar, height))
    places = np.linspace(0, 1, 5)
    colour_bar = figure.colorbar(shown, cax=bar_axes, ticks=places)
    colour_bar.ax.set_yticklabels([f"{maximum * place**2:.3g}" for place in places])
    colour_bar.ax.tick_params(labelsize=9)
    colour_bar.outline.set_visible(False)
    title, text = printable(title), {key: printable(value) for key, value in text.items()}
    title = title if len(title) <= 50 else f"…{title[-49:]}"
    for line, y, style in [(title, 26, {"fontsize": 12, "fontweight": "bold"}), (subtitle, 48, {"fontsize": 9.5})]:
        # a file's name may hold a $, which is no formula
        figure.text(left / figure_width, 1 - y / figure_height, line, va="baseline", parse_math=False, **style)
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.simplefilter("ignore")  # a name in a script that the font lacks is drawn as boxes
        figure.savefig(temporary, format="png", metadata={"Software": "pim_jax", **text})


def _drawn_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    zoom = max(1, 640 // longest) if longest <= 2048 else 2048 / longest
    return round(height * zoom), round(width * zoom)
