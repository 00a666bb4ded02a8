"""Turns training runs into weights to be given away, such as those in `pim_jax/weights`.

    python -m pim_jax.release RUN [RUN …] pim_jax/weights/NAME [--whiten DATA]

RUN is the working directory of a run, whose newest checkpoint is taken, or a checkpoint. Several runs of one model,
such as those of several seeds, become the members of one metric, and their distances are averaged. The result is a
folder called NAME. It holds the parameters, what they were trained with, and their digest in `SHA256`. For weights in
the package `metric.load` checks the digest. You write a model card beside them.

With `--whiten`, z is divided by what it differs by between consecutive frames with noise. `pim_jax.training.whiten`
tells how.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pim_jax import console, extras

with extras.command("train"):
    import tensorstore as ts

    from pim_jax import metrics, provenance, stored
    from pim_jax.data import pairs
    from pim_jax.model import pim as networks
    from pim_jax.model.pim import ModelConfig
    from pim_jax.training import whiten
    from pim_jax.writing import check_outputs


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Args:
      argv: the arguments, by default those of the process.

    Returns:
      the exit status: 0; 1 if the weights cannot be written; 2 if the arguments or the weights are wrong.
    """
    out, errors = console.printers()
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Turns training runs into weights to be given away."
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="the working directory of train.py, or a checkpoint in it; several become the members of one metric",
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the folder to write; its name becomes that of the weights"
    )
    parser.add_argument(
        "--whiten",
        metavar="DATA",
        type=Path,
        help="a training set: divide z by what it differs by between its consecutive frames, to which noise is added",
    )
    args = parser.parse_args(argv)
    try:
        digest = release(args.runs, args.out, whitened_by=args.whiten)
    except (OSError, ValueError) as error:
        errors(console.one_line(f"{parser.prog}: {error}"))
        return 2 if isinstance(error, ValueError | FileExistsError | FileNotFoundError) else 1
    out(console.one_line(f"{args.out}: weights {args.out.name}, SHA-256 {digest}"))
    return 0


def release(runs: Sequence[Path], out: Path, *, whitened_by: Path | None = None) -> str:
    """Writes the weights of a run, or of several side by side, to a folder, whole or not at all.

    Args:
      runs: working directories of `train.py`, or checkpoints in them. Several are of one model of PIM.
      out: the folder, which must not exist; its name becomes that of the weights.
      whitened_by: a training set, for `pim_jax.training.whiten`. None leaves the weights as they were trained.

    Returns:
      the SHA-256 of the parameters, in hexadecimal.

    Raises:
      FileNotFoundError, ValueError: there are no weights in a run, or they are damaged; they are of several models;
        they cannot be whitened; or `out` is in a folder that cannot be made or written.
      FileExistsError: `out` exists.
      OSError: `out` cannot be written.
    """
    stored.check_name(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it, or name another folder")
    check_outputs([("OUT", out)], [])  # not after whitening
    model, params, about = _side_by_side(runs)
    if whitened_by:
        if not isinstance(model, ModelConfig):
            raise ValueError("only weights of PIM are whitened")
        whiten.check_model(model)
        params = whiten.whiten(params, whiten.covariances(model, params, whitened_by))
        about["whitened_by"] = pairs.data_hash(whitened_by)
        about["whitening"] = {"noise": whiten.NOISE, "regularisation": whiten.REGULARISATION}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        made = Path(temporary) / out.name
        stored.write(made, model, params, name=out.name, **about)
        try:
            _pack(made / "params")
        except Exception as error:  # tensorstore raises many kinds, for a full disk too
            raise OSError(f"{out} cannot be written: {stored.first_line(error)}") from error
        for marker in made.rglob("commit_success.txt"):  # holds paths of this machine, and is of no use
            marker.unlink()
        digest = provenance.digest(params)
        (made / "SHA256").write_text(f"{digest}\n")
        os.replace(made, out)
    return digest


def _pack(arrays: Path) -> None:
    """Compresses stored arrays better, and without loss: they become a twelfth smaller.

    Orbax compresses the bytes of a number side by side. The first bytes of all numbers together compress better than
    their last ones, which are random. Whatever reads the arrays undoes this: each says how it was compressed.
    """
    store, context = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{arrays}/"}}, ts.Context()
    names = [key.decode() for key in ts.KvStore.open(store).result().list().result() if key.endswith(b"/.zarray")]
    for name in names:
        path = name.removesuffix(".zarray")
        array = ts.open({"driver": "zarr", "kvstore": store | {"path": path}}).result()
        how = {"compressor": {"id": "blosc", "cname": "zstd", "clevel": 9, "shuffle": 1}}
        metadata = array.spec().to_json()["metadata"] | how
        place = {"driver": "zarr", "kvstore": {"driver": "memory", "path": path}, "metadata": metadata, "create": True}
        ts.open(place, context=context).result().write(array.read().result()).result()
    packed = ts.KvStore.open({"driver": "memory"}, context=context).result()
    for old in (arrays / "manifest.ocdbt", arrays / "d", *arrays.glob("ocdbt.process_*")):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    with ts.Transaction() as transaction:
        written = ts.KvStore.open(store).result().with_transaction(transaction)
        for key in packed.list().result():
            written[key] = packed[key]


def _side_by_side(runs: Sequence[Path]) -> tuple[Any, dict, dict]:
    """The model, the parameters and what is known of the weights of all runs together."""
    weights = [stored.read(run, metrics.FORMATS) for run in runs]
    model = weights[0].model
    for run, other in zip(runs, weights, strict=True):
        if other.model != model:
            raise ValueError(f"{run} is of another model than {runs[0]}: the members of a metric are of one model")
    abouts = [{key: w.about[key] for key in w.about if key not in ("name", "model")} for w in weights]
    if len(weights) == 1:
        return model, weights[0].params, abouts[0]
    if not isinstance(model, ModelConfig):
        raise ValueError("only weights of PIM are put side by side")
    shared = {key: abouts[0][key] for key in abouts[0] if all(about.get(key) == abouts[0][key] for about in abouts)}
    members = [{key: about[key] for key in about if key not in shared} for about in abouts]
    params = networks.side_by_side(model, [w.params for w in weights])
    return dataclasses.replace(model, members=model.members * len(weights)), params, {**shared, "members": members}


if __name__ == "__main__":
    sys.exit(main())
