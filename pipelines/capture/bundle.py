"""Bundle adjustment of one face: poses of all frames, one focal length and the person's own rigid landmarks at once.

Minimizes  sum_ij w_ij rho(|project(f, T_i X_j) - x_ij| / s)  +  sum_j |X_j - C_j|^2 / sigma^2  +  (ln f - ln f0)^2 / tau^2
(Triggs et al. 2000): T_i takes head to camera, X_j are the landmarks of this person, C_j those of the prior's mean head, which
fix origin, axes and scale. Gauss-Newton with damping; the poses are eliminated by the Schur complement, so a step solves one
dense system of 3R+1 unknowns. rho is Huber's, s the median absolute deviation of the residuals.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Bundle:
    camera_from_head: np.ndarray
    """[N,4,4], OpenCV axes."""
    points: np.ndarray
    """[R,3] landmarks in head units."""
    focal_px: float
    error_px: np.ndarray
    """[N] root of the weighted mean squared distance of the frame's landmarks."""
    scale_px: float
    """Robust standard deviation of one coordinate."""


@dataclass(frozen=True, kw_only=True)
class BundlePrior:
    points: np.ndarray
    """[R,3] C_j."""
    points_sigma: float = 0.02
    """sigma: how far a person's landmark lies from the mean head's, in units (0.02 = 6 mm)."""
    focal_px: float
    focal_sigma: float = 0.25
    """tau: of the logarithm; 0.25 is a factor of 1.28."""
    focal_range_px: tuple[float, float]


@dataclass
class _State:
    pose: np.ndarray
    points: np.ndarray
    log_focal: float


def adjust(
    observed: np.ndarray, weight: np.ndarray, start: np.ndarray, center_px: np.ndarray, prior: BundlePrior, steps: int = 60
) -> Bundle:
    """Fit [N,R,2] px with [N,R] weights from the poses `start` [N,4,4]; deterministic."""
    state = _State(start.astype(np.float64), prior.points.astype(np.float64), float(np.log(prior.focal_px)))
    damping, scale = 1e-3, _scale(_residual(state, observed, center_px)[0], weight)
    cost = _cost(state, observed, weight, center_px, prior, scale)
    for _ in range(steps):
        change = _step(state, observed, weight, center_px, prior, scale, damping)
        moved = _moved(state, change, prior)
        lower = _cost(moved, observed, weight, center_px, prior, scale)
        if lower < cost:
            small = cost - lower < 1e-7 * cost
            state, damping = moved, max(damping / 5, 1e-9)
            fresh = _scale(_residual(state, observed, center_px)[0], weight)
            if small and abs(fresh - scale) < 1e-3 * scale:
                break
            scale = fresh
            cost = _cost(state, observed, weight, center_px, prior, scale)
        else:
            damping *= 10
            if damping > 1e6:
                break
    return _result(state, observed, weight, center_px, scale)


def _residual(state: _State, observed: np.ndarray, center_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N,R,2] projected minus observed (px), [N,R,3] points in the cameras' frames."""
    inside = np.einsum("nij,rj->nri", state.pose[:, :3, :3], state.points) + state.pose[:, None, :3, 3]
    depth = np.maximum(inside[..., 2:], 1e-3)
    return np.exp(state.log_focal) * inside[..., :2] / depth + center_px - observed, inside


def _scale(residual: np.ndarray, weight: np.ndarray) -> float:
    return float(max(1.4826 * np.median(np.abs(residual[weight > 0.1])), 1e-3))


def _huber(residual: np.ndarray, scale: float) -> np.ndarray:
    """[N,R] weights of iterated least squares: 1 within 2.0 scales, then falling with the distance."""
    distance = np.linalg.norm(residual, axis=-1) / scale
    return np.minimum(1.0, 2.0 / np.maximum(distance, 1e-9))


def _cost(
    state: _State, observed: np.ndarray, weight: np.ndarray, center_px: np.ndarray, prior: BundlePrior, scale: float
) -> float:
    distance = np.linalg.norm(_residual(state, observed, center_px)[0], axis=-1) / scale
    robust = np.where(distance < 2.0, distance**2, 4.0 * distance - 4.0)
    shape = np.sum(((state.points - prior.points) / prior.points_sigma) ** 2)
    return float(np.sum(weight * robust) + _trust(weight) * (shape + _focal_term(state, prior) ** 2))


def _trust(weight: np.ndarray) -> float:
    """Landmark errors are shared by neighboring frames: priors count as if one frame in eight were independent."""
    return max(1.0, weight.shape[0] / 8.0)


def _focal_term(state: _State, prior: BundlePrior) -> float:
    return (state.log_focal - float(np.log(prior.focal_px))) / prior.focal_sigma


