"""Which way is up: clips whose turn was lost on the way (metadata stripped, a phone flat on a table) are turned by the face.

Notable choices: a few key frames spread over the clip are looked at as they are, and turned by quarters where no face stands
upright in them; the clip is turned when most of the frames with a face agree on it. Trackers find faces that lie on their
side too, so finding one proves nothing: its eyes have to be level.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.footage.source import Footage, of_clips
from pipelines.core.stage import step
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import VideoInfo, glances

LONGEST_PX = 640
LEAST_VOTES = 2
EYES = (33, 263)
"""Outer corners, from the picture's left to its right in an upright face."""
DIRECTION = {1: "90 degrees to the left", 2: "180 degrees", 3: "90 degrees to the right"}


def upright(partial: Path, footage: Footage, longest_side_px: int) -> Footage:
    """The footage with those clips turned in which faces lie on their side or on their head; others are as they were."""
    if footage.kind != "video":
        return footage
    infos = [part.info for part in footage.parts if part.info is not None]
    turns = step(partial, "upright", lambda: {"turns": [turns_of(info.path) for info in infos]})["turns"]
    if not any(turns):
        return footage
    turned = of_clips([turned_by(info, count) for info, count in zip(infos, turns, strict=True)], longest_side_px)
    said = [f"{info.path.name} {says(count)}." for info, count in zip(infos, turns, strict=True) if count]
    return replace(turned, inputs=footage.inputs, remarks=(*footage.remarks, *said))


def turns_of(path: Path) -> int:
    """Quarter turns counterclockwise after which faces stand upright in a clip; 0 where nothing clearly says so."""
    with FaceTracker(video=False) as tracker:
        return agreed(glances(path, LONGEST_PX), tracker)


def turned_by(info: VideoInfo, turns: int) -> VideoInfo:
    width, height = (info.height, info.width) if turns % 2 else info.size
    return replace(info, width=width, height=height, turns=turns)


def says(turns: int) -> str:
    """What follows the name of a clip in a sentence."""
    lies = "stands on its head" if turns == 2 else "lies on its side"
    return f"{lies} and says nothing of it; it was turned by {DIRECTION[turns]}, so that the face is upright"


def agreed(pictures: Iterable[np.ndarray], tracker: Any) -> int:
    """The turn of most of the pictures uint8 [H,W,3] that show a face, or 0."""
    votes = Counter(turns for picture in pictures if (turns := _turns(picture, tracker)) is not None)
    best, count = votes.most_common(1)[0] if votes else (0, 0)
    return best if count >= LEAST_VOTES and 2 * count > votes.total() else 0


def _turns(picture: np.ndarray, tracker: Any) -> int | None:
    """Of one picture; None where no turn shows an upright face."""
    for turns in (0, 1, 3, 2):
        face = tracker.track(np.ascontiguousarray(np.rot90(picture, turns)))
        if face is not None and is_upright(face.points):
            return turns
    return None


def is_upright(points: np.ndarray) -> bool:
    """Whether a line through the eyes of a face's [478,3] points rises by less than 45 degrees, from left to right."""
    across, down = points[EYES[1], :2] - points[EYES[0], :2]
    return bool(across > abs(down))
