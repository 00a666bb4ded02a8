"""The report in a real browser: whole on a phone and on a desk, interactive without a server, tidy on paper."""

import json
import re
import shutil
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

from pim_jax import metric
from pim_jax.evaluation import report
from pim_jax.evaluation.compare import Candidate, Match
from pim_jax.evaluation.comparison import Comparison
from pim_jax.evaluation.measure import Measured
from pim_jax.model import pim as networks

pytestmark = [
    pytest.mark.slow(kept="what is on the page, in test_report.py and test_page.py"),
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium"),
]
CODECS = [Candidate(codec, quality) for codec in ("jpeg", "webp", "avif") for quality in ("1", "2", "3")]

# What a visitor does, and what they then see; the answer is the title of the page around.
VISIT = """
const page = frame.contentDocument, found = {};
const cells = (table, place) => [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
found.widths = ["documentElement", "body"].map(name => page[name].scrollWidth);
found.cut = [...page.querySelectorAll("main *")].filter(e => !e.closest(".scroll") &&
  e.getBoundingClientRect().right > page.documentElement.clientWidth + 1).length;
found.boxes = [...page.querySelectorAll(".scroll")].map(e => e.scrollWidth > e.clientWidth);
const table = page.querySelector("table.sortable"), button = table.tHead.querySelectorAll("button")[2];
found.before = cells(table, 2);
button.click(); found.up = cells(table, 2);
button.click(); found.down = cells(table, 2);
found.sorted = button.parentElement.getAttribute("aria-sort");
const picture = page.querySelector(".contest .distorted"), over = picture.querySelector(".over");
const slider = picture.querySelector("input"), [shown, copy] = over.querySelectorAll("img");
found.copied = copy.src === page.querySelector(".contest .reference img").src && copy.src !== shown.src;
found.same = JSON.stringify(shown.getBoundingClientRect()) === JSON.stringify(copy.getBoundingClientRect());
slider.value = 40; slider.dispatchEvent(new Event("input"));
found.clip = frame.contentWindow.getComputedStyle(copy).clipPath;
picture.querySelector("button").click();
found.blinking = frame.contentWindow.getComputedStyle(copy).animationName;
found.tools = page.querySelectorAll(".tools").length === page.querySelectorAll(".distorted").length;
found.rivals = [...page.querySelector(".contest").querySelectorAll("h4")].map(e => e.textContent);
document.title = JSON.stringify(found);
"""


def chromium(tmp_path, *arguments):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of nine candidates with long names of files."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for name in ("original", *map(str, CODECS)):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{'a long name of a file ' * 3}{i}.png")
    matches = [
        Match(path.stem, path, folder / str(candidate) / path.name, candidate)
        for path in sorted((folder / "original").iterdir())
        for candidate in CODECS
    ]
    config = networks.ModelConfig(pyramid="laplacian", scales=2, widths=(4, 3))
    pim = metric.from_params(config, networks.init(config, jax.random.key(0)), name="pim-t")
    names = ["pim-t", *(f"LPIPS-variant-{i}" for i in range(5))]
    found = Comparison.of(matches, names)
    for index, match in enumerate(matches):
        level = 4 - int(match.candidate.quality) + 0.3 * CODECS.index(match.candidate) / 9 + rng.normal(0, 0.05)
        found.add(Measured(index, (96, 128), dict.fromkeys(names, level), {}), 2000 * int(match.candidate.quality))
    metrics = {name: pim for name in names}
    report.of_comparison(folder / "r.html", found, metrics, command="eval.py " + "x" * 200, mapped="pim-t")
    return folder / "r.html"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_visitor_sees_all_sorts_and_lays_pictures_over_each_other(tmp_path, page, width):
    frame = page.with_name(f"frame{width}.html")
    frame.write_text(
        f'<iframe id="frame" src="r.html" style="width:{width}px; height:800px; border:0"></iframe>'
        f"<script>const frame = document.getElementById('frame'); frame.onload = () => {{{VISIT}}}</script>"
    )
    done = chromium(tmp_path, "--virtual-time-budget=5000", "--window-size=1400,900", "--dump-dom", frame.as_uri())
    found = json.loads(re.search(r"<title>(.*?)</title>", done.stdout)[1].replace("&amp;", "&"))
    assert max(found["widths"]) <= width and found["cut"] == 0
    assert width > 1000 or any(found["boxes"])  # on a phone, wide tables scroll in boxes of their own
    rates = sorted(map(float, found["before"]))
    assert (found["up"], found["down"]) == ([f"{rate:#.4g}" for rate in rates], [f"{r:#.4g}" for r in rates[::-1]])
    assert found["sorted"] == "descending"
    assert found["copied"] and found["same"] and found["tools"]
    assert found["clip"].startswith("inset(0px") and "60%" in found["clip"]
    assert found["blinking"] == "blink"
    assert found["rivals"][0] == "Reference" and len(found["rivals"]) == 4


def test_on_paper_no_page_is_half_empty_and_no_row_alone(tmp_path, page):
    pdf = tmp_path / "r.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext")
    pages = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True).stdout.split("\f")[:-1]
    assert 8 <= len(pages) <= 20
    assert "Blink" not in "".join(pages)
    filled = subprocess.run(["pdftoppm", "-r", "20", "-gray", pdf, tmp_path / "p"], check=True)
    assert filled.returncode == 0
    for path in sorted(tmp_path.glob("p*.pgm"))[:-1]:
        ink = np.flatnonzero((np.asarray(Image.open(path)) < 200).any(1))
        assert ink.max() > 0.5 * Image.open(path).height, path.name
