"""Rotations, similarity transforms and projections of points, on NumPy arrays."""

import numpy as np

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes x right, y down, z forward to x right, y up, z back; its own inverse."""


def soft_limit(vectors: np.ndarray, limit: float) -> np.ndarray:
    """`vectors` [T,3] with length l shortened to limit * tanh(l / limit): small ones stay as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * np.where(length > 1e-9, limit * np.tanh(length / limit) / np.maximum(length, 1e-9), 1.0)


def rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    """[T,3] axis times angle of rotations [T,3,3]."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec()


def rotations(vectors: np.ndarray) -> np.ndarray:
    """[T,3,3] of axis times angle [T,3]."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors).as_matrix()


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotations [T,3,3] closest to matrices [T,3,3] (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(matrix)
    left[..., :, 2] *= np.sign(np.linalg.det(left @ right))[..., None]
    return left @ right


def similarity(source: np.ndarray, target: np.ndarray, rounds: int = 4) -> tuple[float, np.ndarray, np.ndarray]:
    """scale, rotation [3,3], shift [3] that minimize sum w |scale R source + shift - target|^2 (Umeyama 1991), w reweighted."""
    weight = np.ones(len(source))
    for _ in range(rounds):
        share = weight / weight.sum()
        center_s, center_t = share @ source, share @ target
        s, t = source - center_s, target - center_t
        left, values, right = np.linalg.svd((share[:, None] * t).T @ s)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        rotation = left * sign @ right
        scale = float((values * sign).sum() / (share[:, None] * s * s).sum())
        shift = center_t - scale * rotation @ center_s
        error = np.linalg.norm(scale * source @ rotation.T + shift - target, axis=1)
        weight = np.minimum(1.0, 1.5 * np.median(error) / np.maximum(error, 1e-12))
    return scale, rotation, shift


def transform(a_from_b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[...,V,3] in a of points [V,3] in b, by poses [...,4,4]."""
    return points @ np.swapaxes(a_from_b[..., :3, :3], -1, -2) + a_from_b[..., None, :3, 3]


def perspective(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[...,V,3] of points [...,V,3] in a camera (OpenCV axes): x, y in the unit of the intrinsics [...,3,3], then the depth."""
    seen = points @ np.swapaxes(intrinsics, -1, -2)
    return np.concatenate([seen[..., :2] / seen[..., 2:], points[..., 2:]], axis=-1)


def project(world_from_camera: np.ndarray, intrinsics: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[...,V,3] of world points [V,3] in cameras [...,4,4]: x, y in the unit of the intrinsics [...,3,3], then the depth.

    With intrinsics over the image size, as `models.camera.Camera.project`: 0..1 is inside.
    """
    return perspective(transform(np.linalg.inv(world_from_camera), points), intrinsics)


def project_px(camera_from_head: np.ndarray, points: np.ndarray, focal_px: float, center_px: np.ndarray) -> np.ndarray:
    """[V,2] px of [V,3] head points in one camera [4,4]."""
    return perspective(transform(camera_from_head, points), pinhole(focal_px, center_px))[:, :2]


def pinhole(focal: float, center: np.ndarray) -> np.ndarray:
    """[3,3] intrinsics of square pixels."""
    return np.array([[focal, 0.0, center[0]], [0.0, focal, center[1]], [0.0, 0.0, 1.0]])
