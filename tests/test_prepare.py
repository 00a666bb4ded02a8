"""Preparing a training set: from videos that these tests encode to the records on disk."""

import errno
import functools
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from marks import slow
from PIL import Image
from videos import HEIGHT, WIDTH, encode, panning, still

from pim_jax import prepare as command
from pim_jax.data import bundled, prepare, records

ROOT = Path(__file__).parents[1]


def run(*args):
    return command.main([str(arg) for arg in args])


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def skipped(out):
    entries = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    return {entry["source"]: entry["reason"] for entry in entries}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _can_mount():
    """Whether this system lets a test have a disk of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


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
        "pim_jax.prepare",
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


def test_what_was_written_is_printed_with_the_hash_that_runs_remember(prepared):
    out, result = prepared
    shots = manifest(out)
    told = f"{out}: {sum(shot['pairs'] for shot in shots)} pairs from {len(shots)} shots of 6 sources. Data hash: "
    assert result.stdout == f"{told}{json.loads((out / 'settings.json').read_text())['data_hash']}\n"


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


@pytest.fixture(scope="module")
def unusual(tmp_path_factory):
    """The training set from a folder of sources that need a word, and what the command printed."""
    folder = tmp_path_factory.mktemp("unusual")
    frames = panning(60, seed=30, size=(128, 192))
    # A screen that was recorded only while it changed: three frames, a pause of two seconds, and so on.
    stamps = np.cumsum([0, *([2, 1 / 30, 1 / 30] * 20)][:60])
    encode(folder / "in" / "pauses.mkv", frames, times=stamps)
    encode(folder / "in" / "slow.mp4", frames[:30], fps=15)
    encode(folder / "in" / "film.mp4", frames[:30], fps=24)
    for name in ("poster", "stereo/left_1", "stereo/left_2", "stereo/right_1", "stereo/right_2"):
        path = folder / "in" / "frames" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(still(1)[0]).save(path)
    for number, frame in enumerate(frames[:30]):
        Image.fromarray(frame).save(folder / "in" / "frames" / f"{number:04d}.png")
    (folder / "in" / "frames" / "._0003.png").write_bytes(b"of macOS")
    command = [sys.executable, "-m", "pim_jax.prepare", folder / "in", "--out", folder / "out", "--workers", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / "out", result.stderr


def test_pairs_are_neighbours_in_time_and_the_others_are_counted(unusual):
    out, printed = unusual
    found = [shot for shot in manifest(out) if shot["source"] == "in/pauses.mkv"]
    assert sum(shot["pairs"] for shot in found) == 20
    for shot in found:
        first, second = np.array(shot["times"]).reshape(-1, 2).T
        np.testing.assert_allclose(second - first, 1 / 30, atol=1e-3)
        assert shot["start"] == first[0] and shot["fps"] is None and shot["pairs"] == len(first)
    # One for each of the 20 pauses, and the 29 neighbours of the slow video.
    assert "dropped pairs: 49 of frames that are not 1/45 to 1/20 s apart" in printed


def test_frames_that_follow_each_other_have_their_rate_in_the_manifest_and_no_times(unusual):
    [shot] = [shot for shot in manifest(unusual[0]) if shot["source"] == "in/film.mp4"]
    assert shot["fps"] == 24 and shot["start"] == 0 and shot["pairs"] == 15 and "times" not in shot


def test_a_source_without_neighbours_in_time_is_skipped_with_the_reason(unusual):
    out, printed = unusual
    reason = "no usable shot: 29 pairs of frames that are not 1/45 to 1/20 s apart"
    assert skipped(out)["in/slow.mp4"] == reason
    assert f"skipped in/slow.mp4: {reason}" in printed


def test_what_is_done_with_a_source_is_printed_and_recorded(unusual):
    out, printed = unusual
    [shot] = [shot for shot in manifest(out) if shot["source"] == "in/frames"]
    assert shot["pairs"] == 15 and shot["notes"] == ["no frame, and left out: poster.png"]
    assert "in/frames: no frame, and left out: poster.png" in printed


def test_a_folder_that_looks_like_frames_and_is_none_is_skipped_with_the_reason(unusual):
    out, printed = unusual
    reason = skipped(out)["in/frames/stereo"]
    assert "as left_1.png and right_1.png do" in reason
    assert f"skipped in/frames/stereo: {reason}" in printed


def test_the_help_states_the_tolerance_of_pairs_and_what_becomes_of_fields_and_hdr(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "pairs of frames that are not 1/45 to 1/20 s apart are dropped and counted" in text
    assert "Of interlaced video one field is read; HDR is refused" in text
    assert "hidden and system files are passed over" in text


@pytest.mark.slow(kept="names in test_sources.py, and the printer in test_console.py")
def test_names_in_any_encoding_are_prepared_to_the_same_bytes_and_shown_escaped(tmp_path):
    """Under a locale without CJK, on a terminal of Windows' western encoding."""
    folder = os.fsencode(tmp_path / "in")
    names = [b"caf\xe9.mp4", "\u6620\u753b.mp4".encode(), b"n" * 248 + b".mp4", b"line\nfeed.mp4"]
    for name in names:
        path = encode(tmp_path / "in" / "a.mp4", panning(30, seed=34, size=(128, 192)))
        os.rename(path, folder + b"/" + name)
    for name in (b"bad caf\xe9.mp4", "bad \u6620.mp4".encode(), b"bad\x1b[31m.mp4"):
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(b"not a video")
    licences = tmp_path / "licences.jsonl"
    licences.write_bytes("\ufeff".encode() + '{"clip": "\u6620\u753b.mp4", "licence": "CC0"}\n'.encode())
    plain = {"LC_ALL": "C.utf8"}
    poor = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "cp1252:strict"}
    for out, locale in (("plain", plain), ("poor", poor)):
        arguments = [tmp_path / "in", "--out", tmp_path / out, "--workers", "1", "--licences", licences]
        command = [sys.executable, "-m", "pim_jax.prepare", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, env=os.environ | locale)
        assert result.returncode == 0 and b"Traceback" not in result.stderr, result.stderr
    for name in (rb"bad caf\xe9.mp4", rb"bad \u6620.mp4", rb"bad\x1b[31m.mp4"):
        assert b"skipped in/" + name in result.stderr
    assert digests(tmp_path / "poor") == digests(tmp_path / "plain")
    found = {os.fsencode(shot["source"]): shot["licence"] for shot in manifest(tmp_path / "plain")}
    assert found == {b"in/" + name: "CC0" if name == names[1] else None for name in names}


