"""The pool of processes that prepare videos."""

import json
import multiprocessing
import threading

import pytest
from videos import encode, panning

from pim_jax.data.parts import Part, Settings
from pim_jax.data.pool import Pool


@pytest.mark.slow(kept="broken sources in test_prepare.py")
def test_source_that_kills_its_process_is_reported_and_the_others_are_prepared(tmp_path):
    """The process of one source is killed whenever it starts, as a decoder that crashes would do."""
    long = encode(tmp_path / "long.mp4", *[panning(60, seed=s, size=(360, 640)) for s in range(10)])
    good = encode(tmp_path / "good.mp4", panning(30, seed=15))
    tasks = [Part(path.name, path, tmp_path / path.stem / "part", Settings()) for path in (long, good)]
    finished = threading.Event()

    def kill():
        while not finished.wait(0.02):
            if not tasks[0].done and any((tmp_path / "long").glob(".*.tmp")):
                for process in multiprocessing.active_children():
                    process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with Pool(1) as pool:
        pool.run(tasks, lambda done, total: None)
    finished.set()
    killer.join()
    bad, fine = (json.loads(task.summary.read_text()) for task in tasks)
    assert bad["problem"] == "the decoder crashed" and bad["shots"] == []
    assert fine["problem"] is None and len(fine["shots"]) == 1
