"""The command that scores files, and the pairing and batching under it, on real files with an untrained metric."""

import csv
import json
import re
import subprocess
import sys
import unicodedata
import uuid
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from test_images import deep_png

from pim_jax import convert, metric, stored
from pim_jax.data import images
from pim_jax.eval import main
from pim_jax.evaluation import compare
from pim_jax.evaluation.measure import by_size, stream
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.store import Store
from pim_jax.model import pim as networks

REPOSITORY = Path(__file__).parents[1]
KODAK = Path(__file__).parents[2] / "shared" / "data" / "kodak"
BUNDLED = REPOSITORY / "pim_jax" / "weights" / "pim-1" / "params"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of weights as train.py writes them. Few bands and units, because every size of image is compiled."""
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(16, 3))
    folder = tmp_path_factory.mktemp("weights") / "w"
    stored.write(folder, config, networks.init(config, jax.random.key(0)), name="untrained")
    return folder


@pytest.fixture(scope="module")
def pim(weights):
    return metric.load(weights)


def write(path, seed, size=(48, 64), noise=0):
    """A smooth picture of its own for each seed, with noise that depends on the file's name."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    picture = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC), int)
    picture = picture + np.random.default_rng(len(str(path))).integers(-noise, noise + 1, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Five pairs of one size, one of them in a subfolder."""
    for seed, name in enumerate(["a", "b", "c", "sub/a", "z.1"]):
        write(tmp_path / "ref" / f"{name}.png", seed)
        write(tmp_path / "out" / f"{name}.bmp", seed, noise=5 + 10 * seed)
    return tmp_path / "ref", tmp_path / "out"


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def scores(out):
    lines = (line.split("\t") for line in out.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def as_pairs(matches):
    return [Pair(Picture(match.reference), Picture(match.distorted)) for match in matches]


def failures(matches):
    """What is wrong with pairs that cannot be measured, by name."""
    _, failed = by_size(as_pairs(matches))
    return {matches[result.index].name: next(iter(result.problems.values())) for result in failed}


def measured(pim, matches, tmp_path, **options):
    """The results by name, nothing from the store."""
    pairs = as_pairs(matches)
    groups, failed = by_size(pairs)
    with Store(tmp_path / f"{uuid.uuid4().hex}.sqlite") as store:
        found = [*failed, *stream({"pim": pim}, pairs, groups, store, **options)]
    return {matches[result.index].name: result for result in found}


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Pairing


def test_folders_pair_by_path_without_extension(folders):
    ref, out = folders
    write(ref / "UPPER.PNG", 9)
    write(out / "UPPER.JPG", 9)
    pairs, unmatched = compare.pair_up(ref, out)
    assert [pair.name for pair in pairs] == ["UPPER", "a", "b", "c", "sub/a", "z.1"]
    assert pairs[4].reference == ref / "sub/a.png"
    assert pairs[4].distorted == out / "sub/a.bmp"
    assert unmatched == []


def test_hidden_files_and_other_kinds_of_files_are_left_out(folders):
    ref, out = folders
    for name in (".a.png", ".cache/x.png", "notes.txt", "Makefile", "scores.csv"):
        (ref / name).parent.mkdir(exist_ok=True)
        (ref / name).write_text("not an image")
    pairs, unmatched = compare.pair_up(ref, out)
    assert len(pairs) == 5
    assert unmatched == []


def test_files_of_the_system_are_no_images(folders):
    ref, out = folders
    for name in (
        "._a.png",
        "sub/._a.png",
        "Thumbs.db",
        "__MACOSX/a.png",
        "@eaDir/a.png/thumb.png",
        "$RECYCLE.BIN/b.png",
    ):
        write(ref / name, 0) if name.endswith(".png") else (ref / name).write_bytes(b"\xd0\xcf")
    pairs, unmatched = compare.pair_up(ref, out)
    assert len(pairs) == 5
    assert unmatched == []


def test_pictures_of_a_format_that_is_not_read_are_missed(folders):
    ref, out = folders
    for name in ("2.heic", "3.jxl", "4.CR2", "5.exr"):
        (ref / name).write_bytes(b"unread")
        (out / name).write_bytes(b"unread")
    pairs, unmatched = compare.pair_up(ref, out)
    assert [pair.name for pair in pairs] == ["2", "3", "4", "5", "a", "b", "c", "sub/a", "z.1"]
    assert unmatched == []
    failed = failures(pairs)
    assert list(failed) == ["2", "3", "4", "5"]
    for error, name in zip(failed.values(), ("2.heic", "3.jxl", "4.CR2", "5.exr"), strict=True):
        assert f"{ref / name} cannot be read" in error


def test_pictures_without_an_extension_are_missed_by_nobody(folders):
    ref, out = folders
    (ref / "a.png").rename(ref / "a")
    (ref / "heif").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    pairs, unmatched = compare.pair_up(ref, out)
    assert len(pairs) == 5
    assert unmatched == [f"{ref / 'heif'} has no partner in {out}"]


def test_a_partner_that_cannot_be_read_is_named_itself(folders):
    ref, out = folders
    write(ref / "2.png", 0)
    (out / "2.jxl").write_bytes(b"\xff\x0a")
    pairs, unmatched = compare.pair_up(ref, out)
    assert unmatched == []  # "2.png has no partner" would send the user to look for a file that is there
    assert failures(pairs)["2"].startswith(f"{out / '2.jxl'} cannot be read")


def test_folders_with_pictures_that_are_not_read_are_scored_with_exit_status_1(folders, capsys):
    ref, out = folders
    for folder in (ref, out):
        (folder / "2.heic").write_bytes(b"\0\0\0\x18ftypheic")
        (folder / "3.jxl").write_bytes(b"\xff\x0a")
    status, printed, said = run(capsys, ref, out, "--ckpt", "psnr")
    assert status == 1
    assert len(scores(printed)) == 6  # five pairs and their mean
    for name in ("2", "3"):
        assert re.search(rf"\n  {name}: .*/{name}\.\w+ cannot be read", said)


def test_a_picture_that_is_read_comes_before_one_of_its_name_that_is_not_and_both_are_told(folders):
    ref, out = folders
    for folder, name in ((ref, "a.heic"), (ref, "a.dng"), (out, "z.1.jxl")):
        (folder / name).write_bytes(b"unread")
    pairs, unmatched = compare.pair_up(ref, out)
    assert [pair.reference.name for pair in pairs] == ["a.png", "b.png", "c.png", "a.png", "z.1.png"]
    assert unmatched == [
        f"{ref / 'a.dng'} cannot be read (a camera's raw file), and {ref / 'a.png'} takes its place",
        f"{ref / 'a.heic'} cannot be read (HEIC), and {ref / 'a.png'} takes its place",
        f"{out / 'z.1.jxl'} cannot be read (JPEG XL), and {out / 'z.1.bmp'} takes its place",
    ]
    assert compare.images_in(ref)["a"] == ref / "a.png"
    (ref / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.(dng|heic) and .*a\.(dng|heic) have the same name"):
        compare.pair_up(ref, out)


def test_links_to_folders_are_followed(folders, tmp_path):
    ref, out = folders
    write(tmp_path / "elsewhere" / "deep" / "far.png", 1)
    write(out / "linked" / "deep" / "far.png", 1)
    (ref / "linked").symlink_to(tmp_path / "elsewhere")
    pairs, unmatched = compare.pair_up(ref, out)
    assert [pair.name for pair in pairs] == ["a", "b", "c", "linked/deep/far", "sub/a", "z.1"]
    assert unmatched == []
    (tmp_path / "another").symlink_to(ref)
    assert len(compare.pair_up(tmp_path / "another", out)[0]) == 6


def test_links_that_lead_in_a_circle_end(folders):
    ref, out = folders
    (ref / "self").symlink_to(ref)
    (ref / "sub" / "up").symlink_to(ref / "sub" / "..")
    (ref / "endless").symlink_to(ref / "endless")
    pairs, unmatched = compare.pair_up(ref, out)
    assert len(pairs) == 5
    assert unmatched == []


def test_a_link_to_a_picture_that_is_gone_is_named(folders):
    ref, out = folders
    (ref / "gone.png").symlink_to(ref / "nothing.png")
    write(out / "gone.png", 0)
    pairs, _ = compare.pair_up(ref, out)
    assert str(ref / "gone.png") in failures(pairs)["gone"]


def test_an_accent_pairs_as_macos_and_as_others_write_it(folders):
    ref, out = folders
    write(ref / unicodedata.normalize("NFD", "fähre.png"), 0)
    write(out / unicodedata.normalize("NFC", "fähre.png"), 0)
    pairs, unmatched = compare.pair_up(ref, out)
    assert unicodedata.normalize("NFC", "fähre") in [pair.name for pair in pairs]
    assert unmatched == []


def test_a_name_that_occurs_twice_is_an_error_that_names_both(folders):
    ref, out = folders
    write(ref / "a.jpg", 0)
    with pytest.raises(ValueError) as caught:
        compare.pair_up(ref, out)
    assert str(ref / "a.png") in str(caught.value)
    assert str(ref / "a.jpg") in str(caught.value)


def test_images_without_a_partner_are_listed(folders):
    ref, out = folders
    write(ref / "lonely.png", 0)
    write(out / "only.png", 0)
    _, unmatched = compare.pair_up(ref, out)
    assert unmatched == [f"{ref / 'lonely.png'} has no partner in {out}", f"{out / 'only.png'} has no partner in {ref}"]


def test_what_cannot_be_paired_is_an_error(folders, tmp_path):
    ref, _ = folders
    write(tmp_path / "other" / "x.png", 0)
    (tmp_path / "empty").mkdir()
    for a, b, said in [
        (ref, tmp_path / "missing", "does not exist"),
        (ref, ref / "a.png", "is a folder"),
        (ref / "a.png", ref, "is a folder"),
        (ref, tmp_path / "other", "shares its name"),
        (ref, tmp_path / "empty", "has 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            compare.pair_up(a, b)


# Candidates


@pytest.fixture
def codecs(tmp_path):
    """Two originals, one in a subfolder, by two codecs at two qualities."""
    for seed, name in enumerate(["a", "sub/b"]):
        write(tmp_path / "ref" / f"{name}.png", seed)
        for codec, quality, noise in [("x", "10", 30), ("x", "5", 60), ("y", "5", 50), ("y", "10", 20)]:
            write(tmp_path / "all" / codec / quality / f"{name}.bmp", seed, noise=noise)
    return tmp_path / "ref", tmp_path / "all"


def named(pairs):
    return [(pair.name, str(pair.candidate)) for pair in pairs]


def test_a_folder_of_codecs_and_qualities_is_matched_with_every_original(codecs):
    pairs, unmatched = compare.pair_up(*codecs)
    assert unmatched == []
    order = ["x/5", "x/10", "y/5", "y/10"]  # 5 before 10
    assert named(pairs) == [(name, candidate) for name in ("a", "sub/b") for candidate in order]
    assert pairs[0].candidate == compare.Candidate("x", "5")
    assert pairs[4].distorted == codecs[1] / "x/5/sub/b.bmp"


def test_codecs_given_one_by_one_keep_their_order_and_their_qualities(codecs):
    ref, folder = codecs
    pairs, _ = compare.pair_up(ref, folder / "y", folder / "x")
    assert [str(pair.candidate) for pair in pairs[:4]] == ["y/5", "y/10", "x/5", "x/10"]
    pairs, _ = compare.pair_up(ref, folder / "y/10", folder / "x/5")
    assert [str(pair.candidate) for pair in pairs[:2]] == ["10", "5"]
    pairs, _ = compare.pair_up(ref, folder / "y/10", folder / "x/10")  # of one name: more of the path
    assert [str(pair.candidate) for pair in pairs[:2]] == ["y/10", "x/10"]
    pairs, _ = compare.pair_up(ref, folder / "x")
    assert [str(pair.candidate) for pair in pairs[:2]] == ["5", "10"]


def test_originals_within_the_folder_of_candidates_are_none(codecs):
    ref, folder = codecs
    ref = ref.rename(folder / "originals")
    pairs, unmatched = compare.pair_up(ref, folder)
    assert {str(pair.candidate) for pair in pairs} == {"x/5", "x/10", "y/5", "y/10"}
    assert unmatched == []


def test_what_a_candidate_lacks_or_has_besides_is_named(codecs):
    ref, folder = codecs
    (folder / "y/5/a.bmp").unlink()
    write(folder / "x/10/c.bmp", 3)
    pairs, unmatched = compare.pair_up(ref, folder)
    assert len(pairs) == 7
    assert unmatched == [
        f"{ref / 'a.png'} has no partner in {folder / 'y/5'}",
        f"{folder / 'x/10/c.bmp'} has no partner in {ref}",
    ]


def test_a_folder_given_twice_is_refused(codecs):
    ref, folder = codecs
    with pytest.raises(ValueError, match="given twice"):
        compare.pair_up(ref, folder / "x", folder / "y" / ".." / "x")
    with pytest.raises(ValueError, match="shares its name"):
        compare.pair_up(ref, folder / "x", ref.parent / "all" / "y" / "10" / "sub")


def test_the_command_answers_which_is_closer_at_what_rate(codecs, capsys, tmp_path):
    ref, folder = codecs
    outputs = ["--csv", tmp_path / "o.csv", "--json", tmp_path / "o.json"]
    status, out, err = run(capsys, ref, folder, "--metrics", "psnr,ssim", *outputs)
    assert status == 0 and "from the sizes of BMP files" in err
    with open(tmp_path / "o.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 2
    means = {
        (candidate, metric): np.mean(
            [float(row["distance"]) for row in rows if (row["candidate"], row["weights"]) == (candidate, metric)]
        )
        for candidate in ("x/5", "x/10", "y/5", "y/10")
        for metric in ("PSNR", "SSIM")
    }
    table = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("|")]
    answer = {cells[0].strip(): cells for cells in table[2:6]}
    assert (
        list(answer) == sorted(answer, key=lambda candidate: means[candidate, "PSNR"])
        and answer["y/10"][1].strip() == "2"
    )
    for (candidate, name), mean in means.items():
        assert float(answer[candidate][3 + (name == "SSIM")].split()[0]) == pytest.approx(mean, rel=1e-3)
    assert "| x/5 - y/5 " in out and "| y against x " in out
    read = json.loads((tmp_path / "o.json").read_text())
    assert [row["candidate"] for row in read["candidates"]] == list(answer) and len(read["pairs"]) == 8


def test_several_files_are_scored_against_one(folders, weights, capsys):
    ref, out = folders
    status, printed, _ = run(capsys, ref / "a.png", out / "a.bmp", out / "b.bmp", "--ckpt", weights)
    assert status == 0 and list(scores(printed)) == ["a.bmp", "b.bmp"]
    alone = scores(run(capsys, ref / "a.png", out / "b.bmp", "--ckpt", weights)[1])["b"]
    assert scores(printed)["b.bmp"] == pytest.approx(alone, rel=1e-5)


@pytest.mark.slow(kept="maps of one candidate")
def test_maps_of_candidates_are_in_their_folders(codecs, weights, capsys, tmp_path):
    assert run(capsys, *codecs, "--ckpt", weights, "--maps", tmp_path / "maps")[0] == 0
    assert (tmp_path / "maps/x/5/sub/b.png").exists() and (tmp_path / "maps/y/10/a.npy").exists()


# Scoring


@pytest.mark.parametrize("batch", [1, 3, None])
def test_batches_do_not_change_the_scores(folders, pim, tmp_path, batch):
    pairs, _ = compare.pair_up(*folders)
    results = measured(pim, pairs, tmp_path, batch=batch)
    assert list(results) == [pair.name for pair in pairs]
    alone = [float(pim.distance(images.read(pair.reference), images.read(pair.distorted))) for pair in pairs]
    np.testing.assert_allclose([result.distances["pim"] for result in results.values()], alone, rtol=1e-5)
    assert len({round(value, 6) for value in alone}) == 5


def test_a_size_is_compiled_once_however_the_batches_divide(tmp_path, pim, caplog):
    for seed in range(7):
        write(tmp_path / "ref" / f"{seed}.png", seed, size=(40, 56))
        write(tmp_path / "out" / f"{seed}.png", seed, size=(40, 56), noise=20)
    pairs, _ = compare.pair_up(tmp_path / "ref", tmp_path / "out")
    with jax.log_compiles():
        assert len(measured(pim, pairs, tmp_path, batch=3)) == 7
    compiled = [record.getMessage() for record in caplog.records if "Compiling jit(_distance)" in record.getMessage()]
    assert len(compiled) == 1


def test_maps_have_the_images_size_and_average_to_the_distance(folders, pim, tmp_path):
    pairs, _ = compare.pair_up(*folders)
    plain, mapped = measured(pim, pairs, tmp_path), measured(pim, pairs, tmp_path, mapped="pim")
    for name, result in mapped.items():
        assert result.map.shape == (48, 64)
        np.testing.assert_allclose(result.map.mean(), plain[name].distances["pim"], rtol=1e-5)
        np.testing.assert_allclose(result.distances["pim"], plain[name].distances["pim"], rtol=1e-5)


def test_an_unreadable_image_costs_only_its_own_pair(folders, pim, tmp_path):
    _, out = folders
    pairs, _ = compare.pair_up(*folders)
    right = measured(pim, pairs, tmp_path, batch=3)
    truncate(out / "b.bmp")
    results = measured(pim, pairs, tmp_path, batch=3)
    assert str(out / "b.bmp") in next(iter(results["b"].problems.values())) and not results["b"].distances
    for name in right.keys() - {"b"}:
        np.testing.assert_allclose(results[name].distances["pim"], right[name].distances["pim"], rtol=1e-5)


def test_sizes_that_differ_are_an_error_that_names_files_and_sizes(tmp_path):
    write(tmp_path / "a.png", 0, size=(48, 64))
    write(tmp_path / "b.png", 0, size=(64, 48))
    error = failures([compare.Match("b", tmp_path / "a.png", tmp_path / "b.png")])["b"]
    for said in (str(tmp_path / "a.png"), "64x48", str(tmp_path / "b.png"), "48x64"):
        assert said in error


# The command


def test_two_files_print_the_weights_and_one_distance(folders, weights, pim, capsys):
    ref, out = folders
    status, printed, err = run(capsys, ref / "b.png", out / "b.bmp", "--ckpt", weights)
    expected = float(pim.distance(images.read(ref / "b.png"), images.read(out / "b.bmp")))
    assert (status, err) == (0, "")
    assert printed == f"# untrained {pim.digest}\nb\t{expected:.6g}\n"


def test_folders_print_every_pair_and_the_mean(folders, weights, capsys):
    status, printed, err = run(capsys, *folders, "--ckpt", weights)
    assert (status, err) == (0, "")
    found = scores(printed)
    assert list(found) == ["a", "b", "c", "sub/a", "z.1", "mean of 5"]
    assert re.search(
        r"\n# untrained: 95 % interval \S+ to \S+, median \S+, worst z\.1\n# \S+ bits per pixel\n$", printed
    )
    np.testing.assert_allclose(found.pop("mean of 5"), np.mean(list(found.values())), rtol=1e-4)


def test_an_image_against_itself_is_at_distance_zero(folders, weights, capsys, tmp_path):
    ref, _ = folders
    status, printed, _ = run(capsys, ref, ref, "--ckpt", weights, "--maps", tmp_path / "maps")
    assert status == 0
    assert set(scores(printed).values()) == {0.0}
    assert np.load(tmp_path / "maps/a.npy").max() == 0
    assert (tmp_path / "maps/a.png").exists()


def test_the_csv_holds_every_pair_exactly(folders, weights, pim, capsys, tmp_path):
    ref, out = folders
    run(capsys, ref, out, "--ckpt", weights, "--csv", tmp_path / "new" / "scores.csv")
    with open(tmp_path / "new" / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:7] == ["reference", "distorted", "distance", "height", "width", "weights", "digest"]
    assert list(rows[0])[7:] == ["candidate", "image", "bytes", "bits_per_pixel"]
    for row in rows:
        size = Path(row["distorted"]).stat().st_size
        assert (row["candidate"], int(row["bytes"])) == ("out", size)
        assert float(row["bits_per_pixel"]) == pytest.approx(8 * size / (48 * 64), rel=1e-5)
    assert [row["reference"] for row in rows] == [str(ref / f"{name}.png") for name in ("a", "b", "c", "sub/a", "z.1")]
    assert {(row["height"], row["width"], row["weights"], row["digest"]) for row in rows} == {
        ("48", "64", "untrained", pim.digest)
    }
    wanted = measured(pim, compare.pair_up(ref, out)[0], tmp_path).values()
    assert [np.float32(row["distance"]) for row in rows] == [result.distances["pim"] for result in wanted]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.csv"]


def test_the_report_shows_every_pair_and_what_failed(folders, weights, capsys, tmp_path):
    truncate(folders[1] / "b.bmp")
    report = tmp_path / "new" / "report.html"
    assert run(capsys, *folders, "--ckpt", weights, "--report", report)[0] == 1
    html = report.read_text()
    assert html.count('alt="Map of untrained') == 4 and "b.bmp" in html
    assert "--report" in html  # the command


@pytest.mark.slow(kept="maps, in test_maps.py")
def test_maps_are_written_as_pictures_and_arrays(folders, weights, pim, capsys, tmp_path):
    _, printed, _ = run(capsys, *folders, "--ckpt", weights, "--maps", tmp_path / "maps")
    for name, distance in scores(printed).items():
        if name.startswith("mean"):
            continue
        values = np.load(tmp_path / "maps" / f"{name}.npy")
        assert (values.dtype, values.shape) == (np.float32, (48, 64))
        np.testing.assert_allclose(values.mean(), distance, rtol=1e-5)
        with Image.open(tmp_path / "maps" / f"{name}.png") as picture:
            assert picture.info["Weights"] == f"untrained {pim.digest}"
            np.testing.assert_allclose(float(picture.info["Distance"]), distance, rtol=1e-5)
    assert sum(path.is_file() for path in (tmp_path / "maps").rglob("*")) == 10


def test_the_maps_of_a_run_share_their_scale(folders, weights, capsys, tmp_path):
    run(capsys, *folders, "--ckpt", weights, "--maps", tmp_path / "maps")
    scales = {Image.open(path).info["Scale"] for path in (tmp_path / "maps").rglob("*.png")}
    largest = max(np.load(path).max() for path in (tmp_path / "maps").rglob("*.npy"))
    assert scales == {f"0 to {largest:.9g}"}


def test_unmatched_images_stop_the_command_unless_allowed(folders, weights, capsys):
    ref, out = folders
    write(ref / "lonely.png", 0)
    status, printed, err = run(capsys, ref, out, "--ckpt", weights)
    assert (status, printed) == (2, "")
    assert str(ref / "lonely.png") in err
    assert "--allow-missing" in err
    status, printed, err = run(capsys, ref, out, "--ckpt", weights, "--allow-missing")
    assert (status, len(scores(printed))) == (0, 6)
    assert str(ref / "lonely.png") in err


def test_a_long_list_of_unmatched_images_is_cut(folders, weights, capsys):
    ref, out = folders
    for number in range(40):
        write(ref / f"extra{number}.png", 0, size=(8, 8))
    _, _, err = run(capsys, ref, out, "--ckpt", weights)
    assert "40" in err
    assert "and 30 more" in err
    assert len(err.splitlines()) < 15


def test_each_metric_keeps_its_column_where_it_cannot_measure_a_pair(tmp_path, capsys):
    """SSIM takes pictures from 11 x 11, and MDSI smaller ones too."""
    ref, out = tmp_path / "ref", tmp_path / "out"
    for name, size, mean in (("a", (10, 12), "mean of 0, 1"), ("b", (48, 64), "mean of 1, 2")):
        write(ref / f"{name}.png", 1, size=size)
        write(out / f"{name}.png", 1, noise=9, size=size)
        status, printed, err = run(capsys, ref, out, "--metrics", "ssim,mdsi")
        rows = dict(line.split("\t", 1) for line in printed.splitlines() if not line.startswith("#"))
        assert status == 1 and "SSIM needs at least 11 x 11" in err
        assert re.fullmatch(r"-\t0\.\d+", rows["a"])
        assert [value == "-" for value in rows[mean].split("\t")] == [name == "a", False]


def test_failed_pairs_are_reported_after_the_others_are_scored(folders, weights, capsys, tmp_path):
    ref, out = folders
    truncate(out / "a.bmp")
    (ref / "b.png").write_text("not an image")
    write(out / "c.bmp", 2, size=(50, 64))
    write(ref / "tiny.png", 3, size=(2, 2))
    write(out / "tiny.png", 3, size=(2, 2))
    status, printed, err = run(capsys, ref, out, "--ckpt", weights, "--csv", tmp_path / "s.csv")
    assert status == 1
    assert list(scores(printed)) == ["sub/a", "z.1", "mean of 2"]
    assert "4 of 6 pairs" in err
    for said in (str(out / "a.bmp"), str(ref / "b.png"), "64x50", "at least 5 x 5"):
        assert said in err
    assert "Traceback" not in err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 3


def test_nothing_scored_writes_no_csv(folders, weights, capsys, tmp_path):
    ref, out = folders
    truncate(out / "a.bmp")
    status, printed, err = run(capsys, ref / "a.png", out / "a.bmp", "--ckpt", weights, "--csv", tmp_path / "s.csv")
    assert status == 1
    assert len(printed.splitlines()) == 1
    assert str(out / "a.bmp") in err
    assert not (tmp_path / "s.csv").exists()


def test_several_sizes_are_announced(folders, weights, capsys):
    ref, out = folders
    for folder in (ref, out):
        write(folder / "other.png", 0, size=(56, 40))
    status, _, err = run(capsys, ref, out, "--ckpt", weights)
    assert status == 0
    assert "2 sizes" in err


def test_results_never_replace_an_input(folders, weights, capsys):
    ref, out = folders
    before = (ref / "a.png").read_bytes()
    for outputs in (["--maps", ref], ["--csv", ref / "a.png"], ["--report", ref / "a.png"]):
        status, _, err = run(capsys, ref, out, "--ckpt", weights, *outputs)
        assert status == 2
        assert "overwritten" in err
    assert (ref / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ckpt", "no-such-weights"], "no-such-weights"),
        (["--csv", "."], "is a folder"),
        (["--maps", __file__], "is a file"),
    ],
)
def test_bad_arguments_end_with_status_2_and_one_line(folders, weights, capsys, arguments, said):
    status, printed, err = run(capsys, *folders, "--ckpt", weights, *arguments)
    assert (status, printed, len(err.splitlines())) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("batch", ["0", "-1", "two", "1.5"])
def test_a_bad_batch_is_refused(folders, capsys, batch):
    with pytest.raises(SystemExit) as caught:
        main([*map(str, folders), f"--batch={batch}"])
    assert caught.value.code == 2
    assert batch in capsys.readouterr().err


@pytest.mark.slow(kept="the command, called in this process")
def test_the_script_runs_the_command(folders, weights):
    ref, out = folders
    script = [sys.executable, "eval.py"]
    done = subprocess.run(
        [*script, ref / "a.png", out / "a.bmp", "--ckpt", weights], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 2, "")
    done = subprocess.run([*script, ref, out / "nothing"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"eval.py: error: {out / 'nothing'} does not exist; give two images or two folders\n"


@pytest.mark.slow(kept="the order of distances of bundled photographs, in test_calibration.py")
@pytest.mark.skipif(not KODAK.is_dir(), reason="the shared data folder is not here")
@pytest.mark.skipif(not BUNDLED.is_dir(), reason="no bundled weights")
@pytest.mark.usefixtures("optimized")
def test_harder_compression_of_photographs_is_farther_away(tmp_path, capsys):
    for name in ("kodim08", "kodim23"):
        photograph = Image.open(KODAK / f"{name}.png").crop((100, 100, 292, 228))
        for quality in (90, 30, 5):
            for folder in ("ref", f"q{quality}"):
                (tmp_path / folder).mkdir(exist_ok=True)
            photograph.save(tmp_path / "ref" / f"{name}.png")
            photograph.save(tmp_path / f"q{quality}" / f"{name}.jpg", quality=quality)
    found = [scores(run(capsys, tmp_path / "ref", tmp_path / f"q{q}")[1]) for q in (90, 30, 5)]
    for name in ("kodim08", "kodim23"):
        assert 0 < found[0][name] < found[1][name] < found[2][name]


@pytest.mark.slow(kept="test_convert.py runs the one command, test_metric.py compares the distance")
@pytest.mark.parametrize("name", ["pim-1", "pim-5"])
def test_a_converted_official_checkpoint_scores_files_as_the_official_code_does(shared, golden, name, capsys, tmp_path):
    """From official checkpoint and 16-bit PNG files to the printed number, through both commands."""
    assert convert.main([str(shared / "golden" / name), str(tmp_path / "weights")]) == 0
    for image in "xy":
        pixels = np.round(golden[f"s0/{image}"] * 65535).astype(np.uint16)
        for i in range(2):
            (tmp_path / image).mkdir(exist_ok=True)
            deep_png(tmp_path / image / f"{i}.png", pixels[i])
    capsys.readouterr()
    status, out, _ = run(capsys, tmp_path / "x", tmp_path / "y", "--ckpt", tmp_path / "weights")
    assert status == 0
    found = np.array([float(line.split("\t")[1]) for line in out.splitlines() if re.match(r"\d\t", line)])
    if name == "pim-1":
        np.testing.assert_allclose(found, golden["s0/pim-1/distance"], rtol=1e-4)
    else:  # the command draws 4 samples; the official mean is of 48, and their errors add
        error = golden["s0/pim-5/distance_mc_sem"] * np.sqrt(1 + 48 / 4)
        assert np.all(np.abs(found - golden["s0/pim-5/distance_mc_mean"]) < 4 * error)
