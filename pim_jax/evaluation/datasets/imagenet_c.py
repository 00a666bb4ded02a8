"""The corruptions of ImageNet-C, with pixel shift and zoom, in units of Gaussian noise (section 3.3 and A.3)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from pim_jax.evaluation import compare, corruptions
from pim_jax.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Change
from pim_jax.evaluation.datasets.benchmark import Disagreement
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate

# A.3 gives the number and the range. Equal ratios (11 %) tell a faint corruption as finely as a strong one, which equal
# steps (0.015) would not. Rounded, so that a level is what its name says.
LEVELS = tuple(round(float(level), 4) for level in np.geomspace(0.01, 0.60, 40))

_FIRST = ("zoom", "shift", "elastic_transform", "fog", "contrast")  # where section 3.3 finds that metrics differ
_CHANGES = tuple(Change(name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
_NOISES = tuple(Change("noise", level) for level in LEVELS)
_RESAMPLES = 1000

_WIDTH, _FONT = 4.5, 9  # inches and points: as wide as a phone
_COLOURS, _MARKERS = (*colormaps["tab10"].colors, "black", "gold"), "osD^v<>PX*hp"
_SHOWN_LEVELS = range(3, len(LEVELS), 9)


@dataclasses.dataclass(frozen=True)
class ImageNetC:
    """Photographs against their corrupted and their noisy selves; a `Benchmark` without human answers.

    The pairs of one photograph are consecutive: `CORRUPTIONS` by `SEVERITIES`, then `LEVELS`.
    """

    title: str
    notes: Sequence[str]
    pairs: Sequence[Pair]
    higher_is_better = False

    def equivalent_noise(self, distances: np.ndarray) -> np.ndarray:
        """The level of Gaussian noise with the mean distance nearest to that of every corruption.

        Args:
          distances: [pairs] in the order of `pairs`. A photograph with a distance that is not finite is left out.

        Returns:
          [corruptions, severities] standard deviations out of `LEVELS`, for pixels in [0, 1]; NaN if no photograph is
          left.

        References:
          Appendix A.3.
        """
        photographs = _by_photograph(distances)
        if not len(photographs):
            return np.full((len(CORRUPTIONS), len(SEVERITIES)), np.nan)
        return _nearest_levels(photographs.mean(0))

    def scores(self, distances: np.ndarray) -> dict[str, Estimate]:
        """The equivalent noise of every corruption, averaged over severities.

        Args:
          distances: as `equivalent_noise`.

        Returns:
          by corruption, those that section 3.3 discusses first. The interval resamples photographs, and needs two.
        """
        values = self.equivalent_noise(distances).mean(-1)
        low, high = _interval(_by_photograph(distances))
        found = {name: Estimate(*map(float, row)) for name, *row in zip(CORRUPTIONS, values, low, high, strict=True)}
        return {name: found[name] for name in dict.fromkeys((*_FIRST, *CORRUPTIONS))}

    def figures(self, distances: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """The paper's Figs. 3a and 6, and its Fig. 5 for every metric.

        Args:
          distances: by metric, as `equivalent_noise`.
        """
        levels = {metric: self.equivalent_noise(values) for metric, values in distances.items()}
        found = {
            "Equivalent noise of zoom and fog (the paper's Fig. 3a)": _draw_levels(levels, ("zoom", "fog"), columns=2),
            "Equivalent noise of all corruptions (Fig. 6)": _draw_levels(levels, CORRUPTIONS, columns=3),
        }
        for metric, values in distances.items():
            if len(photographs := _by_photograph(values)):
                found[f"{metric} of corrupted photographs, and its mean for noise (Fig. 5)"] = _draw_spread(photographs)
        return found

    def disagreements(self, distances: np.ndarray) -> list[Disagreement]:
        """None: there are no human answers."""
        return []

    def doubts(self, scores: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
        """None: there are no human answers."""
        return []


def read(folder: Path) -> ImageNetC:
    """Takes every image of a folder and of its subfolders as a photograph.

    Args:
      folder: photographs in any format that Pillow reads, at least 32 x 32. The paper takes those of ImageNet.

    Raises:
      FileNotFoundError: there is no such folder, or no image in it.
      ValueError: two images have the same name but for the extension.
      ImportError: the library of corruptions is missing.

    References:
      Section 3.3 and appendix A.3.
    """
    photographs = list(compare.images_in(folder).values())
    if not photographs:
        raise FileNotFoundError(f"{folder} is no folder with images; give a folder of photographs (PNG, JPEG, …)")
    corruptions.library()  # without it hardly any pair could be measured: say so now, not once for every picture
    return ImageNetC(
        title=f"{len(photographs)} photographs of {folder.resolve().name}: {len(CORRUPTIONS)} corruptions, each of "
        f"{len(SEVERITIES)} severities",
        notes=(
            "A score is the standard deviation of Gaussian noise (pixels in [0, 1]) whose mean distance is nearest "
            "that of the corruption, averaged over severities 1 to 5. The larger it is, the more the metric minds this "
            "corruption, compared with noise. There are no human answers: larger is neither better nor worse.",
            f"The noise has {len(LEVELS)} levels from {LEVELS[0]:g}, which stands for that much or less, to "
            f"{LEVELS[-1]:g}, for that much or more.",
            "Intervals (95 %) come from resampling the photographs.",
        ),
        pairs=[Pair(Picture(path), Picture(path, change)) for path in photographs for change in (*_CHANGES, *_NOISES)],
    )


def _by_photograph(distances: np.ndarray) -> np.ndarray:
    """[photographs, changes and noises], without the photographs that lack a distance."""
    rows = np.asarray(distances).reshape(-1, len(_CHANGES) + len(_NOISES))
    return rows[np.isfinite(rows).all(-1)]


def _nearest_levels(means: np.ndarray) -> np.ndarray:
    """Equivalent noise [..., corruptions, severities] of mean distances [..., changes and noises]."""
    changes, noises = np.split(means, [len(_CHANGES)], axis=-1)
    nearest = np.abs(changes[..., :, None] - noises[..., None, :]).argmin(-1)
    return np.asarray(LEVELS)[nearest].reshape(*means.shape[:-1], len(CORRUPTIONS), len(SEVERITIES))


def _interval(photographs: np.ndarray) -> np.ndarray:
    """[2, corruptions]: the ends of the percentile bootstrap's 95 % interval of the mean over severities."""
    count = len(photographs)
    if count < 2:
        return np.full((2, len(CORRUPTIONS)), np.nan)
    drawn = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=_RESAMPLES)
    return np.percentile(_nearest_levels(drawn @ photographs / count).mean(-1), [2.5, 97.5], axis=0)


