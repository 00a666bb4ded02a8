"""The command as its users do: into pipes and files of all kinds, under any name and locale, until it is stopped."""

import csv
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from disks import fill, small_disk
from marks import nightly, slow
from PIL import Image

from pim_jax import metric, stored
from pim_jax.data import isolated
from pim_jax.eval import main
from pim_jax.model import pim as networks

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals as POSIX has them")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of PIM with few bands and units, which compile quickly."""
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(4, 3))
    folder = tmp_path_factory.mktemp("weights") / "w"
    stored.write(folder, config, networks.init(config, jax.random.key(0)), name="untrained")
    return folder


def write(folder, names, size=(16, 24)):
    """Pictures of noise, in the folders `ref` and `out`, as pairs of these names."""
    rng = np.random.default_rng(len(names))
    for side in ("ref", "out"):
        (folder / side).mkdir(exist_ok=True)
        for name in names:
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / side / name, format="PNG")
    return folder / "ref", folder / "out"


@pytest.fixture
def folders(tmp_path):
    return write(tmp_path, [f"{number}.png" for number in range(20)])


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def command(*arguments):
    return [sys.executable, "eval.py", *map(os.fspath, arguments)]


@pytest.fixture
def shell(one_device, own_cache):
    """Runs a line of a shell, in which $EVAL is the command."""

    def run(line, **environment):
        variables = one_device | {"XDG_CACHE_HOME": str(own_cache), "EVAL": f"{sys.executable} eval.py"} | environment
        return subprocess.run(["bash", "-c", line], cwd=REPOSITORY, env=variables, capture_output=True, timeout=300)

    return run


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


# Pipes, devices and links


