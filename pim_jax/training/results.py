"""What came of several runs: what differs between their configurations, how they end, and the mean over seeds."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pim_jax.evaluation import markdown
from pim_jax.training import log, summary
from pim_jax.training.summary import Summary

TERMS = ("loss", "I", "Rx", "Ry")
# Runs that differ in these alone are one experiment.
_NOT_OF_THE_EXPERIMENT = ("seed", "log_every", "save_every", "keep", "commit")
_DIGITS = 12  # of a hash

Scores = Mapping[str, float]


def differences(found: Mapping[str, Summary]) -> dict[str, dict[str, str]]:
    """What differs between runs: fields of the configuration, the data, the commit.

    Args:
      found: runs by name.

    Returns:
      by field the value of every run, in words; "-" where a run does not have it or has not said it yet.
    """
    said = {run: _said(of.about) for run, of in found.items()}
    fields = dict.fromkeys(field for values in said.values() for field in values)
    by_field = {field: {run: values.get(field, "-") for run, values in said.items()} for field in fields}
    return {field: values for field, values in by_field.items() if len({*values.values()}) > 1}


def by_run(found: Mapping[str, Summary]) -> list[list[str]]:
    """A table with a row for each run: what differs, how far it is, the means of its last rows, its speed.

    Args:
      found: runs by name.

    Returns:
      rows of texts, the first of which is the header.
    """
    fields = differences(found)
    ends = {run: log.ending(of.rows) for run, of in found.items()}
    terms = [term for term in TERMS if any(term in end for end in ends.values())]
    rows = [["run", *fields, "step", *terms, "pairs/s"]]
    for run, of in found.items():
        rate = summary.rate(of.rows)
        numbers = [_number(ends[run].get(term)) for term in terms]
        settings = [values[run] for values in fields.values()]
        rows.append([run, *settings, str(_step(of) or "-"), *numbers, f"{rate:.3g}" if rate else "-"])
    return rows


def over_seeds(found: Mapping[str, Summary], scores: Mapping[str, Scores] | None = None) -> list[list[str]]:
    """A table with a row for all runs of one experiment: mean and standard deviation over its seeds.

    Runs are of one experiment if they differ in the seed alone, or in what changes no result, and are equally far.

    Args:
      found: runs by name.
      scores: more numbers of every run, by run and column.

    Returns:
      rows of texts, the first of which is the header. None if no experiment has several runs.
    """
    fields = {f: values for f, values in differences(found).items() if f not in _NOT_OF_THE_EXPERIMENT}
    numbers = {run: log.ending(of.rows) | dict((scores or {}).get(run, {})) for run, of in found.items()}
    extra = dict.fromkeys(column for row in (scores or {}).values() for column in row)
    columns = [column for column in (*TERMS, *extra) if any(column in row for row in numbers.values())]
    groups = defaultdict(list)
    for run, of in found.items():
        apart = "" if "seed" in summary.settings(of.about) else run  # nothing is known of its seed
        groups[(apart, *(values[run] for values in fields.values()), _step(of))].append(run)
    if all(len(runs) == 1 for runs in groups.values()):
        return []
    rows = [["runs", "seeds", *fields, "step", *columns]]
    for (_, *values, step), runs in groups.items():
        seeds = [str(summary.settings(found[run].about).get("seed", "-")) for run in runs]
        cells = [spread([numbers[run][column] for run in runs if column in numbers[run]]) for column in columns]
        rows.append([", ".join(runs), ", ".join(seeds), *values, str(step or "-"), *cells])
    return rows


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in words, with n - 1 in the denominator.

    Args:
      values: of runs that differ in the seed alone.

    Examples:
      >>> spread([1.0, 2.0, 3.0]), spread([1.0]), spread([])
      ('2.000 ± 1.000', '1.000', '-')
    """
    if len(values) < 2:
        return _number(values[0] if values else None)
    return f"{_number(statistics.mean(values))} ± {_number(statistics.stdev(values))}"


def _said(about: dict) -> dict[str, str]:
    origin = {name: str(about[name]) for name in ("data", "commit", "whitened_by") if about.get(name)}
    shown = {name: value[:_DIGITS] if name != "commit" else value for name, value in origin.items()}
    return {name: summary.shown(value) for name, value in summary.settings(about).items()} | shown


def _step(of: Summary) -> int | None:
    """How far a run is; of weights alone, how long they were trained."""
    return of.rows[-1]["step"] if of.rows else of.stored[-1].step if of.stored else None


def _number(value: float | None) -> str:
    return "-" if value is None else markdown.score(value)
