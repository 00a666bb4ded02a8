"""Raw video to a training set: `python -m pim_jax.prepare VIDEO_OR_FOLDER... --out DIR`.

Each source (a video file, or a folder of numbered frames) is cut into shots by one worker, which leaves its records and
a summary in `DIR.partial`. When all are there they are joined, in the order of the sources, and the result is renamed
to `DIR`. So an interrupted run loses only the sources that it was working on, `DIR` is either complete or absent, and
its bytes depend on the inputs and the settings but not on the number of workers.

`DIR` holds the records (see `records`) and
  manifest.jsonl   one line per shot: where it comes from, its size, and which records are its pairs
  settings.json    the settings, and the hash of the data that a training run records
  skipped.jsonl    one line per source that gave no shot or broke off, with the reason
"""

import argparse
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from pim_jax.data import records
from pim_jax.data.shots import FRAME_RATE, Shot, Unreadable, numbered_frames, shots
from pim_jax.files import replacing

# In a folder only these are tried, so that a text file beside the videos is not reported as a broken video. A file that
# is given by name is always tried.
VIDEO_SUFFIXES = {
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
}  # fmt: skip


class Settings(NamedTuple):
    """What decides the result, apart from the sources: see `main`'s help for the meaning."""

    shot_seconds: float
    heights: tuple[int, int]
    seed: int


class Task(NamedTuple):
    """One source to prepare; `output`, with a suffix, is where its records and summary go."""

    source: str
    path: Path
    output: Path
    settings: Settings


