"""No output is written in part, or destroys what it must not."""

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from disks import fill, small_disk

from pim_jax import writing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="FIFOs, links and devices as POSIX has them")


def write(path, text):
    with writing.replacing(path) as temporary:
        temporary.write_text(text)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), writing.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85, os.fsdecode(b"\xe9" * 255)])
def test_a_name_may_be_as_long_as_names_can_be(tmp_path, name):
    write(tmp_path / name, "whole")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "whole")]


def test_links_are_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("old")
    (tmp_path / "other").symlink_to("folder")
    (tmp_path / "link").symlink_to("other/a.txt")
    (tmp_path / "new").symlink_to("other/b.txt")
    write(tmp_path / "link", "new")
    write(tmp_path / "new", "first")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "new").is_symlink()
    found = {path.name: path.read_text() for path in (tmp_path / "folder").iterdir()}
    assert found == {"a.txt": "new", "b.txt": "first"}


def test_a_fifo_is_written_to_and_stays_one(tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()))
    reader.start()
    write(fifo, "text" * 100_000)
    reader.join(60)
    assert got == ["text" * 100_000] and stat.S_ISFIFO(fifo.stat().st_mode)
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_reader_that_leaves_ends_the_writing_quietly(tmp_path):
    """As `--csv >(head -1)`, for more than a pipe holds."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["head", "-c", "4", fifo], stdout=subprocess.PIPE) as reader:
        write(fifo, "text" * 100_000)
        assert reader.stdout.read() == b"text"


def test_a_device_is_written_to_and_stays_one(tmp_path):
    write(Path(os.devnull), "text")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(OSError, match=r"^/dev/full cannot be written: the disk is full$"):
        write(Path("/dev/full"), "text")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/stderr"])
def test_what_a_process_holds_open_is_appended_to_and_not_replaced(tmp_path, name):
    """Where the shell has redirected it to a file, a new file in its place would lose what was printed."""
    script = (
        "import sys; from pathlib import Path; from pim_jax import writing\n"
        "print('before', flush=True)\n"
        f"with writing.replacing(Path({name!r})) as file: file.write_text('text\\n')\n"
        "print('after')\n"
    )
    with open(tmp_path / "log", "a") as log:
        subprocess.run([sys.executable, "-c", script], stdout=log, stderr=log, check=True, timeout=120)
    assert (tmp_path / "log").read_text() == "before\ntext\nafter\n"


def test_the_message_says_which_file_and_that_the_disk_is_full(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "a.txt").write_text("old")
        fill(disk / "ballast", leave=4096)
        with pytest.raises(OSError) as caught:
            write(disk / "a.txt", "x" * 10**5)
        assert str(caught.value) == f"{disk / 'a.txt'} cannot be written: the disk is full"
        assert (disk / "a.txt").read_text() == "old" and len(list(disk.iterdir())) == 2


def test_an_error_of_something_else_is_not_called_one_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), writing.replacing(tmp_path / "a.txt"):
        (tmp_path / "absent").read_text()


# Checks before any work


def refusal(outputs, inputs=()):
    with pytest.raises(ValueError) as caught:
        writing.check_outputs([(f"--{name}", Path(path)) for name, path in outputs.items()], map(Path, inputs))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A file with a symbolic and a hard link, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("a").write_text("content")
    Path("soft").symlink_to("a")
    os.link("a", "hard")
    Path("folder-link").symlink_to("sub")
    return tmp_path


@pytest.mark.parametrize("other", ["a", "./a", "sub/../a", "soft", "hard"])
def test_two_outputs_of_one_file_are_refused(folder, other):
    assert "are one file" in refusal({"csv": "a", "report": other})
    assert "is an input and would be overwritten" in refusal({"csv": other}, ["a"])


@pytest.mark.parametrize("name", ["new", "./new", "sub/../new"])
def test_two_outputs_of_one_file_to_be_are_refused(folder, name):
    Path("to-new").symlink_to("new")
    assert "are one file" in refusal({"csv": "new", "report": name})
    assert "are one file" in refusal({"csv": "sub/new", "report": "folder-link/new"})
    assert "are one file" in refusal({"csv": "to-new", "report": name})


def test_an_output_in_a_folder_that_is_read_is_refused_if_it_is_there(folder):
    Path("sub/weights").write_text("")
    assert "would be overwritten" in refusal({"csv": "folder-link/weights"}, ["sub"])
    writing.check_outputs([("--csv", Path("sub/new"))], [Path("sub")])


def test_places_that_cannot_be_written_are_refused(folder):
    assert "sub is a folder; name a file" in refusal({"csv": "sub"})
    assert f"{folder / 'a'} is a file and no folder" in refusal({"csv": "a/x.csv"})
    assert "is a file and no folder" in refusal({"csv": "a/b/c/x.csv"})
    assert "/dev/null is a file and no folder" in refusal({"maps": "/dev/null/x"})
    Path("loop").symlink_to("loop")
    assert "leads to itself" in refusal({"csv": "loop"})
    assert "File name too long" in refusal({"csv": "x" * 256})
    assert not writing.is_stream(Path("x" * 256))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "is a socket" in refusal({"csv": "socket"})
    assert not Path("new").exists()


def test_a_folder_that_is_read_only_is_refused(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "disk is read-only" in refusal({"csv": disk / "a" / "b.csv"})


def test_what_can_be_written_passes(folder):
    os.mkfifo("fifo")
    outputs = ["fifo", "soft", "new", "sub/deep/er/x", "/dev/null", "/dev/null", "/dev/stdout", "/dev/stderr"]
    writing.check_outputs([("--csv", Path(name)) for name in outputs], [Path("sub/input"), Path("absent")])
    assert sorted(os.listdir()) == ["a", "fifo", "folder-link", "hard", "soft", "sub"]


def test_an_output_is_not_the_file_that_standard_output_goes_to(tmp_path):
    script = (
        "import sys; from pathlib import Path; from pim_jax import writing\n"
        "writing.check_outputs([('--csv', Path(sys.argv[1]))], [])"
    )
    command = [sys.executable, "-c", script, tmp_path / "out"]
    with open(tmp_path / "out", "w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=120)
    assert "out and standard output are one file" in done.stderr
