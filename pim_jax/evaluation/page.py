"""The document of a report: one HTML file that needs nothing else, for phones and desks, light and dark, and paper.

Every function takes plain text, escapes it, and returns HTML to be put into a `document`.
"""

import base64
import functools
import hashlib
import io
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pim_jax.evaluation import maps

SHOWN = 480  # pixels, the longest side of a picture: what three side by side on a desk, or two on a phone, can show
ENLARGED = 256  # pixels on the page, to which smaller pictures are enlarged by a whole factor
EXACT = 2**16  # bytes, up to which a picture is stored exactly
VECTORS = 2**18  # bytes, up to which a plot is stored as vectors: sharp in print, but slow with many points

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1c1e; --soft: #5c6167; --line: #d6d9dd; --link: #0b57d0 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e4e6e9; --soft: #a4aab1; --line: #3a3f46; --link: #8ab4f8 }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: none; text-size-adjust: none }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line) }
h3 { font-size: 1rem; font-weight: 500; line-height: 1.45; margin: 0 }
p, ul { margin: 0 0 1rem; max-width: 46rem }
dl { display: grid; grid-template-columns: 12rem 1fr; gap: .3rem 1.5rem; margin: 0 0 1rem;
  max-width: 60rem }
ul { padding-left: 1.2rem }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem }
a { color: var(--link) }
dt { font-weight: 600 }
dd { margin: 0; white-space: pre-wrap }
figure { margin: 0 }
img { display: block; max-width: 100%; height: auto }
figcaption, caption { color: var(--soft); font-size: .875rem; line-height: 1.45 }
/* A shadow at an edge that hides a part of the box: its cover scrolls with what is in the box. */
.scroll { overflow-x: auto; margin: 0 0 1.5rem;
  background: linear-gradient(to left, var(--paper) 30%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--line), transparent) right / 1rem 100% no-repeat scroll }
table { border-collapse: collapse; font-size: .9375rem; line-height: 1.4 }
caption { text-align: left; padding-bottom: .4rem }
th, td { padding: .4rem .4rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums }
thead th { vertical-align: bottom; border-bottom: 2px solid var(--soft); overflow-wrap: normal;
  max-width: 6.5rem }
td { white-space: nowrap }
td small { display: block; color: var(--soft); font-size: .6875rem }
th:first-child { position: sticky; left: 0; background: var(--paper); text-align: left; padding-left: 0;
  min-width: 8rem; max-width: 24rem }
tbody th { font-weight: 500 }
.plot { margin: 0 0 2rem }
.plot .scroll { margin: 0 0 .4rem }
.plot img { width: var(--width); min-width: calc(.55 * var(--width)); background: #fff }
.case { display: grid; grid-template-columns: repeat(3, 1fr); gap: .5rem 1rem; margin: 0 0 2.5rem }
.case h3 { grid-column: 1 / -1; max-width: 46rem }
.reference { grid-column: 1 }
.distorted { grid-column: 2 }
.map { grid-column: 3 }
.case figcaption { padding-top: .3rem; font-size: .8125rem }
.group > h3 { font-size: 1.1rem; font-weight: 600; margin: 1.5rem 0 .75rem }
.rival h4 { font-size: .8125rem; font-weight: 600; line-height: 1.3; margin: 0 0 .3rem }
.contest { display: grid; grid-template-columns: repeat(var(--columns), 1fr); grid-auto-flow: column;
  grid-template-rows: auto auto auto; gap: .5rem 1rem; margin: 0 0 3rem }
.contest > h3 { grid-column: 1 / -1; grid-row: 1; max-width: 46rem }
.contest .rival { grid-row: 2; grid-column: auto }
.contest .rival:first-of-type { grid-column: 1 }
.contest .map { grid-row: 3; grid-column: auto }
.contest figcaption { padding-top: .3rem; font-size: .8125rem }
.over { position: relative; width: fit-content }
.over img + img { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0) }
.over.blinking img + img { clip-path: none; animation: blink 1s step-end infinite }
@keyframes blink { 50% { visibility: hidden } }
.tools { display: flex; gap: .5rem; align-items: center; padding-top: .3rem }
.tools input { flex: 1; min-width: 0; margin: 0 }
.tools button, th button { font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: .25rem; padding: 0 .5rem; cursor: pointer }
.tools button { font-size: .8125rem }
.tools button[aria-pressed=true] { background: var(--line) }
th button { border: 0; padding: 0; text-align: inherit; font-weight: inherit }
th[aria-sort=ascending] button::after { content: " \25B2" }
th[aria-sort=descending] button::after { content: " \25BC" }
.exact { image-rendering: pixelated }
.bar { display: grid; grid-template-columns: repeat(3, 1fr); gap: .1rem 0; max-width: 16rem;
  font-variant-numeric: tabular-nums }
