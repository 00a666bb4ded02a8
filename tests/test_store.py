"""Measured distances outlive the process that measured them."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from disks import fill, read_only, small_disk

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


@pytest.mark.slow(kept="a full disk")
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


def damaged(path):
    """A store with a good head and a body that is none, as a disk that failed leaves it."""
    with Store(path) as store:
        store.put("m", [(str(i), "b", 1.0) for i in range(5000)])
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"not a database" * 1000),
        lambda path: path.mkdir(),
        lambda path: sqlite3.connect(path).execute("CREATE TABLE distances (another TEXT)"),
        damaged,
    ],
    ids=["text", "folder", "another table", "damaged"],
)
def test_a_file_that_cannot_be_used_is_said_once_and_costs_nothing_else(tmp_path, make):
    make(tmp_path / "d.sqlite")
    said = []
    with Store(tmp_path / "d.sqlite", say=said.append) as store:
        for _ in range(2):
            assert store.get("m", [("1", "b"), ("4999", "b")]) == [None, None]
            store.put("m", [("a", "c", 2.0)])
    assert len(said) == 1 and "d.sqlite" in said[0] and "XDG_CACHE_HOME" in said[0]


@pytest.mark.parametrize("value", ["text", b"bytes", None])
def test_what_is_no_distance_is_measured_again(tmp_path, value):
    with Store(tmp_path / "d.sqlite") as store:
        store.put("m", [("a", "b", value)])
        assert store.get("m", [("a", "b")]) == [None]
        store.put("m", [("a", "b", 1.0)])
        assert store.get("m", [("a", "b")]) == [1.0]


def test_a_file_that_another_process_holds_is_not_waited_for_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("pim_jax.evaluation.store.PATIENCE", 0.1)
    said = []
    with Store(tmp_path / "d.sqlite", say=said.append) as store:
        store.put("m", [("a", "b", 1.0)])
        other = sqlite3.connect(tmp_path / "d.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # others may read
        store.put("m", [("a", "c", 2.0)])
        store.put("m", [("a", "d", 3.0)])
        assert store.get("m", [("a", "b"), ("a", "c")]) == [1.0, None]
        other.close()
    assert len(said) == 1 and "locked" in said[0]


def test_a_file_that_may_not_even_be_read_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr("pim_jax.evaluation.store.PATIENCE", 0.1)
    said = []
    with Store(tmp_path / "d.sqlite", say=said.append) as store:
        store.put("m", [("a", "b", 1.0)])
        other = sqlite3.connect(tmp_path / "d.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert store.get("m", [("a", "b")]) == [None]
        store.put("m", [("a", "c", 2.0)])
        other.close()
    assert len(said) == 1 and "locked" in said[0]


def test_a_store_that_is_read_only_is_read(tmp_path):
    said = []
    with small_disk(tmp_path / "disk", "1m") as disk:
        with Store(disk / "d.sqlite") as store:
            store.put("m", [("a", "b", 1.0)])
        with read_only(disk), Store(disk / "d.sqlite", say=said.append) as store:
            assert store.get("m", [("a", "b"), ("a", "c")]) == [1.0, None]
            store.put("m", [("a", "c", 2.0)])
            store.put("m", [("a", "d", 2.0)])
            assert store.get("m", [("a", "b"), ("a", "c")]) == [1.0, None]
    assert len(said) == 1 and "readonly" in said[0]


def test_a_full_disk_keeps_what_is_there(tmp_path):
    said = []
    with small_disk(tmp_path / "disk", "256k") as disk:
        with Store(disk / "d.sqlite", say=said.append) as store:
            store.put("m", [("a", "b", 1.0)])
            fill(disk / "ballast", leave=0)
            store.put("m", [(str(i), "c", 2.0) for i in range(5000)])
            assert store.get("m", [("a", "b"), ("1", "c")]) == [1.0, None]
        (disk / "ballast").unlink()
        with Store(disk / "d.sqlite") as store:
            assert store.get("m", [("a", "b"), ("1", "c")]) == [1.0, None]
    assert len(said) == 1 and "full" in said[0]


def test_without_a_home_nothing_is_kept_and_nothing_fails(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where neither HOME nor the user is known
    said = []
    with Store(say=said.append) as store:
        store.put("m", [("a", "b", 1.0)])
        assert store.get("m", [("a", "b")]) == [None]
    assert len(said) == 1 and "XDG_CACHE_HOME" in said[0]
