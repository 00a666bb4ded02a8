"""Disks that are full, for the tests of several modules."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(path, size):
    """A disk of some size, such as "64k", at `path`; skips the test where none can be made."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"needs root, to mount a small disk: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def read_only(disk):
    """Makes a `small_disk` read-only for everybody, for root too."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def fill(path, *, leave):
    """Fills the disk of a new file at `path`, but for some bytes."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(path, path.stat().st_size - leave)
