"""Finding sources: what is one, what it is called, and what is said of what looks like one and is none."""

import os
from pathlib import Path

import numpy as np
import pytest

from pim_jax.data.sources import BadArguments, find_sources, numbered_frames


def touch(folder, *names):
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def frames_of(folder):
    return [path.name for path in numbered_frames(folder).paths.values()]


def test_system_files_are_neither_videos_nor_frames_wherever_they_lie(tmp_path):
    touch(tmp_path / "in", "a.mp4", "._a.mp4", ".hidden.mp4", "__MACOSX/b.mp4", "@eaDir/a.mp4/c.mp4", ".git/d.mp4")
    touch(tmp_path / "in" / "frames", "0001.png", "0002.png", "._0001.png", "._0002.png", ".DS_Store", "Thumbs.db")
    touch(tmp_path / "in" / ".thumbnails", "0001.png", "0002.png")
    found = find_sources([tmp_path / "in"])
    assert list(found.paths) == ["in/a.mp4", "in/frames"] and not found.refused
    assert frames_of(tmp_path / "in" / "frames") == ["0001.png", "0002.png"]


def test_a_system_file_that_is_named_is_read(tmp_path):
    touch(tmp_path, ".a.mp4", ".in/b.mp4")
    assert list(find_sources([tmp_path / ".a.mp4", tmp_path / ".in"]).paths) == [".a.mp4", ".in/b.mp4"]


def test_a_folder_above_the_inputs_may_be_hidden(tmp_path):
    touch(tmp_path / ".cache" / "in", "a.mp4")
    assert list(find_sources([tmp_path / ".cache" / "in"]).paths) == ["in/a.mp4"]


@pytest.mark.parametrize(
    ("names", "frames", "others"),
    [
        (["1.png", "2.PNG", "3.Png"], ["1.png", "2.PNG", "3.Png"], []),
        (["1.png", "2.png", "3.png", "poster.png"], ["1.png", "2.png", "3.png"], ["poster.png"]),
        (["1.png", "2.png", "3.png", "1.jpg"], ["1.png", "2.png", "3.png"], ["1.jpg"]),
        (["f_1.png", "f_2.png", "f_3.png", "mask_1.png"], ["f_1.png", "f_2.png", "f_3.png"], ["mask_1.png"]),
        (["beach.png", "forest.png"], [], ["beach.png", "forest.png"]),
        (["1.png"], [], ["1.png"]),
        (["a1.png", "b2.png"], [], ["a1.png", "b2.png"]),
        (["\u6620\u753b2.png", "\u6620\u753b10.png"], ["\u6620\u753b2.png", "\u6620\u753b10.png"], []),
        ([b"\xe92.png", b"\xe910.png"], ["\udce92.png", "\udce910.png"], []),
        (["notes.txt"], [], []),
    ],
)
def test_frames_are_most_of_the_pictures_and_the_others_are_known(tmp_path, names, frames, others):
    touch(tmp_path, *names)
    assert frames_of(tmp_path) == frames and numbered_frames(tmp_path).others == others


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a_1.png", "a_2.png", "b_1.png", "b_2.png"], "its 4 pictures are no one series of frames"),
        (["1.png", "2.png", "1.jpg", "2.jpg"], "as 1.jpg and 1.png do; put each series into a folder of its own"),
        (["1.png", "2.png", "a.png", "b.png"], "as 1.png and a.png do"),
        (["1.png", "1.PNG", "2.png"], "1.PNG and 1.png have the same number"),
        (["1.png", "01.png", "2.png"], "01.png and 1.png have the same number"),
    ],
)
def test_numbered_pictures_that_are_no_frames_are_named_with_the_reason(tmp_path, names, problem):
    touch(tmp_path / "in", "a.mp4")
    touch(tmp_path / "in" / "pictures", *names)
    found = find_sources([tmp_path / "in"])
    assert list(found.paths) == ["in/a.mp4"] and list(found.refused) == ["in/pictures"]
    assert problem in found.refused["in/pictures"]
    with pytest.raises(BadArguments, match=r"no video in .*pictures: "):
        find_sources([tmp_path / "in" / "pictures"])


def test_links_to_folders_are_followed_under_their_own_names(tmp_path):
    touch(tmp_path, "elsewhere/deep/b.mp4", "in/a.mp4", "frames/1.png", "frames/2.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "pictures").symlink_to(tmp_path / "frames")
    (tmp_path / "in" / "c.mp4").symlink_to(tmp_path / "elsewhere" / "deep" / "b.mp4")
    assert list(find_sources([tmp_path / "in"]).paths) == ["in/a.mp4", "in/c.mp4", "in/link/deep/b.mp4", "in/pictures"]


def test_a_folder_that_several_links_lead_to_is_read_once_under_its_own_name(tmp_path):
    touch(tmp_path, "in/z/a.mp4")
    (tmp_path / "in" / "alias").symlink_to("z")
    (tmp_path / "in" / "z" / "round").symlink_to("..")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    assert list(find_sources([tmp_path / "in"]).paths) == ["in/z/a.mp4"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    touch(tmp_path / "in", "a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def deny(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)  # root, who runs some tests, may open everything
    assert find_sources([tmp_path / "in"]).refused == {"in/closed": "it cannot be opened: Permission denied"}


def test_the_name_of_a_source_is_that_of_its_bytes(tmp_path):
    touch(tmp_path / "in", b"caf\xe9.mp4", "\u6620\u753b.mp4")
    assert list(find_sources([tmp_path / "in"]).paths) == ["in/caf\udce9.mp4", "in/\u6620\u753b.mp4"]


def test_no_name_of_a_file_stops_the_search(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([b"", b"", b"a", b"A", b".", b"_", b"~$", b" ", b"\n", b"\xe9", b"\xe6\x98\xa0"])
    numbers = np.array([b"", b"1", b"01", b"2", b"3", b"-4", b"10", b"\xc2\xb2", b"\xef\xbc\x95", b"9" * 200])
    suffixes = np.array([b".png", b".png", b".PNG", b".mp4"])
    for folder in range(100):
        prefixes = rng.choice(words, 2)
        names = [rng.choice(prefixes) + rng.choice(numbers) + rng.choice(suffixes) for _ in range(rng.integers(2, 9))]
        touch(tmp_path / str(folder), *names)
    found = find_sources([tmp_path])
    videos = [path for path in found.paths.values() if path.is_file()]
    assert len(videos) > 50 and len(found.paths) - len(videos) > 5 and len(found.refused) > 5
    assert all(path.suffix == ".mp4" for path in videos)
