"""The mean pictures of mouths and eyes of synthetic people, by which `pipelines.face.covered` knows such parts.

    avatarcli prior synth -o people --people 48 --size 160 --seed 5 --set views=1 --set pairs=1
    python -m pipelines.prior.part_pictures people

Writes pipelines/face/part_pictures.npz: `mouth` and `eye`, three pictures each (shut, half open, wide open), of faces within 30
degrees of the front. Nobody who was filmed is in it.
"""

import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from pipelines.core.files import write_arrays
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.covered import PART_PX, part_pictures
from pipelines.face.expression import align_to_canonical
from pipelines.face.tracker import FaceTracker
from pipelines.prior.people.shards import shard_paths

OUT = Path(str(resources.files("pipelines.face") / "part_pictures.npz"))
SEEN_PX = 400
"""Side to which the pictures are enlarged for the tracker."""
TURNED = 0.5
"""Sine of the yaw beyond which a face is left out."""
OPENINGS = {
    "mouth": ((13, 14, 61, 291), (0.04, 0.25)),
    "right": ((159, 145, 33, 133), (0.2, 0.3)),
    "left": ((386, 374, 362, 263), (0.2, 0.3)),
}
"""Points whose distances' ratio is how far a part is open, and where shut and half open end."""


def faces(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Enlarged pictures with the landmarks [478,3] of those near the front."""
    import cv2

    canonical = canonical_landmarks()
    with FaceTracker(video=False) as tracker:
        for path in shard_paths(folder):
            for small in np.load(path)["image"]:
                image = cv2.resize(small, (SEEN_PX, SEEN_PX), interpolation=cv2.INTER_CUBIC)
                face = tracker.track(image)
                if face is not None and abs(align_to_canonical(face.points, canonical)[1][2, 0]) < TURNED:
                    yield image, face.points


def opening(points: np.ndarray, part: str) -> int:
    """0, 1 or 2: shut, half open, wide open."""
    (above, below, start, end), edges = OPENINGS[part]
    x = np.linalg.norm(points[above, :2] - points[below, :2]) / np.linalg.norm(points[start, :2] - points[end, :2])
    return int(np.searchsorted(edges, x))


def main() -> None:
    kinds: dict[str, list[list[np.ndarray]]] = {"mouth": [[], [], []], "eye": [[], [], []]}
    for image, points in faces(Path(sys.argv[1])):
        mouth, right, left = part_pictures(image, points, canonical_landmarks())
        mirrored = mouth.reshape(PART_PX, PART_PX)[:, ::-1].ravel()
        kinds["mouth"][opening(points, "mouth")] += [mouth, mirrored]
        kinds["eye"][opening(points, "right")].append(right)
        kinds["eye"][opening(points, "left")].append(left)
    means = {name: np.array([np.mean(rows, 0) for rows in groups]) for name, groups in kinds.items()}
    for name, rows in means.items():
        means[name] = ((rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)).round(3).astype(np.float32)
    write_arrays(OUT, **means)


if __name__ == "__main__":
    main()
