"""A capture becomes a scene: one training frame near the front, upright, at rest and sharp is the base; others show what is
behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar import head_frame_of
from pipelines.artifacts.avatar_record import load_avatar_record
from pipelines.artifacts.capture_record import SCHEMA, FrameRecord, load_dataset_record
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.avatar.canvas import fade
from pipelines.avatar.scene.plate import Look, clean_plate
from pipelines.avatar.scene.scene import PLATE, RECORD, SHOULDERS
from pipelines.avatar.torso import best_row, cut_torso
from pipelines.core.files import read_image, write_image, write_json
from pipelines.media.foreground import foreground

FindPerson = Callable[[np.ndarray], np.ndarray]
"""uint8 [H,W,3] RGB -> float32 [H,W] alpha in 0..1."""
UPRIGHT = np.diag([1.0, -1.0, -1.0, 1.0])
"""camera_from_head of a head that looks straight into the camera: a base with the head aslant would tilt every drive."""
OTHERS = 16
"""Frames that are looked at for what is behind the person."""


def build_scene(capture: Path, avatar: Path, find_person: FindPerson) -> dict[str, object]:
    """Write scene.json, scene_plate.jpg and scene_shoulders.png into the avatar folder, which holds avatar.json.

    `find_person` says where the person goes on below the stored mattes.

    Figures: the base, and the share of the area behind the person that was filmed at all. Empty, and no file, for captures of
    schema 1, which hold no frames of the film.
    """
    record = load_dataset_record(capture)
    if record.schema != SCHEMA:
        return {}
    frame = head_frame_of(avatar, load_avatar_record(avatar))
    dataset = view_of(capture, frame)
    row = best_row(dataset, np.linalg.inv(frame.camera_from_prior(UPRIGHT[None])[0]))
    rows = dataset.rows("train")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, OTHERS).round().astype(int))]
    base = with_body(look_at(capture, record.items[row], record.frame_size), lowest(capture, record.items[row]), find_person)
    others = [look_at(capture, record.items[other], record.frame_size) for other in rows if other != row]
    plate, filmed = clean_plate(base, others)
    write_image(avatar / PLATE, plate, quality=92)
    write_image(avatar / SHOULDERS, shoulders_of(base, dataset, row))
    camera = (*dataset.world_from_camera[row].ravel(), *dataset.intrinsics[row].ravel())
    place = {"frame_size": list(record.frame_size), "box": dataset.box[row].tolist(), "camera": list(map(float, camera))}
    write_json(avatar / RECORD, {"schema": 1, "source_index": int(dataset.source_index[row]), **place})
    return {"source_index": int(dataset.source_index[row]), "filmed_behind": round(filmed, 3)}


def look_at(capture: Path, item: FrameRecord, frame_size: tuple[int, int]) -> Look:
    """A frame of a capture and its person, as large as it was filmed; below the stored matte all is taken for the person."""
    import cv2

    matte = read_image(capture / "mattes" / f"{item.name}.png")
    left, top, pixel = np.array(item.matte_box, np.float64)
    matrix = np.array([[pixel, 0, left + 0.5 * pixel - 0.5], [0, pixel, top + 0.5 * pixel - 0.5]])
    method = cv2.INTER_LINEAR if pixel < 2 else cv2.INTER_CUBIC
    whole = cv2.warpAffine(matte, matrix, frame_size, flags=method, borderMode=cv2.BORDER_CONSTANT)
    whole[lowest(capture, item) :] = 255
    return Look(image=read_image(capture / "frames" / f"{item.name}.jpg"), matte=whole)


def lowest(capture: Path, item: FrameRecord) -> int:
    """The row of the frame at which the stored matte of a frame ends."""
    _, top, pixel = np.array(item.matte_box, np.float64)
    return int(top + pixel * (len(read_image(capture / "mattes" / f"{item.name}.png")) - 1))


def with_body(look: Look, end: int, find_person: FindPerson) -> Look:
    """A look whose person goes on below row `end`, where no matte was stored."""
    if end >= len(look.matte):
        return look
    matte = look.matte.copy()
    body = np.round(255 * find_person(look.image)).astype(np.uint8)
    matte[end:] = body[end:]
    return Look(image=look.image, matte=matte)


def shoulders_of(base: Look, dataset: Dataset, row: int) -> np.ndarray:
    """uint8 [H,W,4] of the person without the head, in colors free of the background."""
    import cv2

    x0, y0, side = dataset.box[row]
    px = max(16, round(side))
    head = dataset.head_mattes(np.array([row]), px)[0].astype(np.float32) * fade(px)[..., 0]
    matrix = np.array([[side / px, 0, x0 + 0.5 * side / px - 0.5], [0, side / px, y0 + 0.5 * side / px - 0.5]])
    size = base.matte.shape[::-1]
    whole = cv2.warpAffine(head, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    upper = max(0, round(y0 + side / 2))
    whole[:upper] = base.matte[:upper]  # hair that leaves the square, raised hands: no shoulders
    picture = cut_torso(foreground(base.image, base.matte), base.matte, whole, side)
    picture[picture[..., 3] == 0] = 0
    return picture
