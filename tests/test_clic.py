"""Codecs compared by people, on small folders of every accepted form."""

import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from pim_jax.evaluation import statistics
from pim_jax.evaluation.datasets import clic

METHODS = ("codec-a", "codec-b", "codec-c", "codec-d")
ELO = {"codec-a": 1400, "codec-b": 1500, "codec-c": 1450, "codec-d": 1700, "other": 1600}


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three originals and four methods in folders, Elo scores of five methods."""
    for name in "xyz":
        picture(tmp_path / "originals" / f"{name}.png")
        for method in METHODS:
            picture(tmp_path / method / f"{name}.jpg")
    (tmp_path / "elo.csv").write_text("method,elo,bpp\n" + "".join(f"{m},{e},1\n" for m, e in ELO.items()))
    return tmp_path


def answer(folder, *rows):
    (folder / "answers.csv").write_text("\n".join(["reference,a,b,preferred", *rows]))


def values(benchmark, by_method, extra=None):
    """A distance for every pair: its method's, and what is added for single files."""
    extra = extra or {}
    return np.array(
        [by_method[p.distorted.path.parent.name] + extra.get(p.distorted.path.stem, 0) for p in benchmark.pairs]
    )


def test_the_correlation_is_of_mean_distances_with_elo(folder):
    benchmark = clic.read(folder)
    assert benchmark.title == (
        f"{folder.name}: 4 methods (1 more have Elo scores but no images), 3 originals, 12 decoded images"
    )
    assert len(set(benchmark.pairs)) == len(benchmark.pairs) == 12
    assert all(pair.reference.path.stem == pair.distorted.path.stem for pair in benchmark.pairs)
    distances = np.random.default_rng(0).random(12)
    means = [np.mean(distances[[p.distorted.path.parent.name == m for p in benchmark.pairs]]) for m in METHODS]
    found = benchmark.scores(distances)
    assert list(found) == ["Spearman with Elo"]
    expected = -stats.spearmanr(means, [ELO[m] for m in METHODS]).statistic
    np.testing.assert_allclose(found["Spearman with Elo"].value, expected)
    perfect = benchmark.scores(values(benchmark, {m: -ELO[m] for m in METHODS}))["Spearman with Elo"]
    assert perfect == (1, 1, 1)
    assert benchmark.disagreements(distances) == []


def test_the_interval_resamples_the_originals(folder):
    benchmark = clic.read(folder)
    # x and y rank the methods perfectly, z, whose distances are larger, the other way round
    distances = np.array(
        [ELO[p.distorted.path.parent.name] * (3 if p.reference.path.stem == "z" else -1) for p in benchmark.pairs]
    )
    found = benchmark.scores(distances)["Spearman with Elo"]
    assert (found.value, found.low, found.high) == (-1, -1, 1)


def test_images_can_be_listed_in_a_table(folder):
    rows = [f"originals/{n}.png,{m}/{n}.jpg,{m}" for n in "xy" for m in METHODS[:3]]
    (folder / "images.csv").write_text("\n".join(["reference,decoded,method", *rows]))
    benchmark = clic.read(folder)
    assert "3 methods (2 more have Elo scores but no images), 2 originals, 6 decoded images" in benchmark.title
    (folder / "images.csv").write_text("\n".join(["reference,decoded,method", *rows, rows[0]]))
    with pytest.raises(
        ValueError, match=r"images\.csv, row 8: the image codec-a/x\.jpg is listed twice, .*, row 2; keep"
    ):
        clic.read(folder)