class BadArguments(ValueError):
    """The user asked for something that cannot be done; the message says what to do instead."""


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: arguments, those of the process if None.

    Returns:
      The exit status: 0 if at least one shot was written, 1 if not or if interrupted, 2 for bad arguments.
    """
    args = _parse(argv)
    try:
        return prepare(
            args.inputs,
            args.out,
            settings=Settings(args.shot_seconds, tuple(args.heights), args.seed),
            licences=args.licences,
            workers=args.workers,
        )
    except BadArguments as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"Interrupted. What is done is in {_partial(args.out)}: run the same command to go on.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}. What is done is in {_partial(args.out)}: run again to go on.", file=sys.stderr)
        return 1


def prepare(inputs: Sequence[Path], out: Path, *, settings: Settings, licences: Path | None, workers: int) -> int:
    """Writes the training set, or continues to.

    Args:
      inputs: video files, folders of numbered frames, or folders of those.
      out: the folder to write; must not exist.
      settings: how shots are taken.
      licences: JSON lines with the fields `clip` (a source's file name) and `licence`, or None.
      workers: number of processes.

    Returns:
      0 if at least one shot was written, otherwise 1.

    Raises:
      BadArguments: nothing was done, and the message says why.
    """
    _check(out, settings, workers)
    sources = find_sources(inputs)
    licence_of = _read_licences(licences, sources) if licences else {}
    full_settings = {"pim_jax": _version(), **settings._asdict(), "sources": _digest_of_sources(sources)}
    partial = _open_partial(_partial(out), full_settings)
    tasks = [
        Task(source, path, partial / "sources" / f"{number:06d}", settings)
        for number, (source, path) in enumerate(sources.items())
    ]
    _run(tasks, workers)

    summaries = [json.loads(_summary(task.output).read_text()) for task in tasks]
    pairs = sum(shot["pairs"] for summary in summaries for shot in summary["shots"])
    if pairs:
        _assemble(partial / "dataset", tasks, summaries, licence_of, full_settings)
        os.rename(partial / "dataset", out)
    shutil.rmtree(partial)
    _report(out, summaries, pairs)
    return 0 if pairs else 1


def find_sources(inputs: Iterable[Path]) -> dict[str, Path]:
    """Finds the videos and the folders of numbered frames.

    Args:
      inputs: files and folders; folders are searched recursively.

    Returns:
      Name to path, sorted by name. A source's name is its path from the input on, so that it stays the same when the
      input is moved: `clips/a.mp4` for `a.mp4` in the input `/data/clips`.

    Raises:
      BadArguments: an input does not exist or holds no video, or two sources would have the same name.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "clips").mkdir()
      ...     for name in ("b.mp4", "a.mov", "notes.txt"):
      ...         Path(folder, "clips", name).touch()
      ...     print(list(find_sources([Path(folder, "clips")])))
      ['clips/a.mov', 'clips/b.mp4']
    """
    found: dict[str, Path] = {}
    for given in (Path(os.path.abspath(given)) for given in inputs):
        if not given.exists():
            raise BadArguments(f"{given} does not exist.")
        paths = list(_search(given)) if given.is_dir() else [given]
        if not paths:
            raise BadArguments(
                f"no video in {given}: neither a folder of numbered frames (such as 0001.png, 0002.png) "
                f"nor a file ending in {', '.join(sorted(VIDEO_SUFFIXES))}."
            )
        for path in paths:
            name = path.relative_to(given.parent).as_posix()
            if found.setdefault(name, path) != path:
                raise BadArguments(f"{found[name]} and {path} would both be called {name}: rename one of the inputs.")
    return dict(sorted(found.items()))


def _search(folder: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(folder):
        if numbered_frames(Path(directory)):
            yield Path(directory)
        yield from (Path(directory, file) for file in files if Path(file).suffix.lower() in VIDEO_SUFFIXES)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pim_jax.prepare",
        description="Turns videos into a training set of frame pairs 1/30 s apart. Run it again to go on after an "
        "interruption.",
    )
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER",
        help="a video, a folder of numbered frames (read as 30 frames/s), or a folder that contains such, at any depth",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write; must not exist")
    parser.add_argument("--shot-seconds", type=float, default=1.0, help="length of a shot (default: %(default)s)")
    parser.add_argument(
        "--heights", type=int, nargs=2, default=(128, 160), metavar=("LOW", "HIGH"),
        help="each shot's short side is downsampled to a random size between these (default: 128 160)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random heights (default: %(default)s)")
    parser.add_argument(
        "--licences", type=Path, metavar="FILE", help="JSON lines with `clip` (a file name) and `licence`"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: one per core, %(default)s)"
    )
    return parser.parse_args(argv)


def _check(out: Path, settings: Settings, workers: int) -> None:
    low, high = settings.heights
    if out.exists():
        raise BadArguments(f"{out} exists already: delete it, or choose another --out.")
    if not 2 <= low <= high:
        raise BadArguments(f"--heights {low} {high}: the first must be at least 2 and not larger than the second.")
    if not 2 <= FRAME_RATE * settings.shot_seconds < float("inf"):
        raise BadArguments(f"--shot-seconds {settings.shot_seconds:g}: a shot needs two frames, so at least 0.067.")
    if settings.seed < 0:
        raise BadArguments(f"--seed {settings.seed}: must not be negative.")
    if workers < 1:
        raise BadArguments(f"--workers {workers}: must be at least 1.")


def _read_licences(path: Path, sources: dict[str, Path]) -> dict[str, str]:
    try:
        entries = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        licence_of = {entry["clip"]: entry["licence"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadArguments(
            f"--licences {path}: must be lines such as "
            f'{{"clip": "a.mp4", "licence": "CC-BY-4.0"}} ({type(error).__name__}: {error}).'
        ) from error
    if not any(source.name in licence_of for source in sources.values()):
        raise BadArguments(f"--licences {path}: none of its clips is among the {len(sources)} sources.")
    return licence_of


def _version() -> str:
    try:
        return importlib.metadata.version("pim-jax")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"


def _digest_of_sources(sources: dict[str, Path]) -> str:
    """Names and sizes of the sources: enough to notice that the inputs changed between an interruption and a rerun."""
    sizes = {
        source: [file.stat().st_size for file in (numbered_frames(path) or [path])] for source, path in sources.items()
    }
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()


def _partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _open_partial(partial: Path, settings: dict[str, Any]) -> Path:
    path = partial / "settings.json"
    settings = json.loads(json.dumps(settings))  # as it will be read back
    if path.exists():
        earlier = json.loads(path.read_text())
        changed = [key for key in settings if settings[key] != earlier.get(key)]
        if changed:
            raise BadArguments(
                f"{partial} holds an unfinished run with other settings ("
                + "; ".join(f"{key}: {earlier.get(key)} there, {settings[key]} now" for key in changed)
                + "): repeat those to finish it, or delete that folder to start anew."
            )
    (partial / "sources").mkdir(parents=True, exist_ok=True)
    _write(path, settings)
    shutil.rmtree(partial / "dataset", ignore_errors=True)
    (partial / "dataset").mkdir()
    return partial


def _run(tasks: list[Task], workers: int) -> None:
    """Prepares, in worker processes, each source that is not done.

    Tasks are started in order, so when a decoder takes its process (and with it the pool) down, the first ones that are
    not done were running: each of them is tried again alone.
    """

    def undone() -> list[Task]:
        return [task for task in tasks if not _summary(task.output).exists()]

    remaining = undone()
    done = len(tasks) - len(remaining)
    with tqdm(total=len(tasks), initial=done, unit="source", file=sys.stderr, desc="prepare") as progress:
        while remaining:
            if not _run_pool(remaining, workers, progress):
                for suspect in undone()[:workers]:
                    if not _run_pool([suspect], 1, progress):
                        _write_summary(suspect, [], Counter(), "the decoder crashed")
            remaining = undone()
            progress.update(len(tasks) - len(remaining) - progress.n)


def _run_pool(tasks: list[Task], workers: int, progress: tqdm) -> bool:
    """Runs tasks and returns whether all workers lived to the end."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_end_with_parent) as pool:
        try:
            for future in as_completed([pool.submit(_prepare_source, task) for task in tasks]):
                future.result()
                progress.update()
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
    kept, dropped, problem = [], Counter(), None

    def pair_records() -> Iterator[bytes]:
        nonlocal problem
        length = round(FRAME_RATE * task.settings.shot_seconds)
        try:
            for shot in shots(task.path, task.source, length, task.settings.heights, task.settings.seed):
                if shot.flaw:
                    dropped[shot.flaw] += 1
                    continue
                pairs = len(shot.frames) // 2
                frames = shot.frames[: 2 * pairs]
                yield from (records.encode(pair) for pair in frames.reshape(pairs, 2, *frames.shape[1:]))
                kept.append(_describe(shot, frames))
        except Unreadable as error:
            problem = str(error)

    records.write_file(_records(task.output), pair_records())
    _write_summary(task, kept, dropped, problem)


