"""Whatever text reaches a page shows as text."""

from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import Markup

from pipelines.report import html, svg

EVIL = '<script>alert("x")</script>'


class _Tags(HTMLParser):
    """The tags of a page, and every text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


PLACES = {
    "title": html.page(EVIL, "", []),
    "subtitle": html.page("", EVIL, []),
    "heading": html.page("", "", [(EVIL, html.sentence("text"))]),
    "section that is no markup": html.page("", "", [("name", EVIL)]),
    "cell": html.table([[EVIL]]),
    "head of a table": html.table([[1]], head=[EVIL]),
    "name of a fact": html.facts({EVIL: 1}),
    "value of a fact": html.facts({"a": [EVIL]}),
    "sentence": html.sentence(EVIL),
    "several sentences": html.sentences([EVIL]),
    "part of a row that is no markup": html.row([EVIL]),
    "caption": html.picture(np.zeros((2, 2, 3), np.uint8), EVIL),
    "folded name": html.folded(EVIL, ""),
    "folded text": html.folded("", EVIL),
    "title of a plot": svg.histogram([1], [0, 1], EVIL),
    "name in a plot": svg.ranges([(EVIL, 0.0, 0.1, 1.0)], ""),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_script_is_text(place: str) -> None:
    page = _Tags(PLACES[place])
    assert "script" not in page.names
    assert EVIL in "".join(page.texts)


def test_a_title_is_escaped_in_the_tab_and_in_the_heading() -> None:
    assert PLACES["title"].count("&lt;script&gt;") == 2


def test_a_caption_does_not_end_its_attribute() -> None:
    assert _Tags(html.picture(np.zeros((2, 2), np.uint8), '" onload="x')).names == ["figure", "img", "figcaption"]


def test_a_section_without_content_says_so() -> None:
    assert "Not available." in html.page("", "", [("Frames", Markup())])


def test_the_strong_row_stands_out() -> None:
    assert html.table([[1], [2.0]], strong=1) == '<table><tr><td>1</td></tr><tr class="strong"><td>2</td></tr></table>'


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (True, "yes"), (0.123456, "0.1235"), ((1, 2), "1, 2"), ({"a": None}, "a –"), ("b", "b")]
)
def test_values_are_short(value: object, text: str) -> None:
    assert html.cell_text(value) == text


def test_parts_are_joined_in_order_and_empty_ones_leave_no_row() -> None:
    assert html.join([html.sentence("a"), html.sentence("b")]) == "<p>a</p><p>b</p>"
    assert html.row(["", Markup()]) == ""
