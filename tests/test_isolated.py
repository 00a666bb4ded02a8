"""A process that dies or hangs while it reads an image costs that image, and nothing else."""

import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from pim_jax.data import images, isolated


@pytest.fixture
def reader():
    with isolated.Reader() as reader:
        yield reader


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def slow(tmp_path):
    """A picture that takes long enough to be interrupted."""
    Image.new("RGB", (6000, 6000)).save(tmp_path / "slow.png", compress_level=1)
    return tmp_path / "slow.png"


def test_the_same_pixels_sizes_and_refusals_come_back(reader, picture, tmp_path):
    np.testing.assert_array_equal(reader.read(picture), images.read(picture))
    assert reader.size(picture) == (300, 500)
    (tmp_path / "b\n.png").write_text("not an image")
    for read in (reader.read, reader.size):
        with pytest.raises(ValueError, match="cannot identify"):
            read(tmp_path / "b\n.png")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.png")
    np.testing.assert_array_equal(reader.read(picture), images.read(picture))


def interrupt_during(reader, number):
    """Sends a signal to the process once it is at work."""

    def act():
        time.sleep(0.05)
        reader._process.send_signal(number)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_names_the_file_and_the_next_one_is_read(reader, picture, slow, number):
    reader.size(picture)
    thread = interrupt_during(reader, number)
    with pytest.raises(ValueError, match=rf"slow\.png cannot be read .* decoder crashed \({number.name}\)"):
        reader.read(slow)
    thread.join()
    assert reader.size(picture) == (300, 500)


def test_a_hang_ends_and_names_the_file(reader, picture, slow, monkeypatch):
    reader.size(picture)
    monkeypatch.setattr(isolated, "PATIENCE", 1)
    thread = interrupt_during(reader, signal.SIGSTOP)
    with pytest.raises(ValueError, match=r"slow\.png cannot be read as an image: its decoder was not done after 1 s"):
        reader.read(slow)
    thread.join()
    monkeypatch.undo()
    assert reader.size(picture) == (300, 500)


def test_the_process_ends_with_the_context(picture):
    with isolated.Reader() as reader:
        reader.size(picture)
        process = reader._process
    assert process.returncode is not None
