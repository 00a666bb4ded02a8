"""Curves of several runs are in one panel, each where its numbers are; in letters too."""

import math

import numpy as np

from pim_jax.training import curves


def rows(*values, name="I"):
    return [{"step": 10 * number, name: value} for number, value in enumerate(values, start=1)]


def test_every_run_has_its_line_and_its_name():
    figure = curves.draw({"one": rows(1.0, math.nan, 3.0), "$two": rows(0.5), "none": []}, title="t", saved=[20])
    panel = figure.axes[list(curves.PANELS).index("I")]
    lines = [line for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in lines] == [[10, 20, 30], [10]]
    np.testing.assert_array_equal(lines[0].get_ydata(), [1.0, math.nan, 3.0])
    assert lines[0].get_color() != lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "$two", "none"]
    assert figure.axes[0].texts[0].get_text() == "not in the log"


def test_one_run_needs_no_name():
    assert not curves.draw({"one": rows(1.0)}, title="t").legends


def test_rates_are_drawn_on_a_logarithmic_scale_where_they_can_be():
    place = list(curves.PANELS).index("Rx")
    assert curves.draw({"a": rows(100.0, 0.1, name="Rx")}, title="t").axes[place].get_yscale() == "log"
    assert curves.draw({"a": rows(100.0, -0.1, name="Rx")}, title="t").axes[place].get_yscale() == "linear"


def test_letters_stand_where_the_numbers_are():
    shown = curves.in_letters({"rises": rows(0.0, 1.0, 2.0), "falls": rows(2.0, 1.0, 0.0)}, width=60).splitlines()
    assert all(line.isascii() for line in shown)
    first, last = shown[2], shown[11]  # below the title and the frame, ten lines of curves
    assert first.index("b") < first.rindex("a") and last.index("a") < last.rindex("b")
    assert shown[-1] == "a rises   b falls"


def test_letters_of_numbers_that_are_missing_or_not_finite_are_left_out():
    assert curves.in_letters({"a": rows(math.nan), "b": [{"step": 1, "SROCC": 0.9}]}, width=60) == ""
    shown = curves.in_letters({"one": rows(math.nan, 1.0), "two": rows(-1.0, 0.1, name="Rx")}, width=60)
    assert "Rx, logarithmic" not in shown and "Rx" in shown