def test_answers_are_scored_one_by_one(folder):
    answer(
        folder,
        "originals/x.png,codec-a/x.jpg,codec-b/x.jpg,b",
        "originals/x.png,codec-b/x.jpg,codec-a/x.jpg,a",  # the same question and answer, the other way round
        "originals/x.png,codec-a/x.jpg,codec-b/x.jpg,0",
        "originals/y.png,codec-c/y.jpg,codec-d/y.jpg,A",
        "originals/z.png,codec-a/z.jpg,codec-d/z.jpg,1",
    )
    benchmark = clic.read(folder)
    assert benchmark.title.endswith("12 decoded images, 5 answers")
    distances = values(benchmark, {"codec-a": 3.0, "codec-b": 2.0, "codec-c": 4.0, "codec-d": 3.0})
    # codec-b is closer than codec-a: 2 of 3 agree; codec-d than codec-c: 0 of 1; equal: a half
    found = benchmark.scores(distances)
    np.testing.assert_allclose(found["2AFC"].value, 100 * (2 + 0 + 0.5) / 5)
    worst = benchmark.disagreements(distances)
    assert len(worst) == 1
    first, second = (benchmark.pairs[i].distorted.path for i in worst[0].pairs)
    assert (first, second) == (folder / "codec-c/y.jpg", folder / "codec-d/y.jpg")
    assert "100% of raters find the first image closer, the metric the second" in worst[0].text


def test_elo_is_computed_from_answers_when_only_they_are_given(folder):
    (folder / "elo.csv").unlink()
    rng = np.random.default_rng(0)
    rows, wins = [], np.zeros((4, 4))
    for _ in range(300):
        a, b = rng.choice(4, 2, replace=False)
        prefer_b = bool(rng.random() < 1 / (1 + 10 ** ((a - b) / 2)))
        wins[(b, a) if prefer_b else (a, b)] += 1
        name = rng.choice(list("xyz"))
        rows.append(f"originals/{name}.png,{METHODS[a]}/{name}.jpg,{METHODS[b]}/{name}.jpg,{'ab'[prefer_b]}")
    answer(folder, *rows)
    benchmark = clic.read(folder)
    found = [benchmark.elo[method] for method in METHODS]
    np.testing.assert_allclose(found, statistics.elo(wins), atol=1e-3)
    assert np.argsort(found).tolist() == [0, 1, 2, 3]
    assert "computed from the answers" in benchmark.notes[0]


def test_clics_own_table_of_answers_needs_no_methods(tmp_path):
    for name in ("o", "p", "q"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "oracle.csv").write_text(
        "o.png,p.png,q.png,1\no.png,q.png,p.png,0\no.png,p.png,q.png,0\no.png,q.png,q.png,1\n"
    )
    benchmark = clic.read(tmp_path)
    assert benchmark.title == f"{tmp_path.name}: 1 originals, 2 decoded images, 4 answers"
    nearer = np.array([0.1 if pair.distorted.path.stem == "q" else 0.2 for pair in benchmark.pairs])
    found = benchmark.scores(nearer)
    # two of three prefer q, which is nearer; the same file twice agrees with half
    assert list(found) == ["2AFC"]
    np.testing.assert_allclose(found["2AFC"].value, 100 * 2.5 / 4)
    assert benchmark.figures({"A": nearer}) == {}


def test_an_original_with_a_distance_missing_counts_for_no_method(folder):
    answer(folder, "originals/x.png,codec-a/x.jpg,codec-b/x.jpg,b", "originals/y.png,codec-a/y.jpg,codec-b/y.jpg,b")
    benchmark = clic.read(folder)
    # x alone, which is far by all methods, would spoil the means of those that were measured on it
    distances = values(benchmark, {m: -ELO[m] for m in METHODS}, {"x": 1e6})
    hole = [str(pair.distorted.path).endswith("codec-d/x.jpg") for pair in benchmark.pairs]
    distances[hole] = np.nan
    found = benchmark.scores(distances)
    assert found["Spearman with Elo"].value == 1
    assert found["2AFC"].value == 100
    distances[[str(p.distorted.path).endswith("codec-a/x.jpg") for p in benchmark.pairs]] = np.nan
    assert benchmark.scores(distances)["2AFC"].value == 100
    nothing = np.full(len(distances), np.nan)
    assert all(np.isnan(estimate.value) for estimate in benchmark.scores(nothing).values())
    assert benchmark.disagreements(nothing) == []
    assert len(benchmark.figures({"A": nothing})) == 1


