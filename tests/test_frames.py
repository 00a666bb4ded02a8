"""Reading frames: which stream, which frames, at which times, upright, in which colours; or refused."""

import os
import socket
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from videos import HEIGHT, WIDTH, add_frames, add_stream, encode, panning, still

from pim_jax.data.frames import Unreadable, frames


def pixels(path):
    """[T, H, W, 3] uint8."""
    return np.stack([np.asarray(frame.image) for frame in frames(path)])


def times(path):
    return [frame.time for frame in frames(path)]


def matrix(a, b, c, d):
    """FFmpeg's display matrix that takes column p and row q to column a p + c q and row b p + d q."""
    return [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]


def nearest(found, encoded):
    """For each frame that was found, the number of the frame that it is of those that were encoded."""
    error = np.abs(found[:, None].astype(float) - encoded[None]).mean(axis=(2, 3, 4))
    assert error.min(axis=1).max() < 10
    return error.argmin(axis=1).tolist()


@pytest.mark.parametrize(("fps", "step"), [(20, 1), (24, 1), (25, 1), (30, 1), (48, 2), (50, 2), (60, 2), (120, 4)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])  # Matroska rounds stamps to milliseconds
def test_frames_of_a_constant_rate_are_about_a_thirtieth_of_a_second_apart(tmp_path, fps, step, suffix):
    encoded = panning(8 * step, seed=10, size=(64, 96), speed=8)
    path = encode(tmp_path / f"a.{suffix}", encoded, fps=fps)
    assert nearest(pixels(path), encoded) == list(range(0, 8 * step, step))
    np.testing.assert_allclose(times(path), np.arange(8) * step / fps, atol=1e-3)


def test_a_rate_that_changes_is_followed_by_the_stamps(tmp_path):
    stamps = np.cumsum([0, *[1 / 30] * 5, *[1 / 60] * 10, 2, *[1 / 120] * 8])
    encoded = panning(len(stamps), seed=11, size=(64, 96), speed=8)
    path = encode(tmp_path / "a.mkv", encoded, times=stamps)
    taken = [*range(6), *range(7, 16, 2), 16, 20, 24]
    assert nearest(pixels(path), encoded) == taken
    np.testing.assert_allclose(times(path), stamps[taken], atol=1e-3)


def test_the_rate_in_the_header_does_not_decide_which_frames_are_taken(tmp_path):
    encoded = panning(6, seed=12, size=(64, 96), speed=8)
    path = encode(tmp_path / "a.mkv", encoded, fps=1000, times=np.arange(6) / 30)
    assert nearest(pixels(path), encoded) == list(range(6))


def test_frames_without_stamps_follow_the_rate(tmp_path):
    encoded = panning(6, seed=13, size=(64, 96), speed=8)
    path = encode(tmp_path / "a.h264", encoded)
    [fps] = {frame.fps for frame in frames(path)}
    np.testing.assert_allclose(times(path), np.arange(6) / fps)


def test_stamps_for_decoding_are_put_into_the_order_of_presentation(tmp_path):
    """AVI has no others; with frames that are decoded out of order FFmpeg gives the frames the stamps of others."""
    encoded = panning(20, seed=14, size=(64, 96), speed=8)
    path = encode(tmp_path / "a.avi", encoded, preset="medium")
    with av.open(str(path)) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    assert stamps != sorted(stamps)
    assert nearest(pixels(path), encoded) == list(range(20))
    np.testing.assert_allclose(np.diff(times(path)), 1 / 30, atol=1e-3)


def test_missing_numbers_are_missing_times(tmp_path):
    for number in (10, 12, 14, 20, 22):
        Image.fromarray(still(1)[0]).save(tmp_path / f"{number}.png")
    np.testing.assert_allclose(times(tmp_path), np.array([0, 1, 2, 5, 6]) / 30)


def test_frames_in_numerical_order_are_copied_exactly(tmp_path):
    encoded = panning(4, seed=5, size=(128, 160))
    for number, frame in zip((8, 9, 10, 11), encoded, strict=True):  # "10" sorts before "8" as text
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    np.testing.assert_array_equal(pixels(tmp_path), encoded)
    assert times(tmp_path) == [0, 1 / 30, 2 / 30, 3 / 30]


