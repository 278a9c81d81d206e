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
