"""Which files in a folder are the user's."""

from pathlib import Path

import pytest

from pim_jax import files


@pytest.mark.parametrize(
    "path",
    ["._0003.png", ".DS_Store", ".hidden.mp4", "Thumbs.db", "THUMBS.DB", "desktop.ini", "Desktop.ini", "Icon\r",
     "__MACOSX/clip/._0003.png", "@eaDir/0003.png/SYNOPHOTO_THUMB_XL.jpg", "$RECYCLE.BIN/a.png", "deep/.git/a.png",
     "~$scores.xlsx", "System Volume Information", "lost+found"],
)  # fmt: skip
def test_what_a_system_leaves_in_a_folder_is_a_system_file_wherever_it_lies(path):
    assert files.is_system_file(path) and files.is_system_file(Path("videos", path))


@pytest.mark.parametrize(
    "path",
    ["0003.png", "a/b/0003.PNG", "thumbs.db.png", "desktop.png", "a.DS_Store", "_0003.png", "-.png", "~.png", "@a.png",
     "#1.png", "..", ".", "../videos/0003.png", "caf\udce9.png", "映画.mp4"],
)  # fmt: skip
def test_what_a_user_may_call_a_file_is_no_system_file(path):
    assert not files.is_system_file(path)


def test_the_folders_above_the_searched_one_may_not_be_judged():
    with pytest.raises(ValueError, match=r"/home/me/\.cache/a\.png must be relative"):
        files.is_system_file("/home/me/.cache/a.png")
