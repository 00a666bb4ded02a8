"""`eval.py --benchmark`: one command from a folder of rated images to a table, a CSV file and a report."""

import csv
import dataclasses
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from disks import fill, small_disk
from PIL import Image
from scipy.stats import spearmanr

import pim_jax
from pim_jax import eval as command
from pim_jax import metrics
from pim_jax.evaluation import pictures

PHOTOGRAPHS = Path(pim_jax.__file__).parent / "assets" / "images" / "reference"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def rated(tmp_path):
    """Two crops of photographs with five levels of noise each, and scores that fall with the level."""
    folder = tmp_path / "rated"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    for path in sorted(PHOTOGRAPHS.iterdir())[:2]:
        with Image.open(path) as image:
            crop = image.convert("RGB").crop((40, 40, 104, 104))
        crop.save(folder / f"{path.stem}.png")
        pixels = np.asarray(crop, float)
        for level in range(1, 6):
            noisy = np.clip(pixels + random.normal(0, 3 * level**2, pixels.shape), 0, 255).round().astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{path.stem}_{level}.png")
            rows.append([f"{path.stem}.png", f"{path.stem}_{level}.png", 10 - level, "noise"])
    with open(folder / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows([["reference", "distorted", "score", "type"], *rows])
    return folder


def run(capsys, *arguments):
    status = command.main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_prints_the_agreement_of_every_metric(capsys, rated, tmp_path):
    status, out, _ = run(
        capsys,
        *("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr,SSIM"),
        *("--csv", tmp_path / "out" / "pairs.csv", "--report", tmp_path / "out" / "report.html"),
    )
    assert status == 0
    with open(tmp_path / "out" / "pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["distorted"] for row in rows[:2]] == [str(rated / name) for name in names(rated)[:2]]
    for name in ("PSNR", "SSIM"):
        wanted = -spearmanr([float(row[name]) for row in rows], [9, 8, 7, 6, 5] * 2).statistic
        line = next(line for line in out.splitlines() if line.startswith(f"| {name} "))
        assert f" {wanted:.3f} [" in line
    assert "Differences from PSNR on the same resamples" in out
    first, second = (float(re.search(rf"\| {name} +\| (\S+) \[", out)[1]) for name in ("PSNR", "SSIM"))
    last = [line for line in out.splitlines() if line.startswith("| SSIM")][-1]
    assert float(last.split("|")[2].split()[0]) == pytest.approx(second - first, abs=0.0011)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Differences from PSNR" in report and "scores.csv" in report and report.count("<img") > 10


@pytest.mark.nightly
def test_scores_where_lower_is_closer_are_read_so_or_doubted(capsys, rated, tmp_path):
    table = rated / "dmos.csv"
    with open(rated / "scores.csv", newline="") as file:
        rows = [[*row[:2], *(10 - float(score) for score in row[2:3])] for row in list(csv.reader(file))[1:]]
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["reference", "distorted", "score"], *rows])
    line = ("--benchmark", "iqa", "--data", table, "--metrics", "psnr,ssim", "--report", tmp_path / "report.html")
    status, out, err = run(capsys, *line)
    assert status == 0
    assert "| PSNR | -" in out
    warning = "2 of 2 metrics contradict people (SROCC below 0): if a lower score means closer to the reference, give"
    assert f"warning: {warning} --higher-is worse" in err
    assert warning in (tmp_path / "report.html").read_text()
    status, out, err = run(capsys, *line, "--higher-is", "worse")
    assert status == 0
    assert re.search(r"\| PSNR \| (0\.9|1\.0)", out)
    assert "warning" not in err
    assert warning not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--benchmark", "raid", "--data", "."), "--higher-is is for iqa, not for raid"),
        (("a.png", "b.png"), "--higher-is go with --benchmark NAME"),
    ],
)
def test_a_direction_is_for_a_table_of_ones_own(capsys, arguments, said):
    status, _, err = run(capsys, *arguments, "--higher-is", "worse")
    assert (status, said in err) == (2, True)


