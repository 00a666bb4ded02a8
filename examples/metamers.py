"""What does PIM see? Images that it takes for a photograph, made from noise and from a blurred copy.

    python examples/metamers.py

Two images that are equal to an observer are called metamers. Adam changes the pixels until PIM finds the image as close
to the photograph as one with noise of one grey level in 256, which nobody sees. What still differs then is what PIM
does not see. Beside it in runs/metamers.png is noise with the same squared error: the two are equal to the MSE.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

from pim_jax import metric

PHOTOGRAPH = Path(metric.__file__).parent / "assets" / "images" / "reference" / "parrots.png"  # or one of yours

pim = metric.load()


def pixels(image):
    return jnp.asarray(np.asarray(image, np.float32) / 255)


def optimised(loss, y, enough, steps, rate=0.02):
    """The image when its loss is at most `enough`, and the losses until then; or after so many steps."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    @jax.jit
    def step(y, state):
        value, gradient = jax.value_and_grad(loss)(y)
        change, state = optimizer.update(gradient, state)
        return jnp.clip(y + change, 0, 1), state, value

    state, losses = optimizer.init(y), []
    for _ in range(steps):
        following, state, value = step(y, state)
        losses.append(float(value))
        if losses[-1] <= enough:
            break
        y = following
    return y, losses


def main(steps=250, size=128, out="runs/metamers.png"):
    photograph = Image.open(PHOTOGRAPH).convert("RGB").crop((0, 0, size, size))
    x = pixels(photograph)
    noise = jax.random.normal(jax.random.key(0), x.shape)
    loss = pim.against(x)  # x is encoded once
    enough = float(loss(jnp.clip(x + noise / 255, 0, 1)))
    starts = {
        "noise": jax.random.uniform(jax.random.key(1), x.shape),
        "blur": pixels(photograph.filter(ImageFilter.GaussianBlur(3))),
    }
    figure = Figure(figsize=(13, 7), layout="constrained")
    for row, (name, start) in zip(figure.subplots(2, 4), starts.items(), strict=True):
        y, losses = optimised(loss, start, enough, steps)
        error = jnp.sqrt(((y - x) ** 2).mean())
        noisy = jnp.clip(x + error * noise, 0, 1)
        print(f"from {name}: {losses[0]:.2f} to {losses[-1]:.4f} in {len(losses)} steps; as equal counts {enough:.4f}")
        shown = {f"start: {name}": start, f"after {len(losses)} steps": y, "the photograph with noise": noisy}
        for axes, (title, image) in zip(row, shown.items(), strict=False):
            axes.imshow(image)
            axes.set_title(f"{title}\nPIM {loss(image):.4f}, MSE {((x - image) ** 2).mean():.5f}")
        row[3].imshow(jnp.clip(0.5 + 4 * (y - x), 0, 1))
        row[3].set_title("what PIM hardly sees,\n4 times as strong")
        for axes in row:
            axes.set_axis_off()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


if __name__ == "__main__":
    main()
