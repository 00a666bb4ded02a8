"""The record format: one pair of consecutive frames per record, a TFDS dataset in ArrayRecord.

A record is a pair rather than a whole shot because training reads pairs in random order, and a pair is fifteen times
smaller than its shot. Records are raw and uncompressed, which makes reading one five times as fast. TFDS's own writers
always compress, so the shards are written here, with TFDS's serializer and metadata. Anyone can read them through TFDS,
and neither side needs TensorFlow:

    tfds.builder_from_directory(directory).as_data_source("train")[0]["frames"]    # uint8 [2, H, W, 3]
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from google.protobuf.message import DecodeError
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.proto import tf_example_pb2

DATASET, VERSION, SPLIT = "frame_pairs", "1.0.0", "train"
RECORDS_PER_SHARD = 2048  # about 450 MB at the paper's heights: few open files, and still quick to copy
MAX_SHARDS = 100_000  # as many as the names of the files have digits for

_FEATURES = tfds.features.FeaturesDict(
    {"frames": tfds.features.Tensor(shape=(2, None, None, 3), dtype=np.uint8, encoding="bytes")}
)
_SERIALIZER = ExampleSerializer(_FEATURES.get_serialized_info())
_UNCOMPRESSED = "group_size:1,uncompressed"
_READ_BLOCK = 64


class Damaged(OSError):
    """A dataset that is incomplete, or whose bytes are not those that were written."""


def encode(pair: np.ndarray) -> bytes:
    """The record of one pair of frames.

    Args:
      pair: [2, H, W, 3] uint8, the frames at t and t + 1/30 s.

    Returns:
      The serialized record.

    Examples:
      >>> len(encode(np.zeros((2, 8, 8, 3), np.uint8))) > 2 * 8 * 8 * 3
      True
    """
    example = _SERIALIZER.get_tf_example(_FEATURES.encode_example({"frames": pair}))
    # Otherwise the order of the fields would change from one process to the next.
    return example.SerializeToString(deterministic=True)


def decode(record: bytes) -> np.ndarray:
    """The pair of frames in a record: what TFDS would return, in half its time.

    Args:
      record: what `encode` returned.

    Returns:
      [2, H, W, 3] uint8, read-only.

    Raises:
      Damaged: the record holds something else.

    Examples:
      >>> pair = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
      >>> bool((decode(encode(pair)) == pair).all())
      True
    """
    try:
        features = tf_example_pb2.Example.FromString(record).features.feature
        pixels = np.frombuffer(features["frames/value"].bytes_list.value[0], np.uint8)
        frames = pixels.reshape(features["frames/shape"].int64_list.value)
    except (DecodeError, IndexError, ValueError) as error:
        raise Damaged(f"a record is not a pair of frames: {error}") from error
    if frames.ndim != 4 or frames.shape[0] != 2 or frames.shape[3] != 3:
        raise Damaged(f"a record holds an array of shape {frames.shape}, not a pair of frames [2, H, W, 3]")
    return frames


def write_file(path: Path, records: Iterable[bytes]) -> None:
    """Writes records to one ArrayRecord file.

    Args:
      path: the file, replaced if it exists.
      records: what `encode` returned.

    Raises:
      OSError: the file cannot be written, for instance because the disk is full.
    """
    try:
        writer = ArrayRecordWriter(str(path), _UNCOMPRESSED)
        try:
            for record in records:
                writer.write(record)
        finally:
            writer.close()
    except RuntimeError as error:  # ArrayRecord's only kind
        raise OSError(str(error)) from error


def read_file(path: Path, count: int, start: int, stop: int) -> Iterator[bytes]:
    """Yields records of one ArrayRecord file in order, a block at a time.

    Args:
      path: a file that `write_file` wrote.
      count: the number of records that it must hold.
      start, stop: the first record to read, and the one after the last.

    Yields:
      Serialized records.

    Raises:
      OSError: the file holds another number of records.
    """
    reader = ArrayRecordReader(str(path))
    try:
        if reader.num_records() != count:
            raise OSError(f"{path} holds {reader.num_records()} records, not the {count} that were written.")
        for first in range(start, stop, _READ_BLOCK):
            yield from reader.read(first, min(first + _READ_BLOCK, stop))
    finally:
        reader.close()


def shards(count: int) -> list[tuple[str, int, int]]:
    """The files of a dataset.

    Args:
      count: the number of records, at least one.

    Returns:
      The name of each file, its first record, and the one after its last.

    Examples:
      >>> shards(3000)[1]
      ('frame_pairs-train.array_record-00001-of-00002', 2048, 3000)
    """
    starts = range(0, count, RECORDS_PER_SHARD)
    return [
        (_shard_name(shard, len(starts)), start, min(start + RECORDS_PER_SHARD, count))
        for shard, start in enumerate(starts)
    ]


def write_metadata(directory: Path, count: int, num_bytes: int) -> None:
    """Writes the TFDS metadata of a dataset beside its shards.

    Args:
      directory: where the files that `shards` names are.
      count: the number of records.
      num_bytes: of all records.
    """
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=DATASET, split=SPLIT, filetype_suffix="array_record"
    )
    lengths = [last - first for _, first, last in shards(count)]
    split = tfds.core.SplitInfo(name=SPLIT, shard_lengths=lengths, num_bytes=num_bytes, filename_template=template)
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=_FEATURES,
        split_infos=[split],
        version=VERSION,
        description="Pairs of video frames 1/30 s apart, for training PIM.",
        check_data=False,  # the check reads through TensorFlow
    )


def data_hash(settings: dict[str, Any], manifest: str) -> str:
    """The hash that names a dataset: of what decided it, and of its manifest, which holds the hashes of the pixels.

    Args:
      settings: how the pairs were made, JSON values; the version of this package is left out, so that equal data has
        an equal hash.
      manifest: the text of `manifest.jsonl`.

    Returns:
      64 hexadecimal digits.
    """
    what_decides = {key: value for key, value in settings.items() if key not in ("pim_jax", "data_hash")}
    return hashlib.sha256((json.dumps(what_decides, sort_keys=True) + manifest).encode()).hexdigest()


def open_dataset(directory: Path) -> Sequence[bytes]:
    """Opens a dataset for random access.

    The shards are opened by name and not through TFDS, which would import whatever module `features.json` names.

    Args:
      directory: what `write_dataset` filled.

    Returns:
      A sequence of serialized records, for `decode`. Reading a damaged one raises `Damaged`.

    Raises:
      Damaged: a shard is missing, broken off, or has another number of records than `dataset_info.json` says.
    """
    lengths = _shard_lengths(directory / "dataset_info.json")
    shards = [directory / _shard_name(shard, len(lengths)) for shard in range(len(lengths))]
    for shard, length in zip(shards, lengths, strict=True):
        try:
            count = len(ArrayRecordDataSource(str(shard)))
        except (OSError, RuntimeError, ValueError) as error:
            raise Damaged(_complaint(shard, "is missing or broken off", error)) from error
        if count != length:
            raise Damaged(_complaint(shard, f"holds {count} records, not {length}", "see dataset_info.json"))
    return _Records(directory, ArrayRecordDataSource([str(shard) for shard in shards]))


class _Records(Sequence):
    """An ArrayRecord source whose errors say which record of which dataset."""

    def __init__(self, directory: Path, source: ArrayRecordDataSource):
        self._directory, self._source = directory, source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no record {index} among {len(self)}")
        try:
            return self._source[index]
        except (OSError, RuntimeError) as error:
            raise Damaged(_complaint(self._directory, f"has a damaged record, number {index}", error)) from error


def _shard_lengths(info: Path) -> list[int]:
    try:
        (split,) = json.loads(info.read_text())["splits"]
        lengths = [int(length) for length in split["shardLengths"]]
        if not lengths or len(lengths) > MAX_SHARDS or min(lengths) < 1:
            raise ValueError(f"it names {len(lengths)} shards")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(_complaint(info, "does not say what the shards are", error)) from error
    return lengths


def _shard_name(shard: int, shards: int) -> str:
    return f"{DATASET}-{SPLIT}.array_record-{shard:05d}-of-{shards:05d}"


def _complaint(path: Path, what: str, reason: Any) -> str:
    reason = next(iter(str(reason).splitlines()), type(reason).__name__)
    return f"{path} {what} ({reason}): copy the training set again, or prepare it again"
