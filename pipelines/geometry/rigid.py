"""Rotations, similarity transforms and projections of points, on NumPy arrays."""

import numpy as np


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


def project(camera_from_head: np.ndarray, points: np.ndarray, focal_px: float, center_px: np.ndarray) -> np.ndarray:
    """[V,2] px of [V,3] head points in one camera [4,4]."""
    inside = points @ camera_from_head[:3, :3].T + camera_from_head[:3, 3]
    return focal_px * inside[:, :2] / inside[:, 2:] + center_px
