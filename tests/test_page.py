"""The pages of reports are well-formed, fetch nothing, keep text apart from tags, and show what they are given."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pim_jax.evaluation import page
from pim_jax.evaluation.page import Cell

NASTY = "</td><script>alert(\"x\")</script> & &lt; 'q' $1 ${x} {0} %d <!-- é 日本"
VOID = {"meta", "link", "img"}


class Parsed(HTMLParser):
    """A page as a list of elements with their text; every element must be closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1]["tag"] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [e for e in self.elements if e["tag"] == tag and attributes.items() <= e.items()]

    def texts(self, tag, **attributes):
        return [element["text"].strip() for element in self.all(tag, **attributes)]


def image_of(element):
    content = base64.b64decode(re.fullmatch(r"data:image/[a-z+]+;base64,(.*)", element["src"])[1])
    return Image.open(io.BytesIO(content))


def fetched(html):
    """Whatever a browser would ask a network for."""
    parsed = Parsed(html)
    links = [e[name] for e in parsed.elements for name in ("src", "href", "srcset", "action", "data") if e.get(name)]
    styles = "".join(parsed.texts("style") + [e.get("style", "") for e in parsed.elements])
    return [link for link in links if not link.startswith(("data:", "#"))] + re.findall(r"url\(|@import", styles)


