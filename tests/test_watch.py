"""What a run says of itself: where it stalls, which signals came, how much memory it took."""

import signal
import time
from pathlib import Path

import pytest

from pim_jax.training import watch


def test_a_stall_prints_where_it_is(capfd):
    with watch.stalls(0.001) as alive:
        alive()
        time.sleep(0.5)
    errors = capfd.readouterr().err
    assert "Timeout" in errors and Path(__file__).name in errors


@pytest.mark.slow(kept="a stall that is told")
def test_the_first_step_may_take_three_times_as_long(capfd):
    with watch.stalls(1 / 60):
        time.sleep(1.5)
        early = capfd.readouterr().err
        time.sleep(3)
    assert early == "" and "Timeout" in capfd.readouterr().err


@pytest.mark.slow(kept="a stall that is told")
def test_steps_put_the_stall_off_and_the_end_calls_it_off(capfd):
    with watch.stalls(0.05) as alive:
        for _ in range(40):
            alive()
            time.sleep(0.1)
    with watch.stalls(0) as alive:
        alive()
    with watch.stalls(0.001):
        pass
    time.sleep(0.5)
    assert capfd.readouterr().err == ""


def test_signals_are_caught_by_name_and_acted_upon_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with watch.caught_signals() as caught:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert caught == ["SIGTERM", "SIGTERM", "SIGINT"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc, to compare with")
def test_memory_is_at_least_what_is_used_now():
    block = bytearray(b"x") * 300_000_000
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert len(block) / 1e9 < 0.98 * pages * 4096 / 1e9 <= watch.memory()["memory_gb"]
