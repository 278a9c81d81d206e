"""The films of the scanned head show what their truth says."""

import numpy as np

from tests.material import shared
from tests.worlds_scan import draw, film, load_head, looking_at


def test_a_point_of_the_head_is_drawn_where_its_camera_says() -> None:
    head = load_head(shared("scans/lee_perry_smith"))
    size, focal_px = (90, 120), 150.0
    pose = looking_at(25.0, 4.0, 11.5, np.zeros(3))
    marked = head.texture.copy()
    tip = int(np.argmax(head.points[:, 2]))
    x, y = (head.uv[tip] * marked.shape[1::-1]).astype(int)
    marked[max(y - 14, 0) : y + 14, max(x - 14, 0) : x + 14] = (0, 255, 0)
    plain, spot = (
        draw(type(head)(**{**vars(head), "texture": one}), pose, focal_px, size, []) for one in (head.texture, marked)
    )
    changed = np.abs(spot - plain).sum(-1)
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    found = np.array([(changed * columns).sum(), (changed * rows).sum()]) / changed.sum()
    inside = pose[:3, :3] @ head.points[tip] + pose[:3, 3]
    assert np.abs(found - (focal_px * inside[:2] / inside[2] + np.array(size) / 2)).max() < 2.5


def test_the_head_turns_before_a_still_room_or_the_camera_goes_around_it() -> None:
    head = load_head(shared("scans/lee_perry_smith"))
    for motion, corner_moves in (("camera", True), ("head", False)):
        made = film(head, "room", motion, count=2, size=(90, 120), reach_deg=20.0)
        one, other = (image[:20, :20].astype(float) for image in made.images)
        assert (np.abs(one - other).mean() > 10) == corner_moves
        turn = made.camera_from_head[1, :3, :3] @ made.camera_from_head[0, :3, :3].T
        assert 35 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 45