def _draw_levels(levels: Mapping[str, np.ndarray], names: Sequence[str], *, columns: int) -> Figure:
    """Equivalent noise over severity: a panel for every corruption, a line for every metric."""
    rows = -(-len(names) // columns)
    legend_rows = -(-len(levels) // 3)
    figure = Figure(figsize=(_WIDTH, 1.25 * rows + 0.18 * legend_rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for name, panel in zip(names, panels, strict=False):
        for index, (metric, values) in enumerate(levels.items()):
            kind = index % len(_MARKERS)  # markers too, for those who cannot tell the colours apart
            style = {"color": _COLOURS[kind], "marker": _MARKERS[kind], "markersize": 3.5, "linewidth": 1}
            panel.plot(SEVERITIES, values[CORRUPTIONS.index(name)], label=metric, **style)
        panel.set_yscale("log")
        panel.set_ylim(LEVELS[0] / 1.2, LEVELS[-1] * 1.2)
        panel.set_xticks(SEVERITIES)
        panel.set_yticks((0.01, 0.03, 0.1, 0.3), ("0.01", "0.03", "0.1", "0.3"))
        panel.minorticks_off()
        panel.grid(color="0.9", linewidth=0.6)
        panel.tick_params(labelsize=_FONT, length=2)
        panel.set_title(_spaced(name), fontsize=_FONT, pad=3)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel("severity", fontsize=_FONT)
    figure.supylabel("equivalent noise", fontsize=_FONT)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=3, fontsize=_FONT, frameon=False)
    return figure


def _draw_spread(photographs: np.ndarray) -> Figure:
    """How distances spread over photographs: a row for every corruption, a bar for every severity; noise for scale."""
    figure = Figure(figsize=(_WIDTH, 7.5), layout="constrained")
    axes = figure.subplots()
    for index, change in enumerate(_CHANGES):
        row, severity = divmod(index, len(SEVERITIES))
        y = row + 0.16 * (severity - 2)
        values, colour = photographs[:, index], colormaps["viridis_r"](0.15 + 0.2 * severity)
        axes.plot(np.percentile(values, [10, 90]), [y, y], color=colour, linewidth=1.5)
        axes.plot(values.mean(), y, "o", color=colour, markersize=3, label=None if row else f"{change.amount:g}")
    for index in _SHOWN_LEVELS:
        mean = photographs[:, len(_CHANGES) + index].mean()
        axes.axvline(mean, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        style = {"rotation": 90, "fontsize": _FONT, "ha": "center", "va": "bottom"}
        axes.text(mean, -0.6, f"{LEVELS[index]:.2g}", **style)
    if (photographs > 0).all():
        axes.set_xscale("log")
    axes.set_yticks(range(len(CORRUPTIONS)), [_spaced(name) for name in CORRUPTIONS])
    axes.set_ylim(len(CORRUPTIONS) - 0.5, -0.5)
    axes.tick_params(labelsize=_FONT, length=2)
    axes.set_xlabel("distance: mean, 10th to 90th percentile", fontsize=_FONT)
    axes.set_title("standard deviation of Gaussian noise", fontsize=_FONT, pad=34)
    figure.legend(loc="outside lower center", ncols=5, title="severity", fontsize=_FONT, title_fontsize=_FONT)
    return figure


def _spaced(name: str) -> str:
    return name.replace("_", " ")
