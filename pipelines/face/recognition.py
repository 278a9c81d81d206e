"""How near two pictures of faces are to one person: distances of a face recognizer's descriptions.

    distance = |describe(a) - describe(b)|,  0 for the same picture; below about 0.6 for one person.

Of 128 px faces: one person in several frames .12 to .40, different people .52 to 1.02. Nothing is stored or looked up: who uses
this has both pictures. The network is `models.recognition.resnet`, which comes with the tool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.recognition.resnet import FaceRecognizer

SIDE = 150
PADDING = 0.25
ANCHORS = np.array([[0.8595675, 0.2134982], [0.6460605, 0.2289674], [0.1205751, 0.2137275], [0.3340850, 0.2290642],
                    [0.4901123, 0.6277975]])  # fmt: skip
"""Where the recognizer was taught to have the outer and inner corner of the left eye, those of the right one, and the base of
the nose, over the side of the face; PADDING of it lies around."""
OTHER_SCENE_S = 2.0
"""Frames this far apart show different scenes."""
ONE_PERSON = 0.6
"""Faces further apart are taken for different people's."""
MESH = (263, 362, 33, 133, 2)
"""The same places among the 478 points."""


@lru_cache(maxsize=1)
def recognizer() -> "FaceRecognizer":
    """The network, loaded once a process."""
    from models.recognition.resnet import face_recognizer

    return face_recognizer()


def describe(faces: Sequence[np.ndarray]) -> np.ndarray:
    """float32 [N,128] of aligned uint8 RGB faces [S,S,3], which are scaled to 150 pixels where S is another."""
    import cv2
    import torch

    sized = [face if len(face) == SIDE else cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for face in faces]
    if not sized:
        return np.zeros((0, 128), np.float32)
    with torch.inference_mode():
        return recognizer()(torch.from_numpy(np.stack(sized)).permute(0, 3, 1, 2).float()).numpy()


def identity_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Between two aligned uint8 RGB faces [S,S,3]."""
    one, other = describe([first, second])
    return float(np.linalg.norm(one - other))


def distances(faces: np.ndarray, own: np.ndarray) -> np.ndarray:
    """[N,M] between descriptions [N,128] and [M,128]."""
    return np.linalg.norm(faces[:, None] - own[None], axis=2)


@dataclass(frozen=True, kw_only=True)
class OwnFaces:
    """What the recognizer says of filmed frames of one person."""

    descriptions: np.ndarray
    """[M,128]"""
    time_s: np.ndarray
    """[M] when they were filmed."""

    def between_scenes(self) -> float | None:
        """Median distance of frames at least OTHER_SCENE_S apart; None where there are no such two."""
        apart = np.triu(np.abs(self.time_s[:, None] - self.time_s[None]) >= OTHER_SCENE_S)
        return float(np.median(distances(self.descriptions, self.descriptions)[apart])) if apart.any() else None

    def distance_of(self, faces: np.ndarray) -> float | None:
        """Median distance of described faces [N,128] to the frames; None where there are none of either."""
        return float(np.median(distances(faces, self.descriptions))) if len(faces) and len(self.time_s) else None


def align_face(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [150,150,3]: the face of landmarks [478,2 or 3] in px, turned, shifted and scaled to lie on ANCHORS.

    A larger face is first shrunk by area, so that its texture does not alias.
    """
    import cv2

    places = points[list(MESH), :2]
    scale = float(np.hypot(*fit_to_template(places, anchors())[:, 0]))
    if scale < 1:
        shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        places = places * np.divide(shrunk.shape[1::-1], image.shape[1::-1])
        image = shrunk
    matrix = fit_to_template(places, anchors())
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # from pixels' corners to their centers
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def anchors() -> np.ndarray:
    """[5,2] px of the aligned face."""
    return (ANCHORS + PADDING) / (1 + 2 * PADDING) * SIDE


def fit_to_template(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[2,3] the turn, scale and shift of points [P,2] that come nearest to `target` [P,2] (Umeyama 1991), without mirroring.

    With complex numbers: target = a source + b, a = sum conj(s) t / sum |s|^2 of the centered ones.
    """
    s, t = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    a = (np.conj(s - s.mean()) * (t - t.mean())).sum() / (np.abs(s - s.mean()) ** 2).sum()
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
