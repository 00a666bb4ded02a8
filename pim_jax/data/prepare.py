"""Raw video to a training set, `DIR`.

Each source (a video file, or a folder of numbered frames) is a part (see `parts`), which leaves its records and a
summary in `DIR.partial`. When all are there they are joined, in the order of the sources, to shards, and the result is
renamed to `DIR`. So an interrupted run loses only the sources and shards that it was working on, `DIR` is either
complete or absent, and its bytes depend on the inputs and the settings, but not on what ran the parts.

`DIR` holds the records (see `records`) and
  manifest.jsonl   one line per shot: where it comes from, its size, and which records are its pairs. Its frames follow
                   each other at `fps` from `start` on (frames between them may be left out); where they do not, `fps`
                   is null and `times` has the time of every frame, in seconds. `regions`, if there are any, say what
                   of each pair is stored: top, left, height and width. `notes`, if there are any, say what was done
                   with the source that its user may not expect
  settings.json    the settings, and the hash of the data that a training run records
  skipped.jsonl    one line per source that gave no pair or broke off, with the reason
"""

import hashlib
import json
import os
import shutil
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pim_jax import provenance
from pim_jax.data import parts, records
from pim_jax.data.frames import FRAME_RATE
from pim_jax.data.parts import Part, Settings
from pim_jax.data.pool import Engine, Progress
from pim_jax.data.shots import LONGEST_INTERVAL, SHORTEST_INTERVAL
from pim_jax.data.sources import BadArguments, find_sources, numbered_frames
from pim_jax.writing import replacing

APART = f"of frames that are not 1/{1 / SHORTEST_INTERVAL:.0f} to 1/{1 / LONGEST_INTERVAL:.0f} s apart"


class Report(NamedTuple):
    """What became of the sources.

    Attributes:
      sources, shots, pairs: how many there are; the last two are what was written.
      dropped_shots: how many shots were dropped, by reason.
      dropped_pairs: how many times a frame and the next were no pair, as they are not 1/30 s apart.
      skipped: name and reason of each source that gave no pair or broke off.
      notes: name of a source, and what was done with it that its user may not expect.
      data_hash: of what was written, as runs remember it; empty if nothing was.
    """

    sources: int
    shots: int
    pairs: int
    dropped_shots: dict[str, int]
    dropped_pairs: int
    skipped: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    data_hash: str = ""


class Shard(NamedTuple):
    """The task (see `pool.Task`) to write one file of the result.

    Attributes:
      path: the file.
      slices: what it holds: of the file of records of a part, which has so many, those from the first to the last.
    """

    path: Path
    slices: list[tuple[Path, int, int, int]]

    @property
    def done(self) -> bool:
        return self.path.exists()

    def run(self) -> None:
        """Writes the file."""
        with replacing(self.path) as temporary:
            records.write_file(temporary, chain.from_iterable(records.read_file(*piece) for piece in self.slices))

    def give_up(self) -> None:
        raise OSError(f"the process that wrote {self.path} was killed, twice")


