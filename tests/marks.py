"""Marks of the parameters of tests: see `markers` in pyproject.toml."""

import pytest


def slow(*values, kept):
    """Values of one parameter whose tests are left to `-m slow`; `kept` says what the default run keeps of them."""
    return [pytest.param(value, marks=pytest.mark.slow(kept=kept)) for value in values]


def nightly(*values):
    """Values of one parameter whose tests are left to `-m nightly`."""
    return [pytest.param(value, marks=pytest.mark.nightly) for value in values]