def smooth(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([(1 + np.sin(x / 17 + c) * np.cos(y / 15)) / 2 for c in range(3)], axis=-1)


def test_a_document_is_whole_and_says_how_it_is_to_be_shown():
    parsed = Parsed(page.document("Title", {"One": page.paragraphs("a", "b"), "Two": page.bullets("cd"), "None": ""}))
    assert parsed.texts("h1") == ["Title"] == parsed.texts("title")
    assert parsed.texts("h2") == ["One", "Two"]
    assert parsed.all("html")[0]["lang"] == "en"
    assert parsed.all("meta", name="viewport")[0]["content"].startswith("width=device-width")
    assert [link["href"][1:] for link in parsed.all("a")] == [section["id"] for section in parsed.all("section")]


def test_a_document_fetches_nothing_and_forbids_it():
    html = page.document("a", {"b": page.picture("reference", smooth(8, 8), "c") + page.plot(Figure(), "d")})
    assert fetched(html) == []
    policy = Parsed(html).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    [script] = Parsed(html).texts("script")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")  # no other script runs


@pytest.mark.parametrize(
    "html",
    [
        page.document(NASTY, {NASTY: page.paragraphs(NASTY)}),
        page.bullets([NASTY]),
        page.definitions({NASTY: NASTY}),
        page.table(NASTY, NASTY, [NASTY], [(NASTY, [Cell(NASTY, NASTY), Cell(NASTY, strong=True)])]),
        page.plot(Figure(), NASTY),
        page.case(NASTY, [page.picture("distorted", np.zeros((8, 8, 3)), NASTY)]),
        page.contest(NASTY, page.picture("reference", np.zeros((8, 8, 3)), NASTY), [(NASTY, "", "")]),
        page.group(NASTY, page.paragraphs(NASTY)),
        page.distance_map(np.eye(8), maximum=1.0, caption=NASTY),
    ],
    ids=["document", "bullets", "definitions", "table", "plot", "case", "contest", "group", "map"],
)
def test_text_stays_text(html):
    parsed = Parsed(html)
    assert html.count("<script") == len(parsed.all("script")) == html.startswith("<!DOCTYPE")
    plain = {"h1", "h2", "h3", "p", "li", "dt", "dd", "th", "caption", "figcaption", "strong", "small"}
    found = [text for tag in plain for text in parsed.texts(tag)]
    assert found and all(NASTY in text for text in found)
    labels = [e[name] for e in parsed.elements for name in ("alt", "aria-label") if e.get(name)]
    assert all(NASTY in label for label in labels if not label.startswith(("Colours", "Sections")))


def test_a_table_has_its_headings_and_cells_in_order():
    cells = [Cell("1", "[0, 2]"), Cell("3", strong=True)]
    parsed = Parsed(page.table("Caption", "corner", ["p", "q"], [("first", cells), ("second", cells[::-1])]))
    assert parsed.texts("caption") == ["Caption"]
    assert parsed.texts("th", scope="col") == ["corner", "p", "q"]
    assert parsed.texts("th", scope="row") == ["first", "second"]
    assert parsed.texts("td") == ["1[0, 2]", "3", "3", "1[0, 2]"]
    assert parsed.texts("small") == ["[0, 2]"] * 2 and parsed.texts("strong") == ["3"] * 2


def test_nothing_to_list_is_nothing():
    assert page.bullets([]) == page.definitions({}) == ""


def test_a_small_picture_is_shown_exactly_and_enlarged_by_a_whole_factor():
    pixels = np.random.default_rng(0).random((64, 50, 3))
    image = Parsed(page.picture("reference", pixels, "a")).all("img")[0]
    np.testing.assert_array_equal(np.asarray(image_of(image)), np.round(pixels * 255))
    assert (image["width"], image["height"], image["class"]) == ("200", "256", "exact")


def test_a_large_picture_is_shrunk_to_the_same_picture():
    pixels = smooth(600, 960)
    element = Parsed(page.picture("reference", pixels, "a")).all("img")[0]
    image = image_of(element)
    assert image.size == (480, 300) == (int(element["width"]), int(element["height"]))
    halves = pixels.reshape(300, 2, 480, 2, 3).mean((1, 3))
    np.testing.assert_allclose(np.asarray(image) / 255, halves, atol=0.05)


def test_a_picture_that_would_take_much_space_is_a_good_jpeg():
    pixels = np.random.default_rng(0).random((480, 480, 3))
    element = Parsed(page.picture("distorted", pixels, "a")).all("img")[0]
    image = image_of(element)
    assert image.format == "JPEG" and len(element["src"]) < 700_000
    assert np.sqrt(np.mean((np.asarray(image) / 255 - pixels) ** 2)) < 0.06


def test_a_map_has_the_colours_of_the_square_root():
    values = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    values[0, :3] = -0.1, 2.0, 4.0
    parsed = Parsed(page.distance_map(values, maximum=2.0, caption="a"))
    expected = matplotlib.colormaps["inferno"](np.sqrt(np.clip(values, 0, 2) / 2).astype(np.float64), bytes=True)
    found = np.asarray(image_of(parsed.all("img", alt="a")[0]).convert("RGB"))
    # Matplotlib rounds down to one of 256 colours, the page to the nearest
    assert np.abs(found.astype(int) - expected[..., :3]).max() <= 8
    np.testing.assert_array_equal(found[0, 1], found[0, 2])
    np.testing.assert_array_equal(found[0, 1], matplotlib.colormaps["inferno"](1.0, bytes=True)[:3])
    assert [e["text"] for e in parsed.all("span")][1:] == ["0", "0.5", "2"]


def test_a_large_map_is_shrunk_by_averaging():
    values = np.zeros((960, 960), np.float32)
    values[::2, ::2] = 1.0
    index = np.asarray(image_of(Parsed(page.distance_map(values, maximum=1.0, caption="a")).all("img", alt="a")[0]))
    assert index.shape == (480, 480)
    np.testing.assert_array_equal(index, round(255 * np.sqrt(0.25)))


def test_a_plot_is_vectors_unless_that_takes_too_much_space():
    kinds = []
    for points in (10, 20_000):
        figure = Figure()
        figure.subplots().scatter(*np.random.default_rng(0).random((2, points)))
        image = Parsed(page.plot(figure, "a")).all("img")[0]
        kinds.append(re.match(r"data:image/([a-z+]+);", image["src"])[1])
        assert image["alt"] == "Plot: a"
    assert kinds == ["svg+xml", "png"]


def test_a_plot_is_drawn_in_silence(recwarn, capfd):
    figure = Figure()
    figure.subplots().set_title("日本")
    page.plot(figure, "a")
    assert not recwarn and capfd.readouterr() == ("", "")
