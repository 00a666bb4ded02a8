"""Reports say everything that was measured, show the right pictures, and survive any name and a missing picture."""

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from disks import small_disk
from matplotlib.figure import Figure
from PIL import Image
from test_page import Parsed, fetched, image_of

from pim_jax import metric
from pim_jax.data import images
from pim_jax.evaluation import compare, report
from pim_jax.evaluation.compare import Candidate
from pim_jax.evaluation.comparison import Comparison
from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.datasets.benchmark import Disagreement
from pim_jax.evaluation.measure import Measured
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.statistics import Estimate
from pim_jax.model import pim as networks

ASSETS = Path(report.__file__).parents[1] / "assets" / "images"
NASTY = "<b>&amp;\"q\" 'x' $1 {0} %d é"  # a file's name: no slash


@dataclasses.dataclass
class Fake:
    """A benchmark whose scores are what its test gives it."""

    pairs: Sequence[Pair]
    table: dict[str, dict[str, Estimate]]  # by metric
    cases: Sequence[Disagreement] = ()
    higher_is_better: bool = True
    title: str = f"Fake: {NASTY}"
    notes: Sequence[str] = (f"A note on {NASTY}.",)
    plots: tuple[str, ...] = ()
    asked: list = dataclasses.field(default_factory=list)

    def distances(self):
        """A metric is told from the others by its distances."""
        return {name: np.full(len(self.pairs), float(i)) for i, name in enumerate(self.table)}

    def scores(self, distances):
        return list(self.table.values())[int(distances[0])]

    def figures(self, distances):
        return {caption: Figure() for caption in self.plots}

    def doubts(self, scores):
        return ["a doubt"]

    def disagreements(self, distances):
        self.asked.append(list(self.table)[int(distances[0])])
        return list(self.cases)