def prepare(
    inputs: Sequence[Path],
    out: Path,
    *,
    settings: Settings,
    licences: Path | None = None,
    engine: Engine,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Writes the training set, or continues to.

    Args:
      inputs: video files, folders of numbered frames, or folders of those.
      out: the folder to write; must not exist. Without a pair nothing is written.
      settings: how shots are taken.
      licences: JSON lines with the fields `clip` (a source's file name) and `licence`, or None.
      engine: what runs the parts and writes the shards.
      progress: called at the start, and when sources are done.

    Returns:
      The report.

    Raises:
      BadArguments: nothing was done, and the message says why.
      OSError: something cannot be written. What is done is in `unfinished(out)`, and another call goes on from there.
    """
    _check_settings(settings)
    _check_out(out)
    sources = find_sources(inputs)
    licence_of = _read_licences(licences, list(sources.paths)) if licences else {}
    full_settings = {
        "pim_jax": provenance.installed("pim-jax"),
        **settings.as_json(),
        "sources": _digest_of_sources(sources.paths),
    }
    partial = _open_partial(unfinished(out), {**full_settings, "code": provenance.of(parts, records)})
    tasks = [
        Part(source, path, partial / "sources" / f"{number:06d}", settings)
        for number, (source, path) in enumerate(sources.paths.items())
    ]
    engine.run(tasks, progress)

    summaries = [json.loads(task.summary.read_text()) for task in tasks]
    report = _report(summaries, sources.refused)
    if report.pairs:
        _join(partial / "dataset", tasks, summaries, engine)
        data_hash = _describe(partial / "dataset", summaries, licence_of, full_settings, report)
        report = report._replace(data_hash=data_hash)
        os.rename(partial / "dataset", out)
    shutil.rmtree(partial)
    return report


def unfinished(out: Path) -> Path:
    """Where the work on a training set is until it is done."""
    return out.with_name(out.name + ".partial")


def _check_settings(settings: Settings) -> None:
    low, high = settings.heights
    if not 2 <= low <= high:
        raise BadArguments(f"--heights {low} {high}: the first must be at least 2 and not larger than the second.")
    if not 2 <= FRAME_RATE * settings.shot_seconds < float("inf"):
        raise BadArguments(f"--shot-seconds {settings.shot_seconds:g}: a shot needs two frames, so at least 0.067.")
    if settings.seed < 0:
        raise BadArguments(f"--seed {settings.seed}: must not be negative.")
    if settings.region:
        crop, margin = settings.region
        if not 1 <= crop <= low:
            raise BadArguments(f"--region {crop} {margin}: the first must be from 1 to {low}, the smallest height.")
        if margin < 0:
            raise BadArguments(f"--region {crop} {margin}: the second must not be negative.")


def _check_out(out: Path) -> None:
    if os.path.lexists(out):
        raise BadArguments(f"{out} exists already: delete it, or choose another --out.")
    try:
        os.path.abspath(out).encode()
    except UnicodeEncodeError as error:
        raise BadArguments(
            f"--out {out}: its name is not UTF-8 in this locale, which the libraries for records need: choose another."
        ) from error


def _open_partial(partial: Path, settings: dict[str, Any]) -> Path:
    path = partial / "settings.json"
    settings = json.loads(json.dumps(settings))  # as it will be read back
    if os.path.exists(path):  # False too for a name that is too long
        earlier = json.loads(path.read_text())
        changed = [key for key in {**settings, **earlier} if settings.get(key) != earlier.get(key)]
        if changed:
            raise BadArguments(
                f"{partial} holds an unfinished run with other settings or of other code ("
                + "; ".join(f"{key}: {earlier.get(key)} there, {settings.get(key)} now" for key in changed)
                + "): repeat those to finish it, or delete that folder to start anew."
            )
    try:
        for name in ("sources", "dataset"):
            (partial / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadArguments(f"{partial}, for the unfinished set, cannot be made: {error.strerror}.") from error
    _write(path, settings)
    return partial


def _read_licences(path: Path, sources: Sequence[str]) -> dict[str, str]:
    try:
        entries = [json.loads(line) for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
        licence_of = {entry["clip"]: entry["licence"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadArguments(
            f"--licences {path}: must be lines such as "
            f'{{"clip": "a.mp4", "licence": "CC-BY-4.0"}} ({type(error).__name__}: {error}).'
        ) from error
    if not any(PurePosixPath(source).name in licence_of for source in sources):
        raise BadArguments(f"--licences {path}: none of its clips is among the {len(sources)} sources.")
    return licence_of


def _digest_of_sources(sources: dict[str, Path]) -> str:
    """Names and sizes of the sources: enough to notice that the inputs changed between an interruption and a rerun."""
    sizes = {source: [_size(file) for file in _files(path)] for source, path in sources.items()}
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()


def _files(source: Path) -> list[Path]:
    return list(numbered_frames(source).paths.values()) if source.is_dir() else [source]


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None  # a link may lead to nothing


def _join(directory: Path, tasks: list[Part], summaries: list[dict], engine: Engine) -> None:
    """Writes the records of the parts, one after the other, as shards."""
    counts = [sum(shot["pairs"] for shot in summary["shots"]) for summary in summaries]
    ends = list(accumulate(counts, initial=0))
    shards = [
        Shard(directory / name, list(_slices(tasks, ends, first, last)))
        for name, first, last in records.shards(ends[-1])
    ]
    names = {shard.path.name for shard in shards}
    for file in directory.iterdir():  # what an interrupted run left and is no whole shard
        if file.name not in names:
            file.unlink()
    engine.run(shards, lambda done, total: None)
    records.write_metadata(directory, ends[-1], sum(summary["bytes"] for summary in summaries))


def _slices(tasks: list[Part], ends: list[int], first: int, last: int) -> Iterator[tuple[Path, int, int, int]]:
    """Where the records from `first` to `last` of all are: `ends` has the number of records before each part."""
    for number in range(bisect_right(ends, first) - 1, bisect_left(ends, last)):
        start, end = ends[number], ends[number + 1]
        if start < end:
            yield tasks[number].records, end - start, max(first - start, 0), min(last, end) - start


def _describe(directory: Path, summaries: list[dict], licence_of: dict, settings: dict, report: Report) -> str:
    """Writes what stands beside the records, and returns their `data_hash`."""
    lines, first_record = [], 0
    for summary in summaries:
        for shot in summary["shots"]:
            line = {
                "source": summary["source"],
                **shot,
                "licence": licence_of.get(PurePosixPath(summary["source"]).name),
                "first_record": first_record,
            }
            lines.append(json.dumps(line) + "\n")
            first_record += shot["pairs"]
    manifest = "".join(lines)
    data_hash = records.data_hash(settings, manifest)
    (directory / "manifest.jsonl").write_text(manifest)
    (directory / "settings.json").write_text(json.dumps({**settings, "data_hash": data_hash}, indent=2) + "\n")
    (directory / "skipped.jsonl").write_text(
        "".join(json.dumps({"source": source, "reason": reason}) + "\n" for source, reason in report.skipped)
    )
    return data_hash


def _report(summaries: list[dict], refused: dict[str, str]) -> Report:
    shots = [shot for summary in summaries for shot in summary["shots"]]
    dropped_shots = sum((Counter(summary["dropped_shots"]) for summary in summaries), Counter())
    skipped = refused | {summary["source"]: reason for summary in summaries if (reason := _skipped(summary))}
    return Report(
        sources=len(summaries),
        shots=len(shots),
        pairs=sum(shot["pairs"] for shot in shots),
        dropped_shots=dict(sorted(dropped_shots.items())),
        dropped_pairs=sum(summary["dropped_pairs"] for summary in summaries),
        skipped=sorted(skipped.items()),
        notes=[(summary["source"], note) for summary in summaries for note in summary["notes"]],
    )


def _skipped(summary: dict) -> str | None:
    """Why a source has a problem, or gave no pair."""
    if summary["problem"]:
        kept = f" ({len(summary['shots'])} shots before that were kept)" if summary["shots"] else ""
        return summary["problem"] + kept
    if summary["shots"]:
        return None
    dropped = [f"{count} {reason}" for reason, count in sorted(summary["dropped_shots"].items())]
    if summary["dropped_pairs"]:
        dropped.append(f"{summary['dropped_pairs']} pairs {APART}")
    return f"no usable shot: {', '.join(dropped) or 'no frames'}"


def _write(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2))
