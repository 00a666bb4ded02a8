"""Tables of data sets as people's programs write and spoil them: every row is used, or one line says what is wrong."""

import re

import numpy as np
import pytest
from scipy import io

from pim_jax.evaluation.datasets import table

COLUMNS = {"image": str, "score": float}
ROWS = [("a.png", 3.0), ("b.png", 2.5), ("c.png", 1.0)]
PLAIN = "image,score,type\na.png,3,x\nb.png,2.5,x\nc.png,1,y\n"


def write(folder, content):
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(rows):
    return [(row["image"], row["score"]) for row in rows]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.removesuffix("\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),  # as on old Macs
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ";").replace("2.5", "2,5"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        PLAIN.replace(",", ", \u00a0"),
        PLAIN.replace("\n", ",,\n"),  # empty columns to the right
        f"\n\n{PLAIN}\n,,\n\n ; \n"[: -len(" ; \n")],
        PLAIN.replace("image", "IMAGE").replace("score", "Score"),
        PLAIN.replace("image", '"image"').replace("a.png", '"a.png"'),
        PLAIN.replace(",x", ',"said ""x"", twice"'),
        "type,note,note,score,image\nx,,,3,a.png\n,1,2,2.5,b.png\n,,,1,c.png",
        PLAIN.replace("2.5", "25e-1").replace("3", "+3.0"),
        "\ufeff" + PLAIN,
        "\ufeff\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", "\t").encode("utf-16"),  # as spreadsheet programs write "Unicode text"
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
    ],
)
def test_every_row_is_read_from_what_programs_write(tmp_path, content):
    rows = table.read(write(tmp_path, content), COLUMNS, optional=("type",))
    assert pairs(rows) == ROWS


def test_names_in_every_script_are_read(tmp_path):
    content = "image,score\nfußgänger.png,1\n東京.png,2\n" + '"a, b.png",3\n'
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        rows = table.read(write(tmp_path, content.encode(encoding)), COLUMNS)
        assert [row["image"] for row in rows] == ["fußgänger.png", "東京.png", "a, b.png"]


