"""Rows that were added are on the disk, under one name or the other."""

import csv
import os

import pytest
from disks import fill, small_disk

from pim_jax.evaluation import outputs
from pim_jax.evaluation.outputs import CsvOutput, partial


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_rows_are_on_the_disk_as_soon_as_they_are_added(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with CsvOutput(path, ["a", "b"], print) as table:
        assert table.kept is None and not path.parent.exists()
        table.add([[1, 'x,"y'], [2, "z\n"]])
        assert rows(partial(path)) == [["a", "b"], ["1", 'x,"y'], ["2", "z\n"]]
        table.add([[3, ""]])
        assert rows(table.kept)[-1] == ["3", ""] and not path.exists()
        table.finish([[1, "x"]], header=["a", "c"])
    assert rows(path) == [["a", "c"], ["1", "x"]]
    assert table.kept is None and os.listdir(path.parent) == ["a.csv"]


def test_an_error_leaves_the_rows_and_the_old_file(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), CsvOutput(tmp_path / "a.csv", ["a"], print) as table:
        table.add([[1]])
        raise KeyboardInterrupt
    assert rows(tmp_path / "a.csv.partial") == [["a"], ["1"]]
    assert (tmp_path / "a.csv").read_text() == "old"
    with CsvOutput(tmp_path / "a.csv", ["a"], print) as table:  # a later run begins again
        table.add([[2]])
        assert rows(table.kept) == [["a"], ["2"]]


def test_two_runs_that_write_one_file_leave_a_whole_one(tmp_path):
    with CsvOutput(tmp_path / "a.csv", ["a"], print) as one, CsvOutput(tmp_path / "a.csv", ["a"], print) as other:
        one.add([[1]])
        other.add([[2]])
        one.add([[3]])
        one.finish([[1], [3]])
        assert rows(tmp_path / "a.csv") == [["a"], ["1"], ["3"]]
        other.finish([[2]])
    assert rows(tmp_path / "a.csv") == [["a"], ["2"]] and os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85])
def test_a_long_name_gets_a_shorter_partial_one(tmp_path, name):
    with CsvOutput(tmp_path / name, ["a"], print) as table:
        table.add([[1]])
        assert table.kept.name.endswith(".partial") and rows(table.kept) == [["a"], ["1"]]
        table.finish([[1]])
    assert os.listdir(tmp_path) == [name]


def test_names_are_utf_8_whatever_their_bytes(tmp_path):
    with CsvOutput(tmp_path / "a.csv", ["a", "b"], print) as table:
        row = [os.fsdecode(b"caf\xe9"), "日本".encode().decode("ascii", "surrogateescape")]
        table.add([row])
        table.finish([row])
    assert rows(tmp_path / "a.csv")[1] == ["caf\\xe9", "日本"]


def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path):
    said = []
    with small_disk(tmp_path / "disk", "64k") as disk:
        with CsvOutput(disk / "a.csv", ["a"], said.append) as table:
            table.add([[1]])
            fill(disk / "ballast", leave=0)
            for _ in range(3):
                table.add([["x" * 10_000]])
            assert said == [f"{disk / 'a.csv.partial'} cannot be written: the disk is full; the run goes on"]
            with pytest.raises(OSError, match="the disk is full"):
                table.finish([["x" * 10_000]])
            assert rows(disk / "a.csv.partial") == [["a"], ["1"]] and not (disk / "a.csv").exists()
            (disk / "ballast").unlink()
            table.finish([["x" * 10_000]])
        assert rows(disk / "a.csv") == [["a"], ["x" * 10_000]] and os.listdir(disk) == ["a.csv"]


def test_the_partial_file_is_an_output_too(tmp_path):
    picture = tmp_path / "a.csv.partial"
    picture.write_text("an input")
    with pytest.raises(ValueError, match="would be overwritten"):
        outputs.check_places(tmp_path / "a.csv", None, [picture])
    with pytest.raises(ValueError, match="are one file"):
        outputs.check_places(tmp_path / "a.csv", tmp_path / "a.csv.partial", [])


def test_an_output_that_cannot_be_written_costs_only_itself():
    said = []

    def write(error):
        if error:
            raise error

    assert [outputs.attempt(said.append, write, error) for error in (OSError("why"), None)] == [False, True]
    assert said == ["error: why"]
    with pytest.raises(ValueError):
        outputs.attempt(said.append, write, ValueError)
