"""Files from anyone: thousands of valid ones, damaged at random, through the functions behind the commands.

Whatever a file holds, it is read or refused with one clear line: by `images.read` (eval), `shots` (prepare),
`convert.read`, `load_whole` (weights), `pairs` (train) and the readers of data sets' tables. Decoders are native code,
so a child process reads the files; one that crashes or hangs there is named, and the next child goes on behind it. A
file is a function of its number: `damaged(seeds, number)` makes it again.
"""

import collections
import csv
import faulthandler
import functools
import io
import json
import math
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy import io as scipy_io

from pim_jax.data import images
from pim_jax.data.frames import Unreadable
from pim_jax.data.shots import pair_up, shots

SECONDS = 180  # for one file; a picture of the most pixels takes a few on an idle machine
BATCH = 250  # files on disk at once
MEMORY = 6 * 2**30  # bytes; a picture of `images.MAX_PIXELS` needs most of it
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def picture_seeds():
    """Small pictures in every format that is read, and most of their variants."""
    from test_images import ADOBE_RGB, icc_profile

    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 200, 24 * 36 * 3).reshape(24, 36, 3) + rng.integers(0, 50, (24, 36, 3))
    colour = Image.fromarray(smooth.astype(np.uint8))
    deep = rng.integers(0, 65536, (24, 36, 4), dtype=np.uint16)
    transparent = colour.convert("RGBA")
    transparent.putalpha(colour.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = icc_profile(b"RGB ", ADOBE_RGB)

    kinds = {
        "PNG": [({}, mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")] + [({"icc_profile": profile}, "RGB")],
        "JPEG": [({}, "L"), ({"exif": exif}, "RGB"), ({"progressive": True}, "RGB"), ({}, "CMYK")],
        "WEBP": [({}, "RGB"), ({"lossless": True}, "RGBA"), ({"icc_profile": profile}, "RGB")],
        "AVIF": [({}, "RGB"), ({}, "RGBA")],
        "TIFF": [({"compression": f"tiff_{name}"}, "RGB") for name in ("lzw", "adobe_deflate", "jpeg")]
        + [({}, "RGB"), ({"compression": "packbits"}, "L"), ({"compression": "group4"}, "1"), ({}, "CMYK")],
        "GIF": [({}, "P"), ({"save_all": True, "append_images": [colour.rotate(90)]}, "RGB")],
        "BMP": [({}, mode) for mode in ("1", "L", "P", "RGB", "RGBA")],
        "DIB": [({}, "RGB")],
        "PPM": [({}, mode) for mode in ("1", "L", "RGB")],
        "JPEG2000": [({}, "L"), ({}, "RGB"), ({}, "RGBA"), ({"no_jp2": True}, "RGB")],
        "QOI": [({}, "RGB")],
        "SGI": [({}, "L"), ({}, "RGB")],
        "TGA": [({}, "RGB"), ({"compression": "tga_rle"}, "RGBA"), ({}, "P")],
        "PCX": [({}, "1"), ({}, "P"), ({}, "RGB")],
        "MPO": [({"save_all": True, "append_images": [colour]}, "RGB")],
    }
    seeds = []
    for kind, variants in kinds.items():
        for options, mode in variants:
            file = io.BytesIO()
            source = transparent if mode.endswith("A") else colour
            source.convert(mode).save(file, kind, **options)
            seeds.append(file.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep"
        for write in _writers(deep, np.asarray(transparent)):
            write(path)
            seeds.append(path.read_bytes())
    seeds.append(b"P6\n36 24\n1023\n" + (deep[..., :3] % 1024).astype(">u2").tobytes())
    seeds.append(b"P3\n2 2\n255\n" + b"255 0 7 " * 4)
    return seeds


def _writers(deep, transparent):
    """Functions that write what Pillow does not: 16 bits, layouts of TIFF, alpha that a header declares, long texts."""
    from test_images import bmp, chunk, deep_png, tga
    from test_png import TEXT
    from test_tiff import BLACK_IS_0, PALETTE, RGB, write_tiff

    palette = list(range(0, 768 * 80, 80))
    tiffs = [
        ((deep[..., :3], 16, RGB), {"order": ">"}),
        ((deep[..., :3], 16, RGB), {"tile": (16, 16), "compression": "tiff_lzw", "predictor": 2}),
        ((deep[..., :3], 16, RGB), {"planar": True, "compression": "tiff_adobe_deflate", "tags": {274: [6]}}),
        ((deep, 16, RGB), {"planar": True, "tile": (16, 32), "order": ">", "tags": {338: [1]}}),
        ((deep >> 8, 8, RGB), {"compression": "packbits", "tags": {338: [2]}}),
        ((deep[..., :2], 16, BLACK_IS_0), {"big": True, "compression": "zstd", "tags": {338: [1], 274: [5]}}),
        ((deep[..., :1] >> 4, 12, BLACK_IS_0), {"compression": "lzma"}),
        ((deep[..., :1] >> 12, 4, BLACK_IS_0), {"big": True, "order": ">"}),
        ((deep[..., :1] >> 8, 8, PALETTE), {"tile": (16, 16), "tags": {320: palette}}),
    ]
    texts = [TEXT["packed text"], TEXT["packed XMP"], TEXT["old EXIF"], chunk(b"cICP", bytes([1, 13, 0, 1]))]
    return [
        *(functools.partial(deep_png, pixels=deep[..., :channels]) for channels in (1, 2, 3, 4)),
        lambda path: deep_png(path, deep[..., :3], *texts),
        *(lambda path, args=args, options=options: write_tiff(path, *args, **options) for args, options in tiffs),
        lambda path: bmp(path, transparent, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 124),
        lambda path: tga(path, transparent, 8, attributes=4),
    ]


def video_seeds():
    """A third of a second in most containers and codecs that FFmpeg writes."""
    kinds = {
        ("mp4", "libx264"): {}, ("mp4", "mpeg4"): {}, ("mov", "prores"): {"pix_fmt": "yuv422p10le"},
        ("mov", "rawvideo"): {"pix_fmt": "rgb24"}, ("matroska", "libx264"): {}, ("matroska", "ffv1"): {},
        ("webm", "libvpx"): {},
        ("webm", "libvpx-vp9"): {}, ("avi", "mjpeg"): {"pix_fmt": "yuvj420p"}, ("avi", "mpeg4"): {},
        ("mpegts", "mpeg2video"): {}, ("mpeg", "mpeg1video"): {}, ("flv", "flv1"): {}, ("asf", "wmv2"): {},
        ("gif", "gif"): {"pix_fmt": "rgb8"}, ("yuv4mpegpipe", "wrapped_avframe"): {}, ("mxf", "mpeg2video"): {},
        ("3gp", "h263"): {"size": (176, 144)}, ("ogg", "theora"): {}, ("ivf", "libsvtav1"): {},
    }  # fmt: skip
    encoders = {codec for _, codec in kinds if _can_encode(codec)}
    assert len(encoders) > 10
    plain = [_encode(*kind, **options) for kind, options in kinds.items() if kind[1] in encoders]
    return plain + list(_unusual_videos())


def _unusual_videos():
    """What takes a way of its own through `frames`: stamps of its own, mirrored, interlaced, out of order, a cover."""
    from videos import add_frames, add_stream, panning

    frames = panning(10, seed=0, size=(48, 64))
    pauses = np.cumsum([0, *[1 / 30, 1 / 60, 1 / 60, 2] * 3][:10])
    kinds = [
        ("matroska", {"exact": True}, pauses),
        ("mp4", {"exact": True}, pauses),
        ("mp4", {"matrix": [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]}, None),
        ("mov", {"matrix": [0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30]}, None),
        ("mpegts", {"x264-params": "tff=1"}, None),
        ("mpeg", {"codec": "mpeg2video", "flags": "+ildct+ilme"}, None),
        ("avi", {"preset": "medium"}, None),
        ("h264", {}, None),
        ("mp4", {"fps": 120}, None),
    ]
    for container, options, times in kinds:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            add_frames(output, add_stream(output, frames, **options), frames, times=times)
        yield file.getvalue()
    for container, disposition in (("matroska", 0), ("mp4", av.stream.Disposition.attached_pic)):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            streams = [add_stream(output, frames, codec="mjpeg"), *(add_stream(output, frames) for _ in range(2))]
            streams[0].disposition = av.stream.Disposition(disposition)
            for stream, content in zip(streams, (frames[:1], frames, frames), strict=True):
                add_frames(output, stream, content)
        yield file.getvalue()


def _can_encode(codec):
    try:
        return bool(av.Codec(codec, "w"))
    except av.codec.codec.UnknownCodecError:
        return False


def _encode(container, codec, *, pix_fmt="yuv420p", size=(64, 48)):
    file = io.BytesIO()
    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for t in range(10):
            pixels = np.stack([4 * x + 9 * t, 5 * y, 3 * (x + y + 5 * t)], -1).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def archive_seeds():
    """The official checkpoint of a small model, zipped with and without compression."""
    import zipfile

    from test_convert import FILES, official_checkpoint
    from test_tf_bundle import write_bundle

    settings, tensors = official_checkpoint(num_filters=[3, 2], z_dim=2)
    contents = (json.dumps(settings).encode(), *write_bundle(tensors))
    seeds = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, content in zip(FILES, contents, strict=True):
                archive.writestr(f"pim-5/{name}", content)
        seeds.append(file.getvalue())
    return seeds


TABLE = [("reference", "distorted", "score", "type"), ("a.png", "b é.png", 3.25, "x"), ("c, d.png", "e.png", 1, "")]


def table_seeds():
    """Small tables in every form that is read, behind the number of the form in one byte; see `read_table`."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(TABLE)
    seeds = [text.getvalue().encode(encoding) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")]
    seeds.append("\n".join(";".join(map(str, row)).replace(".25", ",25") for row in TABLE).encode())
    seeds.append("\r".join("\t".join(map(str, row)) for row in TABLE).encode())
    parts = _spreadsheet()
    values = {"dmos_new": np.arange(9.0)[None], "orgs": np.zeros((1, 9), np.uint8), "names": np.array([["a"]], object)}
    matlab, judgement = [], io.BytesIO()
    for options in ({}, {"do_compression": True}, {"format": "4"}):
        matlab.append(io.BytesIO())
        scipy_io.savemat(matlab[-1], values if "format" not in options else dict(list(values.items())[:2]), **options)
    np.save(judgement, np.array([0.4], np.float32))
    return [
        *(b"\0" + seed for seed in seeds),
        *(bytes([1, number]) + part for number, part in enumerate(parts.values())),
        bytes([2]) + _zipped(parts),
        *(b"\3" + file.getvalue() for file in matlab),
        b"\4" + judgement.getvalue(),
    ]


@functools.cache
def _spreadsheet():
    """The files of a spreadsheet by name."""
    import openpyxl

    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (("Scores",), (), *TABLE):
        book.active.append(row)
    book.active.title = "scores"
    book.save(file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def folder_seeds(write):
    """Each file of a folder, behind its number in one byte."""
    with tempfile.TemporaryDirectory() as folder:
        return [bytes([number]) + file.read_bytes() for number, file in enumerate(_files(write(Path(folder))))]


def write_weights(folder):
    """A checkpoint of a small model, with the state of an optimizer."""
    from pim_jax import configuration
    from pim_jax.model.pim import ModelConfig
    from pim_jax.training import checkpoint, step
    from pim_jax.training.config import Config

    config = Config(model=ModelConfig(pyramid="none", widths=(4, 3)))
    with checkpoint.manager(folder, keep=1) as manager:
        state = step.init(config, step.mesh())
        checkpoint.save(manager, state, {"name": "small", "model": configuration.to_json(config.model)})
    return folder / "checkpoints" / "0"


def write_data(folder):
    """A training set of twelve pairs."""
    from pim_jax import prepare

    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 20, 3), dtype=np.uint8)
    (folder / "frames").mkdir()
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(folder / "frames" / f"{number}.png")
    sources = [str(folder / "frames"), "--out", str(folder / "data"), "--workers", "1"]
    assert prepare.main([*sources, "--heights", "16", "16"]) == 0
    return folder / "data"


def _files(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)


def damaged(seeds, number):
    """The file of that number: one of `seeds` with one to three kinds of damage."""
    rng = random.Random(number)
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice((_flip, _flip, _extreme, _extreme, _truncate, _double, _remove, _splice))(data, rng, seeds)
    return _with_checksums(bytes(data)) if rng.random() < 0.7 else bytes(data)


def _place(data, rng):
    """An index; in the first bytes, where the headers are, every other time."""
    return rng.randrange(max(1, min(len(data), rng.choice((64, len(data))))))


def _flip(data, rng, seeds):
    for _ in range(rng.choice((1, 2, 8)) if data else 0):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def _extreme(data, rng, seeds):
    at, size = _place(data, rng), rng.choice((1, 2, 4))
    value = (rng.choice(EXTREMES) & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("big", "little")))
    return data[:at] + value + data[at + size :]


def _truncate(data, rng, seeds):
    return data[: _place(data, rng)]


def _double(data, rng, seeds):
    at, size = _place(data, rng), rng.choice((1, 4, 64, 1000))
    return data[: at + size] + data[at:]


def _remove(data, rng, seeds):
    at, size = _place(data, rng), rng.choice((1, 4, 64, 1000))
    return data[:at] + data[at + size :]


def _splice(data, rng, seeds):
    other = rng.choice(seeds)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _with_checksums(data):
    """A PNG file with the checksums of its chunks made right, without which no damage gets past the first check."""
    mended, at = bytearray(data), 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def read_picture(path):
    """Through eval's reader, and through prepare's as frames of a folder."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for number in (1, 2):
            os.link(path, Path(folder, f"{number}.png"))
        try:
            read_video(Path(folder))
        except Unreadable as error:
            _check_line(error)
    size = images.size(path)
    pixels = images.read(path)
    assert pixels.shape == (*size, 3) and pixels.dtype == np.float32
    assert pixels.min() >= 0 and pixels.max() <= 1


def read_video(path):
    for shot in shots(path, "name", length=4, heights=(16, 20), seed=0):
        assert shot.frames.ndim == 4 and shot.frames.dtype == np.uint8
        assert json.loads(json.dumps([shot.times, shot.fps, shot.original_size], allow_nan=False))
        firsts, dropped = pair_up(shot.times)
        assert len(firsts) + dropped < len(shot.times) == len(shot.frames)


def read_archive(path):
    from pim_jax import convert  # takes seconds, which the other kinds need not wait for

    convert.to_model(*convert.read(path))


def read_table(path):
    """A table as text; a part of a spreadsheet, or all of it, whose checksums are right; a MAT-file; a judgement."""
    from pim_jax.evaluation.datasets import bapps, table

    columns = {"reference": str, "distorted": str, "score": float}
    form, *content = path.read_bytes() or b"\0"
    form, content = form % 5, bytes(content)
    if form == 1:
        parts = dict(_spreadsheet())
        parts[list(parts)[content[0] % len(parts) if content else 0]] = content[1:]
        content = _zipped(parts)
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:
        file.write(content)
        file.flush()
        if form == 4:
            assert 0 <= bapps.read_fraction(Path(file.name)) <= 1
        elif form == 3:
            entries = table.read_matlab(Path(file.name), ("dmos_new", "orgs"))
            assert all(isinstance(text, str) for texts in entries for text in texts)
        else:
            rows = (
                table.read(Path(file.name), columns, optional=("type",))
                if form == 0
                else table.read_sheet(Path(file.name), "scores", columns)
            )
            assert rows
            for row in rows:
                assert row["reference"] and row["distorted"] and math.isfinite(row["score"])


@functools.cache
def _whole(write, parent):
    return write(Path(tempfile.mkdtemp(prefix="whole", dir=parent)))


def _with_one_damaged(write, path):
    """A context that gives the folder with one of its files replaced by what `path` holds."""
    whole, content = _whole(write, path.parent), path.read_bytes()
    folder = tempfile.TemporaryDirectory()
    shutil.copytree(whole, folder.name, dirs_exist_ok=True)
    if content:
        files = _files(Path(folder.name))
        files[content[0] % len(files)].write_bytes(content[1:])
    return folder


def read_weights(path):
    from pim_jax.training import checkpoint

    with _with_one_damaged(write_weights, path) as folder:
        checkpoint.load_whole(folder)


def read_data(path):
    from pim_jax.data import pairs

    with _with_one_damaged(write_data, path) as folder:
        pairs.verified_hash(folder, crop=16)
        batches = pairs.pairs(folder, batch=4, crop=16)
        assert all(next(batches).shape == (2, 4, 16, 16, 3) for _ in range(3))


KINDS = {
    "picture": (picture_seeds, read_picture, ValueError),
    "video": (video_seeds, read_video, Unreadable),
    "archive": (archive_seeds, read_archive, ValueError),
    "weights": (functools.partial(folder_seeds, write_weights), read_weights, ValueError),
    "data": (functools.partial(folder_seeds, write_data), read_data, (OSError, ValueError)),
    "table": (table_seeds, read_table, (OSError, ValueError)),
}


def _check_line(error):
    assert str(error).strip() and "\n" not in str(error), "not one clear line"


def _outcome(read, refusal, path):
    try:
        try:
            read(path)
        except refusal as error:
            _check_line(error)
            return f"refused {error}"
    except Exception:
        return "bug " + " / ".join(traceback.format_exc().splitlines()[-4:])
    return "read"


def child(kind, folder, after):
    """Reads the files behind `after`, saying which before it does and what came of it afterwards."""
    _, read, refusal = KINDS[kind]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print is no answer
    say = functools.partial(print, file=answers, flush=True)
    nothing = Path(folder, "empty")
    nothing.touch()
    _outcome(read, refusal, nothing)  # imports and compiles, which is not to count for a file
    for path in sorted(Path(folder).glob("[0-9]*")):
        if path.name <= after:
            continue
        say(path.name, end=" ")
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        outcome = _outcome(read, refusal, path)
        faulthandler.cancel_dump_traceback_later()
        say(outcome.encode("ascii", "backslashreplace").decode())
    say("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def fuzz(kind, numbers, folder):
    """Returns the outcome of each file by number, and the largest memory of a child."""
    seeds = KINDS[kind][0]()
    outcomes, peak = {}, 0
    for start in range(0, len(numbers), BATCH):
        batch = [f"{number:06d}" for number in numbers[start : start + BATCH]]
        for name in batch:
            (folder / name).write_bytes(damaged(seeds, int(name)))
        after = ""
        while after < batch[-1]:
            command = [sys.executable, __file__, kind, str(folder), after]
            done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, env=_environment())
            output = done.stdout.decode()
            outcomes |= {m[1]: m[2] for m in re.finditer(r"^(\d{6}) (\S.*)$", output, re.MULTILINE)}
            peaks = re.search(r"^peak (\d+)$", output, re.MULTILINE)
            if peaks:
                peak = max(peak, int(peaks[1]))
                break
            last = re.search(r"(\d{6})\s*\Z", output)
            errors = done.stderr.decode(errors="replace")
            assert last, f"the child did not start: {errors}"
            after = last[1]
            outcomes[after] = f"crash (status {done.returncode}) {errors[-2000:]}"
        for name in batch:
            (folder / name).unlink()
    assert len(outcomes) == len(numbers)
    return outcomes, peak


def _environment():
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
    }


def assert_no_bugs(outcomes, peak):
    counts = collections.Counter(outcome.split()[0] for outcome in outcomes.values())
    print(f"{dict(counts)}, {peak / 2**30:.2f} GiB at most")
    bad = {name: outcome for name, outcome in outcomes.items() if not outcome.startswith(("read", "refused"))}
    assert not bad, "\n".join(f"{name}: {outcome}" for name, outcome in bad.items())
    assert counts["refused"] and counts["read"], counts  # neither all nor nothing gets through
    assert peak < MEMORY


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("picture", 300),
        ("video", 20),
        *(
            pytest.param(kind, count, marks=pytest.mark.nightly)
            for kind, count in (("weights", 12), ("data", 30), ("table", 60))
        ),
    ],
)
def test_damaged_files_are_read_or_refused(tmp_path, kind, count):
    assert_no_bugs(*fuzz(kind, range(count), tmp_path))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "count"),
    [("picture", 10_000), ("video", 1000), ("archive", 2000), ("weights", 300), ("data", 500), ("table", 3000)],
)
def test_thousands_of_damaged_files_are_read_or_refused(tmp_path, kind, count):
    assert_no_bugs(*fuzz(kind, range(1000, 1000 + count), tmp_path))


@pytest.mark.parametrize("kind", ["picture", "video", "archive", "table"])
def test_the_seeds_are_valid(tmp_path, kind):
    seeds, read, _ = KINDS[kind]
    refused = 0
    for number, data in enumerate(seeds()):
        path = tmp_path / f"{number}"
        path.write_bytes(data)
        try:
            read(path)
        except ValueError as error:
            refused += 1
            assert re.search(r"CMYK without|2 pictures", str(error)), error
    assert refused <= 4


if __name__ == "__main__":
    child(*sys.argv[1:])