@pytest.fixture(scope="module")
def pim():
    """Few bands and units, to compile quickly."""
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(8, 3))
    return metric.from_params(config, networks.init(config, jax.random.key(0)), name="pim-t")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Crops of the bundled photographs and of their distorted versions, one of them under a nasty name."""
    folder, found = tmp_path_factory.mktemp("data"), []
    for pair in compare.pair_up(ASSETS / "reference", ASSETS / "distorted")[0]:
        paths = []
        for side, path in (("ref", pair.reference), ("out", pair.distorted)):
            name = NASTY if pair.name == "boats" else pair.name
            paths.append(folder / side / f"{name}.png")
            paths[-1].parent.mkdir(exist_ok=True)
            Image.open(path).convert("RGB").crop((60, 20, 124, 84)).save(paths[-1])
        found.append(Pair(*map(Picture, paths)))
    return found


def written(path, benchmark, pim=None, **changes):
    metrics = {name: f"Baseline({name!r})" for name in benchmark.table}
    if pim:
        metrics[pim.name] = repr(pim)
    about = {"metrics": metrics, "skipped": {}, "unread": {}, "command": "eval.py", "mapped": pim, **changes}
    distances = benchmark.distances()
    scores = {name: benchmark.scores(values) for name, values in distances.items()}
    report.of_benchmark(path, benchmark, distances, scores, **about)
    return Parsed(path.read_text(encoding="utf-8"))


def row(*values):
    return {f"column {i}": Estimate(*value) for i, value in enumerate(values)}


def tables(parsed):
    """Every table as {row: {column: (text, detail)}}, by caption."""
    found, columns, line = {}, [], {}
    for element in parsed.elements:
        text = element["text"].strip()
        if element["tag"] == "caption":
            found[text], columns = {}, []
        elif element["tag"] == "th" and element["scope"] == "col":
            columns.append(text)
        elif element["tag"] == "th":
            line = list(found.values())[-1][text] = {}
        elif element["tag"] == "td":
            line[columns[len(line) + 1]] = re.fullmatch(r"([^\[]*)(.*)", text).groups()
    return found


# The benchmark's scores


def test_every_metric_and_column_has_its_value_and_interval(tmp_path, pairs):
    rng = np.random.default_rng(0)
    table = {name: row(*rng.uniform(-1, 1, (30, 3))) for name in ("pim-t", "PSNR", "<MS>-SSIM", "NLPD")}
    found = tables(written(tmp_path / "r.html", Fake(pairs, table)))
    columns = [f"column {i}" for i in range(30)]
    assert set(found) == {"Scores", "Further scores"}
    assert list(found["Scores"]) == list(table) and list(found["Further scores"]) == columns[4:]
    for name, estimates in table.items():
        for i, column in enumerate(columns):
            shown = found["Scores"][name][column] if i < 4 else found["Further scores"][column][name]
            value, low, high = estimates[column]
            assert shown == (f"{value:.3f}", f"[{low:.3f}, {high:.3f}]")


def test_few_columns_make_one_table(tmp_path, pairs):
    found = tables(written(tmp_path / "r.html", Fake(pairs, {"PSNR": row((0.5, 0.4, 0.6))})))
    assert found == {"Scores": {"PSNR": {"column 0": ("0.500", "[0.400, 0.600]")}}}


def test_no_interval_is_shown_where_there_is_none(tmp_path, pairs):
    found = tables(written(tmp_path / "r.html", Fake(pairs, {"PSNR": row((0.5,), (np.nan,))})))
    assert found["Scores"]["PSNR"] == {"column 0": ("0.500", ""), "column 1": ("-", "")}


def test_the_highest_value_of_a_column_stands_out(tmp_path, pairs):
    table = {
        "a": row((0.5,), (0.7,), (np.nan,)),
        "b": row((0.6,), (0.70001,), (-0.2,)),
        "c": row((np.nan,), (0.1,), (-0.3,)),
    }
    assert written(tmp_path / "r.html", Fake(pairs, table)).texts("strong") == ["0.700", "0.600", "0.700", "-0.200"]
    assert written(tmp_path / "r.html", Fake(pairs, {"a": row((0.5,))})).texts("strong") == []


def test_what_was_left_out_and_how_it_was_made_is_said(tmp_path, pairs, pim):
    parsed = written(
        tmp_path / "r.html",
        Fake(pairs, {"pim-t": row((0.5,))}, plots=("Scatter <1>",)),
        pim,
        skipped={"Butteraugli": "butteraugli_main is missing"},
        unread={f"/data/{NASTY}.png": "broken & cut"},
        command=f"eval.py --data '{NASTY}'",
    )
    said = dict(zip(parsed.texts("dt"), parsed.texts("dd"), strict=True))
    assert said["Butteraugli"] == "butteraugli_main is missing"
    assert said[f"/data/{NASTY}.png"] == "broken & cut"
    assert said["Command"] == f"eval.py --data '{NASTY}'"
    assert said["pim-t"] == repr(pim) and pim.digest in said["pim-t"]
    assert f"jax {jax.__version__}, numpy {np.__version__}" in said["Versions"]
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d", said["Date"])
    assert parsed.texts("li")[-1] == f"A note on {NASTY}." and parsed.texts("h1") == [f"Fake: {NASTY}"]
    assert [image["alt"] for image in parsed.all("img")] == ["Plot: Scatter <1>"]


# The benchmark's pictures


def test_the_disagreements_are_those_of_pim_with_maps_on_one_scale(tmp_path, pairs, pim):
    benchmark = Fake(
        pairs, {"PSNR": row((0.5,)), "pim-t": row((0.5,))}, [Disagreement((i,), f"text {i}") for i in (2, 0, 1)]
    )
    parsed = written(tmp_path / "r.html", benchmark, pim)
    assert benchmark.asked == ["pim-t"] and "Worst disagreements of pim-t with people" in parsed.texts("h2")
    assert parsed.texts("h3") == ["text 2", "text 0", "text 1"]
    pixels = [[images.read(picture.path) for picture in pair] for pair in pairs]
    maps = [np.asarray(pim.distance_map(*pair)) for pair in pixels]
    pictures = [e for e in parsed.all("img") if not e["alt"].startswith("Colours")]
    for place, index in enumerate((2, 0, 1)):
        reference, distorted, shown = pictures[3 * place : 3 * place + 3]
        for element, role, image in ((reference, "ref", pixels[index][0]), (distorted, "out", pixels[index][1])):
            np.testing.assert_array_equal(np.asarray(image_of(element)), np.round(image * 255))
            name = getattr(pairs[index], "reference" if role == "ref" else "distorted").path.name
            assert element["alt"].endswith(f": {role}/{name}, 64x64")
        level = np.minimum(256 * np.sqrt(maps[index] / np.max(maps)), 255)
        assert np.abs(np.asarray(image_of(shown)) - level).max() < 1.01
    assert {e["text"] for e in parsed.all("span")} >= {"0", f"{np.max(maps):.3g}"}


@pytest.mark.parametrize("given", [False, True])
def test_unless_pim_measured_the_first_metric_is_judged_and_there_are_no_maps(tmp_path, pairs, pim, given):
    benchmark = Fake(pairs, {"SSIM": row((0.5,)), "PSNR": row((0.5,))}, [Disagreement((0,), "a")])
    parsed = written(tmp_path / "r.html", benchmark, pim if given else None)
    assert benchmark.asked == ["SSIM"]
    assert [e["class"] for e in parsed.all("figure")] == ["reference", "distorted"]


def test_a_triplet_shows_its_reference_once(tmp_path, pairs, pim):
    other = Pair(pairs[1].reference, Picture(pairs[1].reference.path, Change("shift", 3)))
    parsed = written(
        tmp_path / "r.html", Fake([*pairs, other], {"pim-t": row((0.5,))}, [Disagreement((1, 3), "text")]), pim
    )
    assert [e["class"] for e in parsed.all("figure")] == ["reference", "distorted", "map", "distorted", "map"]
    captions = [text.split("\n")[0] for text in parsed.texts("figcaption")]
    assert captions[1] == "First: out/lighthouse.png, 64x64"
    assert captions[3] == "Second: ref/lighthouse.png (shift 3), 64x64"


def test_a_picture_that_is_gone_leaves_the_rest(tmp_path, pairs):
    gone = Pair(pairs[0].reference, Picture(tmp_path / "gone.png"))
    cases = [Disagreement((3,), "first"), Disagreement((0,), "second")]
    parsed = written(tmp_path / "r.html", Fake([*pairs, gone], {"PSNR": row((0.5,))}, cases))
    assert re.fullmatch(r"first \(not shown: .*gone\.png.*\)", parsed.texts("h3")[0])
    assert parsed.texts("h3")[1] == "second" and len(parsed.all("img")) == 2


# The file


def test_the_file_is_replaced_whole_or_not_at_all(tmp_path, pairs):
    path = tmp_path / "new folder" / "r.html"
    benchmark = Fake(pairs, {"PSNR": row((0.5,))})
    written(path, benchmark)
    before = path.read_text()
    benchmark.figures = None  # fails once the scores are done
    with pytest.raises(TypeError):
        written(path, benchmark)
    assert [(found.name, found.read_text()) for found in path.parent.iterdir()] == [("r.html", before)]


def test_a_full_disk_leaves_the_old_file(tmp_path, pairs):
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "r.html"
        path.write_text("old")
        with pytest.raises(OSError, match=r"r\.html cannot be written: the disk is full"):
            written(path, Fake(pairs, {"PSNR": row((0.5,))}, notes=["long" * 2**14]))
        assert [(found.name, found.read_text()) for found in disk.iterdir()] == [("r.html", "old")]


def test_nothing_is_fetched_and_nothing_printed(tmp_path, pairs, pim, capfd, recwarn):
    path = tmp_path / "r.html"
    written(path, Fake(pairs, {"pim-t": row((0.5,))}, [Disagreement((0,), NASTY)], plots=("a",)), pim)
    assert fetched(path.read_text()) == []
    assert all(image["alt"] for image in Parsed(path.read_text()).all("img"))
    assert capfd.readouterr() == ("", "") and not recwarn


# Comparisons

ONE = (Candidate("out"),)


def comparison(pairs, distances, candidates=ONE, name="name"):
    """Distances are [images] or [images, candidates]."""
    matches = [
        compare.Match(f"{name} {i} {NASTY}", pairs[i % 3].reference.path, pairs[i % 3].distorted.path, candidate)
        for i in range(len(distances))
        for candidate in candidates
    ]
    found = Comparison.of(matches, ["pim-t"])
    for index, distance in enumerate(np.ravel(distances)):
        found.add(Measured(index, (64, 64), {"pim-t": float(distance)}, {}), 1024)
    return found


def compared(path, found, pim, **options):
    report.of_comparison(path, found, {"pim-t": pim}, command="eval.py a b", mapped="pim-t", **options)
    return Parsed(path.read_text(encoding="utf-8"))


def test_a_comparison_lists_every_pair_and_shows_the_largest(tmp_path, pairs, pim):
    distances = np.random.default_rng(0).lognormal(-3, 1, 14).astype(np.float32)
    parsed = compared(tmp_path / "r.html", comparison(pairs, distances), pim)
    order = np.argsort(-distances)
    found = tables(parsed)
    cells = {"Bits per pixel": ("2.000", ""), "Width x height": ("64x64", "")}
    assert found["Every pair, the largest distance first"] == {
        f"name {i} {NASTY}": {"Distance": (f"{distances[i]:.6g}", ""), **cells} for i in order
    }
    summary = {name: cells["Distance"][0] for name, cells in found["Summary"].items()}
    assert (summary["Pairs"], summary["Not measured"]) == ("14", "0")
    for name, value in zip(("Mean", "Median"), (np.mean(distances), np.median(distances)), strict=True):
        assert float(summary[name]) == pytest.approx(value, rel=1e-5)
    assert (summary["Smallest"], summary["Largest"]) == (f"{distances.min():.6g}", f"{distances.max():.6g}")
    assert parsed.texts("h3") == [f"name {i} {NASTY}: distance {distances[i]:.6g}" for i in order[:12]]
    assert [e["class"] for e in parsed.all("figure")].count("map") == 12
    assert parsed.all("figure", **{"class": "plot"})
    assert parsed.texts("h1") == ["Distances of 14 pairs of images by pim-t"]


def test_few_pairs_need_no_histogram(tmp_path, pairs, pim):
    parsed = compared(tmp_path / "r.html", comparison(pairs, [0.1, 0.3, 0.2]), pim)
    assert [e["class"] for e in parsed.all("figure")] == ["reference", "distorted", "map"] * 3
    shown = [np.asarray(image_of(e)) for e in parsed.all("img", alt="Map of pim-t")]
    assert max(index.max() for index in shown) == 255 and len(np.unique(shown[0])) > 10


def test_failed_pairs_are_listed(tmp_path, pairs, pim):
    found = comparison(pairs, [0.1, np.nan])
    found.add(Measured(1, None, {}, {"b.png": "a.png is 1x2 & b.png is 2x1"}), 10)
    parsed = compared(tmp_path / "r.html", found, pim)
    said = dict(zip(parsed.texts("dt"), parsed.texts("dd"), strict=True))
    assert said[f"name 1 {NASTY}"] == "a.png is 1x2 & b.png is 2x1"
    assert tables(parsed)["Summary"]["Not measured"]["Distance"][0] == "1"
    found = comparison(pairs, [np.nan])
    found.add(Measured(0, None, {}, {"b.png": "why"}), 10)
    nothing = compared(tmp_path / "r.html", found, pim)
    assert "No pair could be measured." in nothing.texts("p") and not tables(nothing)
    assert nothing.texts("h1") == ["Distances of 1 pair of images by pim-t"]


def test_the_scale_of_maps_that_are_written_elsewhere_is_that_of_the_page(tmp_path, pairs, pim):
    parsed = compared(tmp_path / "r.html", comparison(pairs, [0.1]), pim, brightest=123.0)
    assert {e["text"] for e in parsed.all("span")} >= {"0", "30.8", "123"}
    assert np.asarray(image_of(parsed.all("img", alt="Map of pim-t")[0])).max() < 128


CODECS = [Candidate(codec, quality) for codec in ("jpeg", "<avif>") for quality in ("1", "2")]


def codecs(pairs):
    """The second codec is a little closer at the same rate; on the image 1 it is much farther."""
    table = np.array([[0.4, 0.2, 0.36, 0.17], [0.5, 0.2, 0.5, 0.9], [0.44, 0.21, 0.40, 0.19]])
    found = comparison(pairs, table, CODECS)
    found.bytes[:] = np.tile([512, 1024, 512, 1024], 3)
    return found


def test_several_candidates_are_answered_first(tmp_path, pairs, pim):
    parsed = compared(tmp_path / "r.html", codecs(pairs), pim)
    headings = parsed.texts("h2")
    assert headings[0] == "Answer" and headings.index("Rate and distance") < headings.index("Every pair")
    found = tables(parsed)
    answer = found["Candidates, the closest first"]
    assert list(answer) == ["jpeg/2", "<avif>/1", "<avif>/2", "jpeg/1"]
    assert answer["jpeg/2"]["pim-t"][0] == "0.2033" and answer["jpeg/2"]["Bits per pixel"][0] == "2.000"
    differences = found["Paired differences"]
    assert list(differences) == [f"jpeg/{q} \N{MINUS SIGN} <avif>/{q}" for q in "12"]
    assert differences["jpeg/2 \N{MINUS SIGN} <avif>/2"]["Closer in"] == ("1 : 2", "")
    assert list(found["BD-rate"]) == ["<avif> against jpeg"]
    assert len(parsed.all("figure", **{"class": "plot"})) == 1
    assert {e["data-value"] for e in parsed.all("td") if "data-value" in e} >= {"2.0", "3"}


def test_where_candidates_differ_most_is_shown_side_by_side(tmp_path, pairs, pim):
    parsed = compared(tmp_path / "r.html", codecs(pairs), pim)
    contests = [e["text"] for e in parsed.all("article", **{"class": "contest"})]
    assert len(contests) == 3 and f"name 1 {NASTY}: jpeg/2 is closest, <avif>/2 farthest" in contests[0]
    assert "jpeg/2: 0.2000, 2.000 bit/pixel" in contests[0] and "Map of pim-t, <avif>/2" in contests[0]
    groups = parsed.all("div", **{"class": "group"})
    assert [group["text"].split("\n")[1] for group in groups] == ["jpeg/2", "<avif>/1", "<avif>/2", "jpeg/1"]


def test_of_very_many_pairs_the_page_lists_the_largest(tmp_path, pairs, pim, monkeypatch):
    monkeypatch.setattr(report, "ROWS", 3)
    parsed = compared(tmp_path / "r.html", comparison(pairs, np.linspace(0, 1, 5)), pim)
    assert len(tables(parsed)["Every pair, the largest distance first"]) == 3
    assert "The 3 largest of 5 distances; --csv and --json write all." in parsed.texts("p")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
@pytest.mark.parametrize(("name", "shown"), [(b"caf\xe9", "caf\\xe9"), ("日本".encode(), "日本")])
def test_a_name_that_is_no_text_is_written_with_escapes(tmp_path, pairs, pim, name, shown):
    """Also one that is text, but not in the locale of the process, which then has its bytes."""
    name = name.decode("ascii", "surrogateescape")
    parsed = compared(tmp_path / "r.html", comparison(pairs, [0.1], name=name), pim)
    assert parsed.texts("h3") == [f"{shown} 0 {NASTY}: distance 0.1"]
