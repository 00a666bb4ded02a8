"""Tables of data sets. Every row is used, or an error names the file, the row and what is wrong there.

A row of text is one line, and `csv` splits one line at a time. So an open quote cannot swallow the rows below it.
Libraries that read whole tables lose rows in silence: pandas 3.1 and Polars 2.1 fill a row that is too short with NaN,
and PyArrow 26 reads an open quote to the end of the file.
"""

import csv
import dataclasses
import io
import itertools
import json
import math
import os
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

BYTES = 2**28  # of a table at most; one with a million rows has less than half as many
ROWS = 2**20  # of a spreadsheet at most, which is what spreadsheet programs hold
ROW = 2**16  # characters of a row at most
FIELD = 2**12  # characters of a field at most: the longest path on Linux
PATIENCE = 300  # seconds for a MAT-file; LIVE's take one
COMMAS = ",;\t"  # what may stand between fields
SPACES = " "  # any number of blanks stand between fields

# The first that fits is taken; UTF-32 begins as UTF-16 does.
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# What a file may be instead of what its name says, by how it begins (in lower case), and what to do.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS to the file: fetch it with 'git lfs pull'",
    b"<!doctype": "a web page: download the file itself",
    b"<html": "a web page: download the file itself",
    b"<?xml": "an XML document: download or export the file itself",
    b"pk\3\4": "a spreadsheet or a ZIP archive: export the table as CSV UTF-8, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls): save it in the expected form",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"%pdf": "a PDF document: get the table itself",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
      place: where it is, such as "scores.csv, row 3".
      values: text or numbers by column.
    """

    place: str
    values: Mapping[str, str | float]

    def __getitem__(self, column: str) -> str | float:
        return self.values[column]


def read(
    path: Path,
    columns: Mapping[str, type],
    *,
    optional: Sequence[str] = (),
    header: bool = True,
    delimiters: str = COMMAS,
) -> list[Row]:
    """Reads a table from a text file.

    The text is UTF-8, or what a byte-order mark says. The header decides whether commas, semicolons or tabs stand
    between the fields. Numbers have a decimal point; where semicolons stand between fields, they may all have a comma.
    Column names are found in upper or lower case. Spaces around fields, and rows that are empty, do not count.

    Args:
      path: the file.
      columns: what it must have, str or float by name in lower case. Further columns are not read.
      optional: columns of text that it may have, and whose fields may be empty.
      header: whether the first row names the columns; if not, they are in the order of `columns`.
      delimiters: `COMMAS`, or `SPACES`.

    Returns:
      the rows, at least one. Numbers are finite, and text is not empty.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no such table. The message names the file and the row, as an editor counts its lines.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "scores.csv")
      ...     _ = path.write_text("Image; Score; Note\\n a.png; 3,5;\\n")
      ...     (row,) = read(path, {"image": str, "score": float})
      >>> row.values, row.place.endswith("scores.csv, row 2")
      ({'image': 'a.png', 'score': 3.5}, True)
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty")
    delimiter = max(delimiters, key=lambda mark: _fit(lines[0][1], mark, columns, header))
    rows = _split_all(path, lines, delimiter)
    names = [name.casefold() for name in next(rows)[1]] if header else list(columns)
    while names and not names[-1]:
        names.pop()
    index = _index(path, names, columns, optional)
    cells = (
        (number, {column: fields[at] for column, at in index.items()})
        for number, fields in _of_width(path, rows, delimiter, names)
    )
    return _rows(path, cells, columns, comma=delimiter == ";")


