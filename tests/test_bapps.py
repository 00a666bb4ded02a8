"""BAPPS on small folders of the published layout, the scores against a computation of their own."""

import re

import numpy as np
import pytest
from PIL import Image

from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.datasets import bapps

COUNTS = {"traditional": 3, "cnn": 2, "superres": 5, "deblur": 4, "color": 2, "frameinterp": 1}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.array([value], np.float32))
    else:
        Image.new("RGB", (64, 64), (value, 0, 0)).save(path)


@pytest.fixture
def twoafc(tmp_path):
    rng = np.random.default_rng(0)
    for kind, count in COUNTS.items():
        for i in range(count):
            for side in ("ref", "p0", "p1"):
                write(tmp_path / f"2afc/val/{kind}/{side}/{i:06d}.png", i)
            write(tmp_path / f"2afc/val/{kind}/judge/{i:06d}.npy", rng.integers(0, 6) / 5)
    return tmp_path


@pytest.fixture
def jnd(tmp_path):
    rng = np.random.default_rng(1)
    for kind in ("traditional", "cnn"):
        for i in range(6):
            for side in ("p0", "p1"):
                write(tmp_path / f"jnd/val/{kind}/{side}/{i:06d}.png", i)
            write(tmp_path / f"jnd/val/{kind}/same/{i:06d}.npy", rng.integers(0, 4) / 3)
    return tmp_path


def distances_by_file(benchmark, seed=0):
    """A distance for each pair, by the file, so that the benchmark's order does not matter to the tests."""
    rng = np.random.default_rng(seed)
    by_file = {}
    for pair in benchmark.pairs:
        shift = int(pair.reference.change.amount) if pair.reference.change else 0
        by_file[pair.distorted.path, shift] = float(rng.integers(1, 7))
    found = [by_file[pair.distorted.path, int(getattr(pair.reference.change, "amount", 0))] for pair in benchmark.pairs]
    return by_file, np.array(found)


def expected_2afc(folder, by_file, kinds, shift=0):
    scores = []
    for kind in kinds:
        for judge in sorted((folder / f"2afc/val/{kind}/judge").iterdir()):
            votes = np.load(judge)[0]
            d0, d1 = (by_file[folder / f"2afc/val/{kind}/{side}/{judge.stem}.png", shift] for side in ("p0", "p1"))
            scores.append(0.5 if d0 == d1 else votes if d1 < d0 else 1 - votes)
    return 100 * np.mean(scores)


def test_2afc_scores_are_those_of_every_triplet_by_hand(twoafc):
    benchmark = bapps.read_2afc(twoafc)
    assert benchmark.title == "BAPPS-2AFC: 17 triplets of 6 kinds"
    assert len(set(benchmark.pairs)) == len(benchmark.pairs) == 34
    for pair in benchmark.pairs:
        assert pair.reference.path.parent == pair.distorted.path.parents[1] / "ref"
        assert pair.reference.path.name == pair.distorted.path.name
    by_file, distances = distances_by_file(benchmark)
    found = benchmark.scores(distances)
    assert list(found) == ["All", "Trad.", "CNN", "SuperRes", "Deblur", "Coloriz.", "Interp."]
    np.testing.assert_allclose(found["All"].value, expected_2afc(twoafc, by_file, COUNTS), rtol=1e-6)
    for name, kind in zip(list(found)[1:], COUNTS, strict=True):
        np.testing.assert_allclose(found[name].value, expected_2afc(twoafc, by_file, [kind]), rtol=1e-6)
    assert found["All"].low < found["All"].value < found["All"].high


def test_all_of_2afc_weighs_triplets_as_the_paper_does():
    """Table 1: its columns, weighted by the published numbers of triplets, give its All; unweighted, they do not."""
    counts = [4720, 4720, 10856, 9440, 4720, 1888]
    table = {
        "MS-SSIM": [61.24, 79.34, 64.62, 58.88, 57.28, 57.29, 63.26],
        "NLPD": [58.23, 80.29, 65.54, 58.83, 60.07, 55.40, 63.50],
        "LPIPS Alex": [71.91, 83.55, 71.57, 60.45, 64.94, 62.74, 68.98],
        "LPIPS Alex-lin": [75.27, 83.52, 71.11, 61.17, 65.17, 63.35, 69.53],
        "PIM-1": [76.41, 82.81, 69.14, 61.53, 63.40, 62.48, 68.82],
    }
    for row in table.values():
        assert abs(np.average(row[:6], weights=counts) - row[6]) < 0.03
    assert max(abs(np.mean(row[:6]) - row[6]) for row in table.values()) > 0.4

    # one row again, through the scorer: every triplet of a category has the category's mean, and p1 is closer
    row, kinds = table["LPIPS Alex"], np.repeat(list(bapps._2AFC.values()), counts)
    benchmark = bapps.TwoAlternatives("", [], [], (0,), kinds, np.repeat(row[:6], counts) / 100)
    found = benchmark.scores(np.tile([1.0, 0.0], len(kinds)))
    np.testing.assert_allclose([estimate.value for estimate in found.values()][1:], row[:6])
    assert abs(found["All"].value - row[6]) < 0.03


