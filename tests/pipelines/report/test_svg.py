import math
from xml.etree import ElementTree

from pipelines.report import svg


def test_plots_are_well_formed() -> None:
    for plot in (
        svg.curve([(0, 1.0), (1, 2.0), (2, math.nan)], "a < b"),
        svg.histogram([1, 0, 3], [-1, 0, 1, 2], "counts"),
        svg.ranges([("jawOpen", -0.1, 0.0, 1.2)], "ranges"),
    ):
        assert ElementTree.fromstring(plot).tag == "svg"


def test_a_curve_rises_upwards() -> None:
    line = ElementTree.fromstring(svg.curve([(0, 0.0), (1, 1.0)], "up")).find("polyline")
    assert line is not None
    (x0, y0), (x1, y1) = ([float(v) for v in point.split(",")] for point in line.attrib["points"].split())
    assert x1 > x0
    assert y1 < y0


def test_a_curve_of_one_point_is_none() -> None:
    assert svg.curve([(0, 1.0), (1, math.inf)], "x") == ""


def places(plot: str, tag: str, *names: str) -> list[list[float]]:
    return [[float(shape.attrib[name]) for name in names] for shape in ElementTree.fromstring(plot).iter(tag)]


def test_bars_of_a_histogram_stand_between_their_edges_and_are_as_tall_as_their_counts() -> None:
    plot = svg.histogram([1, 0, 4], [-1, 0, 1, 2], "counts", width=320, height=160)
    assert places(plot, "rect", "x", "y", "width", "height") == [[11, 115, 98, 25], [111, 140, 98, 0], [211, 40, 98, 100]]
    texts = [
        (shape.text, float(shape.attrib["x"]), float(shape.attrib["y"])) for shape in ElementTree.fromstring(plot).iter("text")
    ]
    assert {("1", 60, 111), ("4", 260, 36), ("-1", 10, 154), ("0", 110, 154), ("2", 310, 154)} <= set(texts)


def test_ranges_lie_on_one_scale_that_holds_all_of_them() -> None:
    plot = svg.ranges([("jawOpen", 0.0, 0.25, 0.5), ("gaze", -1.0, 0.0, 1.0)], "ranges", width=470)
    assert places(plot, "rect", "x", "y", "width") == [[300, 30, 75], [337.5, 29, 2], [150, 46, 300], [300, 45, 2]]
    assert [place[0] for place in places(plot, "line", "x1")] == [300, 450], "0 and 1 are marked"
    wide = svg.ranges([("jawOpen", -1.0, 0.0, 2.0)], "", width=470)
    assert [place[0] for place in places(wide, "line", "x1")] == [250, 350]


def test_a_curve_fills_its_axes_and_names_their_ends() -> None:
    plot = svg.curve([(0, -1.5), (5, 1.0), (10, 0.0)], "loss", width=258, height=150, x_label="s")
    tree = ElementTree.fromstring(plot)
    line, axes = tree.find("polyline"), tree.find("path")
    assert line is not None and line.attrib["points"] == "48.0,128.0 148.0,28.0 248.0,68.0"
    assert axes is not None and axes.attrib["d"] == "M48 28V128H248"
    assert [shape.text for shape in tree.iter("text")] == ["loss: 0", "1", "-1.5", "0", "10 s"]


def test_colors_go_from_blue_to_orange() -> None:
    assert [svg.blend_color(share) for share in (0.0, 0.5, 1.0)] == ["#2b6cb0", "#846c68", "#dd6b20"]
