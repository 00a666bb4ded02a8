"""Raw video to a training set, `DIR`.

Each source (a video file, or a folder of numbered frames) is cut into shots by one worker, which leaves its records and
a summary in `DIR.partial`. When all are there they are joined, in the order of the sources, and the result is renamed
to `DIR`. So an interrupted run loses only the sources that it was working on, `DIR` is either complete or absent, and
its bytes depend on the inputs and the settings but not on the number of workers.

`DIR` holds the records (see `records`) and
  manifest.jsonl   one line per shot: where it comes from, its size, and which records are its pairs. Its frames follow
                   each other at `fps` from `start` on (frames between them may be left out); where they do not, `fps`
                   is null and `times` has the time of every frame, in seconds. `notes`, if there are any, say what
                   was done with the source that its user may not expect
  settings.json    the settings, and the hash of the data that a training run records
  skipped.jsonl    one line per source that gave no pair or broke off, with the reason
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from pim_jax import provenance
from pim_jax.data import records
from pim_jax.data.frames import FRAME_RATE, Unreadable
from pim_jax.data.shots import LONGEST_INTERVAL, SHORTEST_INTERVAL, Shot, pair_up, shots
from pim_jax.data.sources import BadArguments, find_sources, numbered_frames
from pim_jax.writing import replacing

APART = f"of frames that are not 1/{1 / SHORTEST_INTERVAL:.0f} to 1/{1 / LONGEST_INTERVAL:.0f} s apart"
Progress = Callable[[int, int], None]  # takes how many sources are done, and of how many


class Settings(NamedTuple):
    """What decides the result, apart from the sources.

    Attributes:
      shot_seconds: length of a shot.
      heights: smallest and largest size in pixels that a shot's short side is downsampled to.
      seed: of the random heights, a non-negative integer.
    """

    shot_seconds: float = 1.0
    heights: tuple[int, int] = (128, 160)
    seed: int = 0


class Report(NamedTuple):
    """What became of the sources.

    Attributes:
      sources, shots, pairs: how many there are; the last two are what was written.
      dropped_shots: how many shots were dropped, by reason.
      dropped_pairs: how many times a frame and the next were no pair, as they are not 1/30 s apart.
      skipped: name and reason of each source that gave no pair or broke off.
      notes: name of a source, and what was done with it that its user may not expect.
    """

    sources: int
    shots: int
    pairs: int
    dropped_shots: dict[str, int]
    dropped_pairs: int
    skipped: list[tuple[str, str]]
    notes: list[tuple[str, str]]


class Task(NamedTuple):
    """One source to prepare; `output`, with a suffix, is where its records and summary go."""

    source: str
    path: Path
    output: Path
    settings: Settings


def prepare(
    inputs: Sequence[Path],
    out: Path,
    *,
    settings: Settings,
    licences: Path | None = None,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Writes the training set, or continues to.

    Args:
      inputs: video files, folders of numbered frames, or folders of those.
      out: the folder to write; must not exist. Without a pair nothing is written.
      settings: how shots are taken.
      licences: JSON lines with the fields `clip` (a source's file name) and `licence`, or None.
      workers: number of processes.
      progress: called at the start, and when sources are done.

    Returns:
      The report.

    Raises:
      BadArguments: nothing was done, and the message says why.
      OSError: something cannot be written. What is done is in `unfinished(out)`, and another call goes on from there.
    """
    _check_settings(settings, workers)
    _check_out(out)
    sources = find_sources(inputs)
    licence_of = _read_licences(licences, list(sources.paths)) if licences else {}
    full_settings = {
        "pim_jax": provenance.installed("pim-jax"),
        **settings._asdict(),
        "sources": _digest_of_sources(sources.paths),
    }
    partial = _open_partial(unfinished(out), {**full_settings, "code": provenance.of(_prepare_source)})
    tasks = [
        Task(source, path, partial / "sources" / f"{number:06d}", settings)
        for number, (source, path) in enumerate(sources.paths.items())
    ]
    _run(tasks, workers, progress)

    summaries = [json.loads(_summary(task.output).read_text()) for task in tasks]
    report = _report(summaries, sources.refused)
    if report.pairs:
        _assemble(partial / "dataset", tasks, summaries, licence_of, full_settings, report)
        os.rename(partial / "dataset", out)
    shutil.rmtree(partial)
    return report


def unfinished(out: Path) -> Path:
    """Where the work on a training set is until it is done."""
    return out.with_name(out.name + ".partial")


def _check_settings(settings: Settings, workers: int) -> None:
    low, high = settings.heights
    if not 2 <= low <= high:
        raise BadArguments(f"--heights {low} {high}: the first must be at least 2 and not larger than the second.")
    if not 2 <= FRAME_RATE * settings.shot_seconds < float("inf"):
        raise BadArguments(f"--shot-seconds {settings.shot_seconds:g}: a shot needs two frames, so at least 0.067.")
    if settings.seed < 0:
        raise BadArguments(f"--seed {settings.seed}: must not be negative.")
    if workers < 1:
        raise BadArguments(f"--workers {workers}: must be at least 1.")


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
        changed = [key for key in settings if settings[key] != earlier.get(key)]
        if changed:
            raise BadArguments(
                f"{partial} holds an unfinished run with other settings or of other code ("
                + "; ".join(f"{key}: {earlier.get(key)} there, {settings[key]} now" for key in changed)
                + "): repeat those to finish it, or delete that folder to start anew."
            )
    try:
        (partial / "sources").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadArguments(f"{partial}, for the unfinished set, cannot be made: {error.strerror}.") from error
    _write(path, settings)
    shutil.rmtree(partial / "dataset", ignore_errors=True)
    (partial / "dataset").mkdir()
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


