"""Measuring many pairs gives what measuring each alone gives, with every picture encoded once and nothing lost."""

import jax
import numpy as np
import pytest
from PIL import Image

from pim_jax import baselines, metric
from pim_jax.data import images
from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.measure import _Pictures, measure
from pim_jax.evaluation.pictures import Pair, Picture, read
from pim_jax.evaluation.store import Store
from pim_jax.model import pim as networks


class Counting:
    """A metric that counts what it encodes, and stops the run where told."""

    def __init__(self, inner, *, stop_after=None, pixels_per_batch=24 * 32):
        self.inner, self.stop_after, self.encoded = inner, stop_after, 0
        self.pixels_per_batch = pixels_per_batch  # one picture on each device

    def __repr__(self):
        return repr(self.inner)

    def embed(self, x):
        if self.stop_after is not None and self.encoded >= self.stop_after:
            raise KeyboardInterrupt
        self.encoded += len(x)
        return self.inner.embed(x)

    def distance(self, x, y):
        return self.between(self.embed(x), self.embed(y))

    def between(self, z_x, z_y):
        return self.inner.between(z_x, z_y)


@pytest.fixture(scope="module")
def small_pim():
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(4, 3))
    return metric.from_params(config, networks.init(config, jax.random.key(0)), name="small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two references of one size with four distorted images each, and a pair of another size."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, size in [("a", (24, 32)), ("b", (24, 32)), ("c", (40, 24))]:
        pixels = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        for level in range(4 if name != "c" else 1):
            noisy = np.clip(pixels + random.normal(0, 5 * (level + 1), pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{name}{level}.png")
    return folder


@pytest.fixture
def pairs(folder):
    references = {name: Picture(folder / f"{name}.png") for name in "abc"}
    distorted = sorted(path for path in folder.glob("*[0-9].png"))
    plain = [Pair(references[path.stem[0]], Picture(path)) for path in distorted]
    return [*plain, Pair(Picture(folder / "a.png", Change("shift", 2)), plain[0].distorted)]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "distances.sqlite") as store:
        yield store


def test_gives_the_distance_of_every_pair_in_order(small_pim, pairs, store):
    metrics = {"PSNR": baselines.load("psnr"), "pim": small_pim}
    found, problems = measure(metrics, pairs, store)
    assert not problems
    for name, one in metrics.items():
        wanted = [one.distance(read(pair.reference)[None], read(pair.distorted)[None])[0] for pair in pairs]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5)


def test_encodes_every_picture_once(pairs, store):
    counting = Counting(baselines.load("psnr"))
    measure({"PSNR": counting}, pairs, store)
    distinct = len({picture for pair in pairs for picture in pair})
    devices = jax.local_device_count()
    assert distinct <= counting.encoded <= distinct + 3 * devices  # and what fills up the batches


def test_measures_nothing_twice(pairs, store):
    first, _ = measure({"PSNR": Counting(baselines.load("psnr"))}, pairs, store)
    again, _ = measure({"other name": Counting(baselines.load("psnr"), stop_after=0)}, pairs, store)
    np.testing.assert_array_equal(first["PSNR"], again["other name"])


def one_by_one(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])


