"""Where on the skin what lies: soft maps of cheeks, lips, lids, beard, wrinkles in texture space, made once from the mean head.

Skin is painted as base color times exp(sum of maps times log tints), so a person is one small matrix product.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.face.ict import FaceModel
from pipelines.prior.people.numbers import noise, smooth, spline
from pipelines.prior.people.raster import no_hits, rasterize


@dataclass(frozen=True, kw_only=True)
class SkinMap:
    """Maps of one texture (the face, or the back of the head with the neck), R pixels wide."""

    names: tuple[str, ...]
    values: np.ndarray
    """[R*R,M] one column a name."""
    scalp: np.ndarray
    """[R,R] centimeters inside the hairline."""
    height: np.ndarray
    """[R,R] y on the mean head."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[:, self.names.index(name)].reshape(self.scalp.shape)


def scalp_distance(points: np.ndarray) -> np.ndarray:
    """About how far points [N,3] of the mean head lie inside the hairline, in cm; negative on the face."""
    azimuth = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] - 0.5))
    angles = [0, 20, 35, 48, 57, 64, 72, 80, 90, 100, 112, 125, 140, 180]
    hairline = [10.6, 10.5, 10.0, 9.2, 7.8, 5.0, 2.5, 2.8, 5.6, 5.4, 2.5, -1.5, -4.2, -5.0]
    return points[:, 1] - np.interp(azimuth, angles, hairline)


def landmark_uv(model: FaceModel) -> np.ndarray:
    """[68,2] texture coordinates of the landmarks."""
    triangles = model.part_triangles["face"]
    coordinate = np.zeros(len(model.mean), int)
    coordinate[model.faces[triangles].ravel()] = model.faces_uv[triangles].ravel()
    return model.uv[coordinate[model.landmarks]]


def skin_map(model: FaceModel, part: str, size: int, offset: float) -> SkinMap:
    """The maps of a part whose texture begins at u = offset."""
    random = np.random.default_rng(1 if part == "face" else 2)
    points = _unwrapped(model, part, size, offset)
    maps = _places(points)
    maps |= _lines(model, size) if part == "face" else dict.fromkeys(("lips", "lip_edge", "liner"), np.zeros((size, size)))
    maps |= _hairy(points, maps["lips"])
    grain = {
        "low": noise(size, random, (size / 14, size / 40), (1, 0.7)), "fine": noise(size, random, (0.7, 1.4), (1, 0.6)),
        "middle": noise(size, random, (size / 120, size / 256), (1, 0.6)),
    }  # fmt: skip
    spots = np.clip(noise(size, random, (size / 260,), (1,)) - 1.5, 0, 2)
    maps |= grain | {
        "freckles": spots * (_both(points, (3.5, 0.6, 9.5), (2.2, 1.8, 3)) + _blob(points, (0, 2, 12), (1.6, 1.8, 2)))
    }
    scalp = scalp_distance(points.reshape(-1, 3)).reshape(size, size) + 0.25 * grain["middle"] + 0.08 * grain["low"]
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    scalp = np.where((np.abs(x) > 7.5) & (y < 5.6) & (y > -4) & (z > -2.6), -3, scalp)  # ears
    values = np.stack([value.astype(np.float32) for value in maps.values()], -1).reshape(-1, len(maps))
    return SkinMap(names=tuple(maps), values=values, scalp=scalp.astype(np.float32), height=y.astype(np.float32))


