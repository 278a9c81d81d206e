"""The table of movements on the pages of a capture and of a check: how often each was filmed, how strongly, and a face."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.frames.scan import frame_name
from pipelines.core.errors import AvatarError
from pipelines.core.files import read_arrays, read_image
from pipelines.face.movements import face_picture
from pipelines.report import html

FACE_PX = 96
COUNTS = {"frames": "frames filmed", "kept": "frames kept", "seconds": "seconds"}


def movement_rows(rows: Sequence[Mapping[str, Any]], faces: Mapping[str, np.ndarray]) -> str:
    """The table of records of movements, with a face [H,W,3] by the movement's name where there is one."""
    if not rows:
        return ""
    counts = [name for name in COUNTS if name in rows[0]]
    cells = [
        [
            row["movement"], *(row[name] for name in counts), f"{row['strongest']} {row['unit']}",
            html.picture(faces[row["movement"]], longest_px=FACE_PX) if row["movement"] in faces else None,
        ]
        for row in rows
    ]  # fmt: skip
    note = "Left and right are the person's own; 100 % is a full movement, and the lids touch."
    head = ["movement", *(COUNTS[name] for name in counts), "strongest", "example"]
    return html.table(cells, head=head) + html.sentence(note, "quiet")


def example_faces(folder: Path, rows: Sequence[Mapping[str, Any]], indices: Sequence[int | None]) -> dict[str, np.ndarray]:
    """By movement, the face in the frame that `rows` name as its example; `indices` are the source indices of the frames."""
    try:
        points = read_arrays(folder / "tracking.npz")["landmarks"]
    except (AvatarError, KeyError):
        return {}
    place = {index: row for row, index in enumerate(indices) if row < len(points)}
    result = {}
    for row in rows:
        path = folder / "frames" / f"{frame_name(row.get('example', -1))}.jpg"
        if row.get("example") in place and path.exists():
            result[row["movement"]] = face_picture(read_image(path), points[place[row["example"]]], FACE_PX)
    return result
