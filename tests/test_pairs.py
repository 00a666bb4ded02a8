"""The training input, from frames whose pixels say where they are: red is x, green is y, blue is the frame's number."""

import hashlib
import json
import shutil
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from pim_jax import prepare
from pim_jax.data import records
from pim_jax.data.pairs import data_hash, pairs, verified_hash

WIDTHS, FRAMES = (160, 200, 256), 30
PAIRS = len(WIDTHS) * FRAMES // 2


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    number = 0
    for width in WIDTHS:
        for _ in range(FRAMES):
            y, x = np.mgrid[:128, :width]
            path = folder / "in" / f"{width}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.stack([x, y, np.full_like(x, 2 * number)], axis=-1).astype(np.uint8)).save(path)
            number += 1
    arguments = [folder / "in", "--out", folder / "out", "--heights", 128, 128, "--workers", 1]
    assert prepare.main([str(argument) for argument in arguments]) == 0
    return folder / "out"


def batches(directory, count, **options):
    return list(islice(pairs(directory, **options), count))


def frame_numbers(batch):
    """[2, B, crop, crop, 3] -> [2, B], the frame that each crop comes from."""
    blue = batch[..., 2]
    assert (blue == blue[:, :, :1, :1]).all()
    return blue[:, :, 0, 0] // 2


def corners(batch):
    """[2, B, crop, crop, 3] -> [2, B, 2], each crop's left and top."""
    return batch[:, :, 0, 0, :2]


def test_batch_is_uint8_pairs_of_crops(directory):
    [batch] = batches(directory, 1, batch=8, crop=48)
    assert batch.shape == (2, 8, 48, 48, 3) and batch.dtype == np.uint8


def test_x_and_y_are_neighbouring_frames_of_one_pair(directory):
    for batch in batches(directory, 20, batch=9):
        first, second = np.sort(frame_numbers(batch).astype(int), axis=0)
        assert (first % 2 == 0).all() and (second == first + 1).all()


def test_x_and_y_are_the_same_window(directory):
    offsets = np.arange(64, dtype=np.uint8)
    for batch in batches(directory, 20, batch=9):
        np.testing.assert_array_equal(batch[0, ..., :2], batch[1, ..., :2])
        left_top = corners(batch)[..., None, None, :]
        assert (batch[..., 0] == left_top[..., 0] + offsets[None, :]).all()
        assert (batch[..., 1] == left_top[..., 1] + offsets[:, None]).all()


def test_windows_reach_every_border(directory):
    stream = np.concatenate(batches(directory, 40, batch=45), axis=1)
    source = frame_numbers(stream)[0] // FRAMES
    left, top = corners(stream)[0].T
    assert top.min() == 0 and top.max() == 128 - 64
    for index, width in enumerate(WIDTHS):
        assert left[source == index].min() == 0 and left[source == index].max() == width - 64


def test_window_may_be_as_high_as_the_frame(directory):
    [batch] = batches(directory, 1, batch=45, crop=128)
    assert (corners(batch)[..., 1] == 0).all()


def test_order_within_the_pair_is_random(directory):
    stream = np.concatenate(batches(directory, 20, batch=45), axis=1)
    swapped = (frame_numbers(stream)[0] % 2).mean()
    assert abs(swapped - 0.5) < 0.06  # 900 draws: 3.6 standard deviations


