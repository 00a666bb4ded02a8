"""RAID, human responses to affine distortions of images: rotation, translation, scaling, and noise to compare with."""

from collections.abc import Sequence
from pathlib import Path

from pim_jax.evaluation.datasets import find, rated, table
from pim_jax.evaluation.datasets.rated import Rated, Rating

_TRANSFORMATIONS = {"rot": "rotation", "trans": "translation", "scale": "scaling", "gn": "Gaussian noise"}
_COLUMNS = {"reference": str, "distorted": str, "response": float}


def read(folder: Path, *, shifts: Sequence[int] = (0,), allow_missing: bool = False) -> Rated:
    """Reads RAID.

    People's answers are the column `Response`, the difference that they perceive. It is a curve of maximum-likelihood
    difference scaling, divided by the noise of its observers (`Curve_Value` / `Sigmas`); this puts the transformations
    on one scale. `Estimated_MOS` is a linear function of it and ranks alike. Level 1 of each curve is the undistorted
    photograph. It is left out, because any metric gets it right.

    Args:
      folder: with `responses.csv`, `ref/` and `dist/`.
      shifts: also measure with the references shifted by so many pixels; 0 is always measured.
      allow_missing: leaves out responses whose images are not there, instead of refusing.

    Raises:
      FileNotFoundError, ValueError: the folder is not as expected, or images are missing.

    References:
      Daudén-Oliver et al., RAID-Database: human responses to affine image distortions, 2024.
    """
    image = find.by_path(folder)
    answers = image("responses.csv")
    if not answers.is_file():
        raise FileNotFoundError(
            f"{answers} is missing. Expected\n  {folder}/responses.csv (Reference,Distorted,Response, ...)\n"
            f"  {folder}/ref/img_01.png ...\n  {folder}/dist/rot_img_01_level_02.png ..."
        )
    ratings = []
    for row in table.read(answers, _COLUMNS):
        name = row["distorted"].lower()
        kind, level = name.split("_")[0], Path(name).stem.split("_")[-1]
        if kind not in _TRANSFORMATIONS or not level.isdecimal():
            raise ValueError(f"{row.place}: {row['distorted']!r} is not a name such as rot_img_01_level_02.png")
        if int(level) > 1:
            images = image(f"ref/{row['reference']}"), image(f"dist/{row['distorted']}")
            ratings.append(Rating(*images, row["response"], _TRANSFORMATIONS[kind], row.place))
    return rated.select(
        "RAID",
        ratings,
        scale="perceived difference",
        sign=-1,
        kinds="transformations",
        shifts=shifts,
        allow_missing=allow_missing,
    )
