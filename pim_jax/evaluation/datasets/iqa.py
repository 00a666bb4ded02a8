"""Data sets of rated images: TID2013, TID2008, KADID-10k, CSIQ, LIVE, Toyama, or a table of one's own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pim_jax.evaluation.datasets import find, rated, table
from pim_jax.evaluation.datasets.rated import Rated, Rating
from pim_jax.evaluation.datasets.table import Row

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

# For a table of one's own: whether a higher score means closer to the reference.
HIGHER_IS = {"better": 1, "worse": -1}
_IF_CONTRADICTED = {
    1: "if a lower score means closer to the reference, give --higher-is worse",
    -1: "if a higher score means closer to the reference, give --higher-is better",
}


class _Layout(NamedTuple):
    """How a data set is distributed, and how to read it."""

    name: str
    files: tuple[str, ...]  # those that no other data set has
    tree: str
    scale: str
    sign: int
    read: Callable[[Path], Iterable[Rating]]


def read(
    folder_or_csv: Path,
    *,
    shifts: Sequence[int] = (0,),
    allow_missing: bool = False,
    higher_is: str | None = None,
) -> Rated:
    """Reads rated images. The files in a folder show which data set it is.

    Images are found by their names without extension, in upper or lower case, because copies of the sets differ in
    both. Tables also list undistorted images; they are left out, as is usual. The readers of CSIQ, LIVE and Toyama
    follow the descriptions of people who use these sets: the sets themselves were not at hand. How Toyama distributes
    its scores is not known here, so write them to `mos.csv`.

    Args:
      folder_or_csv: the folder of a data set as distributed; or a CSV file with the columns `reference`, `distorted`
        (file names relative to the CSV file), `score` and optionally `type`.
      shifts: also measure with the references shifted by so many pixels; 0 is always measured.
      allow_missing: leaves out ratings whose images are not there, instead of refusing.
      higher_is: for a CSV file, "better" if a higher score means closer to the reference (the default), "worse" if it
        means farther, as in DMOS. The data sets have a direction of their own.

    Raises:
      FileNotFoundError: images are missing.
      ValueError: the folder is not recognised, a table is not as distributed, or `higher_is` is not for this data set.
      ImportError: CSIQ's table is a spreadsheet, and openpyxl is missing.

    References:
      Ponomarenko et al., Image database TID2013, 2015; TID2008, 2009. Lin et al., KADID-10k, 2019. Larson and Chandler,
      Most apparent distortion (CSIQ), 2010. Sheikh et al., LIVE image quality assessment database release 2. Horita et
      al., MICT (Toyama) image quality evaluation database.
    """
    layout = _own_table(folder_or_csv, higher_is) if folder_or_csv.is_file() else _recognised(folder_or_csv)
    if higher_is and layout.files:
        raise ValueError(f"{layout.name} says itself which scores are better; --higher-is is for a table of your own")
    ratings = list(layout.read(folder_or_csv))
    name = layout.name
    if name == "TID2008" and any(r.distorted.stem[-1] == "5" or r.kind in _TID[17:] for r in ratings):
        name = "TID2013"  # which has a fifth level and more types, and is otherwise alike
    return rated.select(
        name,
        ratings,
        scale=layout.scale,
        sign=layout.sign,
        kinds="types",
        shifts=shifts,
        allow_missing=allow_missing,
        **({} if layout.files else {"if_contradicted": _IF_CONTRADICTED[layout.sign]}),
    )


def _own_table(path: Path, higher_is: str | None) -> _Layout:
    if higher_is not in (None, *HIGHER_IS):
        raise ValueError(f"higher is {' or '.join(HIGHER_IS)}, not {higher_is!r}")
    return _Layout(path.stem, (), "", "score", HIGHER_IS[higher_is or "better"], _read_csv)


def _recognised(folder: Path) -> _Layout:
    file = find.by_path(folder)
    for layout in _LAYOUTS:
        if all(file(name).exists() for name in layout.files):
            return layout
    trees = "".join(f"\n  {layout.name}: {layout.tree}" for layout in _LAYOUTS)
    raise ValueError(
        f"{folder} is none of the data sets of rated images. Expected:{trees}\n"
        "  or a CSV file with the columns reference,distorted,score[,type]"
    )


def _read_csv(path: Path) -> Iterator[Rating]:
    columns = {"reference": str, "distorted": str, "score": float}
    image = find.by_path(path.parent)
    for row in table.read(path, columns, optional=("type",)):
        kind = row.values.get("type", "all") or "no type"
        yield Rating(image(row["reference"]), image(row["distorted"]), row["score"], kind, row.place)


def _read_tid(folder: Path) -> Iterator[Rating]:
    file = find.by_path(folder)
    reference, distorted = (find.by_stem(file(name)) for name in ("reference_images", "distorted_images"))
    columns = {"score": float, "image": str}
    for row in table.read(file("mos_with_names.txt"), columns, header=False, delimiters=table.SPACES):
        stem, kind, _ = _parts(row, "image")
        yield Rating(reference(stem), distorted(row["image"]), row["score"], _name(_TID, kind, row), row.place)


def _read_kadid(folder: Path) -> Iterator[Rating]:
    file = find.by_path(folder)
    image = find.by_stem(file("images"))
    for row in table.read(file("dmos.csv"), {"dist_img": str, "ref_img": str, "dmos": float}):
        kind = _name(_KADID, _parts(row, "dist_img")[1], row)
        yield Rating(image(row["ref_img"]), image(row["dist_img"]), row["dmos"], kind, row.place)


def _read_csiq(folder: Path) -> Iterator[Rating]:
    file = find.by_path(folder)
    reference, distorted = find.by_stem(file("src_imgs")), find.by_stem(file("dst_imgs"))
    columns = {"image": str, "dst_type": str, "dst_lev": str, "dmos": float}
    for row in table.read_sheet(file("csiq.DMOS.xlsx"), "all_by_image", columns):
        if row["dst_type"].lower() not in _CSIQ:
            raise ValueError(f"{row.place}: there is no type of distortion {row['dst_type']!r}")
        in_files, shown = _CSIQ[row["dst_type"].lower()]
        name = f"{row['image']}.{in_files}.{row['dst_lev']}.png"
        yield Rating(reference(f"{row['image']}.png"), distorted(name), row["dmos"], shown, row.place)


def _read_live(folder: Path) -> Iterator[Rating]:
    file = find.by_path(folder)
    scores, names = file("dmos_realigned.mat"), file("refnames_all.mat")
    dmos, undistorted = table.read_matlab(scores, ("dmos_new", "orgs"))
    (references,) = table.read_matlab(names, ("refnames_all",))
    reference = find.by_stem(file("refimgs"))
    distorted = {kind: find.by_stem(file(kind)) for kind, _, _ in _LIVE}
    images = [(kind, f"img{i}.bmp", shown) for kind, count, shown in _LIVE for i in range(1, count + 1)]
    for path, entries in ((scores, dmos), (scores, undistorted), (names, references)):
        if len(entries) != len(images):
            raise ValueError(f"{path} does not have the {len(images)} entries of LIVE, release 2, but {len(entries)}")
    entries = zip(images, dmos, undistorted, references, strict=True)
    for number, ((kind, image, shown), score, original, name) in enumerate(entries, 1):
        place = f"{scores}, entry {number}"
        if table.number(original, f"{place}, orgs") == 0:
            score = table.number(score, f"{place}, dmos_new")
            yield Rating(reference(name), distorted[kind](image), score, shown, place)


def _read_toyama(folder: Path) -> Iterator[Rating]:
    image = find.by_stem(folder)
    for row in table.read(find.by_path(folder)("mos.csv"), {"image": str, "mos": float}):
        reference, level, kind = _parts(row, "image")
        if level:
            shown = {"jpg": "JPEG", "jp2": "JPEG2000"}.get(kind, kind)
            yield Rating(image(reference), image(row["image"]), row["mos"], shown, row.place)


def _parts(row: Row, column: str) -> tuple[str, int, str]:
    """The three parts of a name such as i01_08_3.bmp, the second of which is a number."""
    parts = Path(row[column]).stem.lower().split("_")
    if len(parts) != 3 or not parts[1].isdecimal():
        raise ValueError(f"{row.place}: {row[column]!r} is not a name such as i01_08_3.bmp")
    return parts[0], int(parts[1]), parts[2]


def _name(names: Sequence[str], number: int, row: Row) -> str:
    if not 1 <= number <= len(names):
        raise ValueError(f"{row.place}: there is no type of distortion {number}")
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