@pytest.mark.slow(kept="the printer in test_console.py")
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_leaves_does_not_stop_the_work(tmp_path, closed):
    clip = encode(tmp_path / "a.mp4", panning(30, seed=35, size=(128, 192)))
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "pim_jax.prepare", clip, "--out", tmp_path / "out", "--workers", "1"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {closed: theirs}
    result = subprocess.run(command, cwd=ROOT, **streams)
    os.close(theirs)
    assert result.returncode == 0 and len(manifest(tmp_path / "out")) == 1
    assert b"Traceback" not in (result.stderr or b"") and b"error" not in (result.stderr or b"")


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


def test_shots_before_damage_are_kept_and_the_damage_is_reported(tmp_path):
    for number, frame in enumerate(panning(60, seed=14)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    damaged = tmp_path / "45.png"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    assert run(tmp_path, "--out", tmp_path / "out", "--workers", 1) == 0
    [shot] = manifest(tmp_path / "out")
    assert shot["pairs"] == 15
    assert "truncated" in skipped(tmp_path / "out")[tmp_path.name]


def test_only_broken_input_is_a_failed_run_that_leaves_nothing(tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 100)
    assert run(tmp_path / "broken.mp4", "--out", tmp_path / "out", "--workers", 1) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]
    assert "none of the 1 sources gave a usable shot" in capsys.readouterr().err


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder of videos, and the training set that one run made of it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    for number in range(6):
        encode(folder / "in" / f"{number}.mp4", panning(60, seed=100 + number), panning(60, seed=200 + number))
    assert run(folder / "in", "--out", folder / "out", "--workers", 2) == 0
    return folder


