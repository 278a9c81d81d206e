import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.capture import page_charts
from pipelines.report.svg import blend_color
from tests.folders import opengl_pose

EDGES = list(range(-180, 181, 30))


def shapes(plot: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(plot).iter(tag))


def test_a_ring_is_dark_where_the_head_was_seen_and_hatched_where_that_is_guessed() -> None:
    seconds = [0.0] * 5 + [4.0, 4.0] + [0.0] * 3 + [1.0, 0.0]
    plot = page_charts.ring(seconds, [0.0] * 10 + [1.0, 0.0], EDGES, "a < b")
    wedges = [float(shape.attrib["fill-opacity"]) for shape in shapes(plot, "path") if "fill-opacity" in shape.attrib]
    assert len(wedges) == 12
    assert [n for n, opacity in enumerate(wedges) if opacity > 0.9] == [5, 6] and wedges[0] == 0 < wedges[10] < 0.7
    assert plot.count("url(#hatch)") == 1


def test_the_right_of_a_ring_is_the_persons_left_side() -> None:
    plot = page_charts.ring([0.0] * 8 + [2.5] + [0.0] * 3, [0.0] * 12, EDGES, "", size=300)
    place = next(shape for shape in shapes(plot, "text") if shape.text == "2.5")
    assert float(place.attrib["x"]) > 250


def test_a_grid_names_rows_and_seconds() -> None:
    plot = page_charts.grid({"teeth": [0.0] * 6 + [1.25] + [0.0] * 5}, EDGES, "t")
    assert {"teeth", "1.2", "-180", "0"} <= {shape.text for shape in shapes(plot, "text")}
    assert len(shapes(plot, "rect")) == 12


@pytest.mark.parametrize("view", [(35.0, 25.0), (0.0, 89.0), (90.0, 0.0)])
def test_cameras_lie_inside_the_plot_and_those_in_front_hide_the_head(view: tuple[float, float]) -> None:
    poses = np.stack([opengl_pose(np.radians(angle)) for angle in (-60, 0, 60)])
    plot = page_charts.cameras(poses, "cameras", yaw_deg=view[0], pitch_deg=view[1])
    numbers = [float(n) for shape in shapes(plot, "path") for n in re.findall(r"-?[\d.]+", shape.attrib["d"])]
    circle = shapes(plot, "circle")[0].attrib
    assert len(shapes(plot, "path")) == 3
    assert min(numbers) >= 0 and max(numbers) <= 354
    assert float(circle["cx"]) - float(circle["r"]) > 0 and float(circle["cy"]) + float(circle["r"]) < 354


def test_the_first_camera_is_blue_the_last_orange_and_the_middle_between_them() -> None:
    plot = page_charts.cameras(np.stack([opengl_pose(turn) for turn in (-1.0, 0.0, 1.0)]), "", yaw_deg=0, pitch_deg=90)
    first, middle, last = (blend_color(share) for share in (0.0, 0.5, 1.0))
    assert len({first, middle, last}) == 3 and all(color in plot for color in (first, middle, last))


def test_from_above_a_camera_in_front_is_drawn_below_the_head_and_one_at_its_left_to_the_right() -> None:
    poses = np.stack([opengl_pose(0.0), opengl_pose(np.pi / 2)])
    plot = page_charts.cameras(poses, "", yaw_deg=0, pitch_deg=90)
    front, left = sorted((tip(shape.attrib["d"]) for shape in shapes(plot, "path")), key=lambda place: place[0])
    head = shapes(plot, "circle")[0].attrib
    assert front[1] > float(head["cy"]) + 50 and abs(front[0] - float(head["cx"])) < 1
    assert left[0] > float(head["cx"]) + 50 and abs(left[1] - float(head["cy"])) < 1


@pytest.mark.parametrize(("yaw_deg", "front_last"), [(0.0, True), (180.0, False)])
def test_what_lies_nearer_is_drawn_over_what_lies_farther(yaw_deg: float, front_last: bool) -> None:
    poses = np.stack([opengl_pose(0.0), opengl_pose(np.pi)])
    plot = page_charts.cameras(poses, "", yaw_deg=yaw_deg, pitch_deg=0)
    front, back = (plot.index(blend_color(share)) for share in (0.0, 1.0))
    assert (back < plot.index("<circle") < front) if front_last else (front < plot.index("<circle") < back)


def tip(path: str) -> tuple[float, float]:
    """Where the four sides of a pyramid start."""
    x, y = re.findall(r"M(-?[\d.]+) (-?[\d.]+)L", path)[-1]
    return float(x), float(y)


def test_what_became_of_frames_has_a_row_for_each_reason() -> None:
    plot = page_charts.fate([0.0, 1.0, 2.0], [(0.5, "blurred"), (1.5, "no face"), (1.6, "blurred")], 3.0, "frames")
    assert len(shapes(plot, "rect")) == 6
    assert {"kept", "blurred", "no face", "3 s"} <= {shape.text for shape in shapes(plot, "text")}
    wide = page_charts.fate([0.0, 1.0], [], 2.0, "", tick_s=1.0)
    assert float(shapes(wide, "rect")[0].attrib["width"]) > 300


@pytest.mark.parametrize(("end", "step", "count"), [(20.0, 5, 5), (33.6, 5, 7), (8.0, 1, 9), (0.0, 0, 1), (7200.0, 1000, 8)])
def test_marks_of_time_are_round(end: float, step: float, count: int) -> None:
    marks = page_charts.round_marks(end)
    assert len(marks) == count and marks == [step * number for number in range(count)]