def test_pictures_beside_the_frames_are_left_out_and_named(tmp_path):
    encoded = panning(3, seed=6)
    for number, suffix in enumerate(("png", "PNG", "png")):
        Image.fromarray(encoded[number]).save(tmp_path / f"{number}.{suffix}")
    for name in ("._1.png", ".DS_Store", "Thumbs.db", "poster.png", "0.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    found = list(frames(tmp_path))
    np.testing.assert_array_equal([frame.image for frame in found], encoded)
    assert {frame.notes for frame in found} == {("no frame, and left out: 0.jpg, poster.png",)}


@pytest.mark.parametrize("cover_first", [True, False])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_film_is_read_and_not_its_cover(tmp_path, cover_first, marked, suffix):
    cover, film = still(1), panning(5, seed=15, size=(64, 96), speed=8)
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        add = [
            lambda: (add_stream(container, cover, codec="mjpeg"), cover),
            lambda: (add_stream(container, film, bf="0"), film),
        ]
        streams = [make() for make in (add if cover_first else add[::-1])]
        for stream, content in streams:
            if marked and content is cover:
                stream.disposition = av.stream.Disposition.attached_pic
            elif content is cover:
                stream.disposition = av.stream.Disposition.default
        for stream, content in streams:
            add_frames(container, stream, content)
    found = list(frames(tmp_path / f"a.{suffix}"))
    assert nearest(np.stack([frame.image for frame in found]), film) == list(range(5))
    assert {frame.notes for frame in found} == {()}, "there was no choice"


def two_films(path, *, default):
    small, large = panning(5, seed=16, size=(64, 96)), panning(5, seed=17, size=(96, 128))
    with av.open(str(path), "w", options={"default_mode": "passthrough"}) as container:
        streams = [add_stream(container, film) for film in (small, large)]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for stream, film in zip(streams, (small, large), strict=True):
            add_frames(container, stream, film)
    return path


@pytest.mark.parametrize(("default", "size", "index"), [(0, (96, 64), 0), (1, (128, 96), 1), (None, (128, 96), 1)])
def test_of_several_films_the_default_one_is_read_else_the_largest_and_it_is_said(tmp_path, default, size, index):
    found = list(frames(two_films(tmp_path / "a.mkv", default=default)))
    assert {frame.image.size for frame in found} == {size}
    [(note,)] = {frame.notes for frame in found}
    assert note.startswith(f"stream {index} was read, one of 2 videos in the file: the default one, else the largest")


def test_a_file_of_covers_only_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.add_stream("aac", rate=48000)
        stream = add_stream(container, still(1), codec="mjpeg")
        stream.disposition = av.stream.Disposition.attached_pic
        add_frames(container, stream, still(1))
    with pytest.raises(Unreadable, match="still pictures and no video"):
        pixels(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("numbers", "upright"),
    [
        ((-1, 0, 0, 1), lambda p: p[:, :, ::-1]),  # hflip
        ((1, 0, 0, -1), lambda p: p[:, ::-1]),  # vflip
        ((-1, 0, 0, -1), lambda p: p[:, ::-1, ::-1]),  # 180 degrees
        ((0, 1, 1, 0), lambda p: p.swapaxes(1, 2)),  # transpose
        ((0, -1, -1, 0), lambda p: p.swapaxes(1, 2)[:, ::-1, ::-1]),  # transverse
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1, axes=(1, 2))),  # clockwise
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1, axes=(1, 2))),  # counter-clockwise
        ((0, 0, 0, 0), lambda p: p),  # some writers leave it out
        ((2, 0, 0, 2), lambda p: p),  # a zoom, which is for the window
    ],
)
def test_turned_and_mirrored_video_comes_out_as_players_show_it(tmp_path, numbers, upright):
    encoded = panning(3, seed=18, size=(64, 96))
    plain = pixels(encode(tmp_path / "plain.mp4", encoded))
    turned = pixels(encode(tmp_path / "turned.mp4", encoded, matrix=matrix(*numbers)))
    np.testing.assert_array_equal(turned, upright(plain))


def test_the_angle_alone_does_not_say_what_is_mirrored(tmp_path):
    angles = []
    for numbers in ((-1, 0, 0, 1), (-1, 0, 0, -1)):
        path = encode(tmp_path / "a.mp4", panning(1, seed=18), matrix=matrix(*numbers))
        with av.open(str(path)) as container:
            angles.append(abs(next(container.decode(video=0)).rotation))
    assert angles == [180, 180]


def test_video_that_is_turned_by_an_odd_angle_is_refused(tmp_path):
    path = encode(tmp_path / "a.mp4", panning(1, seed=18), matrix=matrix(1, 1, -1, 1))
    with pytest.raises(Unreadable, match="odd angle"):
        pixels(path)