def read_sheet(path: Path, sheet: str, columns: Mapping[str, type]) -> list[Row]:
    """Reads a table from a sheet of a spreadsheet; a title may be above its header.

    Args:
      path: an .xlsx file.
      sheet: the name of the sheet.
      columns: as for `read`.

    Returns:
      as `read`.

    Raises:
      ImportError: openpyxl is missing. The message says what to install.
      OSError, ValueError: as `read`.
    """
    try:
        import openpyxl
    except ImportError:
        raise ImportError(f"{path} is a spreadsheet: pip install 'pim-jax[benchmarks]' (openpyxl)") from None

    def cells(file):
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > BYTES:
                raise ValueError(f"it unpacks to more than {BYTES:,} bytes")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        if sheet not in book.sheetnames:
            raise ValueError(f"it has no sheet {sheet!r}; it has {_clipped(', '.join(book.sheetnames))}")
        book[sheet].reset_dimensions()  # the file's own may claim any number of cells
        rows = itertools.islice(book[sheet].iter_rows(values_only=True), ROWS)
        return [["" if cell is None else str(cell).strip() for cell in row] for row in rows]

    rows = _parsed(path, cells, "an .xlsx spreadsheet", allowed=b"pk\3\4")
    folded = ([name.casefold() for name in row] for row in rows)
    top, names = max(enumerate(folded, 1), key=lambda row: len(columns.keys() & {*row[1]}), default=(0, []))
    index = _index(f"sheet {sheet!r} of {path}", names, columns)
    # A row ends with the last cell that was ever used. What stands beside or below the table is not of it.
    found = (
        (number, {column: row[at] if at < len(row) else "" for column, at in index.items()})
        for number, row in enumerate(rows[top:], top + 1)
    )
    return _rows(path, ((number, values) for number, values in found if any(values.values())), columns)


def read_matlab(path: Path, names: Sequence[str]) -> list[list[str]]:
    """Reads variables from a MAT-file of MATLAB, in a process of its own: SciPy's reader crashes on damaged ones.

    Args:
      path: a file of version 7 or below.
      names: of the variables.

    Returns:
      the entries of each variable, as text.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no such file, or lacks a variable.
    """
    found = _parsed(path, lambda file: _load_matlab(file.getvalue(), names), "a MAT-file of MATLAB")
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path} has no variable {', '.join(missing)}; it needs {', '.join(names)}")
    return [found[name] for name in names]


