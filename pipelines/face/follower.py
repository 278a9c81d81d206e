"""Following one person through a film: the first who is seen stays the one, whoever else comes, grows or is cut to.

Notable choices: between cuts the tracker's own continuity is trusted and looked at now and then; after a cut, a loss or a jump
and at the start of a stretch of frames everybody in view is compared with the person by looks (`pipelines.face.person`) and by
place.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.face.person import ALIKE, TURNED, Looks, Person, correlation, looks_of
from pipelines.face.tracker import Box, FaceLandmarks

THUMB_PX = 32
CUT, CUT_OVER_USUAL = 0.12, 25.0
"""1 - correlation of two pictures from which on there is a cut between them, and how far it is above the usual one."""
FLAT = 4.0
"""Standard deviation (of 255) of a picture that shows nothing, such as black between two shots."""
CHECK_EVERY = 10
"""Frames between two comparisons while a face is followed, and between two searches while somebody else is seen."""
JUMP = 0.3
"""Way and growth of a face between two frames, in its sides, from which on it may be somebody else's who came before it."""
FAR = 0.35
"""What a place that is a face's size away adds to how far apart two faces are."""


@dataclass
class Memory:
    """What is known of the person and of the last picture, handed on from one stretch of frames to the next."""

    person: Person = field(default_factory=Person)
    thumb: np.ndarray | None = None
    """Of the last picture that showed something."""
    box: Box | None = None
    """Where the person was last."""
    usual: float = 0.0
    """Running 1 - correlation of two pictures."""

    def arrays(self) -> dict[str, np.ndarray]:
        thumb = self.thumb if self.thumb is not None else np.zeros((0, 0), np.float32)
        return {**self.person.arrays(), "thumb": thumb, "box": np.array(self.box or ()), "usual": np.array(self.usual)}

    @staticmethod
    def of_arrays(values: dict[str, np.ndarray]) -> "Memory":
        box = tuple(map(float, values["box"]))
        thumb = values["thumb"] if values["thumb"].size else None
        return Memory(Person.of_arrays(values), thumb, box if len(box) == 4 else None, float(values["usual"]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Followed:
    face: FaceLandmarks | None
    """The person's; None where they are not seen."""
    stranger: bool = False
    """Somebody else is seen instead."""
    cut: bool = False
    """Another shot begins with this picture."""
    crowded: bool = False
    """Somebody else is seen as well."""


class Follower:
    """A tracker that was told to stay, and the person it is to stay with."""

    def __init__(self, tracker: Any, canonical: np.ndarray, memory: Memory | None = None) -> None:
        self.tracker, self.canonical, self.memory = tracker, canonical, memory or Memory()
        self._sure, self._frames = False, 0

    def track(self, image: np.ndarray) -> Followed:
        """The person in uint8 [H,W,3] RGB, the next picture of the film."""
        cut = self._is_cut(image)
        if cut:
            self.tracker.restart()
            self._sure = False
        face, self._frames = self.tracker.track(image), self._frames + 1
        if face is None:
            self._sure = False
            return Followed(None, cut=cut)
        self._sure = self._sure and not self._jumped(face.box)
        if self._sure and self._frames % CHECK_EVERY:
            return self._as_person(face, cut)
        if not self._sure and self.memory.person.known and self._frames % CHECK_EVERY > 1 and not cut and self._was_stranger:
            return Followed(None, stranger=True, cut=cut)
        return self._compared(image, face, cut)

    _was_stranger = False

    def _compared(self, image: np.ndarray, face: FaceLandmarks, cut: bool) -> Followed:
        """The face if it is the person's, else whoever in view is; somebody else where nobody is."""
        looks, person = looks_of(image, face.points, self.canonical), self.memory.person
        limit = ALIKE if abs(looks.turn) < TURNED else 2 * ALIKE
        if self._sure and person.apart(looks) < 2 * ALIKE:  # followed without a break: a hand before the face is no stranger
            person.learn(looks)
            return self._as_person(face, cut)
        others = [] if not person.known else self._others(image, face)
        choice = min([(face, looks), *others], key=self._distance)
        if person.known and person.apart(choice[1]) > limit:
            self._sure, self._was_stranger = False, True
            return Followed(None, stranger=True, cut=cut)
        if choice[0] is not face and (again := self.tracker.look_at(image, choice[0].box)) is not None:
            face, looks = again, choice[1]
        person.learn(looks)
        return self._as_person(face, cut)

    def _distance(self, one: tuple[FaceLandmarks, Looks]) -> float:
        """How far a face is from the person, by looks and by place."""
        apart, box, last = self.memory.person.apart(one[1]), one[0].box, self.memory.box
        if last is None:
            return apart
        away = np.hypot(box[0] + box[2] - last[0] - last[2], box[1] + box[3] - last[1] - last[3]) / 2
        return apart + FAR * min(float(away / max(last[2] - last[0], 1.0)), 3.0)

    def _jumped(self, box: Box) -> bool:
        """Whether a face is elsewhere, or of another size, than the person's in the frame before."""
        last = self.memory.box
        return last is not None and max(abs(now - then) for now, then in zip(box, last, strict=True)) > JUMP * (
            last[2] - last[0]
        )

    def _others(self, image: np.ndarray, face: FaceLandmarks) -> list[tuple[FaceLandmarks, Looks]]:
        found = self.tracker.others(image, face)
        return [(one, looks_of(image, one.points, self.canonical)) for one in found]

    def _as_person(self, face: FaceLandmarks, cut: bool) -> Followed:
        self._sure, self._was_stranger, self.memory.box = True, False, face.box
        beside = face.other
        crowded = beside is not None and beside[2] - beside[0] > 0.5 * (face.box[2] - face.box[0])
        return Followed(face, cut=cut, crowded=crowded)

    def _is_cut(self, image: np.ndarray) -> bool:
        """Whether the picture has little to do with the last one that showed something."""
        memory, thumb = self.memory, _thumb(image)
        if thumb.std() < FLAT:
            return False
        last, memory.thumb = memory.thumb, thumb
        if last is None:
            return False
        change = 1 - correlation(thumb, last)
        is_cut = change > max(CUT, CUT_OVER_USUAL * memory.usual)
        memory.usual += 0.1 * (min(change, CUT) - memory.usual) if not is_cut else 0.0
        return is_cut


def _thumb(image: np.ndarray) -> np.ndarray:
    """float32 [THUMB_PX,THUMB_PX], brightness, soft."""
    import cv2

    gray = cv2.cvtColor(cv2.resize(image, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
