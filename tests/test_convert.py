"""Conversion of official checkpoints: every tensor finds its place, and what is not one is refused with a reason.

Real checkpoints where there are some; else those of `official_checkpoint`, which names and shapes its tensors as the
released TensorFlow classes do.
"""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from test_tf_bundle import each_golden, write_bundle

from pim_jax import convert, metric, stored
from pim_jax.model import pim
from pim_jax.model.pim import ModelConfig

ROOT = Path(__file__).parents[1]
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
CONFIG, INDEX, DATA = FILES = ("config.json", "weights.index", "weights.data-00000-of-00001")
SETTINGS = {
    "num_channels": 3,
    "multiscale": "Steerable",
    "nscales": 1,
    "steerable_filter_type": 1,
    "cnn": "Conv",
    "num_filters": [6, 4],
    "padding": "same",
    "num_distribution_encoder_layers": 2,
    "num_marginal_encoder_mixtures": 5,
    "z_dim": 10,
}


def official_checkpoint(*, bands=4, **changes):
    """The settings and tensors of a released model with `bands` levels and random weights."""
    settings = SETTINGS | changes
    filters, nz = settings["num_filters"], settings["z_dim"]
    nlayers, nmix = settings["num_distribution_encoder_layers"], settings["num_marginal_encoder_mixtures"]
    tensors, rng = {}, np.random.default_rng(0)

    def layer(name, *kernel_shape):
        tensors[f"{name}/kernel{SUFFIX}"] = rng.normal(size=kernel_shape).astype(np.float32)
        tensors[f"{name}/bias{SUFFIX}"] = rng.normal(size=kernel_shape[-1:]).astype(np.float32)

    for level in range(bands):
        frontend = "frontend/cnn" if settings["multiscale"] is None else f"frontend/cnns/{level}"
        for i, inputs in enumerate([3, *filters[:-1]]):
            layer(f"{frontend}/layer_with_weights-{i}", 5, 5, inputs, filters[i])
        for i in range(nlayers):
            inputs = filters[-1] if i == 0 else nz * nmix
            layer(f"marginal_encoder/encoders/{level}/base/{i}", inputs, nz * nmix)
            layer(f"joint_encoder/encoders/{level}/base/{i}", filters[-1] if i == 0 else nz, nz)
            layer(f"joint_encoder/encoders/{level}/base_cond_mul/{i}", filters[-1], nz)
            layer(f"joint_encoder/encoders/{level}/base_cond_add/{i}", filters[-1], nz)
            if nmix > 1:
                layer(f"marginal_encoder/encoders/{level}/mix/{i}", filters[-1] if i == 0 else nmix, nmix)
        if nmix > 1:
            layer(f"marginal_encoder/encoders/{level}/logit_layer", nmix, nmix)
    return settings, tensors


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An official checkpoint of a small model, unpacked."""
    settings, tensors = official_checkpoint()
    path = tmp_path_factory.mktemp("official") / "pim-5"
    path.mkdir()
    index, data = write_bundle(tensors | {"_CHECKPOINTABLE_OBJECT_GRAPH": b"an object graph"})
    for name, content in zip(FILES, (json.dumps(settings).encode(), index, data), strict=True):
        (path / name).write_bytes(content)
    return path


def pack(folder, file, *, inside="pim-5/", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("pim-5/checkpoint", "another file, which nobody reads")
        for name in FILES:
            archive.writestr(inside + name, (folder / name).read_bytes())
    return file


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)
    assert jax.tree.structure(tree) == jax.tree.structure(other)


@each_golden
def test_a_checkpoint_by_tensorflow_fills_the_model_it_describes(folder):
    settings, tensors = convert.read(folder)
    config, params = convert.to_model(settings, tensors)
    assert config == ModelConfig(
        scales=settings["nscales"],
        widths=tuple(settings["num_filters"]),
        mixtures=settings["num_marginal_encoder_mixtures"],
        head="released",
    )
    assert jax.tree.map(lambda p: (p.shape, p.dtype), params) == jax.tree.map(
        lambda p: (p.shape, p.dtype), pim.shapes(config)
    )
    assert sum(p.size for p in jax.tree.leaves(params)) == sum(t.size for t in tensors.values())


@pytest.mark.parametrize(
    ("settings", "bands", "expected"),
    [
        ({}, 4, {"scales": 1, "mixtures": 5}),
        ({"nscales": 2, "num_marginal_encoder_mixtures": 1}, 6, {"scales": 2}),
        ({"steerable_filter_type": 5}, 8, {"scales": 1, "orientations": 6, "mixtures": 5}),
        (
            {"multiscale": "Laplacian", "nscales": 3, "use_residual": False, "z_dim": 4},
            3,
            {"pyramid": "laplacian", "laplacian_residual": False, "mixtures": 5, "dimensions": 4},
        ),
        (
            {"multiscale": None, "num_distribution_encoder_layers": 3},
            1,
            {"pyramid": "none", "scales": 1, "mixtures": 5, "layers": 3},
        ),
    ],
)
def test_every_official_setting_gives_the_parameters_of_its_model(settings, bands, expected):
    config, params = convert.to_model(*official_checkpoint(bands=bands, **settings))
    assert config == ModelConfig(**{"widths": (6, 4), "head": "released", **expected})
    assert jax.tree.map(lambda p: p.shape, params) == jax.tree.map(lambda p: p.shape, pim.shapes(config))


def test_layers_go_where_their_official_names_say():
    settings, tensors = official_checkpoint()
    _, params = convert.to_model(settings, tensors)
    for (part, band, layer), official in {
        ("frontend", "band3", "conv1"): "frontend/cnns/3/layer_with_weights-1",
        ("marginal", "band0", "mean1"): "marginal_encoder/encoders/0/base/1",
        ("marginal", "band2", "logit0"): "marginal_encoder/encoders/2/mix/0",
        ("marginal", "band1", "logit_out"): "marginal_encoder/encoders/1/logit_layer",
        ("full", "band3", "base0"): "joint_encoder/encoders/3/base/0",
        ("full", "band0", "multiply1"): "joint_encoder/encoders/0/base_cond_mul/1",
        ("full", "band2", "add0"): "joint_encoder/encoders/2/base_cond_add/0",
    }.items():
        for kind in ("kernel", "bias"):
            np.testing.assert_array_equal(params[part][band][layer][kind], tensors[f"{official}/{kind}{SUFFIX}"])


def test_the_state_of_training_is_left_behind():
    settings, tensors = official_checkpoint()
    state = {
        f"optimizer/iter{SUFFIX}": np.array(3, np.int64),
        f"save_counter{SUFFIX}": np.array(1, np.int64),
        f"frontend/cnns/0/layer_with_weights-0/bias/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}": np.zeros(6, np.float32),
    }
    assert_equal(convert.to_model(settings, tensors | state)[1], convert.to_model(settings, tensors)[1])


def test_every_missing_tensor_is_named():
    settings, tensors = official_checkpoint()
    for name in tensors:
        rest = {other: tensor for other, tensor in tensors.items() if other != name}
        with pytest.raises(ValueError, match=f"no tensor {name.removesuffix(SUFFIX)},"):
            convert.to_model(settings, rest)


def test_tensors_that_do_not_fit_are_named():
    settings, tensors = official_checkpoint()
    name = f"marginal_encoder/encoders/2/mix/0/kernel{SUFFIX}"
    for tensor, message in (
        (tensors[name].T, r"float32\[5, 4\], but its config.json calls for float32\[4, 5\]"),
        (tensors[name].astype(np.float64), r"float64\[4, 5\]"),
        (np.where(np.eye(4, 5) > 0, np.nan, tensors[name]).astype(np.float32), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            convert.to_model(settings, tensors | {name: tensor})
    with pytest.raises(ValueError, match=r"no place for 1 of the tensors, such as 'marginal_encoder/mus"):
        convert.to_model(settings, tensors | {"marginal_encoder/mus_layer/kernel": np.zeros(3, np.float32)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_channels": 1}, "num_channels in its config.json must be 3, not 1"),
        ({"cnn": "ResNet"}, "cnn in its config.json must be 'Conv'"),
        ({"padding": "valid"}, "padding in its config.json must be 'same'"),
        ({"multiscale": "Wavelet"}, "multiscale"),
        ({"multiscale": ["Steerable"]}, "multiscale"),
        ({"steerable_filter_type": 2}, "steerable_filter_type"),
        ({"steerable_filter_type": None}, "steerable_filter_type"),
        ({"steerable_filter_type": 1.0}, "steerable_filter_type"),
        ({"nscales": 0}, "nscales in its config.json must be a positive integer, not 0"),
        ({"z_dim": 10.0}, "z_dim"),
        ({"num_distribution_encoder_layers": True}, "num_distribution_encoder_layers"),
        ({"num_filters": []}, "num_filters"),
        ({"num_filters": [64, "3"]}, "num_filters"),
        ({"num_filters": 64}, "num_filters"),
        ({"skip_highpass": True}, "skip_highpass"),
        # Settings that ask for a model of any size must not make one.
        ({"nscales": 10**18}, "no tensor frontend/cnns/4/"),
        ({"num_distribution_encoder_layers": 10**18}, "no tensor marginal_encoder/encoders/0/base/2/"),
        ({"num_filters": [10**30]}, "calls for float32"),
    ],
)
def test_settings_that_no_official_model_has_are_refused(changes, message):
    settings, tensors = official_checkpoint()
    with pytest.raises(ValueError, match=message):
        convert.to_model(settings | changes, tensors)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_missing_setting_is_named(name):
    settings, tensors = official_checkpoint()
    del settings[name]
    with pytest.raises(ValueError, match=name):
        convert.to_model(settings, tensors)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("inside", ["pim-5/", ""])
def test_an_archive_reads_as_the_folder_in_it(folder, tmp_path, inside, compression):
    archive = pack(folder, tmp_path / "a.zip", inside=inside, compression=compression)
    assert_equal(convert.read(archive), convert.read(folder))


@pytest.mark.parametrize("inside", ["../", "pim-5/../", "a/b/"])
def test_members_in_unexpected_places_are_not_used(folder, tmp_path, inside):
    with pytest.raises(ValueError, match=r"0 files named config\.json"):
        convert.read(pack(folder, tmp_path / "a.zip", inside=inside))


def test_an_archive_of_two_models_is_refused(folder, tmp_path):
    archive = pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as two:
        two.write(folder / INDEX, f"pim-1/{INDEX}")
    with pytest.raises(ValueError, match=r"2 files named weights\.index"):
        convert.read(archive)


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_folder_or_archive_names_what_it_lacks(folder, tmp_path, name):
    rest = tmp_path / "rest"
    shutil.copytree(folder, rest)
    (rest / name).unlink()
    with pytest.raises(ValueError, match=f"no {name}"):
        convert.read(rest)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in rest.iterdir():
            archive.write(file, f"pim-5/{file.name}")
    with pytest.raises(ValueError, match=f"0 files named {name}"):
        convert.read(tmp_path / "a.zip")


def test_a_member_that_unpacks_to_too_much_is_refused(folder, tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.write(folder / CONFIG, CONFIG)
        with bomb.open(INDEX, "w") as member:
            for _ in range(65):
                member.write(bytes(2**20))
    assert archive.stat().st_size < 2**17
    with pytest.raises(ValueError, match=r"weights\.index is larger than 64 MiB"):
        convert.read(archive)


def test_a_member_with_a_false_size_is_refused(folder, tmp_path):
    archive = pack(folder, tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    entry = content.index(f"pim-5/{DATA}".encode(), content.index(b"PK\x01\x02")) - 46  # in the central directory
    struct.pack_into("<I", content, entry + 24, 100)
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        convert.read(archive)


def test_an_archive_of_thousands_of_members_is_refused(folder, tmp_path):
    archive = pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as many:
        for i in range(1000):
            many.writestr(f"{i}", "")
    with pytest.raises(ValueError, match="more than 1000 members"):
        convert.read(archive)


def test_random_damage_to_an_archive_costs_a_value_error_at_most(folder, tmp_path):
    archive = pack(folder, tmp_path / "a.zip")
    content, rng = archive.read_bytes(), np.random.default_rng(0)
    directory = content.index(b"PK\x01\x02")
    refused = 0
    for i in range(150):
        damaged = bytearray(content)
        start = 0 if i % 4 == 0 else directory
        for at in rng.integers(start, len(content), rng.integers(1, 6)):
            damaged[at] = rng.choice([0, 255, damaged[at] ^ 1 << rng.integers(8)])
        archive.write_bytes(damaged if i % 9 else damaged[: rng.integers(len(damaged))])
        try:
            convert.to_model(*convert.read(archive))
        except ValueError:
            refused += 1
    assert refused > 75


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1, 2]", "holds no settings"),
    ],
)
def test_a_config_that_is_no_config_is_refused(folder, tmp_path, content, message):
    shutil.copytree(folder, tmp_path / "pim-5")
    (tmp_path / "pim-5" / CONFIG).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        convert.read(tmp_path / "pim-5")


def test_what_is_converted_is_what_loads(folder, tmp_path, capsys):
    assert convert.main([str(folder), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    config, params = convert.to_model(*convert.read(folder))
    weights = stored.read(tmp_path / "out", metric.FORMAT)
    assert weights.model == config
    assert_equal(weights.params, params)
    assert weights.about["name"] == "converted-pim-5"
    assert "cannot be checked" in printed and repr(config) in printed
    assert f"{sum(p.size for p in jax.tree.leaves(params)):,}" in printed


def test_an_archive_that_is_not_official_is_said_to_be_none(folder, tmp_path, capsys):
    archive = pack(folder, tmp_path / "pim-5.zip")
    assert convert.main([str(archive), str(tmp_path / "out")]) == 0
    assert (
        f"not an official archive: sha512 {hashlib.sha512(archive.read_bytes()).hexdigest()}" in capsys.readouterr().out
    )


def test_an_official_archive_is_recognised(folder, tmp_path, capsys, monkeypatch):
    archive = pack(folder, tmp_path / "renamed.zip")
    monkeypatch.setitem(convert.OFFICIAL_SHA512, "pim-5", hashlib.sha512(archive.read_bytes()).hexdigest())
    assert convert.main([str(archive), str(tmp_path / "out")]) == 0
    assert "the official pim-5.zip" in capsys.readouterr().out
    assert stored.read(tmp_path / "out", metric.FORMAT).about["name"] == "official-pim-5"


def test_the_official_digests_are_sha512():
    starts = {name: digest[:16] for name, digest in convert.OFFICIAL_SHA512.items()}
    assert starts == {"pim-1": "436b4a95e667d8a4", "pim-5": "7939f9f9ed07650e"}
    assert all(len(bytes.fromhex(digest)) == 64 for digest in convert.OFFICIAL_SHA512.values())


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_foreign_file_fails_with_one_line_and_leaves_nothing(tmp_path, capsys, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert convert.main([str(tmp_path / "a.zip"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cannot convert {tmp_path}/a.zip: ") and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_name_that_cannot_be_shown_is_escaped(tmp_path, capsys):
    source = tmp_path / os.fsdecode(b"caf\xe9\n.zip")
    source.write_bytes(b"no archive")
    assert convert.main([str(source), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith(f"cannot convert {tmp_path}/caf\\xe9\\x0a.zip: ")


def test_an_archive_that_is_too_large_is_refused_unread(tmp_path, capsys):
    with (tmp_path / "a.zip").open("wb") as file:
        file.truncate(2**26 + 1)
    assert convert.main([str(tmp_path / "a.zip"), str(tmp_path / "out")]) == 1
    assert "larger than 64 MiB" in capsys.readouterr().err


def test_an_existing_output_is_refused_and_kept(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as exit:
        convert.main([str(folder), str(tmp_path / "out")])
    assert exit.value.code == 2 and "exists already" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_source_is_a_bad_argument(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        convert.main([str(tmp_path / "none.zip"), str(tmp_path / "out")])
    assert exit.value.code == 2 and "none.zip is not a file or a folder" in capsys.readouterr().err


@pytest.mark.slow(kept="the command, called in this process")
def test_the_command_runs_as_a_module(folder, tmp_path):
    command = [sys.executable, "-m", "pim_jax.convert", folder, tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert stored.read(tmp_path / "out", metric.FORMAT).model.mixtures == 5


@pytest.mark.slow(kept="the same of pim-eval and pim-prepare")
def test_a_reader_that_leaves_and_a_name_in_any_encoding_end_nothing(folder, tmp_path):
    source = tmp_path / os.fsdecode(b"caf\xe9")
    source.symlink_to(folder)
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "pim_jax.convert", source, tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")
    assert stored.read(tmp_path / "out", metric.FORMAT).model.mixtures == 5
