"""Scatter plots hold the points that they are given, and can be drawn."""

import io

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from pim_jax.evaluation import scatter

LABELS = {"x_label": "MOS", "y_label": "distance"}


def points(axes):
    return np.asarray(axes.collections[0].get_offsets())


def test_every_metric_has_a_panel_with_its_points():
    people = np.arange(5.0)
    metrics = {name: np.arange(5) * factor for factor, name in enumerate(["A", "B", "C"], 1)}
    figure = scatter.draw(people, metrics, ["x", "y", "x", "y", "x"], **LABELS)
    assert [axes.get_title() for axes in figure.axes] == ["A", "B", "C"]
    for axes, values in zip(figure.axes, metrics.values(), strict=True):
        shown = points(axes)
        order = np.argsort(shown[:, 0])
        np.testing.assert_allclose(shown[order], np.stack([people, values], 1))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x", "y"]
    assert figure.axes[2].get_xlabel() == figure.axes[1].get_xlabel() == "MOS"
    assert figure.axes[0].get_xlabel() == ""


def test_a_kind_keeps_its_colour_and_what_is_not_finite_is_left_out():
    values = np.array([1, np.nan, 3, -np.inf, 5, 6])
    axes = scatter.draw(np.arange(6), {"A": values}, ["x", "x", "y", "y", "x", "y"], **LABELS).axes[0]
    by_place = dict(zip(points(axes)[:, 0], map(tuple, axes.collections[0].get_facecolors()), strict=True))
    assert sorted(by_place) == [0, 2, 4, 5]
    assert by_place[0] == by_place[4] != by_place[2] == by_place[5]


@pytest.mark.parametrize("kinds", [None, 1, 12, 30])
def test_figures_of_any_number_of_kinds_and_points_are_drawn(kinds):
    rng = np.random.default_rng(0)
    names = kinds and [f"kind {i % kinds}" for i in range(2000)]
    figure = scatter.draw(rng.random(2000), {"$A": rng.random(2000), "B": np.full(2000, np.nan)}, names, **LABELS)
    assert figure.axes[0].collections[0].get_rasterized()
    assert len(figure.legends) == (1 if kinds and kinds > 1 else 0)
    stored = io.BytesIO()
    figure.savefig(stored, format="png")
    with Image.open(stored) as image:
        assert image.width == 680


def test_labels_stand_beside_their_points():
    axes = scatter.draw([1, 2, 3], {"A": [3, np.nan, 1]}, labels=["a", "b", "c$"], **LABELS).axes[0]
    assert [(text.get_text(), *text.xy) for text in axes.texts] == [("a", 1, 3), ("c$", 3, 1)]


@pytest.mark.parametrize("crowded", [False, True])
def test_labels_hide_neither_each_other_nor_points_nor_leave_the_panel(crowded):
    rng = np.random.default_rng(0)
    people, values = rng.normal(size=(2, 24)) * ([[1], [1]] if not crowded else [[0.05], [1]])
    people[0] = 10 * crowded
    axes = scatter.draw(people, {"A": values}, labels=[f"method {i:02}" for i in range(24)], **LABELS).axes[0]
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 24
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert axes.bbox.padded(1).contains(box.x0, box.y0) and axes.bbox.padded(1).contains(box.x1, box.y1)
        assert not any(box.contains(*point) for point in axes.transData.transform(points(axes)))


def test_more_panels_than_fit_a_page_make_several_figures():
    metrics = {f"metric {i}": [i, i] for i in range(scatter.PANELS + 1)}
    figures = scatter.captioned("All", [1, 2], metrics, ["x", "y"], **LABELS)
    assert [[axes.get_title() for axes in figure.axes] for figure in figures.values()] == [
        list(metrics)[: scatter.PANELS],
        list(metrics)[scatter.PANELS :],
    ]
    assert list(scatter.captioned("All", [1, 2], {"A": [1, 2]}, **LABELS)) == ["All"]
