"""RAID on a small folder of the published layout, and the published answers."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from pim_jax.evaluation.datasets import raid

KINDS = {"rot": "rotation", "trans": "translation", "scale": "scaling", "gn": "Gaussian noise"}


@pytest.fixture
def folder(tmp_path):
    """Two photographs, four transformations, levels 1 (undistorted) to 3."""
    rows = [("Reference", "Distorted", "Curve_Value", "Sigmas", "Response", "Estimated_MOS")]
    for name in ("ref", "dist"):
        (tmp_path / name).mkdir()
    for photograph in ("img_01", "img_07"):
        Image.new("RGB", (8, 8)).save(tmp_path / "ref" / f"{photograph}.png")
        for number, kind in enumerate(KINDS):
            for level in (1, 2, 3):
                image = f"{kind}_{photograph}_level_{level:02d}.png"
                response = (level - 1) * (number + 1) + int(photograph[-1]) / 10 if level > 1 else 0
                rows.append((f"{photograph}.png", image, level / 3, 0.2, response, 5.4 - 0.5 * response))
                if level > 1:
                    Image.new("RGB", (8, 8)).save(tmp_path / "dist" / image)
    with open(tmp_path / "responses.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def test_distorted_photographs_are_read_and_undistorted_ones_left_out(folder):
    benchmark = raid.read(folder)
    assert benchmark.title == "RAID: 16 images of 4 transformations, 2 references"
    first = benchmark.ratings[0]
    assert (first.reference.name, first.distorted.name) == ("img_01.png", "rot_img_01_level_02.png")
    assert (first.score, first.kind) == (1.1, "rotation")
    assert {rating.kind for rating in benchmark.ratings} == set(KINDS.values())


def test_scores_are_pooled_and_within_each_transformation(folder):
    benchmark = raid.read(folder, shifts=(0, 1))
    response = np.array([rating.score for rating in benchmark.ratings])
    kinds = np.array([rating.kind for rating in benchmark.ratings])
    rng = np.random.default_rng(0)
    plain, shifted = (response + 2 * rng.random(16) for _ in range(2))
    found = benchmark.scores(np.stack([plain, shifted], 1).ravel())
    within = {k: stats.spearmanr(plain[kinds == k], response[kinds == k]).statistic for k in KINDS.values()}
    pooled = stats.spearmanr(plain, response).statistic
    expected = {
        "SROCC": pooled,
        "SROCC, mean of transformations": np.mean(list(within.values())),
        "SROCC, shift 1": stats.spearmanr(shifted, response).statistic - pooled,
        **{f"SROCC, {kind}": value for kind, value in within.items()},
    }
    assert [name for name in found if name not in ("KROCC", "PLCC")] == list(expected)
    np.testing.assert_allclose([found[name].value for name in expected], list(expected.values()), rtol=1e-12)


def test_missing_photographs_are_left_out_only_if_allowed(folder):
    (folder / "ref" / "img_07.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of the 18 images of RAID are missing") as caught:
        raid.read(folder)
    assert "img_07.png" in str(caught.value)
    assert "--allow-missing" in str(caught.value)
    assert raid.read(folder, allow_missing=True).title == (
        "RAID: 8 images of 4 transformations, 1 references (8 of 16 images are not here)"
    )


def test_a_folder_without_responses_shows_the_expected_tree(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"responses.csv is missing") as caught:
        raid.read(tmp_path)
    for text in ("ref/img_01.png", "dist/rot_img_01_level_02.png", "Reference,Distorted,Response"):
        assert text in str(caught.value)


def test_a_name_of_another_form_is_an_error_that_says_where(folder):
    with open(folder / "responses.csv", "a") as file:
        file.write("img_01.png,swirl_img_01_level_02.png,0,1,0,5\n")
    with pytest.raises(ValueError, match="row 26: 'swirl_img_01_level_02"):
        raid.read(folder)


def test_copies_may_differ_in_case_and_hold_files_of_the_system(folder):
    (folder / "ref").rename(folder / "Ref")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0")
    for path in (folder / "dist").glob("rot*"):
        path.rename(path.with_suffix(".PNG"))
    table = folder / "responses.csv"
    table.write_text(table.read_text().replace("Response,", "RESPONSE,"))
    assert raid.read(folder).title == "RAID: 16 images of 4 transformations, 2 references"


def test_the_published_response_is_the_curve_over_its_noise_and_ranks_as_the_opinion_scores(shared):
    with open(shared / "data" / "raid" / "responses.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file)]
    curve, noise, response, mos = (
        np.array([float(row[name]) for row in rows]) for name in ("Curve_Value", "Sigmas", "Response", "Estimated_MOS")
    )
    np.testing.assert_allclose(response, curve / noise, atol=1e-5)
    slope, offset = np.polyfit(response, mos, 1)
    np.testing.assert_allclose(mos, slope * response + offset, atol=1e-6)
    assert slope < 0