@pytest.mark.slow(kept="the printer, in test_console.py")
@pytest.mark.parametrize("redirect", ["", *slow("2>&1", kept="standard output alone")])
def test_files_are_written_though_nobody_reads_the_lines(folders, shell, tmp_path, redirect):
    outputs = f"--csv {tmp_path}/o.csv --report {tmp_path}/r.html"
    done = shell(f"$EVAL {folders[0]} {folders[1]} --ckpt psnr {outputs} {redirect} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"# PSNR ") and done.stdout.count(b"\n") == 1
    assert len(rows(tmp_path / "o.csv")) == 20
    assert (tmp_path / "r.html").read_text().endswith("</html>\n")


@pytest.mark.slow(kept="the printer, in test_console.py")
def test_without_files_to_write_it_ends_when_nobody_reads_the_lines(folders, shell):
    done = shell(f"$EVAL {folders[0]} {folders[1]} --ckpt psnr | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.slow(kept="the printer, in test_console.py")
@pytest.mark.parametrize(
    ("redirect", "status", "said"),
    [
        (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 1, "eval.py: error: standard output cannot be written: the disk is full\n"),
    ],
)
def test_standard_streams_that_cannot_be_written_cost_only_themselves(folders, shell, tmp_path, redirect, status, said):
    done = shell(f"$EVAL {folders[0]} {folders[1]} --ckpt psnr --csv {tmp_path}/o.csv {redirect}")
    assert (done.returncode, done.stderr.decode()) == (status, said)
    assert len(rows(tmp_path / "o.csv")) == 20


@pytest.mark.slow(kept="the same of writing.replacing, in test_writing.py")
def test_what_is_no_regular_file_is_written_to(folders, shell, tmp_path):
    """A FIFO and bash's >(program), whose readers end when they have all."""
    os.mkfifo(tmp_path / "fifo")
    line = f"cat {tmp_path}/fifo > {tmp_path}/got.csv & $EVAL {folders[0]} {folders[1]} --ckpt psnr "
    line += f"--csv {tmp_path}/fifo --report >(cat > {tmp_path}/got.html) && wait"
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(rows(tmp_path / "got.csv")) == 20 and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert (tmp_path / "got.html").read_text().endswith("</html>\n")
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["-", *slow("/dev/stdout", kept="-")])
def test_standard_output_has_an_output_of_that_name_alone(folders, capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *folders, "--ckpt", "psnr", "--csv", name)
    assert status == 0 and not Path("-").exists()
    assert [row["reference"] for row in csv.DictReader(out.splitlines())] == sorted(
        str(path) for path in folders[0].iterdir()
    )
    assert err.startswith("# PSNR ") and "mean of 20" in err
    status, out, err = run(capsys, *folders, "--ckpt", "psnr", "--report", name)
    assert status == 0 and out.startswith("<!DOCTYPE html>") and out.endswith("</html>\n")
    assert run(capsys, *folders, "--ckpt", "psnr", "--csv", "./-")[0] == 0 and len(rows("-")) == 20


def test_a_link_is_followed(folders, capsys, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "o.csv").symlink_to("real/o.csv")
    assert run(capsys, *folders, "--ckpt", "psnr", "--csv", tmp_path / "o.csv")[0] == 0
    assert (tmp_path / "o.csv").is_symlink() and len(rows(tmp_path / "real" / "o.csv")) == 20
    assert os.listdir(tmp_path / "real") == ["o.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--csv", "F", "--report", "F"], "are one file"),
        (["--csv", "F", "--report", "./F"], "are one file"),
        (["--csv", "-", "--report", "-"], "are one file"),
        (["--csv", "F", "--report", "F.partial"], "are one file"),
        (["--csv", "FILE/x.csv"], "FILE is a file and no folder"),
        (["--report", "FILE/new/x.html"], "FILE is a file and no folder"),
        (["--maps", "FILE"], "FILE is a file and no folder"),
        (["--maps", "-"], "--maps takes a folder"),
        (["--maps", "m", "--report", "m/3.png"], "are one file"),
        (["--maps", "ref"], "would be overwritten"),
        (["--csv", "link"], "would be overwritten"),
        (["--csv", "hard"], "would be overwritten"),
        (["--ckpt", "WEIGHTS", "--csv", "WEIGHTS/weights.json"], "would be overwritten"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_any_work(
    folders, weights, capsys, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("content")
    Path("link").symlink_to("ref/3.png")
    os.link("ref/3.png", "hard")
    shutil.copytree(weights, "WEIGHTS")
    Path("WEIGHTS/weights.json").touch()
    before = sorted(Path().rglob("*"))
    status, out, err = run(capsys, "ref", "out", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and said in err
    assert sorted(Path().rglob("*")) == before and Path("FILE").read_text() == "content"


# Names

LATIN, LONG, WIDE = os.fsdecode(b"caf\xe9.png"), f"{'x' * 248}.png", "日本.png"
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.slow(kept="the printer, in test_console.py")
@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        pytest.param({"PYTHONUTF8": "1"}, ["caf\\xe9", "日本"], marks=pytest.mark.slow(kept="the C locale")),
        pytest.param(
            {"PYTHONIOENCODING": "cp1252"},
            ["caf\\xe9", "\\u65e5\\u672c"],
            marks=pytest.mark.nightly,
        ),
        (C_LOCALE, ["caf\\xe9", "\\u65e5\\u672c"]),
    ],
    ids=["UTF-8", "cp1252", "C"],
)
def test_every_name_is_scored_and_written_in_every_locale(weights, shell, tmp_path, environment, lines):
    write(tmp_path, [LATIN, LONG, WIDE])
    outputs = f"--csv {tmp_path}/o.csv --maps {tmp_path}/maps --report {tmp_path}/r.html"
    done = shell(f"$EVAL {tmp_path}/ref {tmp_path}/out --ckpt {weights} {outputs}", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = {line.split("\t")[0] for line in done.stdout.decode().splitlines()[1:-3]}
    assert printed == {*lines, LONG[:-4]}
    names = {Path(row["distorted"]).name for row in rows(tmp_path / "o.csv")}
    assert names == {"caf\\xe9.png", "日本.png", LONG}
    maps = {os.fsencode(path.name) for path in (tmp_path / "maps").iterdir()}
    assert maps == {name + kind for name in (b"caf\xe9", "日本".encode(), b"x" * 248) for kind in (b".png", b".npy")}
    with Image.open(tmp_path / "maps" / LATIN) as picture:
        assert picture.info["Title"] == "caf\\xe9"
    report = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "caf\\xe9: distance" in report and "日本: distance" in report


# Pictures that are not read


def test_pictures_that_cannot_be_read_are_named_and_the_status_says_so(folders, capsys, tmp_path):
    """HEIC and JPEG XL by their first bytes, whatever they are called; and a photograph that became a page of text."""
    heic, jxl = b"\0\0\0\x18ftypheic" + bytes(40), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)
    for folder in folders:
        (folder / "a.heic").write_bytes(heic)
        (folder / "b.jxl").write_bytes(jxl)
        (folder / "c.png").write_bytes(heic)
        (folder / "d.jpg").write_text("<!DOCTYPE html>")
    status, out, err = run(capsys, *folders, "--ckpt", "psnr", "--csv", tmp_path / "o.csv")
    assert status == 1 and "4 of 24 pairs could not be scored" in err
    assert all(f"/{name} " in err for name in ("a.heic", "b.jxl", "c.png", "d.jpg"))
    assert len(out.splitlines()) == 24 and len(rows(tmp_path / "o.csv")) == 20


def test_a_message_about_a_picture_is_one_line_whatever_its_name(folders, capsys):
    for folder in folders:
        (folder / "a\n\x1b[31m.png").write_text("no picture")
    (folders[0] / "b\nc.png").write_text("no picture")
    status, _, err = run(capsys, *folders, "--ckpt", "psnr", "--allow-missing")
    lines = err.splitlines()
    assert status == 1 and len(lines) == 4  # two titles, and a line below each
    assert "b\\x0ac" in lines[1] and lines[3].startswith("  a\\x0a\\x1b[31m: ")


# What was measured is not lost


@pytest.mark.parametrize(
    "number",
    [*slow(signal.SIGINT, kept="rows after an error, in test_outputs.py"), *nightly(signal.SIGKILL, signal.SIGTERM)],
)
def test_a_run_that_is_stopped_keeps_its_rows_and_goes_on(one_device, own_cache, capsys, tmp_path, monkeypatch, number):
    """Names are so long that the pipe holds the lines of some 300 pairs, and the run waits for a reader."""
    folders = write(tmp_path, [f"{i:03}{'x' * 200}.png" for i in range(400)], size=(4, 4))
    arguments = [*folders, "--ckpt", "psnr", "--batch", "2", "--csv", tmp_path / "o.csv"]
    environment = one_device | {"XDG_CACHE_HOME": str(own_cache)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(*arguments), cwd=REPOSITORY, env=environment, **pipes) as process:
        seen = [process.stdout.readline() for _ in range(6)][1:]
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    partial = tmp_path / "o.csv.partial"
    if number == signal.SIGINT:
        assert process.returncode == 130 and err.count("\n") == 1
        assert f"the rows so far are in {partial}. Run the same command again" in err
    kept = rows(partial)
    printed = [line for line in [*seen, *out.splitlines(keepends=True)] if line.endswith("\n")]
    assert 5 <= len(printed) <= len(kept) < 400 and not (tmp_path / "o.csv").exists()

    read = []
    original = isolated.Reader.read
    monkeypatch.setattr(isolated.Reader, "read", lambda self, path: read.append(path) or original(self, path))
    status, out, _ = run(capsys, *arguments)
    assert status == 0 and len(out.splitlines()) == 404
    assert not {str(path) for path in read} & {row["distorted"] for row in kept[: len(kept) // 2 * 2]}
    whole = rows(tmp_path / "o.csv")
    assert len(whole) == 400 and whole[: len(kept)] == kept and not partial.exists()


def test_a_second_run_gives_the_same_numbers_to_the_bit_and_measures_nothing(
    folders, weights, capsys, tmp_path, monkeypatch
):
    first = run(capsys, *folders, "--ckpt", weights, "--csv", tmp_path / "1.csv")

    def refuse(self, path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(isolated.Reader, "read", refuse)
    assert run(capsys, *folders, "--ckpt", weights, "--csv", tmp_path / "2.csv") == first
    assert rows(tmp_path / "1.csv") == rows(tmp_path / "2.csv")


@pytest.mark.slow(kept="the store, in test_store.py")
def test_what_is_kept_of_other_batches_changes_no_digit(folders, weights, capsys, tmp_path, own_cache):
    assert run(capsys, *folders, "--ckpt", weights, "--csv", tmp_path / "1.csv")[0] == 0
    shutil.rmtree(own_cache)
    for arguments in ([folder / "3.png" for folder in folders], [*folders, "--batch", "3"]):
        assert run(capsys, *arguments, "--ckpt", weights)[0] == 0
    assert run(capsys, *folders, "--ckpt", weights, "--csv", tmp_path / "2.csv")[0] == 0
    assert rows(tmp_path / "1.csv") == rows(tmp_path / "2.csv")


@pytest.mark.slow(kept="the keys of distances, in test_provenance.py")
def test_other_pixels_and_other_weights_are_measured(folders, weights, capsys, tmp_path):
    def distances(*arguments):
        return {line for line in run(capsys, *arguments)[1].splitlines() if "\t" in line}

    before = distances(*folders, "--ckpt", weights)
    shutil.copy(folders[0] / "1.png", folders[1] / "1.png")
    after = distances(*folders, "--ckpt", weights)
    assert "1\t0" in after and len(before ^ after) == 4  # that pair and the mean
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(4, 3))
    stored.write(tmp_path / "w", config, networks.init(config, jax.random.key(1)), name="others")
    assert not distances(*folders, "--ckpt", tmp_path / "w") & before


@pytest.mark.slow(kept="regions, in test_regions.py")
def test_large_images_are_scored_as_distance_does(weights, capsys, tmp_path):
    """Which goes through them region by region, as `embed` does not."""
    names = write(tmp_path, ["a.png"], size=(700, 900))
    run(capsys, *(folder / "a.png" for folder in names), "--ckpt", weights, "--csv", tmp_path / "o.csv")
    x, y = (np.asarray(Image.open(folder / "a.png"), np.float32)[None] / np.float32(255) for folder in names)
    wanted = metric.load(weights).distance(x, y)[0]
    assert np.float32(rows(tmp_path / "o.csv")[0]["distance"]) == wanted


def test_a_store_that_is_no_database_costs_nothing_but_a_line(folders, capsys, own_cache):
    (own_cache / "pim_jax").mkdir(parents=True)
    (own_cache / "pim_jax" / "distances.sqlite").write_bytes(b"no database" * 1000)
    status, out, err = run(capsys, *folders, "--ckpt", "psnr")
    assert (status, len(out.splitlines()), err.count("\n")) == (0, 24, 1)
    assert "distances are not kept" in err and "distances.sqlite" in err


def test_maps_that_do_not_fit_on_the_disk_cost_only_themselves(folders, weights, capsys, tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        status, out, err = run(
            capsys, *folders, "--ckpt", weights, "--maps", disk / "maps", "--csv", tmp_path / "o.csv"
        )
        assert not list(disk.rglob("*.tmp"))
    assert status == 1 and err.count("\n") == 1
    assert "the disk is full" in err and "no more maps" in err
    assert len(out.splitlines()) == 24 and len(rows(tmp_path / "o.csv")) == 20


def test_a_csv_and_a_report_that_do_not_fit_on_the_disk_cost_only_themselves(folders, capsys, tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk / "ballast", leave=0)
        status, out, err = run(capsys, *folders, "--ckpt", "psnr", "--csv", disk / "o.csv", "--report", disk / "r.html")
        assert list(disk.iterdir()) == [disk / "ballast"] or (disk / "o.csv.partial").stat().st_size == 0
    assert status == 1 and len(out.splitlines()) == 24
    assert [line.partition(" cannot")[0].rpartition("/")[2] for line in err.splitlines()] == [
        "o.csv.partial",
        "o.csv",
        "r.html",
    ]
    assert err.count("the disk is full") == 3


def test_two_runs_at_once_share_the_store(folders, capsys, tmp_path):
    """Threads stand for processes here: SQLite locks for each connection."""
    threads = [
        threading.Thread(target=main, args=([*map(str, folders), "--ckpt", "psnr", "--csv", str(tmp_path / name)],))
        for name in ("1.csv", "2.csv")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert rows(tmp_path / "1.csv") == rows(tmp_path / "2.csv") and len(rows(tmp_path / "1.csv")) == 20
    assert capsys.readouterr().err == ""
