"""A run whose working directory is in a bucket is one like any other.

The libraries that talk to it, gcsfs and tensorstore, are those that talk to Google.
"""

import importlib.util
import signal
import sys
from pathlib import Path

import pytest
from marks import nightly
from runs import ENDLESS, Run, alert, assert_same_losses, free_port, losses, saved

from pim_jax import eval as command
from pim_jax import files, inspect, metric, stored, train

pytestmark = pytest.mark.slow(kept="the same on disk, in test_train.py")

# Found, not imported: what it asks of the environment it asks when it is imported.
if importlib.util.find_spec("gcsfs") is None:
    pytest.skip("gcsfs is not installed", allow_module_level=True)
bucket_server = pytest.importorskip("bucket_server", reason="gcp-storage-emulator is not installed")

WORKDIR = "gs://pictures/runs/w"
TWO = nightly(2)  # with two processes on disk it is in test_hosts.py


@pytest.fixture(scope="module")
def environment():
    with bucket_server.running("pictures", free_port()) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="module", params=[1, *TWO])
def workdir(environment, clip_pairs, request):
    """Of one or two processes, one of which is killed, often in a save, and then of one that takes six more steps."""
    workdir = f"{WORKDIR}{request.param}"
    layout = (request.param, 1)
    with Run(workdir, clip_pairs, ENDLESS, layout=layout, prelude=alert, environment=environment) as killed:
        killed.wait_for(4, saves=1)
        killed.signal(request.param - 1, signal.SIGKILL)
        assert 0 not in killed.end(), killed.said
    before = max(saved(workdir))
    with Run(workdir, clip_pairs, f"steps={before + 6}", environment=environment) as one:
        assert one.end() == [0], one.said[0]
    assert f"step {before} of {before + 6}" in one.said[0] and f"finished at step {before + 6}" in one.said[0]
    return workdir


def test_after_a_kill_one_process_continues_to_the_same_numbers(workdir, clip_pairs, tmp_path):
    last = max(saved(workdir))
    assert sorted(losses(workdir)) == list(range(1, last + 1))
    with Run(tmp_path / "w", clip_pairs, f"steps={last}") as disk:
        assert disk.end() == [0], disk.said
    assert_same_losses(workdir, tmp_path / "w")


def test_its_weights_load_and_it_is_inspected(workdir, tmp_path, capsys):
    last = max(saved(workdir))
    pim = metric.load(workdir)
    assert pim.digest == metric.load(f"{workdir}/checkpoints/{last}").digest
    assert inspect.main([workdir, "--png", str(tmp_path / "curves.png")]) == 0
    said = capsys.readouterr().out
    assert f"finished at step {last}" in said and f"checkpoint {last}: " in said and pim.digest in said
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_checkpoint_that_was_not_completed_is_none(workdir):
    *_, before, last = saved(workdir)
    mark = files.place(workdir) / "checkpoints" / str(last) / "commit_success.txt"
    text = mark.read_text()
    mark.unlink()
    assert max(saved(workdir)) == before and stored.read(workdir, metric.FORMAT).about["step"] == before
    mark.write_text(text)
    assert max(saved(workdir)) == last


def test_what_is_not_there_is_one_clear_line(environment, capsys):
    assert inspect.main(["gs://pictures/runs/v"]) == 2
    assert "there is no folder gs://pictures/runs/v" in capsys.readouterr().err
    image = str(Path(files.__file__).parent / "assets" / "images" / "reference" / "boats.png")
    assert command.main([image, image, "--ckpt", "gs://pictures/runs/v"]) == 2
    assert "there is no metric and no folder gs://pictures/runs/v" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--workdir", "s3://pictures/w", "neither a path nor a bucket of Google Cloud Storage"),
        ("--data", "gs://pictures/data", "is not on disk, and records are read at random: copy it first"),
    ],
)
def test_what_cannot_be_in_a_bucket_is_refused(option, value, message, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        train.parse(["configs/tiny.py", "--workdir", str(tmp_path / "w"), option, value])
    assert message in capsys.readouterr().err


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r"pip install 'pim-jax\[gcs\]'"):
        files.place(WORKDIR)