def test_a_shift_is_reported_as_the_change_of_all(twoafc):
    benchmark = bapps.read_2afc(twoafc, shifts=[2, 5])
    assert len(set(benchmark.pairs)) == len(benchmark.pairs) == 3 * 34
    assert [pair.reference.change for pair in benchmark.pairs[:6:2]] == [None, Change("shift", 2), Change("shift", 5)]
    assert {pair.distorted.change for pair in benchmark.pairs} == {None}
    by_file, distances = distances_by_file(benchmark)
    found = benchmark.scores(distances)
    assert list(found)[:3] == ["All", "All, shift 2", "All, shift 5"]
    plain = expected_2afc(twoafc, by_file, COUNTS)
    for shift in (2, 5):
        change = expected_2afc(twoafc, by_file, COUNTS, shift) - plain
        np.testing.assert_allclose(found[f"All, shift {shift}"].value, change, rtol=1e-6)
    np.testing.assert_allclose(found["All"].value, plain, rtol=1e-6)


def test_jnd_scores_are_mean_average_precision_and_all_is_one_set(jnd):
    benchmark = bapps.read_jnd(jnd, shifts=(0, 3))
    assert len(set(benchmark.pairs)) == len(benchmark.pairs) == 24
    rng = np.random.default_rng(0)
    distances = rng.permutation(24) / 24

    def precision(kinds, shift):
        rows = []
        for pair, distance in zip(benchmark.pairs, distances, strict=True):
            kind = pair.distorted.path.parts[-3]
            if kind in kinds and (pair.reference.change is not None) == bool(shift):
                same = pair.distorted.path.parents[1] / "same" / f"{pair.distorted.path.stem}.npy"
                rows.append((distance, float(np.load(same)[0])))
        same = [value for _, value in sorted(rows)]
        precisions = np.cumsum(same) / np.arange(1, len(same) + 1)
        return 100 * sum(value * max(precisions[i:]) for i, value in enumerate(same)) / sum(same)

    found = benchmark.scores(distances)
    both = ("traditional", "cnn")
    expected = {
        "All": precision(both, 0),
        "All, shift 3": precision(both, 3) - precision(both, 0),
        "Trad.": precision(both[:1], 0),
        "CNN": precision(both[1:], 0),
    }
    assert list(found) == list(expected)
    np.testing.assert_allclose([estimate.value for estimate in found.values()], list(expected.values()), rtol=1e-6)


def test_unmeasured_pairs_cost_their_triplet_only(twoafc, jnd):
    benchmark = bapps.read_2afc(twoafc, shifts=(0, 1))
    _, distances = distances_by_file(benchmark)
    without = bapps.TwoAlternatives(
        "", [], [], (0, 1), np.delete(benchmark.categories, 2), np.delete(benchmark.judge, 2)
    ).scores(np.delete(distances.reshape(17, 2, 2), 2, axis=0).ravel())
    for pair in (8, 9, 10, 11):  # those of the third triplet
        holed = distances.copy()
        holed[pair] = np.nan
        found = benchmark.scores(holed)
        assert {k: v.value for k, v in found.items()} == {k: v.value for k, v in without.items()}
    nothing = benchmark.scores(np.full(68, np.nan))
    assert all(np.isnan(estimate.value) for estimate in nothing.values())
    assert benchmark.disagreements(np.full(68, np.nan)) == []

    pairs = bapps.read_jnd(jnd)
    holed = np.arange(12.0)
    holed[3] = np.nan
    assert 0 < pairs.scores(holed)["All"].value <= 100
    assert all(case.pairs != (3,) for case in pairs.disagreements(holed))
    for found in (pairs.figures({"A": holed}), benchmark.figures({"A": distances, "B": np.full(68, np.nan)})):
        assert len(found) == 1


def test_the_worst_triplets_are_those_where_unanimous_raters_are_contradicted_firmly():
    judge = np.array([1.0, 0.0, 1.0, 0.4, 0.5])
    d0, d1 = np.array([1.0, 5.0, 9.0, 3.0, 1.0]), np.array([8.0, 4.5, 2.0, 1.5, 7.0])
    benchmark = bapps.TwoAlternatives("", [], [], (0, 4), np.repeat("Trad.", 5), judge)
    worst = benchmark.disagreements(np.stack([d0, d1, d1, d0], 1).ravel())
    # 0: all say the second, far by the metric; 1: all say the first, nearly equal; 3: three of five, clearly
    assert [case.pairs for case in worst] == [(0, 1), (4, 5), (12, 13)]
    assert worst[0].text == (
        "Trad.: 100% of raters find the second image closer, the metric the first (distances 1 and 8)"
    )


