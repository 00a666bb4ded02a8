"""What is printed arrives whatever the names, and what is not read ends nothing."""

import importlib
import io
import os
import subprocess
import sys

import pytest

from pim_jax.console import Printer, one_line, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 日 😀.png", "plain é 日 😀.png"),
        (b"caf\xe9.png".decode("utf-8", "surrogateescape"), "caf\\xe9.png"),
        ("日本 é.png".encode().decode("ascii", "surrogateescape"), "日本 é.png"),  # as Python has it in a C locale
        (b"\xe6\x97 \xff".decode("ascii", "surrogateescape"), "\\xe6\\x97 \\xff"),
        ("lone \ud800", "lone \\ud800"),  # as Windows has it
    ],
)
def test_every_name_becomes_text(name, shown):
    assert printable(name) == shown
    assert printable(name).encode()


def test_a_name_in_a_line_neither_ends_it_nor_steers_a_terminal():
    assert one_line("a\nb\tc\x1b[31m\x7f\x85") == "a\\x0ab\\x09c\\x1b[31m\\x7f\\x85"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Printer(stream)("é 日")
    expected = {"ascii": b"\\xe9 \\u65e5\n", "cp1252": b"\xe9 \\u65e5\n", "latin-1": b"\xe9 \\u65e5\n"}
    assert stream.buffer.getvalue() == expected.get(encoding, "é 日\n".encode())


SCRIPT = """
import sys
from pim_jax.console import Printer
out = Printer(sys.stdout)
for number in range(100_000):
    out(f"line {number}")
sys.exit(f"{out.closed} {out.problem}")
"""


@pytest.mark.parametrize(("where", "said"), [("| head -1", "True None"), (">&-", "True None")])
def test_a_reader_that_leaves_ends_nothing(where, said):
    """Not even when Python writes what is left as it ends."""
    command = f"{sys.executable} -c '{SCRIPT}' {where}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert done.stderr == f"{said}\n"


WITHOUT_STREAMS = """
import subprocess, sys
from pim_jax.console import printers
for printer in printers():
    printer("a line")
print("of a library", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    subprocess.run(["sh", "-c", "echo of a program; echo of a program >&2"], check=True)
    file.write("whole")
"""


@pytest.mark.parametrize("missing", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_commands_run_without_standard_streams(tmp_path, missing):
    command = f"{sys.executable} -c '{WITHOUT_STREAMS}' {tmp_path}/o {missing}"
    assert subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, timeout=120).returncode == 0
    assert (tmp_path / "o").read_text() == "whole"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_stream_that_cannot_be_written_is_a_problem_and_no_exception():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.stderr == "True [Errno 28] No space left on device\n"


@pytest.mark.parametrize("name", ["convert", "eval", "inspect", "prepare", "release", "sweep", "train"])
def test_usage_names_a_console_script_as_it_was_typed(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/pim-{name}"])
    with pytest.raises(SystemExit):
        importlib.import_module(f"pim_jax.{name}").main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: pim-{name} ")


def test_usage_names_a_module_as_it_was_typed():
    done = subprocess.run([sys.executable, "-m", "pim_jax.convert", "--help"], capture_output=True, text=True)
    assert done.stdout.startswith("usage: python -m pim_jax.convert ")
