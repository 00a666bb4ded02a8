"""Readers of rated images on small folders of the published layouts, and the scores against scipy's."""

import csv
import re

import numpy as np
import pytest
from PIL import Image
from scipy import io, stats

from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.datasets import iqa


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def found(benchmark):
    """Reference, distorted image, score and kind of everything, without the folder."""
    return [
        (pair.reference.path.name, pair.distorted.path.name, rating.score, rating.kind)
        for pair, rating in zip(benchmark.pairs, benchmark.ratings, strict=True)
    ]


@pytest.fixture
def tid(tmp_path):
    """Three references, two types, levels 1 to 5; names differ in case and extension from the table's."""
    lines = []
    for reference in (1, 2, 25):
        picture(tmp_path / "reference_images" / f"I{reference:02d}.BMP")
        for kind in (8, 18):
            for level in range(1, 6):
                picture(tmp_path / "distorted_images" / f"i{reference:02d}_{kind:02d}_{level}.png")
                lines.append(f"{6 - level + kind / 100 + reference / 1000:.4f} I{reference:02d}_{kind:02d}_{level}.bmp")
    (tmp_path / "mos_with_names.txt").write_text("\r\n".join(lines) + "\n")
    return tmp_path


def test_tid2013_is_read_whatever_the_case_and_extension_of_its_files(tid):
    benchmark = iqa.read(tid)
    assert benchmark.title == "TID2013: 30 images of 2 types, 3 references"
    assert found(benchmark)[0] == ("I01.BMP", "i01_08_1.png", 5.081, "Gaussian blur")
    assert found(benchmark)[-1] == ("I25.BMP", "i25_18_5.png", 1.205, "change of colour saturation")
    assert benchmark.sign == 1


def test_tid2008_is_told_from_tid2013_by_its_levels_and_types(tid):
    table = tid / "mos_with_names.txt"
    lines = [line for line in table.read_text().splitlines() if "_08_" in line and not line.endswith("_5.bmp")]
    table.write_text("\n".join(lines))
    assert iqa.read(tid).title == "TID2008: 12 images, 3 references"


def test_types_of_the_tid_papers_have_the_names_of_their_numbers():
    for number, name in {1: "additive Gaussian noise", 10: "JPEG compression", 17: "contrast change"}.items():
        assert iqa._TID[number - 1] == name
    assert (len(iqa._TID), len(iqa._KADID)) == (24, 25)
    assert (iqa._KADID[8], iqa._KADID[9], iqa._KADID[24]) == ("JPEG2000", "JPEG", "contrast change")


def test_kadid_is_read_and_its_dmos_is_higher_for_closer_images(tmp_path):
    rows = []
    for name in ("I01", "I02"):
        picture(tmp_path / "images" / f"{name}.png")
        for kind, level in ((1, 1), (1, 5), (10, 3)):
            picture(tmp_path / "images" / f"{name}_{kind:02d}_{level:02d}.png")
            rows.append((f"{name}_{kind:02d}_{level:02d}.png", f"{name}.png", 5 - level * 0.8, 0.5))
    with open(tmp_path / "dmos.csv", "w", newline="") as file:
        csv.writer(file).writerows([("dist_img", "ref_img", "dmos", "var"), *rows])
    benchmark = iqa.read(tmp_path)
    assert benchmark.title == "KADID-10k: 6 images of 2 types, 2 references"
    assert found(benchmark)[0] == ("I01.png", "I01_01_01.png", 4.2, "Gaussian blur")
    assert found(benchmark)[5] == ("I02.png", "I02_10_03.png", 5 - 3 * 0.8, "JPEG")
    assert benchmark.scores(-np.array([rating.score for rating in benchmark.ratings]))["SROCC"].value == 1