def test_the_figure_names_the_methods_without_what_they_share(folder):
    benchmark = clic.read(folder)
    ((caption, figure),) = benchmark.figures({"A": values(benchmark, {m: -ELO[m] for m in METHODS})}).items()
    assert caption.endswith("Their names begin with codec-")
    texts = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert texts == {m[-1]: (ELO[m], -ELO[m]) for m in METHODS}


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["x-1", "x-2"], "x-"), (["x-q1-yuv", "x-q2-yuv"], "x-"), (["x1", "x2"], ""), (["a-b"], "a-"), (["a-b", "a"], "")],
)
def test_what_names_share_ends_with_a_hyphen(names, prefix):
    assert clic._common_prefix(names) == prefix


def test_missing_images_stop_the_reader_unless_allowed(folder):
    (folder / "codec-b" / "y.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 15 images") as caught:
        clic.read(folder)
    assert "--allow-missing" in str(caught.value)
    assert str(folder / "codec-b" / "y") in str(caught.value)
    assert len(clic.read(folder, allow_missing=True).pairs) == 11


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "elo.csv").unlink(), "no answers, or no Elo scores with images. Expected"),
        (lambda folder: (folder / "originals").rename(folder / "sources"), "no answers, or no Elo scores with images"),
        (
            lambda folder: (folder / "elo.csv").write_text("method,elo\nnew,1500\n"),
            "no images of the methods in elo.csv",
        ),
        (lambda folder: (folder / "elo.csv").write_text("method,rank\na,1\n"), "no column elo"),
        (lambda folder: (folder / "elo.csv").write_text("method,elo\na,high\n"), "row 2, elo: 'high' is not a number"),
        (lambda folder: answer(folder, "originals/x.png,codec-a/x.jpg,codec-b/x.jpg,c"), "row 2: preferred is 'c'"),
        (lambda folder: (folder / "oracle.csv").write_text("a,b,1\n"), "oracle.csv, row 1 has 3 fields instead of 4"),
        (
            lambda folder: (folder / "elo.csv").write_text("method,elo\ncodec-a,1\ncodec-a,2\n"),
            "row 3: the method codec-a is listed twice",
        ),
        (lambda folder: (folder / "codec-a" / "x.png").touch(), "have the same name but for the extension"),
    ],
)
def test_what_is_wrong_is_said(folder, spoil, said):
    spoil(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(said)):
        clic.read(folder)


def test_the_case_of_names_and_files_of_the_system_do_not_matter(folder):
    title = clic.read(folder).title
    (folder / "originals").rename(folder / "Originals")
    (folder / "elo.csv").rename(folder / "ELO.csv")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0")
    for name in ("__MACOSX", "@eaDir"):
        picture(folder / name / "x.jpg")
    assert clic.read(folder).title == title
    rows = [f"ORIGINALS/{n}.png,{m}\\{n}.JPG,{m}" for n in "xy" for m in METHODS[:3]]
    (folder / "images.csv").write_text("\n".join(["Reference;Decoded;Method", *(r.replace(",", ";") for r in rows)]))
    assert "2 originals, 6 decoded images" in clic.read(folder).title


def test_elo_scores_and_answers_that_most_metrics_contradict_are_doubted(folder):
    answer(folder, *(f"originals/{n}.png,codec-a/{n}.jpg,codec-d/{n}.jpg,b" for n in "xyz"))
    benchmark = clic.read(folder)
    right, wrong = (benchmark.scores(values(benchmark, {m: sign * ELO[m] for m in METHODS})) for sign in (-1, 1))
    assert benchmark.doubts({"A": right, "B": wrong}) == []
    elo, answers = benchmark.doubts({"A": wrong, "B": wrong})
    assert elo.startswith("2 of 2 metrics contradict people (Spearman with Elo below 0)")
    assert answers.startswith("2 of 2 metrics contradict people (2AFC below 50)")


def test_the_codec_comparison_at_hand_is_read(shared):
    benchmark = clic.read(shared / "data" / "mucped23")
    assert benchmark.title == (
        "mucped23: 9 methods (22 more have Elo scores but no images), 49 originals, 441 decoded images"
    )
    assert benchmark.elo["libjpeg-turbo-q95-yuv444"] == 2608.0166
