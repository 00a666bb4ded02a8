"""Data sets of rated images: TID2013, TID2008, KADID-10k, CSIQ, LIVE, Toyama, or a table of one's own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import io

from pim_jax.evaluation import compare
from pim_jax.evaluation.datasets import csv_table, rated
from pim_jax.evaluation.datasets.rated import Rated, Rating

_TID = (
    "additive Gaussian noise",
    "noise in colour components",
    "spatially correlated noise",
    "masked noise",
    "high-frequency noise",
    "impulse noise",
    "quantization noise",
    "Gaussian blur",
    "image denoising",
    "JPEG compression",
    "JPEG2000 compression",
    "JPEG transmission errors",
    "JPEG2000 transmission errors",
    "non-eccentricity pattern noise",
    "local block-wise distortions",
    "mean shift",
    "contrast change",
    "change of colour saturation",
    "multiplicative Gaussian noise",
    "comfort noise",
    "lossy compression of noisy images",
    "colour quantization with dither",
    "chromatic aberrations",
    "sparse sampling and reconstruction",
)
_KADID = (
    "Gaussian blur",
    "lens blur",
    "motion blur",
    "colour diffusion",
    "colour shift",
    "colour quantization",
    "colour saturation 1",
    "colour saturation 2",
    "JPEG2000",
    "JPEG",
    "white noise",
    "white noise in colour components",
    "impulse noise",
    "multiplicative noise",
    "denoising",
    "brightening",
    "darkening",
    "mean shift",
    "jitter",
    "non-eccentricity patch",
    "pixelation",
    "quantization",
    "colour blocks",
    "high sharpening",
    "contrast change",
)
# The table's name of a type: the name in files, the name to show.
_CSIQ = {
    "noise": ("awgn", "white noise"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "JPEG2000"),
    "fnoise": ("fnoise", "pink noise"),
    "blur": ("blur", "Gaussian blur"),
    "contrast": ("contrast", "contrast decrements"),
}
# In the order of LIVE's tables: folder, how many images it holds, the name to show.
_LIVE = (
    ("jp2k", 227, "JPEG2000"),
    ("jpeg", 233, "JPEG"),
    ("wn", 174, "white noise"),
    ("gblur", 174, "Gaussian blur"),
    ("fastfading", 174, "fast fading"),
)


class _Layout(NamedTuple):
    """How a data set is distributed, and how to read it."""

    name: str
    files: tuple[str, ...]  # by which it is recognised
    tree: str
    scale: str
    sign: int
    read: Callable[[Path], Iterable[Rating]]


def read(folder_or_csv: Path, *, shifts: Sequence[int] = (0,), allow_missing: bool = False) -> Rated:
    """Reads rated images; which data set it is, is recognised from the files.

    Images are found by their name without extension, in upper or lower case, for copies of the sets differ in both.
    Undistorted images that are in a table of scores are left out, as usual. CSIQ, LIVE and Toyama were not at hand:
    their readers follow the descriptions of those who use them. In what form Toyama's scores are distributed is not
    known here: write them to `mos.csv`.

    Args:
      folder_or_csv: the folder of a data set as distributed; or a CSV file with the columns `reference`, `distorted`
        (file names relative to the CSV file), `score` (higher is closer to the reference) and optionally `type`.
      shifts: also measure with the references shifted by so many pixels; 0 is always measured.
      allow_missing: leaves out ratings whose images are not there, instead of refusing.

    Raises:
      FileNotFoundError: images are missing.
      ValueError: the folder is not recognised, or a table is not as distributed.
      ImportError: CSIQ's table is a spreadsheet, and openpyxl is missing.

    References:
      Ponomarenko et al., Image database TID2013, 2015; TID2008, 2009. Lin et al., KADID-10k, 2019. Larson and Chandler,
      Most apparent distortion (CSIQ), 2010. Sheikh et al., LIVE image quality assessment database release 2. Horita et
      al., MICT (Toyama) image quality evaluation database.
    """
    if folder_or_csv.is_file():
        layout = _Layout(folder_or_csv.stem, (), "", "score", 1, _read_csv)
    else:
        found = [layout for layout in _LAYOUTS if all((folder_or_csv / file).exists() for file in layout.files)]
        if not found:
            trees = "".join(f"\n  {layout.name}: {layout.tree}" for layout in _LAYOUTS)
            raise ValueError(
                f"{folder_or_csv} is none of the data sets of rated images. Expected:{trees}\n"
                "  or a CSV file with the columns reference,distorted,score[,type]"
            )
        layout = found[0]
    ratings = list(layout.read(folder_or_csv))
    name = layout.name
    if name == "TID2008" and any(r.distorted.stem[-1] == "5" or r.kind in _TID[17:] for r in ratings):
        name = "TID2013"  # which has a fifth level and more types, and is otherwise alike
    return rated.select(
        name, ratings, scale=layout.scale, sign=layout.sign, kinds="types", shifts=shifts, allow_missing=allow_missing
    )


def _read_csv(path: Path) -> Iterator[Rating]:
    for line, row in csv_table.rows(path, ("reference", "distorted", "score")):
        images = (path.parent / row[column] for column in ("reference", "distorted"))
        yield Rating(*images, csv_table.number(row["score"], path, line), row.get("type") or "all")


def _read_tid(folder: Path) -> Iterator[Rating]:
    scores = folder / "mos_with_names.txt"
    reference, distorted = _finder(folder / "reference_images"), _finder(folder / "distorted_images")
    for line, row in enumerate(scores.read_text().splitlines(), 1):
        if row.strip():
            score, _, name = row.strip().partition(" ")
            stem, kind, _ = _parts(name.strip(), scores, line)
            score = csv_table.number(score, scores, line)
            yield Rating(reference(stem), distorted(name.strip()), score, _name(_TID, kind, scores, line))


def _read_kadid(folder: Path) -> Iterator[Rating]:
    scores, image = folder / "dmos.csv", _finder(folder / "images")
    for line, row in csv_table.rows(scores, ("dist_img", "ref_img", "dmos")):
        kind = _name(_KADID, _parts(row["dist_img"], scores, line)[1], scores, line)
        yield Rating(image(row["ref_img"]), image(row["dist_img"]), csv_table.number(row["dmos"], scores, line), kind)


def _read_csiq(folder: Path) -> Iterator[Rating]:
    try:
        import openpyxl
    except ImportError:
        raise ImportError("CSIQ's scores are a spreadsheet: pip install 'pim-jax[benchmarks]' (openpyxl)") from None
    scores = folder / "csiq.DMOS.xlsx"
    book = openpyxl.load_workbook(scores, read_only=True, data_only=True)
    rows = list(book["all_by_image"].iter_rows(values_only=True)) if "all_by_image" in book.sheetnames else []
    columns = ("image", "dst_type", "dst_lev", "dmos")
    top = next((i for i, row in enumerate(rows) if set(columns) <= set(row)), None)
    if top is None:
        raise ValueError(f"{scores} has no sheet 'all_by_image' with the columns {', '.join(columns)}")
    reference, distorted = _finder(folder / "src_imgs"), _finder(folder / "dst_imgs")
    for line, row in enumerate(rows[top + 1 :], top + 2):
        image, kind, level, score = (row[rows[top].index(column)] for column in columns)
        if image is not None:
            if kind not in _CSIQ:
                raise ValueError(f"{scores}, row {line}: there is no type of distortion {kind!r}")
            in_files, shown = _CSIQ[kind]
            name = f"{image}.{in_files}.{level}.png"
            yield Rating(reference(f"{image}.png"), distorted(name), csv_table.number(score, scores, line), shown)


def _read_live(folder: Path) -> Iterator[Rating]:
    scores = io.loadmat(folder / "dmos_realigned.mat")
    dmos, undistorted = (np.ravel(scores[name]) for name in ("dmos_new", "orgs"))
    references = np.ravel(io.loadmat(folder / "refnames_all.mat")["refnames_all"])
    names = [(f"{kind}/img{i}.bmp", shown) for kind, count, shown in _LIVE for i in range(1, count + 1)]
    if {len(dmos), len(undistorted), len(references)} != {len(names)}:
        raise ValueError(f"the tables in {folder} do not have the {len(names)} entries of LIVE, release 2")
    for (file, kind), score, original, reference in zip(names, dmos, undistorted, references, strict=True):
        if not original:
            yield Rating(folder / "refimgs" / str(reference.item()), folder / file, float(score), kind)


def _read_toyama(folder: Path) -> Iterator[Rating]:
    scores, image = folder / "mos.csv", _finder(folder)
    for line, row in csv_table.rows(scores, ("image", "mos")):
        reference, level, kind = _parts(row["image"], scores, line)
        if level:
            shown = {"jpg": "JPEG", "jp2": "JPEG2000"}.get(kind, kind)
            yield Rating(image(reference), image(row["image"]), csv_table.number(row["mos"], scores, line), shown)


def _finder(folder: Path) -> Callable[[str], Path]:
    """Finds images in a folder and its subfolders by name without extension, in upper or lower case."""
    found = {Path(name).name.lower(): path for name, path in compare.images_in(folder).items()}
    return lambda name: found.get(Path(name).stem.lower(), folder / name)


def _parts(name: str, path: Path, line: int) -> tuple[str, int, str]:
    """The three parts of a name such as i01_08_3.bmp, the second of which is a number."""
    parts = Path(name).stem.lower().split("_")
    if len(parts) != 3 or not parts[1].isdecimal():
        raise ValueError(f"{path}, line {line}: {name!r} is not a name such as i01_08_3.bmp")
    return parts[0], int(parts[1]), parts[2]


def _name(names: Sequence[str], number: int, path: Path, line: int) -> str:
    if not 1 <= number <= len(names):
        raise ValueError(f"{path}, line {line}: there is no type of distortion {number}")
    return names[number - 1]


_LAYOUTS = (
    _Layout(
        "TID2008",
        ("mos_with_names.txt", "reference_images", "distorted_images"),
        "mos_with_names.txt ('5.51 i01_01_1.bmp' ...), reference_images/i01.bmp ..., distorted_images/i01_01_1.bmp ... "
        "(TID2013 too)",
        "MOS",
        1,
        _read_tid,
    ),
    _Layout(
        "KADID-10k",
        ("dmos.csv", "images"),
        "dmos.csv (dist_img,ref_img,dmos,var), images/I01.png, images/I01_01_01.png ...",
        "DMOS",  # so called, but higher is better
        1,
        _read_kadid,
    ),
    _Layout(
        "CSIQ",
        ("csiq.DMOS.xlsx", "src_imgs", "dst_imgs"),
        "csiq.DMOS.xlsx, src_imgs/1600.png ..., dst_imgs/awgn/1600.AWGN.1.png ...",
        "DMOS",
        -1,
        _read_csiq,
    ),
    _Layout(
        "LIVE",
        ("dmos_realigned.mat", "refnames_all.mat", "refimgs"),
        "dmos_realigned.mat, refnames_all.mat, refimgs/bikes.bmp ..., jp2k/img1.bmp ..., jpeg/, wn/, gblur/, "
        "fastfading/",
        "DMOS",
        -1,
        _read_live,
    ),
    _Layout(
        "Toyama",
        ("mos.csv", "jpeg", "jpeg2000"),
        "mos.csv (image,mos), jpeg/kp01_15_jpg.bmp ..., jpeg2000/kp01_12_jp2.bmp ..., references kp01.bmp "
        "... in any folder",
        "MOS",
        1,
        _read_toyama,
    ),
)