@pytest.mark.parametrize("batch", [5, 8])  # 5 divides the epoch of 45 pairs; with 8 batches span two epochs
def test_every_pair_appears_once_per_epoch_in_a_new_order(directory, batch):
    stream = np.concatenate(batches(directory, 3 * PAIRS // batch + 1, batch=batch), axis=1)
    drawn = (frame_numbers(stream)[0] // 2)[: 3 * PAIRS].reshape(3, PAIRS)
    for epoch in drawn:
        assert sorted(epoch) == list(range(PAIRS))
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 3
    assert drawn[0].tolist() != sorted(drawn[0])


def test_a_pair_is_cut_differently_in_each_epoch(directory):
    stream = np.concatenate(batches(directory, 4, batch=PAIRS), axis=1)
    pair, position = frame_numbers(stream)[0] // 2, corners(stream)[0]
    distinct = [len({tuple(corner) for corner in position[pair == index].tolist()}) for index in range(PAIRS)]
    assert np.mean(distinct) > 3.9


@pytest.mark.parametrize("start", [1, 7, 40, 200])  # an epoch is 5.6 batches of 8
def test_starting_at_a_step_continues_the_uninterrupted_run(directory, start):
    uninterrupted = islice(pairs(directory, batch=8), start, start + 6)
    for expected, resumed in zip(uninterrupted, pairs(directory, batch=8, start=start), strict=False):
        np.testing.assert_array_equal(resumed, expected)


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_global_batch_is_the_same_for_any_number_of_processes(directory, processes):
    options = {"batch": 8, "start": 3, "seed": 5}
    expected = batches(directory, 8, **options)
    parts = [batches(directory, 8, process=p, processes=processes, **options) for p in range(processes)]
    for step, whole in enumerate(expected):
        np.testing.assert_array_equal(np.concatenate([part[step] for part in parts], axis=1), whole)


def test_number_of_threads_does_not_change_the_batches(directory):
    expected = batches(directory, 10, batch=8, threads=1)
    for threads in (2, 8):
        np.testing.assert_array_equal(batches(directory, 10, batch=8, threads=threads), expected)


def test_seed_decides_the_batches(directory):
    first, again, other = (batches(directory, 2, batch=8, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (frame_numbers(first[0]) != frame_numbers(other[0])).any()


@pytest.fixture(scope="module")
def region_directory(directory):
    """The same frames, of which the records hold regions for crops of 64 that are up to 20 pixels larger."""
    out = directory.parent / "regions"
    arguments = [directory.parent / "in", "--out", out, "--heights", 128, 128, "--region", 64, 20, "--workers", 1]
    assert prepare.main([str(argument) for argument in arguments]) == 0
    return out


def test_windows_of_stored_regions_are_windows_of_the_frames(directory, region_directory):
    stream = np.concatenate(batches(region_directory, 40, batch=45), axis=1)
    offsets = np.arange(64, dtype=np.uint8)
    left_top = corners(stream)[..., None, None, :]
    assert (stream[..., 0] == left_top[..., 0] + offsets[None, :]).all()
    assert (stream[..., 1] == left_top[..., 1] + offsets[:, None]).all()
    first, second = np.sort(frame_numbers(stream).astype(int), axis=0)
    assert (first % 2 == 0).all() and (second == first + 1).all()
    np.testing.assert_array_equal(np.sort(first[:45]), np.arange(0, 2 * PAIRS, 2))
    pair, position = first // 2, corners(stream)[0].astype(int)
    for index in range(PAIRS):
        spread = np.ptp(position[pair == index], axis=0)
        assert 0 < spread.max() <= 20  # 40 draws of one region


def test_the_manifest_says_which_regions_are_stored_and_hashes_their_pixels(region_directory):
    stored = [records.decode(record) for record in records.open_dataset(region_directory)]
    for shot in map(json.loads, (region_directory / "manifest.jsonl").read_text().splitlines()):
        frames = stored[shot["first_record"] :][: shot["pairs"]]
        assert hashlib.sha256(b"".join(pair.tobytes() for pair in frames)).hexdigest() == shot["sha256"]
        for pair, (top, left, height, width) in zip(frames, shot["regions"], strict=True):
            assert pair.shape == (2, height, width, 3) and (pair[:, 0, 0, :2] == [left, top]).all()
            assert top + height <= shot["height"] and left + width <= shot["width"]
    assert max(pair.size for pair in stored) <= 2 * 84 * 84 * 3


def test_stored_regions_are_refused_for_larger_crops(region_directory):
    message = r"crop=65 must be from 1 to 64, which the regions in .* are made for: .*another --region"
    with pytest.raises(ValueError, match=message):
        pairs(region_directory, batch=8, crop=65)
    with pytest.raises(ValueError, match=message):
        verified_hash(region_directory, crop=65)


def test_whole_frames_have_the_settings_and_batches_that_they_had_before_there_were_regions(directory):
    """So hashes of data stay the same, and a run on a set that users have goes on. The digest is version 0.1.0's."""
    names = {"pim_jax", "shot_seconds", "heights", "seed", "sources", "data_hash"}
    assert json.loads((directory / "settings.json").read_text()).keys() == names
    [batch] = batches(directory, 1, batch=8, seed=3)
    digest = "d5dc125f1afa3bc702c546f8e31b5e0d0b0f239e6161bd738a3c5693a3d62adc"
    assert hashlib.sha256(batch.tobytes()).hexdigest() == digest


@pytest.mark.slow(kept="the hash of a set that is checked")
def test_data_hash_names_the_pixels_and_the_settings(directory, tmp_path):
    assert len(data_hash(directory)) == 64
    inputs = directory.parent / "in"

    def prepared(name, *options):
        assert prepare.main([str(inputs), "--out", str(tmp_path / name), "--workers", "1", *options]) == 0
        return data_hash(tmp_path / name)

    assert prepared("same", "--heights", "128", "128") == data_hash(directory)
    assert prepared("other", "--heights", "127", "128") != data_hash(directory)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 6, "processes": 4}, r"batch=6 must be a positive multiple of processes=4"),
        ({"batch": 0}, r"batch=0 must be"),
        ({"batch": 8, "process": 2, "processes": 2}, r"process=2 must be from 0 to processes - 1 = 1"),
        ({"batch": 8, "crop": 129}, r"crop=129 must be from 1 to 128, the smallest height of the frames in "),
        ({"batch": 8, "start": -1}, r"start=-1"),
        ({"batch": 8, "seed": -1}, r"seed=-1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(directory, options, message):
    with pytest.raises(ValueError, match=message):
        pairs(directory, **options)


def test_other_folders_are_refused_with_the_command_that_makes_a_training_set(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist.*python -m pim_jax\.prepare"):
        pairs(tmp_path / "missing", batch=8)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(FileNotFoundError, match=r"it holds a\.mp4.*python -m pim_jax\.prepare"):
        data_hash(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps({"some": "other program's"}))
    with pytest.raises(FileNotFoundError, match=r"is not a training set"):
        pairs(tmp_path, batch=8)


def rewritten(change):
    """A damage that changes the text of a file."""
    return lambda path: path.write_text(change(path.read_text()))


def shorter(path):
    """Fewer records than were written."""
    kept = list(records.read_file(path, PAIRS, 0, PAIRS - 1))
    records.write_file(path, kept)


SHARD = "frame_pairs-train.array_record-00000-of-00001"


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (SHARD, lambda path: path.unlink(), "is missing or broken off"),
        (SHARD, lambda path: path.write_bytes(b""), "is missing or broken off"),
        (SHARD, lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "broken off"),
        (SHARD, shorter, f"holds {PAIRS - 1} records, not {PAIRS}"),
        ("dataset_info.json", lambda path: path.unlink(), "does not say what the shards are"),
        ("dataset_info.json", rewritten(lambda text: text[:50]), "does not say what the shards are"),
        ("dataset_info.json", rewritten(lambda text: text.replace(f'"{PAIRS}"', '"-1"')), "does not say"),
        ("manifest.jsonl", lambda path: path.unlink(), "cannot be read"),
        ("manifest.jsonl", rewritten(lambda text: text.replace('"pairs": 15', '"pairs": 14')), "is not the one"),
        ("manifest.jsonl", rewritten(lambda text: "".join(text.splitlines(True)[:-1])), "is not the one"),
        ("settings.json", rewritten(lambda text: text[:20]), "is not JSON"),
        ("settings.json", rewritten(lambda text: text.replace('"seed": 0', '"seed": 1')), "is not the one"),
    ],
)
def test_damage_that_shows_at_the_start_is_named(directory, tmp_path, name, damage, message):
    assert verified_hash(directory, crop=64) == data_hash(directory)
    shutil.copytree(directory, tmp_path / "data")
    damage(tmp_path / "data" / name)
    with pytest.raises(records.Damaged, match=message) as caught:
        verified_hash(tmp_path / "data", crop=64)
    assert name in str(caught.value) and "copy" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", [0, 4])
@pytest.mark.parametrize("content", [b"garbage", b"", records.encode(np.zeros((2, 9, 8, 3), np.uint8))])
def test_damage_in_a_record_arrives_from_the_threads_that_read(directory, tmp_path, threads, content):
    shutil.copytree(directory, tmp_path / "data")
    records.write_file(tmp_path / "data" / SHARD, [content] * PAIRS)
    with pytest.raises(records.Damaged, match="a record"):
        next(pairs(tmp_path / "data", batch=8, threads=threads))


def test_flipped_bytes_in_a_shard_are_found_and_the_record_named(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "data")
    shard = tmp_path / "data" / SHARD
    content = bytearray(shard.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = bytes(byte ^ 0xFF for byte in content[middle : middle + 1000])
    shard.write_bytes(content)
    with pytest.raises(records.Damaged, match=r"has a damaged record, number \d+"):
        batches(tmp_path / "data", PAIRS, batch=1)


@pytest.mark.parametrize("shape", [(3, 4, 4, 3), (2, 4, 4, 4), (2, 4, 4), (2, 2**40, 4, 3)])
def test_a_record_of_another_shape_is_no_pair(shape):
    example = records.tf_example_pb2.Example()
    example.features.feature["frames/value"].bytes_list.value.append(bytes(np.prod(shape) if max(shape) < 99 else 9))
    example.features.feature["frames/shape"].int64_list.value.extend(shape)
    with pytest.raises(records.Damaged):
        records.decode(example.SerializeToString())