@pytest.mark.slow(kept="the same bytes for another number of workers")
@pytest.mark.parametrize("kill_signal", [signal.SIGINT, *slow(signal.SIGKILL, kept="SIGINT")])
def test_interrupted_run_resumes_to_the_same_bytes(uninterrupted, tmp_path, kill_signal, capsys):
    inputs, out = uninterrupted / "in", tmp_path / "out"
    command = [sys.executable, "-m", "pim_jax.prepare", inputs, "--out", out, "--workers", "1"]
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
    assert run(inputs, "--out", out, "--workers", 1) == 0
    assert f"{done}/6" in capsys.readouterr().err, "what was done is not done again"
    assert digests(out) == digests(uninterrupted / "out")


@pytest.mark.slow(kept="a run that is interrupted")
def test_failed_write_is_a_clear_error_and_the_run_goes_on_later(uninterrupted, tmp_path):
    """The largest file that may be written is too small, as on a disk that is full."""
    arguments = [uninterrupted / "in", "--out", tmp_path / "out", "--workers", "1"]
    command = [sys.executable, "-m", "pim_jax.prepare", *arguments]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10**6, 10**6))
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit)
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert "error: " in result.stderr and "File too large" in result.stderr and "Traceback" not in result.stderr
    assert run(*arguments) == 0
    assert digests(tmp_path / "out") == digests(uninterrupted / "out")


@pytest.mark.slow(kept="a run that is interrupted")
@pytest.mark.skipif(not _can_mount(), reason="a small disk needs mount namespaces")
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_space(tmp_path, clip_pairs):
    disk = tmp_path / "disk"
    disk.mkdir()
    prepare_clip = f"{sys.executable} -m pim_jax.prepare pim_jax/assets/clip.mp4 --out {disk}/out --workers 1"
    script = f"""
mount -t tmpfs -o size=5m tmpfs {disk}
{prepare_clip} && exit 7
ls {disk}
mount -o remount,size=50m {disk}
{prepare_clip} && cp -r {disk}/out {tmp_path}/out && ls {disk}
"""
    result = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"error: the disk is full. What is done is in {disk}/out.partial" in result.stderr
    assert "Traceback" not in result.stderr
    before, _, after = result.stdout.split("\n", 2)
    assert before == "out.partial" and after.splitlines()[-1] == "out"
    assert digests(tmp_path / "out") == digests(clip_pairs)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "file exists already"),
        ("folder", "folder exists already"),
        ("dangling", "dangling exists already"),
        ("pipe", "pipe exists already"),
        ("file/x", "cannot be made: Not a directory"),
        ("taken", "taken.partial, for the unfinished set, cannot be made"),
        ("n" * 250, "cannot be made: File name too long"),
        ("caf\udce9", r"--out caf\xe9: its name is not UTF-8"),
        (".", "exists already"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path, monkeypatch, capsys, out, message):
    monkeypatch.chdir(tmp_path)
    encode(Path("a.mp4"), panning(2, seed=36))
    Path("file").write_text("kept")
    Path("taken.partial").write_text("kept")
    Path("folder").mkdir()
    Path("dangling").symlink_to("nothing")
    os.mkfifo("pipe")
    before = sorted(os.listdir())
    assert run("a.mp4", "--out", out) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(os.listdir()) == before
    assert Path("file").read_text() == Path("taken.partial").read_text() == "kept"


def test_a_bucket_as_output_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        run("a.mp4", "--out", "gs://bucket/data")
    assert "gs://bucket/data must be a folder on disk" in capsys.readouterr().err


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
        (["a.mp4", "--region", "129", "32"], "--region 129 32: the first must be from 1 to 128"),
        (["a.mp4", "--region", "0", "32"], "--region 0 32"),
        (["a.mp4", "--region", "64", "-1"], "--region 64 -1: the second must not be negative"),
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


def test_an_unfinished_run_of_other_code_is_not_continued(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.EIO, "the disk is gone")

    with bundled.clip() as clip:
        arguments = [str(clip), "--out", str(tmp_path / "out"), "--workers", "1"]
        with monkeypatch.context() as patched:
            patched.setattr(prepare, "_join", fail)
            assert command.main(arguments) == 1
        monkeypatch.setattr(prepare.provenance, "of", lambda *_: "another")
        capsys.readouterr()
        assert command.main(arguments) == 2
    said = capsys.readouterr().err
    assert "out.partial holds an unfinished run with other settings or of other code (code: " in said
    assert "there, another now): repeat those to finish it, or delete that folder to start anew." in said