def _load_matlab(data: bytes, names: Sequence[str]) -> dict[str, list[str]]:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import answer_matlab; answer_matlab({[*names]!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, timeout=PATIENCE)
    if done.returncode or not done.stdout:
        raise ValueError("it is damaged, and its reader crashed")
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        raise ValueError(answer)
    return answer


def answer_matlab(names: Sequence[str]) -> None:
    """What the process of `read_matlab` does: reads a file from standard input, prints its variables or an error."""
    from scipy import io as scipy_io

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        found = scipy_io.loadmat(io.BytesIO(sys.stdin.buffer.read()), variable_names=names)
        answer = {name: [str(np.squeeze(entry)) for entry in np.ravel(found[name])] for name in names if name in found}
    except NotImplementedError:
        answer = "it is of version 7.3: load it in MATLAB and save it with save(..., '-v7')"
    except Exception as error:
        answer = str(error) or type(error).__name__
    with answers:
        json.dump(answer, answers)


def number(text: str, place: str, *, comma: bool = False) -> float:
    """A finite number.

    Args:
      text: with a decimal point.
      place: where it is, for the error.
      comma: whether a decimal comma is taken for a point.

    Raises:
      ValueError: it is none.
    """
    plain = text.replace(",", ".") if comma else text
    value = float(plain) if _NUMBER.fullmatch(text) and "," not in plain else math.nan
    if not math.isfinite(value):
        advice = "; write a decimal point" if _NUMBER.fullmatch(text) and "," in text else ""
        raise ValueError(f"{place}: {_clipped(text)!r} is not a number{advice}")
    return value


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, whichever system ended them."""
    data = _content(path)
    _check_is_no_other(path, data, "a table as text")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = len(list(io.StringIO(data[: error.start].decode(encoding, "ignore") + ".", newline=None)))
        raise ValueError(
            f"{path}, row {row}: its text is not {encoding.upper().removesuffix('-SIG')} (byte "
            f"0x{data[error.start]:02X}); save the table as UTF-8, which spreadsheet programs call CSV UTF-8"
        ) from None
    for row, line in enumerate(io.StringIO(text.lstrip("\ufeff"), newline=None), 1):
        if "\0" in line:
            raise ValueError(
                f"{path}, row {row}: it holds a NUL character, so the file is damaged, or UTF-16 without a byte-order "
                "mark; save the table as UTF-8"
            )
        if len(line) > ROW:
            raise ValueError(f"{path}, row {row} has {len(line):,} characters; a row has at most {ROW:,}")
        yield line


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is {'a folder' if path.is_dir() else 'missing'}; it should be a file")
    if path.stat().st_size > BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a table has at most {BYTES:,}")
    return path.read_bytes()


def _check_is_no_other(path: Path, data: bytes, expected: str, allowed: bytes | None = None) -> None:
    beginning = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what in _OTHERS.items():
        if start != allowed and beginning.startswith(start):
            raise ValueError(f"{path} is not {expected} but {what}")


def _parsed(path: Path, parse: Callable, expected: str, allowed: bytes | None = None):
    """What a library makes of a file; whatever it raises on a damaged one is one error that names the file."""
    data = _content(path)
    _check_is_no_other(path, data, expected, allowed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles
            return parse(io.BytesIO(data))
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read as {expected}: {_clipped(reason)}") from error


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == SPACES:
        return line.split()
    rows = csv.reader([line.removesuffix("\n")], delimiter=delimiter, skipinitialspace=True, strict=True)
    return [field.strip() for field in next(rows)]


def _fit(line: str, delimiter: str, columns: Mapping[str, type], header: bool) -> int:
    """How well a delimiter fits the first row: the columns it finds there, or how many fields."""
    try:
        fields = _split(line, delimiter)
    except csv.Error:
        return -1
    return len(columns.keys() & {field.casefold() for field in fields}) if header else min(len(fields), len(columns))


def _split_all(path: Path, lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        try:
            yield number, _split(line, delimiter)
        except csv.Error as error:
            raise ValueError(
                f"{path}, row {number}: a double quote is open or in the wrong place ({error}). Close it; a row is one "
                "line, and a quote within a quoted field is written twice"
            ) from None


def _index(
    table: str | Path, names: Sequence[str], columns: Mapping[str, type], optional: Sequence[str] = ()
) -> dict[str, int]:
    """Where each column is."""
    if missing := [column for column in columns if column not in names]:
        header = _clipped(",".join(names))
        raise ValueError(
            f"{table} has no column {', '.join(missing)}: it needs {', '.join(columns)}, and its header is {header!r}"
        )
    wanted = [column for column in (*columns, *optional) if column in names]
    if twice := [column for column in wanted if names.count(column) > 1]:
        raise ValueError(f"{table} has the column {twice[0]} twice; keep one")
    return {column: names.index(column) for column in wanted}


def _of_width(
    path: Path, rows: Iterable[tuple[int, list[str]]], delimiter: str, names: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, without empty fields to the right of the last column."""
    width = len(names)
    for number, fields in rows:
        while len(fields) > width and not fields[-1]:
            fields.pop()
        if len(fields) != width and any(fields):
            mark = {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(delimiter)
            advice = f"; put a field that holds {mark} into double quotes" if mark else ""
            if len(fields) < width:
                advice = "; complete the row, or remove it"
            count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            raise ValueError(
                f"{path}, row {number} has {count} instead of {width} ({_clipped(', '.join(names))}){advice}"
            )
        if any(fields):
            yield number, fields


def _rows(
    path: Path, cells: Iterable[tuple[int, Mapping[str, str]]], columns: Mapping[str, type], comma: bool = False
) -> list[Row]:
    """Checks what is in the cells, and makes numbers of it."""
    rows, point_or_comma = [], {}
    for row_number, texts in cells:
        place, values = f"{path}, row {row_number}", {}
        for column, text in texts.items():
            if not text and column in columns:
                raise ValueError(f"{place}: {column} is empty; fill it in, or remove the row")
            if len(text) > FIELD:
                raise ValueError(f"{place}: {column} has {len(text):,} characters; a field has at most {FIELD:,}")
            if columns.get(column) is float:
                values[column] = number(text, f"{place}, {column}", comma=comma)
                point_or_comma.setdefault("," if "," in text else "." if "." in text else "", place)
            else:
                values[column] = text
        rows.append(Row(place, values))
    if {",", "."} <= point_or_comma.keys():  # is 1.234 a little more than one, or a thousand?
        raise ValueError(
            f"{point_or_comma[',']} has a decimal comma, and {point_or_comma['.']} a decimal point: write points only"
        )
    if not rows:
        raise ValueError(f"{path} has no rows but its header")
    return rows


def _clipped(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"
