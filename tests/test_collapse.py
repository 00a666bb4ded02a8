"""A finished run whose information is none, or all that can be, is not passed over in silence."""

import math

import pytest

from pim_jax.training import collapse

BATCH = 32
BOUND = math.log(BATCH)


def rows(information, **rates):
    """A log that begins otherwise than it ends."""
    return [{"step": step, "I": 1.5, "Rx": 9.0, "Ry": 9.0} for step in range(40)] + [
        {"step": step, "I": information, **rates} for step in range(40, 50)
    ]


def test_of_a_short_log_only_the_end_counts():
    assert collapse.remark([{"step": step, "I": 1.0} for step in range(5)] + [{"step": 6, "I": 0.0}], BATCH)
    assert not collapse.remark([{"step": step, "I": 0.0} for step in range(5)] + [{"step": 6, "I": 1.0}], BATCH)


@pytest.mark.parametrize("information", [-0.01, 0.0, 0.001, 0.019 * BOUND])
@pytest.mark.parametrize("rates", [{}, {"Rx": 0.1, "Ry": 0.1}])
def test_no_information_is_a_collapse(information, rates):
    found = collapse.remark(rows(information, **rates), BATCH)
    assert found.startswith("it collapsed: I ends at ") and "at most log B = 3.47 nats" in found
    assert "beta_steps" in found and "learning_rate" in found


@pytest.mark.parametrize("information", [0.99 * BOUND, BOUND])
def test_all_information_without_rates_is_saturated(information):
    found = collapse.remark(rows(information, Rx=0.02, Ry=0.01), BATCH)
    assert found.startswith("it is saturated: I ends at 3.") and "raise batch" in found


@pytest.mark.parametrize(
    ("information", "rates"),
    [
        (1.4, {"Rx": 0.15, "Ry": 0.02}),  # the least and the most of docs/ablations.md
        (2.98, {"Rx": 0.29, "Ry": 0.03}),
        (3.46, {"Rx": 0.3, "Ry": 0.01}),
        (3.46, {}),  # single-variable InfoNCE has no rates and ends there
    ],
)
def test_runs_that_learned_pass(information, rates):
    assert collapse.remark(rows(information, **rates), BATCH) == ""


@pytest.mark.parametrize("log", [[], [{"step": 1}], [{"step": 1, "I": math.nan}], [{"step": 1, "I": "a text"}]])
def test_a_log_without_information_says_nothing(log):
    assert collapse.remark(log, BATCH) == ""
    assert collapse.remark(rows(0.0), batch=1) == ""
