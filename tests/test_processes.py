"""Two processes of two devices score what one does, write one result, and none waits for one that has left."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import runs
from PIL import Image

pytestmark = pytest.mark.slow(kept="one process, in test_compare.py")


@pytest.fixture
def folders(tmp_path):
    """Seven originals by two candidates: neither number divides into two."""
    rng = np.random.default_rng(0)
    for i in range(7):
        pixels = rng.integers(0, 256, (24, 32, 3))
        for name, noise in (("ref", 0), ("near", 9), ("far", 40)):
            (tmp_path / name).mkdir(exist_ok=True)
            noisy = np.clip(pixels + rng.integers(-noise, noise + 1, pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / name / f"{i}.png")
    return [tmp_path / name for name in ("ref", "near", "far")]


def run(tmp_path, arguments, *, processes=1, devices=1):
    """Exit statuses, standard outputs and standard errors of all processes; each run has a cache of its own."""
    port, started, said = runs.free_port(), [], []
    cache = tmp_path / f"cache of {processes}"
    for i in range(processes):
        which = ["--coordinator", f"localhost:{port}", "--processes", processes, "--process", i]
        outputs = [tmp_path / f"{stream} {i} of {processes}" for stream in ("out", "err")]
        variables = runs.on_devices(devices) | {"XDG_CACHE_HOME": str(cache)}
        command = list(map(str, [*arguments, *(which if processes > 1 else [])]))
        started.append(runs.processes.Process(target=runs.child, args=("eval", command, variables, outputs, None)))
        started[-1].start()
        said.append(outputs)
    for process in started:
        process.join(runs.PATIENCE)
    out, err = ([pair[k].read_text() for pair in said] for k in (0, 1))
    return [process.exitcode for process in started], out, err


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_give_what_one_gives(folders, tmp_path):
    results = {}
    for processes, devices in ((1, 1), (2, 2)):
        outputs = ["--csv", tmp_path / f"{processes}.csv", "--json", tmp_path / f"{processes}.json"]
        status, out, err = run(
            tmp_path, [*folders, "--metrics", "psnr,ssim", *outputs], processes=processes, devices=devices
        )
        assert status == [0] * processes, err
        assert out[1:] == [""] * (processes - 1)
        results[processes] = out[0]
    one, two = rows(tmp_path / "1.csv"), rows(tmp_path / "2.csv")
    assert len(one) == len(two) == 7 * 2 * 2
    for a, b in zip(one, two, strict=True):
        assert float(a.pop("distance")) == pytest.approx(float(b.pop("distance")), rel=1e-5, abs=1e-6)
        assert a == b
    assert results[1].splitlines()[:2] == results[2].splitlines()[:2] and "| near " in results[2]
    means = [
        [row["metrics"]["SSIM"]["mean"] for row in json.loads((tmp_path / f"{n}.json").read_text())["candidates"]]
        for n in (1, 2)
    ]
    np.testing.assert_allclose(*means, rtol=1e-5, atol=1e-6)
    assert not list(tmp_path.glob("*.partial"))


def test_what_one_process_cannot_read_is_told_once_and_by_the_status_of_all(folders, tmp_path):
    (folders[2] / "6.png").write_bytes(b"no picture")
    status, _, err = run(tmp_path, [*folders, "--metrics", "psnr", "--csv", tmp_path / "a.csv"], processes=2)
    assert status == [1, 1]
    assert err[0].count("\n  far/6: ") == 1 and "1 of 14 pairs could not be scored" in err[0]
    assert "could not be scored" not in err[1] and len(rows(tmp_path / "a.csv")) == 13


def test_processes_that_see_other_images_all_end(folders, tmp_path):
    Path(folders[1] / "0.png").unlink()
    status, _, err = run(tmp_path, [*folders, "--metrics", "psnr"], processes=2)
    assert status == [2, 2] and "make the folders match" in err[0]
