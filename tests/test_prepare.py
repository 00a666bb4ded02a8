"""Preparing a training set: from videos that these tests encode to the records on disk."""

import functools
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from pim_jax.data import prepare, records
from pim_jax.data.shots import Unreadable, shots

WIDTH, HEIGHT = 320, 192
ROOT = Path(__file__).parents[1]


def panning(count, *, seed, size=(HEIGHT, WIDTH), speed=4):
    """[count, H, W, 3] uint8: a camera that pans over a smooth random texture, different for each seed."""
    height, width = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 1, (width + speed * count) // 16 + 2, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((width + speed * count, height), Image.Resampling.BICUBIC))
    return np.stack([texture[:, speed * t : speed * t + width] for t in range(count)])


def still(count, *, level=None, seed=0):
    """[count, H, W, 3] uint8: one frame again and again, textured unless a grey level is given."""
    frame = panning(1, seed=seed)[0] if level is None else np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    return np.repeat(frame[None], count, axis=0)


def encode(path, *scenes, fps=30, rotation=0):
    """Writes scenes, one after the other, as an H.264 video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.concatenate(scenes)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def run(*args):
    return prepare.main([str(arg) for arg in args])


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def skipped(out):
    entries = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    return {entry["source"]: entry["reason"] for entry in entries}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def shots_of(path, *, length=30, heights=(128, 160), seed=0):
    """The usable shots of a source, and the flaws of the others."""
    found = list(shots(path, path.name, length, heights, seed))
    return [shot for shot in found if not shot.flaw], [shot.flaw for shot in found if shot.flaw]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder with everything that a user's folder may hold."""
    folder = tmp_path_factory.mktemp("input") / "videos"
    encode(folder / "plain.mp4", panning(60, seed=1))
    encode(folder / "deep" / "two_scenes.mp4", panning(20, seed=2), panning(40, seed=3))
    encode(folder / "static.mp4", still(30))
    encode(folder / "black.mp4", still(30, level=0))
    (folder / "broken.mp4").write_bytes(b"not a video" * 100)
    (folder / "notes.txt").write_text("beside the videos")
    (folder / "frames").mkdir()
    for number, frame in enumerate(panning(32, seed=4), start=7):
        Image.fromarray(frame).save(folder / "frames" / f"img_{number}.png")
    (folder / "photographs").mkdir()
    for name in ("beach", "forest"):
        Image.fromarray(still(1)[0]).save(folder / "photographs" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    """The training set from `videos`, and what the command printed."""
    out = tmp_path_factory.mktemp("output") / "pairs"
    licences = out.parent / "licences.jsonl"
    licences.write_text('{"clip": "plain.mp4", "licence": "CC-BY-4.0"}\n')
    command = [
        sys.executable,
        "-m",
        "pim_jax.data.prepare",
        videos,
        "--out",
        out,
        "--licences",
        licences,
        "--workers",
        "2",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return out, result


def test_scene_change_starts_a_new_shot_and_short_remainders_are_dropped(prepared):
    found = [shot for shot in manifest(prepared[0]) if shot["source"] == "videos/deep/two_scenes.mp4"]
    # 20 frames, then 30 of the second scene; its last 10 are fewer than half a shot.
    assert [(shot["start"], shot["pairs"]) for shot in found] == [(0, 10), (pytest.approx(20 / 30, abs=1e-3), 15)]


def test_sources_are_found_at_any_depth_and_other_files_are_not_sources(prepared):
    out, _ = prepared
    sources = {shot["source"] for shot in manifest(out)} | set(skipped(out))
    names = ("black.mp4", "broken.mp4", "deep/two_scenes.mp4", "frames", "plain.mp4", "static.mp4")
    assert sources == {f"videos/{name}" for name in names}


def test_useless_and_broken_sources_are_reported_and_the_others_written(prepared):
    out, result = prepared
    reasons = skipped(out)
    assert "1 dark" in reasons["videos/black.mp4"]
    assert "1 repeated" in reasons["videos/static.mp4"]
    assert "Invalid data" in reasons["videos/broken.mp4"]
    assert all(f"skipped {source}: {reason}" in result.stderr for source, reason in reasons.items())
    assert "Traceback" not in result.stderr


def test_tfds_reads_the_records_without_tensorflow(prepared):
    program = f"""
import sys
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory({str(prepared[0])!r})
frames = [example["frames"] for example in builder.as_data_source("train")]
assert all(f.dtype == "uint8" and f.shape[0] == 2 and f.shape[3] == 3 for f in frames), "not frame pairs"
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
print(builder.info.full_name, len(frames))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    pairs = sum(shot["pairs"] for shot in manifest(prepared[0]))
    assert result.stdout.split() == ["frame_pairs/1.0.0", str(pairs)]


def test_manifest_locates_the_pairs_of_each_shot_and_hashes_their_pixels(prepared):
    out, _ = prepared
    source = tfds.builder_from_directory(out).as_data_source("train")
    next_record = 0
    for shot in manifest(out):
        assert shot["first_record"] == next_record
        next_record += shot["pairs"]
        frames = np.stack([source[i]["frames"] for i in range(shot["first_record"], next_record)])
        assert frames.shape == (shot["pairs"], 2, shot["height"], shot["width"], 3)
        assert hashlib.sha256(frames).hexdigest() == shot["sha256"]
        assert 128 <= shot["height"] <= 160
        assert shot["width"] == round(WIDTH * shot["height"] / HEIGHT)
    assert next_record == len(source)


def test_own_decoding_equals_that_of_tfds(prepared):
    raw = records.open_dataset(prepared[0])
    for own, theirs in zip(raw, tfds.builder_from_directory(prepared[0]).as_data_source("train"), strict=True):
        np.testing.assert_array_equal(records.decode(own), theirs["frames"])


def test_licence_is_recorded_where_one_is_given(prepared):
    licence = {shot["source"]: shot["licence"] for shot in manifest(prepared[0])}
    assert licence["videos/plain.mp4"] == "CC-BY-4.0"
    assert licence["videos/frames"] is None


def test_same_bytes_for_another_number_of_workers_and_another_place(prepared, videos, tmp_path):
    moved = tmp_path / "elsewhere" / "videos"
    moved.parent.mkdir()
    moved.symlink_to(videos)
    out = tmp_path / "again"
    assert run(moved, "--out", out, "--licences", prepared[0].parent / "licences.jsonl", "--workers", 1) == 0
    assert digests(out) == digests(prepared[0])


def test_nothing_is_left_beside_the_result(prepared):
    assert sorted(path.name for path in prepared[0].parent.iterdir()) == ["licences.jsonl", "pairs"]


def test_frames_in_numerical_order_at_their_own_size_are_copied_exactly(tmp_path):
    frames = panning(4, seed=5, size=(128, 160))
    for number, frame in zip((8, 9, 10, 11), frames, strict=True):  # "10" sorts before "8" as text
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    [shot], _ = shots_of(tmp_path, length=4, heights=(128, 128))
    np.testing.assert_array_equal(shot.frames, frames)


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


@pytest.mark.parametrize(("fps", "step"), [(24, 1), (30, 1), (50, 2), (60, 2), (120, 4)])
def test_kept_frames_are_about_a_thirtieth_of_a_second_apart(tmp_path, fps, step):
    frames = panning(8 * step, seed=10, size=(128, 192), speed=8)
    [shot], _ = shots_of(encode(tmp_path / "a.mp4", frames, fps=fps), length=8, heights=(128, 128))
    # Each decoded frame is nearest to the frame that was encoded at its place.
    error = np.abs(shot.frames[:, None].astype(float) - frames[None]).mean(axis=(2, 3, 4))
    assert error.argmin(axis=1).tolist() == list(range(0, 8 * step, step))


def test_rotated_video_comes_out_upright(tmp_path):
    frames = panning(4, seed=11, size=(128, 192))
    upright, _ = shots_of(encode(tmp_path / "a.mp4", frames), length=4, heights=(128, 128))
    rotated, _ = shots_of(encode(tmp_path / "b.mp4", frames, rotation=90), length=4, heights=(128, 128))
    np.testing.assert_array_equal(rotated[0].frames, np.rot90(upright[0].frames, axes=(1, 2)))


@pytest.mark.parametrize(
    ("matrix", "tag", "height"), [("ITU601", 6, 128), ("ITU709", 1, 128), ("ITU601", 2, 128), ("ITU709", 2, 720)]
)
def test_colours_are_those_that_were_encoded(tmp_path, matrix, tag, height):
    """BT.601 and BT.709, tagged; and untagged (2), which means BT.601 for small pictures and BT.709 for HD."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[200, 120, 30], [40, 90, 200], [128, 128, 128]]])
    block = height // 2
    bars = np.repeat(np.repeat(colours.astype(np.uint8), block, axis=0), block, axis=1)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "5", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *bars.shape[:2], "yuv420p"
        stream.codec_context.colorspace = tag
        for shift in range(3):  # something must move
            frame = av.VideoFrame.from_ndarray(np.roll(bars, 4 * shift, axis=1), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
            frame.colorspace = tag
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    [shot], _ = shots_of(tmp_path / "a.mp4", length=2, heights=(128, 128))
    np.testing.assert_allclose(shot.frames[0, 32::64, 32::64].astype(int), colours, atol=3)


def test_fast_motion_is_not_a_scene_change(tmp_path):
    found, _ = shots_of(encode(tmp_path / "a.mp4", panning(30, seed=13, speed=24)))
    assert [len(shot.frames) for shot in found] == [30]


def test_constant_shot_is_dropped(tmp_path):
    # A slow fade of a blank picture: lit and changing, with nothing in it.
    fade = np.concatenate([still(1, level=100 + t) for t in range(30)])
    assert shots_of(encode(tmp_path / "a.mp4", fade)) == ([], ["constant"])


def test_shots_before_damage_are_kept_and_the_damage_is_reported(tmp_path):
    for number, frame in enumerate(panning(60, seed=14)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    damaged = tmp_path / "45.png"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    assert run(tmp_path, "--out", tmp_path / "out", "--workers", 1) == 0
    [shot] = manifest(tmp_path / "out")
    assert shot["pairs"] == 15
    assert "truncated" in skipped(tmp_path / "out")[tmp_path.name]


def test_a_playlist_is_not_followed_to_other_files(tmp_path):
    encode(tmp_path / "b.mp4", panning(30, seed=16))
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile b.mp4\n")
    with pytest.raises(Unreadable, match="playlists"):
        shots_of(tmp_path / "a.mp4")


def test_a_program_among_the_frames_is_not_run(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n(run) print\n")
    with pytest.raises(Unreadable, match=r"0\.png cannot be read as an image: cannot identify"):
        shots_of(tmp_path)


def test_frames_of_too_many_pixels_or_of_no_usual_shape_are_refused(tmp_path):
    for size, message in (((20000, 20000), "most that is read"), ((128, 2100), "no shape of a video")):
        folder = tmp_path / str(size[1])
        folder.mkdir()
        for number in range(2):
            Image.new("1", size).save(folder / f"{number}.png")
        with pytest.raises(Unreadable, match=message) as caught:
            shots_of(folder)
        assert str(tmp_path) not in str(caught.value)


def test_a_video_of_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("pim_jax.data.shots.MAX_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(Unreadable, match="320x192 are more than 61,439 pixels"):
        shots_of(encode(tmp_path / "a.mp4", panning(3, seed=17)))


def test_deep_frames_are_refused_rather_than_clipped(tmp_path):
    for number in range(2):
        Image.fromarray(np.full((128, 128), 1000 * number, np.uint16)).save(tmp_path / f"{number}.png")
    with pytest.raises(Unreadable, match="8 bits"):
        shots_of(tmp_path)


def test_only_broken_input_is_a_failed_run_that_leaves_nothing(tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 100)
    assert run(tmp_path / "broken.mp4", "--out", tmp_path / "out", "--workers", 1) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]
    assert "none of the 1 sources gave a usable shot" in capsys.readouterr().err


def test_source_that_kills_its_process_is_reported_and_the_others_are_prepared(tmp_path):
    """The process of one source is killed whenever it starts, as a decoder that crashes would do."""
    long = encode(tmp_path / "long.mp4", *[panning(60, seed=s, size=(360, 640)) for s in range(10)])
    good = encode(tmp_path / "good.mp4", panning(30, seed=15))
    settings = prepare.Settings(1.0, (128, 160), 0)
    tasks = [prepare.Task(path.name, path, tmp_path / path.stem, settings) for path in (long, good)]
    finished = threading.Event()

    def kill():
        while not finished.wait(0.02):
            if (tmp_path / "long.array_record").exists() and not (tmp_path / "long.json").exists():
                for process in multiprocessing.active_children():
                    process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    prepare._run(tasks, 1)
    finished.set()
    killer.join()
    summaries = {path.stem: json.loads((tmp_path / f"{path.stem}.json").read_text()) for path in (long, good)}
    assert summaries["long"]["problem"] == "the decoder crashed" and summaries["long"]["shots"] == []
    assert summaries["good"]["problem"] is None and len(summaries["good"]["shots"]) == 1


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder of videos, and the training set that one run made of it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    for number in range(6):
        encode(folder / "in" / f"{number}.mp4", panning(60, seed=100 + number), panning(60, seed=200 + number))
    assert run(folder / "in", "--out", folder / "out", "--workers", 2) == 0
    return folder


@pytest.mark.parametrize("kill_signal", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_run_resumes_to_the_same_bytes(uninterrupted, tmp_path, kill_signal, capsys):
    inputs, out = uninterrupted / "in", tmp_path / "out"
    command = [sys.executable, "-m", "pim_jax.data.prepare", inputs, "--out", out, "--workers", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not any((tmp_path / "out.partial" / "sources").glob("*.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(kill_signal)
    message = process.communicate()[1]
    done = len(list((tmp_path / "out.partial" / "sources").glob("*.json")))
    assert done < 6 and not out.exists()
    if kill_signal == signal.SIGINT:
        assert process.returncode == 1
        assert "Interrupted." in message and "Traceback" not in message

    assert run(inputs, "--out", out, "--seed", 1) == 2
    assert "seed: 0 there, 1 now" in capsys.readouterr().err
    assert run(inputs, "--out", out, "--workers", 2) == 0
    assert f"{done}/6" in capsys.readouterr().err, "what was done is not done again"
    assert digests(out) == digests(uninterrupted / "out")


def test_failed_write_is_a_clear_error_and_the_run_goes_on_later(uninterrupted, tmp_path):
    """The largest file that may be written is too small, as on a disk that is full."""
    command = [sys.executable, "-m", "pim_jax.data.prepare", uninterrupted / "in", "--out", tmp_path / "out"]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10**6, 10**6))
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit)
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert "error: " in result.stderr and "File too large" in result.stderr and "Traceback" not in result.stderr
    assert run(uninterrupted / "in", "--out", tmp_path / "out", "--workers", 2) == 0
    assert digests(tmp_path / "out") == digests(uninterrupted / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4"], "missing.mp4 does not exist"),
        (["empty"], "no video in"),
        (["a.mp4", "--heights", "160", "128"], "--heights 160 128"),
        (["a.mp4", "--shot-seconds", "0.03"], "--shot-seconds 0.03"),
        (["a.mp4", "--shot-seconds", "nan"], "--shot-seconds nan"),
        (["a.mp4", "--seed", "-1"], "--seed -1"),
        (["a.mp4", "--workers", "0"], "--workers 0"),
        (["a.mp4", "--licences", "a.mp4"], "--licences a.mp4: must be lines such as"),
        (["a.mp4", "--licences", "other.jsonl"], "none of its clips"),
        (["a.mp4", "copy/a.mp4"], "would both be called a.mp4"),
    ],
)
def test_bad_arguments_are_one_clear_message_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    os.makedirs("empty")
    os.makedirs("copy")
    for path in ("a.mp4", "copy/a.mp4"):
        Path(path).write_bytes(b"\xff")
    Path("other.jsonl").write_text('{"clip": "b.mp4", "licence": "MIT"}\n')
    assert run(*arguments, "--out", "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and "Traceback" not in error
    assert not Path("out").exists() and not Path("out.partial").exists()


def test_existing_result_is_never_overwritten(prepared, videos, capsys):
    before = digests(prepared[0])
    assert run(videos, "--out", prepared[0]) == 2
    assert "exists already" in capsys.readouterr().err
    assert digests(prepared[0]) == before
