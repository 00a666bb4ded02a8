"""A long run says how far it is, a short one nothing."""

import sys
import time

import pytest

from pim_jax.evaluation import progress


def test_without_a_terminal_it_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.1)
    said = []
    with progress.bar(1000, "scoring", said.append) as bar:
        for _ in range(6):
            time.sleep(0.06)
            bar.update(100)
    assert 1 <= len(said) <= 4
    words = said[0].split()
    assert words[0] == "scoring:" and words[2:4] == ["of", "1000,"] and int(words[1]) % 100 == 0
    assert "pairs a second, 00:0" in said[0] and said[0].endswith(" left") and "\r" not in said[0]


def test_a_short_run_says_nothing(capfd):
    said = []
    with progress.bar(3, "scoring", said.append) as bar:
        bar.update(3)
    assert said == [] and capfd.readouterr() == ("", "")


def test_on_a_terminal_it_is_a_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.bar(2, "scoring", pytest.fail) as bar:
        assert type(bar).__name__ == "tqdm"
        bar.update(2)