def test_a_spoilt_table_is_one_line_and_nothing_is_scored(capsys, rated):
    table = rated / "scores.csv"
    table.write_text(table.read_text().replace(",noise", ',"noise', 1))
    status, out, err = run(capsys, "--benchmark", "iqa", "--data", table, "--metrics", "psnr")
    assert (status, out) == (2, "")
    assert f"error: {table}, row 2: a double quote is open" in err
    assert len(err.splitlines()) == 1


def names(rated):
    with open(rated / "scores.csv", newline="") as file:
        return [row["distorted"] for row in csv.DictReader(file)]


def test_pim_is_the_weights_of_ckpt_and_the_default(capsys, rated, monkeypatch):
    loaded = []

    def load(weights):
        loaded.append(weights)
        raise FileNotFoundError("enough")

    monkeypatch.setattr("pim_jax.metrics.load", load)
    for options, wanted in [([], "pim-fast"), (["--ckpt", "mine"], "mine"), (["--metrics", "other"], "other")]:
        assert run(capsys, "--benchmark", "iqa", "--data", rated / "scores.csv", *options)[0] == 2
        assert loaded.pop() == wanted


@pytest.mark.slow(kept="the same of measure, in test_measure.py")
def test_a_second_run_only_reads_what_was_kept(capsys, rated, monkeypatch):
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr")
    first = run(capsys, *arguments)

    def refuse(picture, reader):
        raise AssertionError(f"{picture} was read again")

    monkeypatch.setattr("pim_jax.evaluation.pictures.read", refuse)
    assert run(capsys, *arguments)[:2] == first[:2]


@pytest.mark.slow(kept="the same of files, in test_eval.py")
def test_a_run_that_is_interrupted_keeps_its_rows_and_goes_on(capsys, rated, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    load = metrics.load
    two_at_once = {"pixels_per_batch": 2 * 64 * 64}
    monkeypatch.setattr(
        metrics, "load", lambda name, **options: dataclasses.replace(load(name, **options), **two_at_once)
    )
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr,ssim")
    arguments += ("--csv", tmp_path / "pairs.csv")
    read, seen = pictures.read, []

    def stopping(picture, reader):
        seen.append(picture)
        if len(seen) == 6:  # of 12 pictures
            raise KeyboardInterrupt
        return read(picture, reader)

    monkeypatch.setattr(pictures, "read", stopping)
    status, _, said = run(capsys, *arguments)
    assert status == 130 and f"the rows so far are in {tmp_path / 'pairs.csv.partial'}" in said
    assert not (tmp_path / "pairs.csv").exists()
    kept = rows(tmp_path / "pairs.csv.partial")
    assert 2 <= len(kept) < 10 and all(float(row["PSNR"]) and float(row["SSIM"]) for row in kept)
    assert run(capsys, *arguments)[0] == 0
    whole = rows(tmp_path / "pairs.csv")
    assert len(whole) == 10 and whole[: len(kept)] == kept
    assert not {row["distorted"] for row in kept} & {str(picture) for picture in seen[6:]}
    assert not (tmp_path / "pairs.csv.partial").exists()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_standard_output_has_an_output_of_that_name_alone(capsys, rated):
    status, out, said = run(
        capsys, "--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr", "--csv", "-"
    )
    assert status == 0 and [row["distorted"] for row in csv.DictReader(out.splitlines())] == [
        str(rated / name) for name in names(rated)
    ]
    assert "| PSNR | " in said


def test_an_output_that_cannot_be_written_costs_only_itself(capsys, rated, tmp_path):
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr")
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk / "ballast", leave=0)
        status, out, said = run(capsys, *arguments, "--csv", disk / "a.csv", "--report", tmp_path / "r.html")
    assert status == 1 and "| PSNR | " in out and (tmp_path / "r.html").exists()
    assert f"{disk / 'a.csv'} cannot be written: the disk is full" in said and "Traceback" not in said