@pytest.fixture
def csiq(tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="CSIQ's scores are a spreadsheet")
    book = openpyxl.Workbook()
    sheet = book.create_sheet("all_by_image")
    sheet["A1"] = "DMOS by image"
    for column, title in enumerate(("image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"), 4):
        sheet.cell(4, column, title)
    rows = [
        (1600, 1, "noise", 1, 0.1, 0.06),
        (1600, 3, "jpeg 2000", 2, 0.1, 0.5),
        ("woman", 6, "contrast", 4, 0.1, 0.3),
    ]
    for line, row in enumerate(rows, 5):
        for column, value in enumerate(row, 4):
            sheet.cell(line, column, value)
    book.save(tmp_path / "csiq.DMOS.xlsx")
    for name in ("1600.png", "woman.png"):
        picture(tmp_path / "src_imgs" / name)
    for name in ("awgn/1600.AWGN.1.png", "jpeg2000/1600.jpeg2000.2.png", "contrast/woman.contrast.4.png"):
        picture(tmp_path / "dst_imgs" / name)
    return tmp_path


def test_csiq_is_read_from_its_spreadsheet_and_lower_is_closer(csiq):
    benchmark = iqa.read(csiq)
    assert benchmark.title == "CSIQ: 3 images of 3 types, 2 references"
    assert found(benchmark) == [
        ("1600.png", "1600.AWGN.1.png", 0.06, "white noise"),
        ("1600.png", "1600.jpeg2000.2.png", 0.5, "JPEG2000"),
        ("woman.png", "woman.contrast.4.png", 0.3, "contrast decrements"),
    ]
    assert benchmark.scores(np.array([0.06, 0.5, 0.3]))["SROCC"].value == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>404</html>", "but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a pointer of Git LFS"),
        (b"PK\3\4", "cannot be read as an .xlsx spreadsheet"),
    ],
)
def test_what_is_no_spreadsheet_of_csiq_is_one_line(csiq, content, said):
    (csiq / "csiq.DMOS.xlsx").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        iqa.read(csiq)
    assert str(csiq / "csiq.DMOS.xlsx") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_copies_of_csiq_may_differ_in_case(csiq):
    (csiq / "csiq.DMOS.xlsx").rename(csiq / "CSIQ.dmos.xlsx")
    (csiq / "src_imgs").rename(csiq / "Src_Imgs")
    (csiq / "dst_imgs" / "awgn" / "1600.AWGN.1.png").rename(csiq / "dst_imgs" / "awgn" / "1600.awgn.1.PNG")
    assert iqa.read(csiq).title == "CSIQ: 3 images of 3 types, 2 references"


LIVE = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}


@pytest.fixture
def live(tmp_path):
    """LIVE with 29 references, two undistorted images, and scores that are a tenth of the entry's index."""
    total = sum(LIVE.values())
    undistorted = np.zeros(total)
    undistorted[[3, 300]] = 1
    write_live(tmp_path, {"dmos_new": np.arange(total)[None] / 10.0, "orgs": undistorted[None]})
    names = np.empty(total, object)
    names[:] = [f"ref{i % 29}.bmp" for i in range(total)]
    io.savemat(tmp_path / "refnames_all.mat", {"refnames_all": names[None]})
    picture(tmp_path / "refimgs" / "ref0.bmp")
    bmp = (tmp_path / "refimgs" / "ref0.bmp").read_bytes()
    for i in range(29):
        (tmp_path / "refimgs" / f"ref{i}.bmp").write_bytes(bmp)
    for folder, count in LIVE.items():
        (tmp_path / folder).mkdir()
        for i in range(1, count + 1):
            (tmp_path / folder / f"img{i}.bmp").write_bytes(bmp)
    return tmp_path


def write_live(folder, variables):
    io.savemat(folder / "dmos_realigned.mat", variables)