def _step(
    state: _State,
    observed: np.ndarray,
    weight: np.ndarray,
    center_px: np.ndarray,
    prior: BundlePrior,
    scale: float,
    damping: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Changes of poses [N,6] (turn, shift in camera axes), points [R,3] and log focal."""
    residual, inside = _residual(state, observed, center_px)
    weight = weight * _huber(residual, scale) / scale**2
    of_pose, of_point, of_focal = _jacobians(state, inside)
    frames, count = weight.shape
    pose_pose = np.einsum("nrai,nr,nraj->nij", of_pose, weight, of_pose)
    pose_rest = np.concatenate(
        [
            np.einsum("nrai,nr,nraj->nirj", of_pose, weight, of_point).reshape(frames, 6, 3 * count),
            np.einsum("nrai,nr,nra->ni", of_pose, weight, of_focal)[..., None],
        ],
        axis=2,
    )
    rest = np.zeros((3 * count + 1, 3 * count + 1))
    blocks = np.einsum("nrai,nr,nraj->rij", of_point, weight, of_point)
    for point in range(count):
        rest[3 * point : 3 * point + 3, 3 * point : 3 * point + 3] = blocks[point]
    mixed = np.einsum("nrai,nr,nra->ri", of_point, weight, of_focal).ravel()
    rest[-1, :-1], rest[:-1, -1] = mixed, mixed
    rest[-1, -1] = np.einsum("nra,nr,nra->", of_focal, weight, of_focal)
    down_pose = -np.einsum("nrai,nr,nra->ni", of_pose, weight, residual)
    down = -np.append(
        np.einsum("nrai,nr,nra->ri", of_point, weight, residual).ravel(), np.einsum("nra,nr,nra->", of_focal, weight, residual)
    )
    _add_prior(rest, down, state, prior, _trust(weight))
    rest[np.diag_indices_from(rest)] *= 1 + damping
    pose_pose[:, range(6), range(6)] *= 1 + damping
    solved = np.linalg.solve(pose_pose, np.concatenate([pose_rest, down_pose[..., None]], axis=2))
    flat = pose_rest.reshape(frames * 6, -1)
    system = rest - flat.T @ solved[..., :-1].reshape(frames * 6, -1)
    right = down - flat.T @ solved[..., -1].ravel()
    change = np.linalg.solve(system, right)
    return solved[..., -1] - solved[..., :-1] @ change, change[:-1].reshape(count, 3), float(change[-1])


def _add_prior(rest: np.ndarray, down: np.ndarray, state: _State, prior: BundlePrior, trust: float) -> None:
    strength = trust / prior.points_sigma**2
    rest[np.arange(len(rest) - 1), np.arange(len(rest) - 1)] += strength
    down[:-1] -= strength * (state.points - prior.points).ravel()
    rest[-1, -1] += trust / prior.focal_sigma**2
    down[-1] -= trust * _focal_term(state, prior) / prior.focal_sigma


def _jacobians(state: _State, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the residual by pose [N,R,2,6], by point [N,R,2,3] and by log focal [N,R,2]."""
    focal, depth = np.exp(state.log_focal), np.maximum(inside[..., 2], 1e-3)
    of_inside = np.zeros((*inside.shape[:2], 2, 3))
    of_inside[..., 0, 0] = of_inside[..., 1, 1] = focal / depth
    of_inside[..., :, 2] = -focal * inside[..., :2] / depth[..., None] ** 2
    x, y, z = np.moveaxis(inside - state.pose[:, None, :3, 3], -1, 0)
    zero = np.zeros_like(x)
    turned = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=-1).reshape(*x.shape, 3, 3)
    of_pose = np.concatenate([of_inside @ turned, of_inside], axis=-1)
    of_point = np.einsum("nrai,nij->nraj", of_inside, state.pose[:, :3, :3])
    return of_pose, of_point, focal * inside[..., :2] / depth[..., None]


def _moved(state: _State, change: tuple[np.ndarray, np.ndarray, float], prior: BundlePrior) -> _State:
    from scipy.spatial.transform import Rotation

    pose = state.pose.copy()
    pose[:, :3, :3] = Rotation.from_rotvec(change[0][:, :3]).as_matrix() @ pose[:, :3, :3]
    pose[:, :3, 3] += change[0][:, 3:]
    low, high = np.log(prior.focal_range_px)
    return _State(pose, state.points + change[1], float(np.clip(state.log_focal + change[2], low, high)))


def _result(state: _State, observed: np.ndarray, weight: np.ndarray, center_px: np.ndarray, scale: float) -> Bundle:
    squared = np.sum(_residual(state, observed, center_px)[0] ** 2, axis=-1)
    error = np.sqrt(np.sum(weight * squared, axis=1) / np.maximum(weight.sum(1), 1e-9))
    return Bundle(
        camera_from_head=state.pose,
        points=state.points,
        focal_px=float(np.exp(state.log_focal)),
        error_px=error,
        scale_px=scale,
    )
