"""A sweep refuses wrong arguments before it trains anything."""

import pytest

from pim_jax import sweep


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["configs/tiny.py", "more/tiny.py"], "configurations of different names"),
        (["steps=2"], "configurations of different names, not none"),
        (["configs/tiny.py", "seed=1"], "give seeds as --seeds"),
        (["configs/none.py"], "no configuration file"),
        (["configs/tiny.py", "batch=none"], "batch must be"),
        (["configs/spips_alex.py"], "spips_alex.py"),
    ],
)
def test_wrong_arguments_are_one_line_before_anything_is_trained(clip_pairs, tmp_path, capsys, words, message):
    assert sweep.main([*words, "--workdir", str(tmp_path / "s"), "--data", str(clip_pairs)]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not (tmp_path / "s").exists()


def test_a_folder_that_is_no_training_set_is_refused(tmp_path, capsys):
    assert sweep.main(["configs/tiny.py", "--workdir", str(tmp_path / "s"), "--data", str(tmp_path)]) == 2
    assert "is not a training set" in capsys.readouterr().err