def woven(top, bottom):
    """One interlaced frame of two moments: every other line of each plane."""
    planes = [av.VideoFrame.from_ndarray(moment, format="rgb24").reformat(format="yuv420p") for moment in (top, bottom)]
    frame = np.stack([plane.to_ndarray() for plane in planes])
    # The colour planes lie below the other in halves of lines: a line of the array is two of theirs.
    height, width = top.shape[:2]
    lines = frame[0].copy()
    lines[1:height:2] = frame[1, 1:height:2]
    chroma = [field[height:].reshape(-1, width // 2).copy() for field in frame]
    chroma[0][1::2] = chroma[1][1::2]
    lines[height:] = chroma[0].reshape(-1, width)
    return av.VideoFrame.from_ndarray(lines, format="yuv420p")


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_of_interlaced_video_one_moment_of_each_frame_is_read(tmp_path, codec):
    moments = panning(12, seed=19, size=(128, 192), speed=16)
    options = {"x264-params": "tff=1"} if codec == "libx264" else {"flags": "+ildct+ilme", "b": "8000000"}
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = add_stream(container, moments, codec=codec, **options)
        add_frames(container, stream, [woven(*pair) for pair in zip(moments[::2], moments[1::2], strict=True)])
    found = list(frames(tmp_path / "a.mkv"))
    assert {frame.image.size for frame in found} == {(192, 128)}
    assert {frame.notes for frame in found} == {("interlaced: of each frame only the top field was read",)}
    assert nearest(np.stack([frame.image for frame in found]), moments) == list(range(0, 12, 2))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"transfer": 16}, "HDR, PQ"),
        ({"transfer": 18}, "HDR, HLG"),
        ({"colorspace": 14}, "HDR, ICtCp"),
        ({"transfer": 8}, "linear"),
        ({"transfer": 9}, "logarithmic"),
    ],
)
def test_video_whose_values_are_not_those_of_srgb_is_refused(tmp_path, tags, message):
    with pytest.raises(Unreadable, match=rf"not those of sRGB \({message}\): convert it"):
        pixels(encode(tmp_path / "a.mp4", panning(2, seed=20), **tags))


@pytest.mark.parametrize("transfer", [1, 2, 6, 13, 14])
def test_video_of_the_usual_transfer_functions_is_read(tmp_path, transfer):
    assert len(pixels(encode(tmp_path / "a.mp4", panning(2, seed=20), transfer=transfer))) == 2


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("matrix", "tag", "height"), [("ITU601", 6, 128), ("ITU709", 1, 128), ("ITU601", 2, 128), ("ITU709", 2, 720)]
)
def test_colours_are_those_that_were_encoded(tmp_path, matrix, tag, height, interlaced):
    """BT.601 and BT.709, tagged; and untagged (2), which means BT.601 for small pictures and BT.709 for HD."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[200, 120, 30], [40, 90, 200], [128, 128, 128]]])
    block = height // 2
    bars = np.repeat(np.repeat(colours.astype(np.uint8), block, axis=0), block, axis=1)
    encoded = av.VideoFrame.from_ndarray(bars, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
    encoded.colorspace = tag
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        options = {"crf": "5", "x264-params": f"tff={int(interlaced)}"}
        stream = add_stream(container, bars[None], colorspace=tag, **options)
        add_frames(container, stream, [encoded])
    [frame] = frames(tmp_path / "a.mp4")
    assert bool(frame.notes) == interlaced
    centres = np.asarray(frame.image)[block // 2 :: block, block // 2 :: block]
    np.testing.assert_allclose(centres.astype(int), colours, atol=3)


def test_a_playlist_is_not_followed_to_other_files(tmp_path):
    encode(tmp_path / "b.mp4", panning(30, seed=16))
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile b.mp4\n")
    with pytest.raises(Unreadable, match="playlists"):
        pixels(tmp_path / "a.mp4")


def replace(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_encoding_of_titles_does_not_matter(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = add_stream(container, still(2))
        add_frames(container, stream, still(2))
    replace(path, b"TITLE", "caf\u00e9".encode("latin-1") + b"!")
    assert len(pixels(path)) == 2


def test_a_video_without_a_decoder_is_refused_with_what_to_do(tmp_path):
    path = encode(tmp_path / "a.mkv", panning(2, seed=20))
    replace(path, b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")
    with pytest.raises(Unreadable, match="no decoder for its video: encode it again"):
        pixels(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.mp4"))
        for name in ("pipe.mp4", "s.mp4"):
            with pytest.raises(Unreadable, match="not a file"):
                pixels(tmp_path / name)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nothing")
    with pytest.raises(Unreadable, match="No such file"):
        pixels(tmp_path / "link.mp4")


def test_a_program_among_the_frames_is_not_run(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n(run) print\n")
    with pytest.raises(Unreadable, match=r"^0\.png cannot be read as an image: it is a drawing, which is not read"):
        pixels(tmp_path)


@pytest.mark.slow(kept="damaged and odd videos")
def test_frames_of_too_many_pixels_are_refused(tmp_path):
    for number in range(2):
        Image.new("1", (20000, 20000)).save(tmp_path / f"{number}.png")
    with pytest.raises(Unreadable, match="most that is read") as caught:
        pixels(tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_a_video_of_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("pim_jax.data.frames.MAX_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(Unreadable, match="320x192 are more than 61,439 pixels"):
        pixels(encode(tmp_path / "a.mp4", panning(3, seed=17)))


def test_deep_frames_are_refused_rather_than_clipped(tmp_path):
    for number in range(2):
        Image.fromarray(np.full((128, 128), 1000 * number, np.uint16)).save(tmp_path / f"{number}.png")
    with pytest.raises(Unreadable, match="8 bits"):
        pixels(tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", "\u6620\u753b.mp4".encode(), b"a" * 248 + b".mp4", b"a%d:b?.mp4"])
def test_a_video_may_have_any_name(tmp_path, name):
    path = encode(tmp_path / "a.mp4", panning(2, seed=20)).rename(
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    )
    assert len(pixels(path)) == 2