def test_live_leaves_out_undistorted_images_and_counts_through_its_folders(live):
    benchmark = iqa.read(live)
    assert benchmark.title == "LIVE: 980 images of 5 types, 29 references"
    folders = [pair.distorted.path.parent.name for pair in benchmark.pairs]
    rows = {f"{folder}/{row[1]}": row for folder, row in zip(folders, found(benchmark), strict=True)}
    assert not {"jp2k/img4.bmp", "jpeg/img74.bmp"} & rows.keys()
    assert rows["jp2k/img227.bmp"] == ("ref23.bmp", "img227.bmp", 22.6, "JPEG2000")
    assert rows["jpeg/img1.bmp"] == ("ref24.bmp", "img1.bmp", 22.7, "JPEG")
    assert rows["fastfading/img174.bmp"] == ("ref24.bmp", "img174.bmp", 98.1, "fast fading")
    assert benchmark.sign == -1


def test_copies_of_live_may_differ_in_case(live):
    for path in [*(live / "refimgs").iterdir(), *(live / "wn").iterdir()]:
        path.rename(path.with_name(path.name.capitalize()).with_suffix(".BMP"))
    (live / "dmos_realigned.mat").rename(live / "DMOS_realigned.mat")
    (live / "wn").rename(live / "WN")
    benchmark = iqa.read(live)
    assert benchmark.title == "LIVE: 980 images of 5 types, 29 references"
    assert found(benchmark)[-1] == ("Ref24.BMP", "img174.bmp", 98.1, "fast fading")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"dmos_new": np.zeros(982)}, "has no variable orgs; it needs dmos_new, orgs"),
        (
            {"dmos_new": np.zeros(779), "orgs": np.zeros(982)},
            "does not have the 982 entries of LIVE, release 2, but 779",
        ),
        ({"dmos_new": np.full(982, np.nan), "orgs": np.zeros(982)}, "entry 1, dmos_new: 'nan' is not a number"),
        ({"dmos_new": np.array(["a"] * 982, object), "orgs": np.zeros(982)}, "is not a number"),
    ],
)
def test_a_bad_table_of_live_is_one_line(live, variables, said):
    write_live(live, variables)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        iqa.read(live)
    assert str(live / "dmos_realigned.mat") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_of_live_in_matlabs_newest_form_say_how_to_save_them(live):
    (live / "dmos_realigned.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with pytest.raises(ValueError, match=r"dmos_realigned\.mat .* is of version 7\.3: .* save\(\.\.\., '-v7'\)"):
        iqa.read(live)


@pytest.mark.parametrize("data", ["tid", "csiq"])
def test_files_of_the_system_are_no_images_of_a_data_set(data, request):
    folder = request.getfixturevalue(data)
    title = iqa.read(folder).title
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
        (path.parent / "__MACOSX").mkdir(exist_ok=True)
        (path.parent / "__MACOSX" / path.name).write_bytes(b"another")
    assert iqa.read(folder).title == title


def test_two_files_of_an_image_that_differ_are_never_chosen_from(tid):
    picture(tid / "distorted_images" / "i01_08_1.PNG")  # in another case, but the same
    assert len(iqa.read(tid).pairs) == 30
    Image.new("RGB", (8, 8), "red").save(tid / "distorted_images" / "i01_08_1.PNG")
    with pytest.raises(ValueError, match=r"i01_08_1\.PNG and .*i01_08_1\.png both have the name I01_08_1\.bmp"):
        iqa.read(tid)


def test_toyama_is_read_without_its_undistorted_images(tmp_path):
    picture(tmp_path / "src" / "kp01.bmp")
    for name in ("jpeg/kp01_15_jpg.bmp", "jpeg2000/kp01_12_jp2.bmp", "jpeg2000/kp01_00_jp2.bmp"):
        picture(tmp_path / name)
    (tmp_path / "mos.csv").write_text("image,mos\nkp01_15_jpg.bmp,1.25\nkp01_00_jp2.bmp,4.69\nkp01_12_jp2.bmp,4.63 \n")
    assert found(iqa.read(tmp_path)) == [
        ("kp01.bmp", "kp01_15_jpg.bmp", 1.25, "JPEG"),
        ("kp01.bmp", "kp01_12_jp2.bmp", 4.63, "JPEG2000"),
    ]


@pytest.fixture
def table(tmp_path):
    """Four photographs, two types, three levels, with scores that are no function of the level."""
    rng = np.random.default_rng(0)
    rows = [("reference", "distorted", "score", "type")]
    for photograph in "abcd":
        picture(tmp_path / "in" / f"{photograph}.png")
        for kind in ("blur", "noise"):
            for level in range(3):
                picture(tmp_path / "out" / f"{photograph}-{kind}-{level}.png")
                score = 5 - level + rng.normal()
                rows.append((f"in/{photograph}.png", f"out/{photograph}-{kind}-{level}.png", f"{score:.6f}", kind))
    with open(tmp_path / "mine.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "mine.csv"


def test_the_scores_of_a_table_are_scipys(table):
    benchmark = iqa.read(table, shifts=(0, 2))
    assert benchmark.title == "mine: 24 images of 2 types, 4 references"
    assert len(set(benchmark.pairs)) == len(benchmark.pairs) == 48
    assert [pair.reference.change for pair in benchmark.pairs[:4]] == [None, Change("shift", 2)] * 2
    assert benchmark.pairs[0].distorted == benchmark.pairs[1].distorted != benchmark.pairs[2].distorted
    people = np.array([rating.score for rating in benchmark.ratings])
    blur = np.array([rating.kind == "blur" for rating in benchmark.ratings])
    rng = np.random.default_rng(1)
    plain, shifted = (-people + rng.normal(size=24) for _ in range(2))
    found = benchmark.scores(np.stack([plain, shifted], 1).ravel())

    def srocc(distances, chosen=slice(None)):
        return -stats.spearmanr(distances[chosen], people[chosen]).statistic

    expected = {
        "SROCC": srocc(plain),
        "KROCC": -stats.kendalltau(plain, people).statistic,
        "SROCC, mean of types": (srocc(plain, blur) + srocc(plain, ~blur)) / 2,
        "SROCC, shift 2": srocc(shifted) - srocc(plain),
        "SROCC, blur": srocc(plain, blur),
        "SROCC, noise": srocc(plain, ~blur),
    }
    assert [name for name in found if name != "PLCC"] == list(expected)
    np.testing.assert_allclose([found[name].value for name in expected], list(expected.values()), rtol=1e-12)
    assert abs(np.corrcoef(plain, people)[0, 1]) <= found["PLCC"].value < 1
    for estimate in found.values():
        assert estimate.low <= estimate.value <= estimate.high


def test_unmeasured_images_are_left_out_everywhere(table):
    benchmark = iqa.read(table)
    distances = np.random.default_rng(0).random(24)
    holed = distances.copy()
    holed[[3, 7]] = np.nan
    kept = ~np.isnan(holed)
    people = np.array([rating.score for rating in benchmark.ratings])
    expected = -stats.spearmanr(distances[kept], people[kept]).statistic
    np.testing.assert_allclose(benchmark.scores(holed)["SROCC"].value, expected)
    assert not {(3,), (7,)} & {case.pairs for case in benchmark.disagreements(holed)}
    assert len(benchmark.figures({"A": holed, "B": distances})) == 1
    nothing = np.full(24, np.nan)
    assert all(np.isnan(estimate.value) for estimate in benchmark.scores(nothing).values())
    assert (benchmark.disagreements(nothing), len(benchmark.figures({"A": nothing}))) == ([], 1)


def test_the_worst_disagreement_is_the_largest_difference_of_ranks(table):
    benchmark = iqa.read(table, shifts=(0, 1))
    people = np.array([rating.score for rating in benchmark.ratings])
    distances = -people
    best = int(np.argmax(people))
    distances[best] = 100
    worst = benchmark.disagreements(np.stack([distances, people], 1).ravel())
    assert len(worst) == 12
    rating = benchmark.ratings[best]
    assert worst[0].pairs == (2 * best,)
    assert worst[0].text == (
        f"{rating.distorted.name}, {rating.kind}. People: rank 1 of 24 ({rating.score:.4g}), metric: rank 24 (100)"
    )


def test_a_table_without_types_has_no_columns_of_types(tmp_path):
    for name in "rabcdefg":
        picture(tmp_path / f"{name}.png")
    rows = [f"r.png,{name}.png,{i}" for i, name in enumerate("abcdefg")]
    (tmp_path / "t.csv").write_text("\n".join(["reference,distorted,score", *rows]))
    benchmark = iqa.read(tmp_path / "t.csv")
    assert benchmark.title == "t: 7 images, 1 references"
    scores = benchmark.scores(-np.arange(7.0))
    assert list(scores) == ["SROCC", "KROCC", "PLCC"]
    assert scores["SROCC"].value == 1
    assert np.isnan(scores["SROCC"].low)  # one reference cannot be resampled


def test_missing_images_stop_the_reader_unless_allowed(table):
    for name in ("a-blur-0", "b-noise-2", "c-noise-1", "d-blur-2"):
        (table.parent / "out" / f"{name}.png").unlink()
    with pytest.raises(FileNotFoundError, match="4 of the 28 images of mine are missing") as caught:
        iqa.read(table)
    assert "--allow-missing" in str(caught.value)
    assert "a-blur-0.png" in str(caught.value)
    benchmark = iqa.read(table, allow_missing=True)
    assert benchmark.title == "mine: 20 images of 2 types, 4 references (4 of 24 images are not here)"
    assert len(benchmark.pairs) == len(benchmark.ratings) == 20


def test_no_image_at_all_is_an_error_even_if_allowed(table):
    for path in table.parent.rglob("*.png"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="28 of the 28"):
        iqa.read(table, allow_missing=True)


def test_a_folder_that_is_not_recognised_lists_what_is_expected(tmp_path):
    with pytest.raises(ValueError, match="is none of the data sets") as caught:
        iqa.read(tmp_path)
    said = (
        "TID2008",
        "mos_with_names.txt",
        "KADID-10k",
        "dmos.csv",
        "CSIQ",
        "LIVE",
        "Toyama",
        "reference,distorted,score",
    )
    for text in said:
        assert text in str(caught.value)


THREE = [("0.png", "d0.png", 3.0, "a"), ("1.png", "d1.png", 2.0, "a"), ("2.png", "d2.png", 1.0, "b")]
OK = "reference,distorted,score,type\n" + "".join(f"{a},{b},{c:g},{d}\n" for a, b, c, d in THREE)


@pytest.mark.parametrize(
    "content",
    [
        OK,
        OK + "\n,,,\n",
        OK.replace(",", ";").replace("3", "3,0"),
        OK.replace(",", "\t").replace("\n", "\r"),
        OK.encode("utf-16"),
        OK.title().replace(".Png", ".PNG").replace(",A", ",a").replace(",B", ",b"),
        OK.replace("0.png,d0", r"..\\here\\0.png,.\\d0").replace("\\\\", "\\"),
    ],
)
def test_every_row_of_a_table_of_ones_own_is_used(tmp_path, content):
    (tmp_path / "here").mkdir()
    for row in THREE:
        picture(tmp_path / "here" / row[0])
        picture(tmp_path / "here" / row[1])
    table = tmp_path / "here" / "t.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert found(iqa.read(table)) == THREE


def test_an_image_without_a_type_among_others_is_said_to_have_none(tmp_path):
    for row in THREE:
        picture(tmp_path / row[0])
        picture(tmp_path / row[1])
    (tmp_path / "t.csv").write_text(OK.replace(",b", ","))
    assert [row[3] for row in found(iqa.read(tmp_path / "t.csv"))] == ["a", "a", "no type"]


def test_a_missing_image_is_named_with_its_row(tmp_path):
    picture(tmp_path / "0.png")
    (tmp_path / "t.csv").write_text("reference,distorted,score\n0.png,0.png,1\n0.png,gone.png,2\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.png \(.*t\.csv, row 3\)"):
        iqa.read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("reference,distorted\na,b", "no column score"),
        ("reference,distorted,score\na,b,good", "row 2, score: 'good' is not a number"),
        ("reference,distorted,score\na,b,nan", "row 2, score: 'nan' is not a number"),
        ("reference,distorted,score\n", "has no rows but its header"),
        (
            "reference,distorted,score\nt.csv,t.csv,1\n\nt.csv,./t.csv,2",
            "t.csv, row 4: t.csv with the reference t.csv is rated twice, before in {folder}/t.csv, row 2; keep one",
        ),
    ],
)
def test_a_bad_table_is_an_error_that_says_where(tmp_path, content, said):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(said.format(folder=tmp_path))) as caught:
        iqa.read(tmp_path / "t.csv")
    assert str(tmp_path / "t.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("line", "said"), [("5.0 i01_99_1.bmp", "no type of distortion 99"), ("5.0 lena", "'lena'")])
def test_a_bad_line_of_tid_is_an_error_that_says_where(tid, line, said):
    (tid / "mos_with_names.txt").write_text(f"5.0 i01_08_1.bmp\n{line}\n")
    with pytest.raises(ValueError, match=f"row 2: .*{said}"):
        iqa.read(tid)


# The direction of ratings


def test_ratings_where_lower_is_closer_are_read_so(table):
    better, worse = (iqa.read(table, higher_is=name) for name in ("better", "worse"))
    score = np.array([rating.score for rating in better.ratings])
    assert iqa.read(table).sign == better.sign == 1
    assert worse.sign == -1
    assert better.scores(-score)["SROCC"].value == worse.scores(score)["SROCC"].value == 1
    (figure,) = worse.figures({"A": score}).values()
    assert figure.axes[0].get_xlabel() == "score (lower is closer)"


def test_only_a_table_of_ones_own_is_told_its_direction(tid, table):
    with pytest.raises(ValueError, match="TID2008 says itself which scores are better"):
        iqa.read(tid, higher_is="worse")
    with pytest.raises(ValueError, match="higher is better or worse, not 'lower'"):
        iqa.read(table, higher_is="lower")


@pytest.mark.slow(kept="the command doubts one in test_benchmark_run.py")
def test_a_direction_that_most_metrics_contradict_is_doubted(table):
    for higher_is, other in (("better", "worse"), ("worse", "better")):
        benchmark = iqa.read(table, higher_is=higher_is)
        right = -benchmark.sign * np.array([rating.score for rating in benchmark.ratings])
        scores = {name: benchmark.scores(sign * right) for name, sign in (("A", -1), ("B", 1), ("C", -1))}
        (doubt,) = benchmark.doubts(scores)
        assert doubt.startswith("2 of 3 metrics contradict people (SROCC below 0)")
        assert doubt.endswith(f"give --higher-is {other}")
        assert benchmark.doubts({name: scores[name] for name in "AB"}) == []
        assert benchmark.doubts({"B": scores["B"]}) == []
        assert benchmark.doubts({"A": scores["A"]})[0].startswith("the metric contradicts people")


@pytest.mark.slow(kept="scores that are to be doubted")
def test_chance_alone_raises_no_doubt(table):
    benchmark = iqa.read(table)
    scores = benchmark.scores(np.random.default_rng(3).normal(size=24))
    assert scores["SROCC"].low < 0 < scores["SROCC"].high
    assert benchmark.doubts({"A": scores}) == []
    assert benchmark.doubts({"A": benchmark.scores(np.full(24, np.nan))}) == []