def _unwrapped(model: FaceModel, part: str, size: int, offset: float) -> np.ndarray:
    """[R,R,3] the mean head's point at every texel; outside of the part the nearest one's."""
    triangles = model.part_triangles[part]
    x = ((model.uv[:, 0] - offset) * size).astype(np.float32)
    y = ((1 - model.uv[:, 1]) * size).astype(np.float32)
    rasterize(x, y, np.ones(len(x), np.float32), model.faces_uv[triangles], hits := no_hits(size, size))
    number, first, second = hits.triangle, hits.first, hits.second
    inside = number >= 0
    weights = np.stack([first, second, 1 - first - second], -1)
    points = (model.mean[model.faces[triangles][np.where(inside, number, 0)]] * weights[..., None]).sum(-2)
    _, labels = cv2.distanceTransformWithLabels((~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(labels, np.int64)
    source = np.zeros(labels.max() + 1, int)
    source[labels[inside]] = np.flatnonzero(inside)
    return points.reshape(-1, 3)[source[labels]]


def _blob(points: np.ndarray, center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    return np.exp(-(((points - center) / radii) ** 2).sum(-1) / 2)


def _both(points: np.ndarray, center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """A blob and its mirror image."""
    return _blob(points, center, radii) + _blob(points * [-1, 1, 1], center, radii)


def _places(points: np.ndarray) -> dict[str, np.ndarray]:
    """Blobs of the face by name; centers and radii in cm on the mean head."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    furrows = (0.5 + 0.5 * np.sin(y * 5.2 + 0.8 * np.sin(x * 0.9))) ** 6
    feet = (0.5 + 0.5 * np.sin(np.arctan2(y - 3.3, np.abs(x) - 4.3) * 16)) ** 4
    return {
        "cheek": _both(points, (4.6, -0.4, 9.2), (1.5, 1.4, 3)), "nose": _blob(points, (0, 0.2, 13), (1.3, 1.3, 1.8)),
        "chin": _blob(points, (0, -6.3, 11.5), (1.5, 1.0, 2)), "forehead": _blob(points, (0, 8, 11), (4, 1.8, 4)),
        "ear": _both(points, (7.9, 1.5, 0.5), (0.9, 3, 1.6)), "under_eye": _both(points, (3.0, 1.9, 9.6), (1.3, 0.55, 2)),
        "lid": _both(points, (3.2, 4.35, 9.5), (1.5, 0.55, 2)), "neck": smooth(-8.5, -11, y),
        "eye_corner": _both(points, (1.75, 3.2, 9.2), (0.35, 0.4, 1)),
        "nostril": _both(points, (0.75, -0.85, 12.2), (0.38, 0.28, 0.6)),
        "fold": _both(points, (2.6, -1.8, 10.6), (0.35, 1.3, 1.5)),
        "furrows": np.exp(-(((y - 8) / 2.2) ** 2)) * smooth(6, 4, np.abs(x)) * smooth(5, 8, z) * furrows,
        "crow": _both(points, (5.6, 3.3, 7.6), (0.8, 0.9, 1.5)) * feet,
    }  # fmt: skip


def _lines(model: FaceModel, size: int) -> dict[str, np.ndarray]:
    """Lips, their edge and the lash line, drawn along the landmarks."""
    uv = landmark_uv(model)
    lip = _pixels(spline(uv[48:60], 120, True), size)
    lips, edge, liner = (np.zeros((size, size), np.uint8) for _ in range(3))
    cv2.fillPoly(lips, [lip], 255, cv2.LINE_AA, 4)
    cv2.polylines(edge, [lip], True, 255, max(1, size // 256), cv2.LINE_AA, 4)
    for eye in (uv[36:42], uv[42:48]):
        cv2.polylines(liner, [_pixels(spline(eye, 60, True), size)], True, 255, max(1, size // 250), cv2.LINE_AA, 4)
    blurred = [
        cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), size / 512 * width)
        for image, width in ((lips, 1.3), (edge, 1.6), (liner, 0.9))
    ]
    return dict(zip(("lips", "lip_edge", "liner"), blurred, strict=True))


def _pixels(uv: np.ndarray, size: int) -> np.ndarray:
    """Texture coordinates in OpenCV's sixteenths of a pixel."""
    return np.stack([uv[:, 0] * size * 16, (1 - uv[:, 1]) * size * 16], 1).astype(np.int32)


def _hairy(points: np.ndarray, lips: np.ndarray) -> dict[str, np.ndarray]:
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    jaw = smooth(-1.2, -4.5, y - 0.22 * x) * smooth(-11.5, -9, y) * smooth(1.5, 5, z) * (1 - lips)
    jaw *= 1 - 0.5 * _blob(points, (0, -4.6, 11), (2.3, 0.35, 3))
    moustache = np.exp(-(((y + 2.35) / 0.75) ** 2)) * smooth(3.6, 2.2, x) * smooth(8, 9.5, z) * (1 - lips)
    return {"beard": np.clip(np.maximum(jaw, moustache), 0, 1)}
