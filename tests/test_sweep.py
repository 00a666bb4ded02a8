"""A sweep trains every configuration with every seed, goes on where it was, and one failure costs no other run."""

import pytest

from pim_jax import sweep
from pim_jax.training import log

TINY = ["model.pyramid=none", "model.widths=(4,3)", "patch=32", "batch=8", "log_every=1", "steps=2", "beta_steps=0"]


@pytest.mark.slow(kept="the arguments; test_results.py keeps the table, test_train.py the training")
def test_a_run_that_fails_costs_no_other_and_what_is_finished_is_not_trained_again(clip_pairs, tmp_path, capsys):
    work = tmp_path / "s"
    words = ["configs/tiny.py", *TINY, "--seeds", "3", "5", "--workdir", str(work), "--data", str(clip_pairs)]
    work.mkdir()
    (work / "tiny-3").write_text("")  # in the way of its folder
    assert sweep.main(words) == 1
    out = capsys.readouterr().out
    assert f"tiny-3: failed with status 1, see {work / 'tiny-3'}.txt" in out and "tiny-5: finished" in out
    assert "verdict: finished at step 2" in out
    (work / "tiny-3").unlink()
    assert sweep.main(words) == 0
    out = capsys.readouterr().out
    assert "tiny-3: configs/tiny.py" in out and "tiny-5: configs/tiny.py" not in out
    assert "| tiny-3, tiny-5 | 3, 5  |" in out and "±" in out
    rows = [log.read(work / f"tiny-{seed}").rows for seed in (3, 5)]
    assert [len(row) for row in rows] == [2, 2] and rows[0][1]["I"] != rows[1][1]["I"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["configs/tiny.py", "more/tiny.py"], "configurations of different names"),
        (["steps=2"], "configurations of different names, not none"),
        (["configs/tiny.py", "seed=1"], "give seeds as --seeds"),
        (["configs/tiny.py", "--seeds", "1", "1"], "give each seed once, not 1 1"),
        (["configs/none.py"], "no configuration file"),
        (["configs/tiny.py", "batch=none"], "batch must be"),
        (["configs/spips_alex.py"], "spips_alex.py"),
        (["configs/tiny.py", "--agreement", "none.csv"], "none.csv does not exist"),
        (["configs/tiny.py", "--agreement", "docs", "--benchmark", "imagenet-c"], "there are no human answers"),
        (["configs/tiny.py", "--whiten", "none"], "--whiten and --benchmark go with --agreement"),
        (["configs/tiny.py", "--agreement", "none.csv", "--whiten", "none"], "none is not a training set"),
    ],
)
def test_wrong_arguments_are_one_line_before_anything_is_trained(clip_pairs, tmp_path, capsys, words, message):
    assert sweep.main([*words, "--workdir", str(tmp_path / "s"), "--data", str(clip_pairs)]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not (tmp_path / "s").exists()


def test_a_folder_that_is_no_training_set_is_refused(tmp_path, capsys):
    assert sweep.main(["configs/tiny.py", "--workdir", str(tmp_path / "s"), "--data", str(tmp_path)]) == 2
    assert "is not a training set" in capsys.readouterr().err


def test_a_workdir_that_cannot_be_made_is_refused(clip_pairs, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert sweep.main(["configs/tiny.py", "--workdir", str(tmp_path / "file/s"), "--data", str(clip_pairs)]) == 2
    assert f"cannot be made: {tmp_path / 'file'} is a file and no folder\n" in capsys.readouterr().err