def test_the_worst_pairs_are_taken_for_the_same_but_far_or_told_apart_but_near():
    same = np.array([1, 0, 1, 0] * 5, float)
    distances = np.where(same == 1, 0.0, 100.0) + np.arange(20)
    distances[6], distances[13] = 200, -1  # seen as the same and farthest; told apart and nearest
    benchmark = bapps.JustNoticeable("", [], [], (0, 1), np.repeat("CNN", 20), same)
    worst = benchmark.disagreements(np.stack([distances, -distances], 1).ravel())
    assert {case.pairs for case in worst[:2]} == {(12,), (26,)}
    assert len(worst) == 12
    assert "100% of raters saw no difference" in next(case.text for case in worst if case.pairs == (12,))


def test_notes_say_what_the_majority_would_score(twoafc):
    benchmark = bapps.read_2afc(twoafc)
    judge = [np.load(path)[0] for path in twoafc.rglob("*.npy")]
    assert f"{100 * np.mean(np.maximum(judge, 1 - np.array(judge))):.2f}" in benchmark.notes[0]
    assert len(benchmark.notes) == 1


@pytest.mark.parametrize("read", [bapps.read_2afc, bapps.read_jnd])
def test_patches_are_measured_at_64_pixels_as_by_the_authors(read, request):
    folder = request.getfixturevalue("twoafc" if read is bapps.read_2afc else "jnd")
    assert {picture.side for pair in read(folder).pairs for picture in pair} == {64}


@pytest.mark.parametrize("inside", ["2afc", "2afc/val"])
def test_a_folder_too_deep_shows_the_expected_tree(twoafc, inside):
    with pytest.raises(FileNotFoundError, match=re.escape("2afc/val/{traditional,cnn,superres,deblur")):
        bapps.read_2afc(twoafc / inside)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("2afc/val/deblur/p1/000002.png", "deblur/p1 lacks 000002"),
        ("2afc/val/color/judge/000000.npy", "color/judge lacks 000000"),
        ("2afc/val/cnn/ref/*.png", "cnn/ref has no .png file"),
    ],
)
def test_what_is_missing_is_named(twoafc, missing, said):
    for path in twoafc.glob(missing):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(said)):
        bapps.read_2afc(twoafc)


def test_files_of_the_system_are_passed_over(twoafc, jnd):
    for path in [*twoafc.rglob("*.png"), *twoafc.rglob("*.npy")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (path.parent / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    assert len(bapps.read_2afc(twoafc).pairs) == 34
    assert len(bapps.read_jnd(jnd).pairs) == 12


def test_the_case_of_names_does_not_matter_and_doubles_are_named(jnd):
    (jnd / "jnd/val/cnn/p0").rename(jnd / "jnd/val/cnn/P0")
    (jnd / "jnd/val/cnn/P0/000003.png").rename(jnd / "jnd/val/cnn/P0/000003.PNG")
    assert len(bapps.read_jnd(jnd).pairs) == 12
    write(jnd / "jnd/val/cnn/P0/000003.png", 3)
    with pytest.raises(ValueError, match=r"P0/000003\.PNG and .*P0/000003\.png differ only by case"):
        bapps.read_jnd(jnd)


def test_answers_that_most_metrics_contradict_are_doubted(twoafc):
    benchmark = bapps.read_2afc(twoafc)
    closer = np.stack([1 - benchmark.judge, benchmark.judge], 1).ravel()  # the distance to p1 grows with its votes
    right, wrong = benchmark.scores(-closer), benchmark.scores(closer)
    assert benchmark.doubts({"A": right, "B": wrong}) == []
    assert benchmark.doubts({"A": wrong}) == [
        "the metric contradicts people (All below 50): check that judge holds the fraction of raters for p1"
    ]


def test_jnd_names_what_is_missing(jnd):
    (jnd / "jnd/val/cnn/same/000005.npy").unlink()
    with pytest.raises(FileNotFoundError, match="cnn/same lacks 000005") as caught:
        bapps.read_jnd(jnd)
    assert "jnd/val/{traditional,cnn}/{p0,p1}/000000.png" in str(caught.value)


DAMAGED = [
    b"version https://git-lfs.github.com/spec/v1",
    b"<html>",
    b"PK\3\4",
    b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999,), }".ljust(127) + b"\n",
    b"\x93NUMPY\1\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(127) + b"\n\x80",
    b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_ord".ljust(127) + b"\n\0\0\0\0",
    b"\x93NUMPY\7\0v\0",
]


@pytest.mark.parametrize(
    "content", [np.array([1.5]), np.array([np.nan]), np.zeros(2), np.array([None]), None, *DAMAGED]
)
def test_a_judgement_that_is_no_fraction_is_an_error_that_names_the_file(twoafc, content):
    path = twoafc / "2afc/val/cnn/judge/000001.npy"
    if content is None:
        path.write_bytes(b"")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=r"judge/000001\.npy"):
        bapps.read_2afc(twoafc)


@pytest.mark.parametrize("shift", [-1, 1.5])
def test_a_shift_is_a_whole_number_of_pixels(twoafc, shift):
    with pytest.raises(ValueError, match=f"not {shift}"):
        bapps.read_2afc(twoafc, shifts=(0, shift))
