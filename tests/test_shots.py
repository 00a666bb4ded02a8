"""Shots: where they begin, what size they get, which are dropped, and which of their frames are pairs."""

import numpy as np
import pytest
from PIL import Image
from videos import encode, panning, still

from pim_jax.data.frames import Unreadable
from pim_jax.data.shots import pair_up, shots


def shots_of(path, *, length=30, heights=(128, 160), seed=0):
    """The usable shots of a source, and the flaws of the others."""
    found = list(shots(path, path.name, length, heights, seed))
    return [shot for shot in found if not shot.flaw], [shot.flaw for shot in found if shot.flaw]


def test_height_depends_on_seed_source_and_shot_only(tmp_path):
    path = encode(tmp_path / "a.mp4", panning(40, seed=6))
    heights = [shot.frames.shape[1] for shot in shots_of(path, length=4)[0]]
    assert len(set(heights)) > 3 and set(heights) <= set(range(128, 161))
    assert heights == [shot.frames.shape[1] for shot in shots_of(path, length=4)[0]]
    assert heights != [shot.frames.shape[1] for shot in shots_of(path, length=4, seed=1)[0]]
    renamed = path.rename(tmp_path / "b.mp4")
    assert heights != [shot.frames.shape[1] for shot in shots_of(renamed, length=4)[0]]


def test_short_side_of_a_portrait_video_gets_the_height(tmp_path):
    [shot], _ = shots_of(encode(tmp_path / "a.mp4", panning(30, seed=7, size=(320, 192))))
    _, height, width, _ = shot.frames.shape
    assert 128 <= width <= 160 and height == round(320 * width / 192)


def test_nothing_is_enlarged(tmp_path):
    frames = panning(30, seed=8, size=(144, 192))
    found, _ = shots_of(encode(tmp_path / "a.mp4", frames), length=4)
    assert max(shot.frames.shape[1] for shot in found) <= 144
    with pytest.raises(Unreadable, match=r"too small: 192x144.* at least 150"):
        shots_of(tmp_path / "a.mp4", heights=(150, 160))


def test_downsampling_removes_what_the_new_size_cannot_hold(tmp_path):
    # One-pixel stripes, drifting: without an antialiasing filter they would alias to strong wide stripes.
    stripes = np.where(np.arange(512 + 8) % 2, 255, 0).astype(np.uint8)
    frames = np.stack([np.broadcast_to(stripes[t : t + 512, None], (256, 512, 3)) for t in range(2)])
    texture = panning(2, seed=9, size=(256, 512))
    for number, frame in enumerate(frames // 2 + texture // 2):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    [shot], _ = shots_of(tmp_path, length=2, heights=(128, 128))
    expected = [Image.fromarray(frame // 2 + 64).resize((256, 128), Image.Resampling.BOX) for frame in texture]
    assert np.abs(shot.frames.astype(float) - np.stack(expected)).mean() < 3


def test_fast_motion_is_not_a_scene_change(tmp_path):
    found, _ = shots_of(encode(tmp_path / "a.mp4", panning(30, seed=13, speed=24)))
    assert [len(shot.frames) for shot in found] == [30]


def test_constant_shot_is_dropped(tmp_path):
    # A slow fade of a blank picture: lit and changing, with nothing in it.
    fade = np.concatenate([still(1, level=100 + t) for t in range(30)])
    assert shots_of(encode(tmp_path / "a.mp4", fade)) == ([], ["constant"])


def test_frames_of_no_usual_shape_are_refused(tmp_path):
    for number in range(2):
        Image.new("1", (128, 2100)).save(tmp_path / f"{number}.png")
    with pytest.raises(Unreadable, match="no shape of a video"):
        shots_of(tmp_path)


@pytest.mark.parametrize(
    ("rate", "is_one"), [(15, False), (19, False), (20, True), (24, True), (30, True), (45, True), (50, False)]
)
def test_frames_are_a_pair_if_they_are_about_a_thirtieth_of_a_second_apart(rate, is_one):
    times = [round(7 + number / rate, 3) for number in range(4)]
    assert pair_up(times) == (([0, 2], 0) if is_one else ([], 3))


def test_frames_across_a_pause_are_no_pair_and_those_after_it_are():
    times = [0, 2, 2 + 1 / 30, 2 + 2 / 30, 4, 4 + 1 / 30]
    assert pair_up(times) == ([1, 4], 2)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [0, -1 / 30, -2 / 30]])
def test_stamps_that_stand_still_or_run_backwards_make_no_pairs(times):
    assert pair_up(times) == ([], max(0, len(times) - 1))