def test_an_interrupted_run_goes_on_where_it_stopped(pairs, store, monkeypatch):
    one_by_one(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        measure({"PSNR": Counting(baselines.load("psnr"), stop_after=6)}, pairs, store)
    counting = Counting(baselines.load("psnr"))
    resumed, _ = measure({"PSNR": counting}, pairs, store)
    assert 0 < counting.encoded < 12  # of 13
    for index, pair in enumerate(pairs):
        wanted = baselines.load("psnr").distance(read(pair.reference)[None], read(pair.distorted)[None])[0]
        np.testing.assert_allclose(resumed["PSNR"][index], wanted, rtol=1e-5)


def test_results_are_told_as_soon_as_they_are_measured(pairs, store, monkeypatch):
    one_by_one(monkeypatch)
    told = {}

    def done(result):
        told[result.index] = result.distances["PSNR"]

    with pytest.raises(KeyboardInterrupt):
        measure({"PSNR": Counting(baselines.load("psnr"), stop_after=6)}, pairs, store, done=done)
    assert 0 < len(told) < len(pairs)
    found, _ = measure({"PSNR": baselines.load("psnr")}, pairs, store)
    assert told == pytest.approx({index: found["PSNR"][index] for index in told}, rel=1e-5)


def test_no_more_is_held_than_two_batches_need(folder, store, monkeypatch):
    """However many pairs there are: here 60 of one reference, two at a time."""
    one_by_one(monkeypatch)
    held = []
    original = _Pictures.pixels

    def watched(self, picture):
        held.append(len(self._pixels))
        return original(self, picture)

    monkeypatch.setattr(_Pictures, "pixels", watched)
    reference = Picture(folder / "a.png")
    many = [Pair(reference, Picture(folder / "b.png", Change("shift", i % 7))) for i in range(60)]
    measure({"PSNR": Counting(baselines.load("psnr"), pixels_per_batch=2 * 24 * 32)}, many, store)
    assert max(held) <= 4


def test_every_picture_is_read_once_for_all_metrics(pairs, store, monkeypatch):
    opened = []

    class Reader:
        size = staticmethod(images.size)

        def read(self, path):
            opened.append(path)
            return images.read(path)

    measure({"PSNR": baselines.load("psnr"), "SSIM": baselines.load("ssim")}, pairs[:-1], store, reader=Reader())
    assert len(opened) == len(set(opened)) == 12


@pytest.mark.parametrize("devices", [1, 3, 8])
def test_all_devices_share_a_batch_and_change_nothing(pairs, small_pim, store, monkeypatch, devices):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:devices])
    seen = []

    class Watched(Counting):
        def embed(self, x):
            seen.append(len(x.sharding.device_set))
            return super().embed(x)

    found, _ = measure({"PSNR": Watched(baselines.load("psnr"))}, pairs, store)
    assert max(seen) == devices
    wanted = [
        baselines.load("psnr").distance(read(pair.reference)[None], read(pair.distorted)[None])[0] for pair in pairs
    ]
    np.testing.assert_allclose(found["PSNR"], wanted, rtol=1e-5)


def test_survives_pictures_that_cannot_be_compared(folder, pairs, store, tmp_path):
    (tmp_path / "damaged.png").write_bytes((folder / "a0.png").read_bytes()[:500])
    (tmp_path / "no picture.png").write_text("text")
    reference = Picture(folder / "a.png")
    bad = [tmp_path / "damaged.png", tmp_path / "no picture.png", tmp_path / "absent.png", folder / "c.png"]
    mixed = [pairs[0], *(Pair(reference, Picture(path)) for path in bad), pairs[1]]
    done = []
    found, problems = measure(
        {"PSNR": baselines.load("psnr")}, mixed, store, done=lambda result: done.append(result.index)
    )
    np.testing.assert_array_equal(np.isnan(found["PSNR"]), [False, True, True, True, True, False])
    assert set(problems) == set(map(str, bad))
    assert "24x40" in problems[str(bad[-1])]
    assert sorted(done) == list(range(len(mixed)))


def test_a_size_that_one_metric_refuses_is_measured_with_the_others(tmp_path, small_pim, store):
    for name in "ab":
        Image.new("RGB", (3, 3), (40, 50, 60 + ord(name))).save(tmp_path / f"{name}.png")
    pair = Pair(Picture(tmp_path / "a.png"), Picture(tmp_path / "b.png"))
    assert small_pim.config.smallest_size > 3
    found, problems = measure({"pim": small_pim, "PSNR": baselines.load("psnr")}, [pair], store)
    assert np.isnan(found["pim"]).all()
    assert np.isfinite(found["PSNR"]).all()
    assert [what for what in problems if what.startswith("pim: ")] == list(problems)


def test_the_same_picture_under_another_name_is_known(folder, pairs, store, tmp_path):
    first, _ = measure({"PSNR": Counting(baselines.load("psnr"))}, pairs[:1], store)
    (tmp_path / "copy.png").write_bytes(pairs[0].distorted.path.read_bytes())
    copy = Pair(pairs[0].reference, Picture(tmp_path / "copy.png"))
    again, _ = measure({"PSNR": Counting(baselines.load("psnr"), stop_after=0)}, [copy], store)
    np.testing.assert_array_equal(first["PSNR"], again["PSNR"])
    assert images.read(copy.distorted.path).shape == (24, 32, 3)