def _describe(shot: Shot, frames: np.ndarray) -> dict[str, Any]:
    return {
        "start": round(shot.start, 6),
        "fps": round(shot.fps, 6),
        "original_width": shot.original_size[0],
        "original_height": shot.original_size[1],
        "width": frames.shape[2],
        "height": frames.shape[1],
        "pairs": len(frames) // 2,
        "sha256": hashlib.sha256(frames).hexdigest(),
    }


def _write_summary(task: Task, kept: list[dict], dropped: Counter, problem: str | None) -> None:
    summary = {"source": task.source, "shots": kept, "dropped": dict(sorted(dropped.items())), "problem": problem}
    _write(_summary(task.output), summary)


def _summary(output: Path) -> Path:
    """A source is done when this file exists: it is written last."""
    return output.with_suffix(".json")


def _records(output: Path) -> Path:
    return output.with_suffix(".array_record")


def _assemble(directory: Path, tasks: list[Task], summaries: list[dict], licence_of: dict, settings: dict) -> None:
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
                "licence": licence_of.get(task.path.name),
                "first_record": first_record,
            }
            lines.append(json.dumps(line) + "\n")
            first_record += shot["pairs"]
    manifest = "".join(lines)
    data_hash = records.data_hash(settings, manifest)
    (directory / "manifest.jsonl").write_text(manifest)
    (directory / "settings.json").write_text(json.dumps({**settings, "data_hash": data_hash}, indent=2) + "\n")
    (directory / "skipped.jsonl").write_text(
        "".join(json.dumps({"source": source, "reason": reason}) + "\n" for source, reason in _skipped(summaries))
    )


def _skipped(summaries: list[dict]) -> list[tuple[str, str]]:
    """The sources with a problem, or without a shot, and why."""
    reasons = []
    for summary in summaries:
        dropped = ", ".join(f"{count} {reason}" for reason, count in summary["dropped"].items())
        if summary["problem"]:
            kept = f" ({len(summary['shots'])} shots before that were kept)" if summary["shots"] else ""
            reasons.append((summary["source"], summary["problem"] + kept))
        elif not summary["shots"]:
            reasons.append((summary["source"], f"no usable shot: {dropped or 'no frames'}"))
    return reasons


def _report(out: Path, summaries: list[dict], pairs: int) -> None:
    skipped = _skipped(summaries)
    for source, reason in skipped[:20]:
        print(f"skipped {source}: {reason}", file=sys.stderr)
    if len(skipped) > 20:
        print(f"... and {len(skipped) - 20} more", file=sys.stderr)
    dropped = sum((Counter(summary["dropped"]) for summary in summaries), Counter())
    if dropped:
        print("dropped shots: " + ", ".join(f"{count} {reason}" for reason, count in dropped.items()), file=sys.stderr)
    if not pairs:
        print(f"error: none of the {len(summaries)} sources gave a usable shot: nothing was written.", file=sys.stderr)
        return
    count = sum(len(summary["shots"]) for summary in summaries)
    print(f"{out}: {pairs} pairs from {count} shots of {len(summaries)} sources.")


def _write(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    sys.exit(main())
