"""What is compiled is kept between runs of the command, where it can be and the user has not decided."""

import os
import subprocess
import sys

import jax
import pytest
from disks import fill, small_disk

from pim_jax import cache

PROGRAM = """
import jax
from pim_jax import cache

cache.keep_compiled()
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
assert jax.jit(lambda x: x + 1)(1) == 2
print("/jax/compilation_cache/cache_hits" in events)
"""


@pytest.fixture
def run(one_device):
    """Runs the program with a cache folder of its own; whether something was found that an earlier run had compiled."""

    def run(home):
        environment = {name: value for name, value in one_device.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        environment |= {"XDG_CACHE_HOME": str(home), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout == "True\n"

    return run


def test_a_second_run_finds_what_the_first_compiled(run, tmp_path):
    assert [run(tmp_path), run(tmp_path)] == [False, True]
    assert any((tmp_path / "pim_jax" / "compiled").iterdir())


def test_without_a_place_nothing_is_kept_and_nothing_fails(run, tmp_path):
    (tmp_path / "file").write_text("no folder can be made in here")
    assert not run(tmp_path / "file")


@pytest.mark.slow(kept="a place that cannot be")
def test_a_full_disk_keeps_nothing_and_nothing_is_said(run, tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "pim_jax" / "compiled").mkdir(parents=True)
        fill(disk / "ballast", leave=0)
        assert [run(disk), run(disk)] == [False, False]


def test_a_folder_that_the_user_chose_stays():
    chosen = os.environ["JAX_COMPILATION_CACHE_DIR"]
    cache.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == chosen


def test_without_a_home_the_message_says_what_to_set(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where neither HOME nor the user is known
    with pytest.raises(OSError, match="set XDG_CACHE_HOME"):
        cache.folder()
