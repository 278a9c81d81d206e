"""A head of known points before known cameras, for the tests of the geometry."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pipelines.capture.frames.scan import Scan
from pipelines.face.canonical import canonical_landmarks

SIZE = (640, 480)
FOCAL_PX = 700.0
CENTER = np.array(SIZE) / 2


def looking(yaw_deg: np.ndarray, pitch_deg: np.ndarray | float = 0.0, distance: float = 0.64) -> np.ndarray:
    """camera_from_head [N,4,4] of cameras that look at the origin from `distance` metres; positive yaw stands at +x."""
    yaw, pitch = np.broadcast_arrays(np.asarray(yaw_deg, float), np.asarray(pitch_deg, float))
    turn = Rotation.from_euler("YX", np.column_stack([yaw, -pitch]), degrees=True).as_matrix()
    poses = np.tile(np.eye(4), (len(yaw), 1, 1))
    poses[:, :3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn.transpose(0, 2, 1)
    poses[:, 2, 3] = distance
    return poses


def project(poses: np.ndarray, points: np.ndarray, focal_px: float = FOCAL_PX) -> np.ndarray:
    """[N,V,2] px."""
    inside = np.einsum("nij,vj->nvi", poses[:, :3, :3], points) + poses[:, None, :3, 3]
    return focal_px * inside[..., :2] / inside[..., 2:] + CENTER


def rotation_error_deg(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """[N] after the best common turn of the head."""
    common = Rotation.from_matrix(np.einsum("nji,njk->nik", found[:, :3, :3], true[:, :3, :3])).mean().as_matrix()
    return np.degrees(Rotation.from_matrix(found[:, :3, :3] @ common @ true[:, :3, :3].transpose(0, 2, 1)).magnitude())


def scan_of(points_px: np.ndarray, rate_hz: float = 10.0) -> Scan:
    """A scan of [N,478,2] landmarks, all usable."""
    count = len(points_px)
    return Scan(
        index=np.arange(count), time_s=np.arange(count) / rate_hz, sharpness=np.ones(count), brightness=np.full(count, 120.0),
        points=np.concatenate([points_px, np.zeros((count, 478, 1))], axis=2).astype(np.float32),
        reason=np.zeros(count, np.uint8),
    )  # fmt: skip


@dataclass(frozen=True)
class Filmed:
    """The canonical head, turned before a camera, with noisy landmarks."""

    poses: np.ndarray
    chosen: Scan
    landmarks: np.ndarray


def filmed(count: int = 40, reach_deg: float = 35.0, noise_px: float = 0.4) -> Filmed:
    landmarks = canonical_landmarks()
    phase = np.linspace(0, 2 * np.pi, count)
    poses = looking(reach_deg * np.sin(phase), 8 * np.cos(2 * phase))
    seen = project(poses, landmarks) + np.random.default_rng(1).normal(0, noise_px, (count, 478, 2))
    return Filmed(poses, scan_of(seen), landmarks)