def test_nothing_is_left_where_nothing_could_be_measured(capsys, rated, tmp_path):
    for name in names(rated):
        (rated / name).write_bytes(b"")
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr")
    status, _, said = run(capsys, *arguments, "--csv", tmp_path / "out" / "a.csv")
    assert status == 2 and "no metric measured any pair" in said
    assert not list(tmp_path.glob("out/*"))


def test_a_store_that_cannot_be_used_costs_nothing_but_a_line(capsys, rated, tmp_path):
    (tmp_path / "cache" / "pim_jax" / "distances.sqlite").mkdir(parents=True)
    status, out, said = run(capsys, "--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr")
    assert status == 0 and "| PSNR | " in out and said.count("distances are not kept") == 1


def test_survives_an_unreadable_image_and_says_so(capsys, rated):
    damaged = rated / names(rated)[3]
    damaged.write_bytes(damaged.read_bytes()[:200])
    status, out, said = run(capsys, "--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr")
    assert status == 1
    assert "| PSNR | " in out
    assert "1 could not be measured" in said and str(damaged) in said


@pytest.mark.slow(kept="the reason, in test_baselines.py")
def test_a_metric_that_this_machine_lacks_is_skipped_with_the_reason(capsys, rated, monkeypatch):
    monkeypatch.setenv("PATH", "")
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr,ssimulacra")
    status, out, said = run(capsys, *arguments)
    assert status == 1
    assert "| PSNR | " in out and "SSIMULACRA" not in out
    assert "ssimulacra is skipped" in said and "libjxl" in said


def test_the_shift_of_references_is_a_column(capsys, rated):
    arguments = ("--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr", "--shift", 0, 3)
    _, out, _ = run(capsys, *arguments)
    assert "SROCC, shift 3" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--benchmark", "iqa"], "needs --data"),
        (["--benchmark", "iqa", "--data", "absent"], "absent does not exist"),
        (["--benchmark", "bapps-2afc", "--data", "."], "2afc/val"),
        (["--benchmark", "imagenet-c", "--data", ".", "--shift", "1"], "--shift is for"),
        (["--benchmark", "bapps-jnd", "--data", ".", "--allow-missing"], "--allow-missing is for"),
        (["a.png", "b.png", "--shift", "1"], "go with --benchmark"),
        (["--benchmark", "iqa", "--data", ".", "--maps", "m"], "--maps"),
        (["only.png"], "give two images"),
        ([], "give two images"),
    ],
)
def test_wrong_arguments_are_one_message(capsys, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    status, _, said = run(capsys, *arguments)
    assert status == 2
    assert problem in said and "Traceback" not in said


@pytest.mark.parametrize("text", ["psnr,,ssim", "psnr,psnr"])
def test_a_list_of_metrics_must_be_one(capsys, text):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--benchmark", "iqa", "--data", ".", "--metrics", text])
    assert stopped.value.code == 2
    assert "separated by commas" in capsys.readouterr().err


def test_results_never_replace_the_data(capsys, rated, tmp_path):
    before = (rated / "scores.csv").read_bytes()
    picture = next(rated.glob("*_1.png"))
    os.link(picture, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(picture)
    for data, option, output in [
        (rated / "scores.csv", "--csv", rated / "scores.csv"),
        (rated, "--report", rated / "scores.csv"),
        (rated / "scores.csv", "--csv", tmp_path / "hard"),
        (rated / "scores.csv", "--report", tmp_path / "soft"),
    ]:
        status, _, said = run(capsys, "--benchmark", "iqa", "--data", data, option, output)
        assert status == 2
        assert "overwritten" in said
    assert (rated / "scores.csv").read_bytes() == before


def test_a_bad_metric_is_refused_before_any_work(capsys, rated):
    status, _, said = run(capsys, "--benchmark", "iqa", "--data", rated / "scores.csv", "--metrics", "psnr,nonsense")
    assert status == 2
    assert "nonsense" in said