def test_a_row_knows_its_line_in_the_file(tmp_path):
    path = write(tmp_path, f"\n{PLAIN}\n\nd.png,4,z\n")
    assert [row.place for row in table.read(path, COLUMNS)] == [f"{path}, row {number}" for number in (3, 4, 5, 8)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN.replace(",x\nb", ',"x\nb'), "row 2: a double quote is open"),
        (PLAIN.replace(",x\nb", ',"x\nb').replace("y\n", 'y"\n'), "row 2: a double quote is open"),
        (PLAIN.replace("b.png", '"b".png'), "row 3: a double quote is open or in the wrong place"),
        (PLAIN.replace("image", '"image'), "row 1: a double quote is open"),
        (
            PLAIN.replace("b.png,2.5,x", "b.png"),
            "row 3 has 1 field instead of 3 (image, score, type); complete the row",
        ),
        (
            "image,score,,\na.png,3,5,\n",
            "row 2 has 3 fields instead of 2 (image, score); put a field that holds a comma",
        ),
        (
            PLAIN.replace("b.png,2.5,x", "b.png,2,5,x"),
            "row 3 has 4 fields instead of 3 (image, score, type); put a field",
        ),
        (PLAIN.replace("b.png,2.5,x", "b.png,,x"), "row 3: score is empty"),
        (PLAIN.replace("b.png,2.5,x", " ,2.5,x"), "row 3: image is empty"),
        (PLAIN.replace(",", ";").replace("2.5", "1.234,5"), "row 3, score: '1.234,5' is not a number"),
        (PLAIN.replace(",", ";").replace("2.5", "2,5").replace("3", "3.0"), "row 3 has a decimal comma"),
        (PLAIN.replace(",", "\t").replace("2.5", "2,5"), "row 3, score: '2,5' is not a number; write a decimal point"),
        (PLAIN.replace("2.5", "nan"), "row 3, score: 'nan' is not a number"),
        (PLAIN.replace("2.5", "1e999"), "row 3, score: '1e999' is not a number"),
        (PLAIN.replace("2.5", "1_0"), "row 3, score: '1_0' is not a number"),
        (PLAIN.replace("2.5", "٣"), "row 3, score: '٣' is not a number"),
        (PLAIN.replace("2.5", "#N/A"), "row 3, score: '#N/A' is not a number"),
        (PLAIN.replace("b.png", "b\0.png"), "row 3: it holds a NUL character"),
        (PLAIN.encode("utf-16-le"), "row 1: it holds a NUL character"),
        (PLAIN.replace("b.png", "b" * 200_000), "row 3 has 200,007 characters"),
        (PLAIN.replace("b.png", "b" * 5000), "row 3: image has 5,000 characters"),
        (
            PLAIN.replace("b.png", "für.png").encode("cp1252"),
            "row 3: its text is not UTF-8 (byte 0xFC); save the table as",
        ),
        (PLAIN.replace("b.png", "für.png").replace("\n", "\r").encode("cp1252"), "row 3: its text is not UTF-8"),
        (PLAIN.encode("utf-16")[:-1], "row 4: its text is not UTF-16"),
        (PLAIN.replace("type", "Score"), "has the column score twice"),
        (
            PLAIN.replace("score", "mos"),
            "has no column score: it needs image, score, and its header is 'image,mos,type'",
        ),
        (PLAIN.split("\n", 1)[1], "has no column image, score"),
        ("image,score\n", "has no rows but its header"),
        ("image,score\n,\n\n", "has no rows but its header"),
        (",;\t\n,,\n", "has no column image, score"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("<!DOCTYPE html>\n<html>", "not a table as text but a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
        (b"PK\3\4\x14\0", "a spreadsheet or a ZIP archive"),
        (b"\x1f\x8b\x08\0", "compressed with gzip"),
    ],
)
def test_a_spoilt_table_is_one_line_with_file_and_row(tmp_path, content, said):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        table.read(path, COLUMNS, optional=("type",))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_table_that_is_too_large_is_not_read(tmp_path):
    path = write(tmp_path, PLAIN)
    with open(path, "r+b") as file:
        file.truncate(table.BYTES + 1)  # a hole, which takes no space
    with pytest.raises(ValueError, match="a table has at most"):
        table.read(path, COLUMNS)


@pytest.mark.parametrize(
    ("make", "said"), [(lambda path: path.mkdir(), "is a folder"), (lambda path: None, "is missing")]
)
def test_what_is_no_file_is_refused(tmp_path, make, said):
    make(tmp_path / "t.csv")
    with pytest.raises(FileNotFoundError, match=said):
        table.read(tmp_path / "t.csv", COLUMNS)


def test_a_table_without_a_header_has_its_columns_in_order(tmp_path):
    for content in ("a.png;3\nb.png;2,5\nc.png;1", "a.png,3\n\nb.png,2.5\nc.png,1\n"):
        assert pairs(table.read(write(tmp_path, content), COLUMNS, header=False)) == ROWS
    with pytest.raises(ValueError, match=re.escape("row 1 has 1 field instead of 2 (image, score)")):
        table.read(write(tmp_path, "a.png\n"), COLUMNS, header=False)
    path = write(tmp_path, "3  a.png\r\n2.5\tb.png \r\n\r\n 1 c.png")
    columns = {"score": float, "image": str}
    assert pairs(table.read(path, columns, header=False, delimiters=table.SPACES)) == ROWS
    with pytest.raises(ValueError, match=re.escape("row 2 has 3 fields instead of 2")):
        table.read(write(tmp_path, "3 a.png\n2 b c.png"), columns, header=False, delimiters=table.SPACES)


# Spreadsheets


@pytest.fixture
def sheet(tmp_path):
    """A table with a title above, a column to the left, and remarks beside and below it."""
    openpyxl = pytest.importorskip("openpyxl", reason="spreadsheets need it")

    def save(rows, title="scores"):
        book = openpyxl.Workbook()
        sheet = book.create_sheet(title)
        for row in [("Scores of images",), (), ("", "Image", "SCORE", "type"), *rows]:
            sheet.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return save


