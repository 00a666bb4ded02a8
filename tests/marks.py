"""Marks of the parameters of tests."""

import pytest


def nightly(*values):
    """Values of one parameter whose tests are left to `-m nightly`."""
    return [pytest.param(value, marks=pytest.mark.nightly) for value in values]
