"""Accumulators give the mean of distances in the loops of Flax NNX, CLU and metrax."""

import sys

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from marks import slow

from pim_jax import accumulate, metrics

MASK = np.arange(8) % 2 == 0


@pytest.fixture(scope="module")
def psnr():
    return metrics.load("psnr")


@pytest.fixture(scope="module")
def batches():
    """Two batches of targets and predictions."""
    random = np.random.default_rng(0)
    return [{k: random.uniform(size=(8, 8, 8, 3)).astype(np.float32) for k in ("targets", "predictions")} for _ in "ab"]


def distances(metric, batches):
    return np.concatenate([metric.distance(batch["targets"], batch["predictions"]) for batch in batches])


def assert_estimate(found, values):
    assert found.count == len(values)
    np.testing.assert_allclose(found.mean, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.standard_error, values.std(ddof=1) / len(values) ** 0.5, rtol=1e-4)


def test_a_metric_of_nnx_gives_the_mean_its_standard_error_and_the_count(psnr, batches):
    mean = accumulate.MeanDistance(psnr)
    for batch in batches:
        mean.update(**batch)
    assert_estimate(mean.compute(), distances(psnr, batches))
    mean.reset()
    mean.update(**batches[0])
    assert_estimate(mean.compute(), distances(psnr, batches[:1]))


@pytest.mark.slow(kept="PSNR, which has no weights")
def test_the_weights_of_pim_stay_out_of_the_state(batches):
    pim, mean = metrics.load("pim-fast"), accumulate.MeanDistance(metrics.load("pim-fast"))
    small = [{name: np.tile(images[:2], (1, 2, 2, 1)) for name, images in batch.items()} for batch in batches]
    for batch in small:
        mean.update(**batch)
    assert_estimate(mean.compute(), distances(pim, small))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(mean))) == 9


def test_it_is_one_of_several_metrics_within_jit(psnr, batches, promoting):
    measured = nnx.MultiMetric(psnr=accumulate.MeanDistance(psnr), loss=nnx.metrics.Average("loss"))

    @nnx.jit
    def step(measured, batch):
        measured.update(**batch, loss=jnp.arange(8.0), mask=jnp.asarray(MASK), labels=jnp.zeros(8))

    for batch in batches:
        step(measured, batch)
    found = measured.compute()
    assert_estimate(found["psnr"], distances(psnr, batches)[np.tile(MASK, 2)])
    assert found["loss"] == 3


def test_the_names_of_arguments_are_chosen(psnr, batches):
    x, y = batches[0].values()
    mean = accumulate.MeanDistance(psnr, x="image", y="reconstruction", weights="sample_weights")
    mean.update(image=x, reconstruction=y, sample_weights=MASK.astype(np.float32), mask=np.zeros(8))
    assert_estimate(mean.compute(), distances(psnr, batches[:1])[MASK])


def test_single_images_count_as_one(psnr, batches):
    mean = accumulate.MeanDistance(psnr)
    for mask in (None, True, 0.0):
        mean.update(**{name: images[0] for name, images in batches[0].items()}, mask=mask)
    assert mean.compute().count == 2


@pytest.mark.parametrize("jit", [nnx.jit, *slow(lambda update: update, kept="within jit")], ids=["jit", "eager"])
@pytest.mark.parametrize("kind", [AxisType.Explicit, *slow(AxisType.Auto, kept="explicit axes")], ids=str)
def test_images_are_sharded_over_a_mesh(kind, jit, psnr, batches):
    over = NamedSharding(jax.make_mesh((4,), ("b",), axis_types=(kind,)), P("b"))
    mean, update = accumulate.MeanDistance(psnr), jit(lambda mean, batch, mask: mean.update(**batch, mask=mask))
    for batch, mask in zip(batches, (MASK, jax.device_put(MASK, over)), strict=True):
        update(mean, jax.device_put(batch, over), mask)
    assert_estimate(mean.compute(), distances(psnr, batches)[np.tile(MASK, 2)])


def test_nothing_has_no_mean(psnr, batches):
    mean = accumulate.MeanDistance(psnr)
    with pytest.raises(ValueError, match="no image"):
        mean.compute()
    mean.update(**batches[0], mask=np.zeros(8))
    with pytest.raises(ValueError, match="no image"):
        mean.compute()
    found = nnx.jit(lambda mean: mean.compute())(mean)
    assert np.isnan(found.mean) and found.count == 0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(4), r"mask has shape \(4,\) for 8 images"),
        (np.ones((8, 1)), r"mask has shape \(8, 1\)"),
        (np.array([-1.0] + [1] * 7), "mask has values from -1 to 1"),
        (np.array([np.nan] + [1] * 7), "finite"),
    ],
)
def test_wrong_weights_are_refused(mask, message, psnr, batches):
    with pytest.raises(ValueError, match=message):
        accumulate.MeanDistance(psnr).update(**batches[0], mask=mask)


def test_missing_images_are_named(psnr, batches):
    with pytest.raises(TypeError, match=r"'predictions' is missing.*\['targets', 'prediction'\]"):
        accumulate.MeanDistance(psnr).update(targets=batches[0]["targets"], prediction=batches[0]["predictions"])


def collection(metric):
    clu_metrics = pytest.importorskip("clu.metrics")

    @flax.struct.dataclass
    class Collection(clu_metrics.Collection):
        psnr: accumulate.clu_metric(metric)
        loss: clu_metrics.Average.from_output("loss")

    return Collection


def test_a_metric_of_clu_is_merged_within_a_collection(psnr, batches, promoting):
    kind = collection(psnr)

    @jax.jit
    def step(found, batch):
        return found.merge(kind.single_from_model_output(**batch, loss=jnp.ones(8), mask=MASK))

    found = kind.empty()
    for batch in batches:
        found = step(found, batch)
    assert_estimate(found.compute()["psnr"], distances(psnr, batches)[np.tile(MASK, 2)])
    assert found.compute_values()["psnr"].value == found.compute()["psnr"].mean


def test_a_metric_of_clu_is_gathered_over_devices(psnr, batches, promoting):
    kind, mesh = collection(psnr), jax.make_mesh((4,), ("b",))

    def step(batch):
        return kind.gather_from_model_output(axis_name="b", **batch, loss=jnp.ones(2))

    mapped = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=P("b"), out_specs=P(), check_vma=False))
    found = mapped(jax.device_put(batches[0], NamedSharding(mesh, P("b"))))
    assert_estimate(found.compute()["psnr"], distances(psnr, batches[:1]))


def test_metrax_merges_it_as_its_own_metrics(psnr, batches, promoting):
    metrax, clu_metrics = pytest.importorskip("metrax"), pytest.importorskip("clu.metrics")
    kind = accumulate.clu_metric(psnr)
    assert issubclass(kind, clu_metrics.Metric) and issubclass(metrax.PSNR, clu_metrics.Metric)
    found, own = kind.empty(), metrax.PSNR.empty()
    for batch in batches:
        found = found.merge(kind.from_model_output(**batch))
        own = own.merge(metrax.PSNR.from_model_output(**batch, max_val=1.0))
    np.testing.assert_allclose(found.compute().mean, -own.compute(), rtol=1e-5)


def test_nothing_of_clu_has_no_mean(psnr):
    pytest.importorskip("clu.metrics")
    with pytest.raises(ValueError, match="no image"):
        accumulate.clu_metric(psnr).empty().compute()


def test_without_clu_one_line_says_what_to_install(psnr, monkeypatch):
    monkeypatch.setitem(sys.modules, "clu", None)
    with pytest.raises(ImportError, match="clu is not installed: pip install clu"):
        accumulate.clu_metric(psnr)
