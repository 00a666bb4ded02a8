"""What one source gives to a training set: its records, and a summary of what became of its shots.

The records depend on the source's name and content and on the settings, and on nothing else: not on the other sources,
the process or the machine.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pim_jax.data import records, regions
from pim_jax.data.frames import FRAME_RATE, Unreadable
from pim_jax.data.shots import Shot, pair_up, shots
from pim_jax.writing import replacing


class Settings(NamedTuple):
    """What decides the result, apart from the sources.

    Attributes:
      shot_seconds: length of a shot.
      heights: smallest and largest size in pixels that a shot's short side is downsampled to.
      seed: of the random heights and regions, a non-negative integer.
      region: what of a pair is stored: the crop and the margin in pixels of `regions.choose`, or None for whole frames.
    """

    shot_seconds: float = 1.0
    heights: tuple[int, int] = (128, 160)
    seed: int = 0
    region: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """The settings by name. Those of whole frames are the same as before there were regions, and so are hashes."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Part(NamedTuple):
    """The task (see `pool.Task`) to prepare one source. `output`, with a suffix, is where records and summary go."""

    source: str
    path: Path
    output: Path
    settings: Settings

    @property
    def records(self) -> Path:
        """The records, an ArrayRecord file."""
        return self.output.with_suffix(".array_record")

    @property
    def summary(self) -> Path:
        """What became of the shots, JSON; it is written last."""
        return self.output.with_suffix(".json")

    @property
    def done(self) -> bool:
        return self.summary.exists()

    def run(self) -> None:
        """Writes the records of the source and its summary."""
        summary = self._new_summary()

        def counted() -> Iterator[bytes]:
            for record in self._records(summary):
                summary["bytes"] += len(record)
                yield record

        with replacing(self.records) as temporary:
            records.write_file(temporary, counted())
        self._write(summary)

    def give_up(self) -> None:
        self._write(self._new_summary() | {"problem": "the decoder crashed"})

    def _new_summary(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "shots": [],
            "bytes": 0,
            "dropped_shots": Counter(),
            "dropped_pairs": 0,
            "notes": (),
            "problem": None,
        }

    def _write(self, summary: dict[str, Any]) -> None:
        with replacing(self.summary) as temporary:
            temporary.write_text(json.dumps(summary, indent=2))

    def _records(self, summary: dict[str, Any]) -> Iterator[bytes]:
        """The records of the source's shots, which are entered in its summary as they come."""
        length = round(FRAME_RATE * self.settings.shot_seconds)
        try:
            for shot in shots(self.path, self.source, length, self.settings.heights, self.settings.seed):
                summary["notes"] = shot.notes
                if shot.flaw:
                    summary["dropped_shots"][shot.flaw] += 1
                    continue
                firsts, dropped = pair_up(shot.times)
                summary["dropped_pairs"] += dropped
                if firsts:
                    pairs = [shot.frames[first : first + 2] for first in firsts]
                    where = self._regions(shot, len(pairs))
                    pairs = [regions.cut(pair, region) for pair, region in zip(pairs, where, strict=True)]
                    yield from map(records.encode, pairs)
                    times = [shot.times[frame] for first in firsts for frame in (first, first + 1)]
                    stored = {"regions": where} if self.settings.region else {}
                    summary["shots"].append(_describe(shot, pairs, times) | stored)
        except Unreadable as error:
            summary["problem"] = str(error)

    def _regions(self, shot: Shot, count: int) -> list[regions.Region]:
        height, width = shot.frames.shape[1:3]
        if not self.settings.region:
            return [regions.Region(0, 0, height, width)] * count
        rng = np.random.default_rng([*shot.entropy, 1])
        return [regions.choose(height, width, *self.settings.region, rng) for _ in range(count)]


def _describe(shot: Shot, pairs: list[np.ndarray], times: list[float]) -> dict[str, Any]:
    when = {"start": round(times[0], 6), "fps": round(shot.fps, 6)}
    if not _follow_each_other(times, shot.fps):
        when |= {"fps": None, "times": [round(time, 6) for time in times]}
    return {
        **when,
        "original_width": shot.original_size[0],
        "original_height": shot.original_size[1],
        "width": shot.frames.shape[2],
        "height": shot.frames.shape[1],
        "pairs": len(pairs),
        "sha256": hashlib.sha256(b"".join(map(np.ndarray.tobytes, pairs))).hexdigest(),
        **({"notes": shot.notes} if shot.notes else {}),
    }


def _follow_each_other(times: list[float], fps: float) -> bool:
    """Whether frames are where a rate, of which every so many are left out, puts them: not half a frame off."""
    interval = max(1, round(fps / FRAME_RATE)) / fps
    even = times[0] + interval * np.arange(len(times))
    return bool(np.abs(np.array(times) - even).max() < 0.5 / fps)