.bar span { white-space: nowrap }
.bar img { grid-column: 1 / -1; width: 100%; height: .5rem }
.bar :nth-child(3) { text-align: center }
.bar :nth-child(4) { text-align: right }
@media (max-width: 36rem) {
  table { font-size: .8125rem }
  th, td { padding: .3rem .25rem }
  th:first-child { min-width: 4rem; max-width: 9rem }
  dl { display: block }
  dd { margin: 0 0 .6rem }
  .case { grid-template-columns: 1fr 1fr; gap: .6rem .75rem }
  .case h3 { grid-column: 2; grid-row: 1 }
  .distorted { grid-column: 1 }
  .map { grid-column: 2 }
  .contest { grid-template-columns: 1fr 1fr; grid-template-rows: none; grid-auto-flow: row }
  .contest > h3, .contest .rival, .contest .map { grid-row: auto }
  .contest .rival { grid-column: 1 }
  .contest .map { grid-column: 2; align-self: end }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #333; --line: #999; --link: #000 }
  @page { margin: 15mm }
  body { max-width: none; padding: 0; font-size: 10pt }
  nav { display: none }
  h2, h3, dt, section > p, caption, thead { break-after: avoid }
  .scroll { overflow: visible; background: none }
  .plot, .case, .contest, tr, p { break-inside: avoid }
  .tools, .over img + img { display: none }
  .contest { gap: 1mm 3mm; margin: 0 0 6mm }
  tr:nth-last-child(2) { break-after: avoid }
  tbody tr:first-child { break-after: avoid }
  .plot img { width: auto; min-width: 0; max-width: min(100%, var(--width)); max-height: 205mm }
  dl { max-width: none }
  .case { grid-template-columns: repeat(3, 42mm); gap: 1mm 4mm; margin: 0 0 6mm }
  .case h3 { max-width: none }
  .case figcaption { font-size: 7.5pt }
  img { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  table { font-size: 8pt }
  th, td { padding: .15rem .3rem }
  th:first-child { position: static; min-width: 21mm }
  thead th { overflow-wrap: anywhere }
  td small { white-space: normal; font-size: 6.5pt }
}
"""


# A click on a heading sorts a table. Beside each distorted picture a slider and a button lay the reference over it.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, place) => {
    const cell = row.cells[place], value = cell.dataset.value;
    return value === undefined ? cell.textContent : value === "" ? Infinity : Number(value);
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const order = (a, b) => typeof a === "number" && typeof b === "number"
        ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
      const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a, place), key(b, place)));
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}
for (const picture of document.querySelectorAll(".distorted")) {
  const reference = picture.closest("article").querySelector(".reference img"), image = picture.querySelector("img");
  const over = document.createElement("div"), copy = new Image(), tools = document.createElement("div");
  const slider = document.createElement("input"), blink = document.createElement("button");
  image.replaceWith(over);
  over.className = "over";
  over.style.setProperty("--at", "0%");
  copy.src = reference.src;
  copy.alt = "";
  copy.className = image.className;
  over.append(image, copy);
  tools.className = "tools";
  slider.type = "range";
  slider.value = 0;
  slider.setAttribute("aria-label", "How much of the reference covers the picture");
  slider.addEventListener("input", () => over.style.setProperty("--at", slider.value + "%"));
  blink.type = "button";
  blink.textContent = "Blink";
  blink.setAttribute("aria-pressed", "false");
  blink.addEventListener("click", () =>
    blink.setAttribute("aria-pressed", String(over.classList.toggle("blinking"))));
  tools.append(slider, blink);
  over.after(tools);
}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()  # no other script runs
_POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_DIGEST}'"


class Cell(NamedTuple):
    """A cell of a table: its text, a smaller second line, whether it stands out, and the number to sort it by."""

    text: str
    detail: str = ""
    strong: bool = False
    value: float | None = None


def document(title: str, sections: Mapping[str, str]) -> str:
    """A whole page.

    Args:
      title: the heading.
      sections: HTML by heading; sections without content are left out.

    Returns:
      the HTML document, which its own policy keeps from fetching anything.

    Examples:
      >>> page = document("1 < 2", {"First": paragraphs("some text"), "Second": ""})
      >>> "<h1>1 &lt; 2</h1>" in page, "Second" in page
      (True, False)
    """
    sections = {heading: content for heading, content in sections.items() if content}
    links = "".join(f'<li><a href="#s{i}">{escape(heading)}</a></li>\n' for i, heading in enumerate(sections))
    body = "".join(
        f'<section id="s{i}">\n<h2>{escape(heading)}</h2>\n{content}</section>\n'
        for i, (heading, content) in enumerate(sections.items())
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<nav aria-label="Sections">
<ul>
{links}</ul>
</nav>
</header>
<main>
{body}</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def paragraphs(*texts: str) -> str:
    """Paragraphs of text."""
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def bullets(texts: Iterable[str]) -> str:
    """A list, or nothing if there is nothing to list."""
    items = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return items and f"<ul>\n{items}</ul>\n"


def definitions(texts: Mapping[str, str]) -> str:
    """What is said of each of several things, or nothing if there are none."""
    items = "".join(f"<dt>{escape(name)}</dt>\n<dd>{escape(text)}</dd>\n" for name, text in texts.items())
    return items and f"<dl>\n{items}</dl>\n"


def table(
    caption: str,
    corner: str,
    columns: Sequence[str],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    sortable: bool = False,
) -> str:
    """A table that scrolls within its own box, its first column in place.

    Args:
      caption: what it shows, in few words.
      corner: the heading of the first column.
      columns: the headings of the others.
      rows: the heading of each row and its cells.
      sortable: whether a click on a column's heading sorts the rows.

    Examples:
      >>> print(table("Scores", "Metric", ["SROCC"], [("pim-1", [Cell("0.700", "[0.6, 0.8]", strong=True)])]))
      <div class="scroll" role="region" aria-label="Scores" tabindex="0">
      <table>
      <caption>Scores</caption>
      <thead><tr><th scope="col">Metric</th><th scope="col">SROCC</th></tr></thead>
      <tbody>
      <tr><th scope="row">pim-1</th><td><strong>0.700</strong><small>[0.6, 0.8]</small></td></tr>
      </tbody>
      </table>
      </div>
      <BLANKLINE>
    """
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in (corner, *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(heading)}</th>{"".join(map(_cell, cells))}</tr>\n' for heading, cells in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">\n<table{kind}>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cell(cell: Cell) -> str:
    text = f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text)
    value = "" if cell.value is None else f' data-value="{"" if math.isnan(cell.value) else cell.value}"'
    return f"<td{value}>{text}{cell.detail and f'<small>{escape(cell.detail)}</small>'}</td>"


def plot(figure: Figure, caption: str) -> str:
    """A plot; on a narrow screen it scrolls rather than shrink until its labels cannot be read.

    Args:
      figure: what to show, at its own size where there is room; one higher than a sheet of paper is shrunk in print.
      caption: what it is.
    """
    stored, kind = io.BytesIO(), "svg+xml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label in a script that the font lacks is drawn as boxes
        figure.savefig(stored, format="svg", bbox_inches="tight", metadata={"Date": None})
        if stored.tell() > VECTORS:
            stored, kind = io.BytesIO(), "png"
            figure.savefig(stored, format="png", bbox_inches="tight", dpi=180)
    width = round(96 * figure.get_figwidth())
    return (
        f'<figure class="plot" style="--width: {width}px">\n'
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">\n'
        f'<img alt="{escape(f"Plot: {caption}")}" src="{_data(stored.getvalue(), kind)}">\n</div>\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>\n"
    )


def case(heading: str, pictures: Iterable[str]) -> str:
    """Pictures to be seen together: one or more rows of a reference, a distorted one, and a map.

    Args:
      heading: what is to be seen.
      pictures: HTML from `picture` and `distance_map`.
    """
    return f'<article class="case">\n<h3>{escape(heading)}</h3>\n{"".join(pictures)}</article>\n'


def contest(heading: str, reference: str, rivals: Sequence[tuple[str, str, str]]) -> str:
    """What several made of one reference, side by side, each above its map.

    Args:
      heading: what is to be seen.
      reference: HTML from `picture`.
      rivals: what to call each, HTML from `picture`, and from `distance_map` or empty.
    """
    columns = "".join(
        f'<div class="rival">\n<h4>{escape(name)}</h4>\n{shown}</div>\n{of}' for name, shown, of in rivals
    )
    return (
        f'<article class="contest" style="--columns: {len(rivals) + 1}">\n<h3>{escape(heading)}</h3>\n'
        f'<div class="rival">\n<h4>Reference</h4>\n{reference}</div>\n{columns}</article>\n'
    )


def group(heading: str, cases: str) -> str:
    """Cases that belong together, under a name of their own.

    Args:
      heading: the name.
      cases: HTML from `case`.
    """
    return f'<div class="group">\n<h3>{escape(heading)}</h3>\n{cases}</div>\n'


def picture(role: str, pixels: np.ndarray, caption: str) -> str:
    """A picture, shrunk to fit `SHOWN`; one of few bytes is stored exactly, another as JPEG of high quality.

    Args:
      role: "reference" or "distorted", which decides where it stands in a `case`.
      pixels: [H, W, 3] float in [0, 1].
      caption: what it is.
    """
    image = Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8))
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return _figure(role, image, escape(caption), alt=caption)


def distance_map(values: np.ndarray, *, maximum: float, caption: str) -> str:
    """A map, shrunk by averaging to fit `SHOWN`, with the scale of its colours.

    The scale is that of `maps.shares`, as in the files that `--maps` writes.

    Args:
      values: [H, W] float32, not negative.
      maximum: the value of the brightest colour, above 0.
      caption: what it is.
    """
    image = Image.fromarray(values.astype(np.float32))
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX)
    image = _coloured(maps.shares(np.asarray(image), maximum))
    numbers = "".join(f"<span>{value:.3g}</span>" for value in maps.ticks(maximum))
    bar = f'<span class="bar"><img alt="Colours from the lowest to the highest value" src="{_bar()}">{numbers}</span>'
    return _figure("map", image, f"{escape(caption)}{bar}", alt=caption)


def _coloured(shares: np.ndarray) -> Image.Image:
    """Shares of the scale as a picture with a palette, which holds each of the 256 colours exactly."""
    image = Image.fromarray(np.minimum(256 * shares, 255).astype(np.uint8))  # as matplotlib chooses colours
    image.putpalette(matplotlib.colormaps[maps.COLOURS](np.arange(256), bytes=True)[:, :3].tobytes())
    return image


@functools.cache
def _bar() -> str:
    return _encoded(_coloured(np.linspace(0, 1, 256)[None]))


def _figure(role: str, image: Image.Image, caption: str, *, alt: str) -> str:
    zoom = max(1, ENLARGED // max(image.size))
    width, height = (zoom * side for side in image.size)
    exact = ' class="exact"' if zoom > 1 else ""
    return (
        f'<figure class="{role}">\n<img{exact} alt="{escape(alt)}" width="{width}" height="{height}" '
        f'src="{_encoded(image)}">\n<figcaption>{caption}</figcaption>\n</figure>\n'
    )


def _encoded(image: Image.Image) -> str:
    stored, kind = io.BytesIO(), "png"
    image.save(stored, "PNG", optimize=True)
    if stored.tell() > EXACT and image.mode == "RGB":
        stored, kind = io.BytesIO(), "jpeg"
        image.save(stored, "JPEG", quality=92, subsampling=0)
    return _data(stored.getvalue(), kind)


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
