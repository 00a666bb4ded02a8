"""Measured distances outlive the process that measured them."""

import os
import signal
import subprocess
import sys

import pytest

from pim_jax.evaluation.store import Store


def test_keeps_every_bit_of_a_distance(tmp_path):
    value = 0.1234567890123456
    with Store(tmp_path / "d.sqlite") as store:
        store.put("m", [("a", "b", value), ("a", "c", -value)])
    with Store(tmp_path / "d.sqlite") as store:
        assert store.get("m", [("a", "c"), ("a", "b"), ("b", "a")]) == [-value, value, None]


def test_metrics_are_kept_apart(tmp_path):
    with Store(tmp_path / "d.sqlite") as store:
        store.put("m", [("a", "b", 1.0)])
        assert store.get("n", [("a", "b")]) == [None]


def test_two_processes_share_a_file(tmp_path):
    with Store(tmp_path / "d.sqlite") as one, Store(tmp_path / "d.sqlite") as other:
        one.put("m", [("a", "b", 1.0)])
        other.put("m", [("a", "c", 2.0)])
        assert one.get("m", [("a", "b"), ("a", "c")]) == [1.0, 2.0]


def test_a_killed_process_loses_only_what_it_was_putting(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pim_jax.evaluation.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "store.put('m', [('a', 'b', 1.0)])\n"
        "def rows():\n"
        "    yield 'a', 'c', 2.0\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.put('m', rows())\n"
    )
    path = tmp_path / "d.sqlite"
    done = subprocess.run([sys.executable, "-c", script, os.fspath(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with Store(path) as store:
        assert store.get("m", [("a", "b"), ("a", "c")]) == [1.0, None]
        store.put("m", [("a", "c", 3.0)])


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"not a database" * 1000), lambda path: path.mkdir()])
def test_says_what_to_do_about_a_file_that_is_no_store(tmp_path, make):
    make(tmp_path / "d.sqlite")
    with pytest.raises(ValueError, match=r"d\.sqlite.*XDG_CACHE_HOME"):
        Store(tmp_path / "d.sqlite")
