"""The training input: batches of frame pairs as a pure function of (seed, step).

Resuming therefore needs only the step, and every process of a multi-host run computes its own rows of the same global
batch without talking to the others.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import grain
import numpy as np

from pim_jax.data import records


def pairs(
    directory: str | Path,
    *,
    batch: int,
    crop: int = 64,
    seed: int = 0,
    start: int = 0,
    process: int = 0,
    processes: int = 1,
    threads: int = 4,
) -> Iterator[np.ndarray]:
    """Yields the batches of steps `start`, `start + 1`, ..., without end.

    Every epoch goes through all pairs once, in a new random order; a batch may span two epochs. Each time a pair is
    drawn, it is cut to one random window, the same in both frames (appendix of the paper), and its frames are put in
    random order.

    Args:
      directory: what `python -m pim_jax.prepare` wrote.
      batch: pairs in the global batch, over all processes.
      crop: side of the window in pixels.
      seed: 0 to 2**32 - 1.
      start: first step. `pairs(..., start=s)` continues `pairs(...)` after s batches exactly.
      process: this process, 0 to processes - 1.
      processes: number of processes that share the global batch.
      threads: threads that read ahead; they keep twice as many batches ready.

    Returns:
      An iterator over [2, batch // processes, crop, crop, 3] uint8 sRGB; [0] is x and [1] is y. Process p holds rows
      p * batch // processes onwards of the global batch: the processes' arrays, concatenated, are the batch that a
      single process would see.

    Raises:
      ValueError: the arguments do not fit each other or the data; the message says how.
      FileNotFoundError: `directory` is not a training set.
      records.Damaged: a file of it is missing or damaged, now or when a batch comes to it.
    """
    if batch < 1 or processes < 1 or batch % processes:
        raise ValueError(f"batch={batch} must be a positive multiple of processes={processes}.")
    if not 0 <= process < processes:
        raise ValueError(f"process={process} must be from 0 to processes - 1 = {processes - 1}.")
    _check_crop(directory, crop)
    if start < 0:
        raise ValueError(f"start={start} must not be negative.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} must be from 0 to 2**32 - 1.")

    def augment(record: bytes, rng: np.random.Generator) -> np.ndarray:
        return _crop(records.decode(record), crop, rng)

    local_batches = (
        grain.MapDataset.source(records.open_dataset(Path(directory)))
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(augment)  # before the split by process: the generator depends on the seed and the global row
        .batch(batch // processes, drop_remainder=True, batch_fn=_stack)
    )
    mine = local_batches[process::processes][start:]
    return iter(mine.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))


def verified_hash(directory: str | Path, *, crop: int) -> str:
    """Returns the `data_hash` of a training set that is complete, as far as can be seen without reading every record.

    Args:
      directory: what `python -m pim_jax.prepare` wrote.
      crop: as for `pairs`.

    Returns:
      64 hexadecimal digits.

    Raises:
      FileNotFoundError: `directory` is not a training set.
      ValueError: its frames are smaller than the crop.
      records.Damaged: a file is missing or broken off, or the files do not belong together.
    """
    _check_crop(directory, crop)
    settings, path = _settings(directory), Path(directory) / "manifest.jsonl"
    try:
        manifest = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise records.Damaged(f"{path} cannot be read ({error}): copy the training set again") from error
    if records.data_hash(settings, manifest) != settings["data_hash"]:
        raise records.Damaged(f"{path} is not the one that settings.json beside it belongs to: copy both again")
    listed = sum(json.loads(line)["pairs"] for line in manifest.splitlines())  # as written: the hash is right
    stored = len(records.open_dataset(Path(directory)))
    if stored != listed:
        raise records.Damaged(f"{path} lists {listed} pairs, but the records are {stored}: copy both again")
    return settings["data_hash"]


def data_hash(directory: str | Path) -> str:
    """The hash of a training set, for a training run to record and to compare when it resumes.

    Args:
      directory: what `python -m pim_jax.prepare` wrote.

    Returns:
      64 hexadecimal digits: a SHA-256 of the settings and the manifest, which holds the hashes of the pixels.

    Raises:
      FileNotFoundError: `directory` is not a training set.
    """
    return _settings(directory)["data_hash"]


def _settings(directory: str | Path) -> dict:
    path = Path(directory) / "settings.json"
    try:
        settings = json.loads(path.read_text()) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise records.Damaged(f"{path} is not JSON ({error}): copy the training set again") from error
    if isinstance(settings, dict) and {"data_hash", "heights"} <= settings.keys():
        return settings
    there = "it does not exist"
    if Path(directory).is_dir():
        names = sorted(entry.name for entry in Path(directory).iterdir())
        there = f"it holds {', '.join(names[:5]) or 'nothing'}{', ...' if len(names) > 5 else ''}"
    raise FileNotFoundError(
        f"{directory} is not a training set ({there}). Make one: "
        f"python -m pim_jax.prepare VIDEO_OR_FOLDER... --out {directory}"
    )


def _check_crop(directory: str | Path, crop: int) -> None:
    settings = _settings(directory)
    smallest = settings["heights"][0]
    if not 1 <= crop <= smallest:
        raise ValueError(
            f"crop={crop} must be from 1 to {smallest}, the smallest height of the frames in {directory}: choose a "
            "smaller crop, or prepare the data with larger --heights."
        )
    if "region" in settings and crop > settings["region"][0]:
        raise ValueError(
            f"crop={crop} must be from 1 to {settings['region'][0]}, which the regions in {directory} are made for: "
            "choose a smaller crop, or prepare the data with another --region, or with whole frames, without it."
        )


def _crop(frames: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """[2, H, W, 3] -> [2, crop, crop, 3], the frames in random order."""
    _, height, width, _ = frames.shape
    if min(height, width) < crop:
        raise records.Damaged(f"a record has frames of {width}x{height}, smaller than its training set says")
    top, left, swap = rng.integers(height - crop + 1), rng.integers(width - crop + 1), rng.integers(2)
    window = frames[:, top : top + crop, left : left + crop]
    return window[::-1] if swap else window


def _stack(elements: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(elements, axis=1)