def test_a_sheet_is_read_wherever_its_table_begins(sheet):
    rows = [("", "a.png", 3, "x"), ("", "b.png", 2.5), (), ("", " c.png", "1", "", "a remark"), ("the end",)]
    path = sheet(rows)
    found = table.read_sheet(path, "scores", COLUMNS)
    assert pairs(found) == ROWS
    assert [row.place for row in found] == [f"{path}, row {number}" for number in (4, 5, 7)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("", "b.png", "n/a"), "row 5, score: 'n/a' is not a number"),
        (("", "b.png"), "row 5: score is empty"),
        (("", "", 2), "row 5: image is empty"),
    ],
)
def test_a_bad_cell_is_one_line_with_file_and_row(sheet, row, said):
    path = sheet([("", "a.png", 3), row])
    with pytest.raises(ValueError, match=re.escape(f"{path}, {said}")):
        table.read_sheet(path, "scores", COLUMNS)


def test_a_spreadsheet_without_the_table_says_what_it_lacks(sheet):
    with pytest.raises(ValueError, match="has no sheet 'scores'; it has Sheet, other"):
        table.read_sheet(sheet([], title="other"), "scores", COLUMNS)
    with pytest.raises(ValueError, match="has no column mos: it needs image, mos"):
        table.read_sheet(sheet([("", "a.png", 3)]), "scores", {"image": str, "mos": float})
    with pytest.raises(ValueError, match="has no rows but its header"):
        table.read_sheet(sheet([]), "scores", COLUMNS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html><body>404</body></html>", "not an .xlsx spreadsheet but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a pointer of Git LFS to the file: fetch it with"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "but an old spreadsheet"),
        (b"PK\3\4 and no more", "cannot be read as an .xlsx spreadsheet: File is not a zip file"),
        (b"", "cannot be read as an .xlsx spreadsheet"),
        (b"image,score\n", "cannot be read as an .xlsx spreadsheet"),
    ],
)
def test_what_is_no_spreadsheet_is_one_line(tmp_path, content, said):
    pytest.importorskip("openpyxl", reason="spreadsheets need it")
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        table.read_sheet(path, "scores", COLUMNS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# MATLAB


def test_variables_of_matlab_are_read_flat(tmp_path):
    names = np.empty(2, object)
    names[:] = ["a.bmp", "b.bmp"]
    io.savemat(tmp_path / "t.mat", {"scores": np.ones((2, 1)), "names": names[None], "others": 3})
    scores, found = table.read_matlab(tmp_path / "t.mat", ("scores", "names"))
    assert (scores, found) == (["1.0", "1.0"], ["a.bmp", "b.bmp"])
    with pytest.raises(ValueError, match="has no variable orgs, scale; it needs scores, orgs, scale"):
        table.read_matlab(tmp_path / "t.mat", ("scores", "orgs", "scale"))


def test_a_file_on_which_the_reader_of_matlab_crashes_is_refused(tmp_path):
    """A type that there is none of, by which SciPy 1.17 reads beyond its table of types."""
    io.savemat(tmp_path / "t.mat", {"scores": np.arange(9.0)})
    data = (tmp_path / "t.mat").read_bytes()
    path = write(tmp_path, data.replace(b"scores\0\0\x09\0\0\0", b"scores\0\0\x09\x80\0\0"))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match="cannot be read as a MAT-file of MATLAB"):
        table.read_matlab(path, ("scores",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(400),
            "it is of version 7.3: load it in",
        ),
        (b"<!doctype html>", "not a MAT-file of MATLAB but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a pointer of Git LFS"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\x0e\0\0\0\xff\xff\0\0", "cannot be read as a MAT-file"),
        (b"", "cannot be read as a MAT-file"),
    ],
)
def test_what_is_no_mat_file_is_one_line(tmp_path, content, said):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        table.read_matlab(path, ("scores",))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