def _run(tasks: list[Task], workers: int, progress: Progress) -> None:
    """Prepares, in worker processes, each source that is not done.

    Tasks are started in order, so when a decoder takes its process (and with it the pool) down, the first ones that are
    not done were running: each of them is tried again alone.
    """

    def undone() -> list[Task]:
        remaining = [task for task in tasks if not _summary(task.output).exists()]
        progress(len(tasks) - len(remaining), len(tasks))
        return remaining

    while remaining := undone():
        done = len(tasks) - len(remaining)
        if not _run_pool(remaining, workers, lambda more, done=done: progress(done + more, len(tasks))):
            for suspect in undone()[:workers]:
                if not _run_pool([suspect], 1, lambda more: None):
                    _write(_summary(suspect.output), _new_summary(suspect) | {"problem": "the decoder crashed"})


def _run_pool(tasks: list[Task], workers: int, progress: Callable[[int], None]) -> bool:
    """Runs tasks and returns whether all workers lived to the end."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_end_with_parent) as pool:
        try:
            futures = [pool.submit(_prepare_source, task) for task in tasks]
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done)
        except BrokenProcessPool:
            return False
        except BaseException:  # Ctrl-C, or a full disk: an hour-long video in another worker must not delay the exit
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return True


def _end_with_parent() -> None:
    """Without this a killed run leaves workers behind that wait for work for ever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prepare_source(task: Task) -> None:
    summary = _new_summary(task)

    def pair_records() -> Iterator[bytes]:
        length = round(FRAME_RATE * task.settings.shot_seconds)
        try:
            for shot in shots(task.path, task.source, length, task.settings.heights, task.settings.seed):
                summary["notes"] = shot.notes
                if shot.flaw:
                    summary["dropped_shots"][shot.flaw] += 1
                    continue
                firsts, dropped = pair_up(shot.times)
                summary["dropped_pairs"] += dropped
                if firsts:
                    frames = [frame for first in firsts for frame in (first, first + 1)]
                    pairs = shot.frames[frames].reshape(len(firsts), 2, *shot.frames.shape[1:])
                    yield from map(records.encode, pairs)
                    summary["shots"].append(_describe(shot, pairs, [shot.times[frame] for frame in frames]))
        except Unreadable as error:
            summary["problem"] = str(error)

    records.write_file(_records(task.output), pair_records())
    _write(_summary(task.output), summary)


def _new_summary(task: Task) -> dict[str, Any]:
    return {
        "source": task.source,
        "shots": [],
        "dropped_shots": Counter(),
        "dropped_pairs": 0,
        "notes": (),
        "problem": None,
    }


def _describe(shot: Shot, pairs: np.ndarray, times: list[float]) -> dict[str, Any]:
    when = {"start": round(times[0], 6), "fps": round(shot.fps, 6)}
    if not _follow_each_other(times, shot.fps):
        when |= {"fps": None, "times": [round(time, 6) for time in times]}
    return {
        **when,
        "original_width": shot.original_size[0],
        "original_height": shot.original_size[1],
        "width": pairs.shape[3],
        "height": pairs.shape[2],
        "pairs": len(pairs),
        "sha256": hashlib.sha256(pairs).hexdigest(),
        **({"notes": shot.notes} if shot.notes else {}),
    }


def _follow_each_other(times: list[float], fps: float) -> bool:
    """Whether frames are where a rate, of which every so many are left out, puts them: not half a frame off."""
    interval = max(1, round(fps / FRAME_RATE)) / fps
    even = times[0] + interval * np.arange(len(times))
    return bool(np.abs(np.array(times) - even).max() < 0.5 / fps)


def _summary(output: Path) -> Path:
    """A source is done when this file exists: it is written last."""
    return output.with_suffix(".json")


def _records(output: Path) -> Path:
    return output.with_suffix(".array_record")


def _assemble(
    directory: Path, tasks: list[Task], summaries: list[dict], licence_of: dict, settings: dict, report: Report
) -> None:
    counts = [sum(shot["pairs"] for shot in summary["shots"]) for summary in summaries]
    in_order = (
        record
        for task, count in zip(tasks, counts, strict=True)
        if count
        for record in records.read_file(_records(task.output), count)
    )
    records.write_dataset(directory, in_order, sum(counts))

    lines, first_record = [], 0
    for task, summary in zip(tasks, summaries, strict=True):
        for shot in summary["shots"]:
            line = {
                "source": task.source,
                **shot,
                "licence": licence_of.get(PurePosixPath(task.source).name),
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
