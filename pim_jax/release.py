"""Turns a training run into weights to be given away, such as those in `pim_jax/weights`.

    python -m pim_jax.release RUN pim_jax/weights/NAME [--whiten DATA]

RUN is the working directory of a run, whose newest checkpoint is taken, or a checkpoint. The result is a folder called
NAME. It holds the parameters, what they were trained with, and their digest in `SHA256`. For weights in the package
`metric.load` checks the digest. You write a model card beside them.

With `--whiten`, 1 becomes the distance of an average pair of consecutive frames with noise. `pim_jax.training.whiten`
tells how.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from pim_jax import console, extras

with extras.command("train"):
    from pim_jax import metrics, provenance, stored
    from pim_jax.data import pairs
    from pim_jax.model.pim import ModelConfig
    from pim_jax.training import whiten


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Args:
      argv: the arguments, by default those of the process.

    Returns:
      the exit status: 0; 1 if the weights cannot be written; 2 if the arguments or the weights are wrong.
    """
    out, errors = console.printers()
    parser = argparse.ArgumentParser(
        prog=console.command(), description="Turns a training run into weights to be given away."
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="the working directory of train.py, or a checkpoint in it"
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the folder to write; its name becomes that of the weights"
    )
    parser.add_argument(
        "--whiten",
        metavar="DATA",
        type=Path,
        help="a training set: scale the weights so that 1 is the distance of an average pair of its consecutive "
        "frames, to which noise is added",
    )
    args = parser.parse_args(argv)
    try:
        digest = release(args.run, args.out, whitened_by=args.whiten)
    except (OSError, ValueError) as error:
        errors(console.one_line(f"{parser.prog}: {error}"))
        return 2 if isinstance(error, ValueError | FileExistsError | FileNotFoundError) else 1
    out(console.one_line(f"{args.out}: weights {args.out.name}, SHA-256 {digest}"))
    return 0


def release(run: Path, out: Path, *, whitened_by: Path | None = None) -> str:
    """Writes the weights of a run to a folder, whole or not at all.

    Args:
      run: the working directory of `train.py`, or one of its checkpoints.
      out: the folder, which must not exist; its name becomes that of the weights.
      whitened_by: a training set, for `pim_jax.training.whiten`. None leaves the weights as they were trained.

    Returns:
      the SHA-256 of the parameters, in hexadecimal.

    Raises:
      FileNotFoundError, ValueError: there are no weights in `run`, or they are damaged; or they cannot be whitened.
      FileExistsError: `out` exists.
      OSError: `out` cannot be written.
    """
    stored.check_name(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it, or name another folder")
    weights = stored.read(run, metrics.FORMATS)
    params = weights.params
    about = {key: value for key, value in weights.about.items() if key not in ("name", "model")}
    if whitened_by:
        if not isinstance(weights.model, ModelConfig):
            raise ValueError("only weights of PIM are whitened")
        whiten.check_model(weights.model)
        params = whiten.whiten(params, whiten.covariances(weights.model, params, whitened_by))
        about["whitened_by"] = pairs.data_hash(whitened_by)
        about["whitening"] = {"noise": whiten.NOISE, "regularisation": whiten.REGULARISATION}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        made = Path(temporary) / out.name
        stored.write(made, weights.model, params, name=out.name, **about)
        for marker in made.rglob("commit_success.txt"):  # holds paths of this machine, and is of no use
            marker.unlink()
        digest = provenance.digest(params)
        (made / "SHA256").write_text(f"{digest}\n")
        os.replace(made, out)
    return digest


if __name__ == "__main__":
    sys.exit(main())
