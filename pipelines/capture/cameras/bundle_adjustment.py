"""Bundle adjustment of one head: poses of all frames, one focal length, the person's landmarks and surface points at once.

Minimizes  sum_ip w_ip rho(|project(f, T_i X_p) - x_ip| / s_g) + sum_p |X_p - C_p|^2 / sigma_p^2 + N (ln f - ln f0)^2 / tau^2
(Triggs et al. 2000): T_i takes head to camera; X_p are the rigid landmarks, tied to those of the canonical head C_p, which
fix origin, axes and scale, and points followed on hair, ears and skin, tied weakly to where they were first thought to be.
Gauss-Newton with damping; the points are eliminated by the Schur complement, so that a step solves one dense system of 6N+1
unknowns. rho is Huber's; s_g is the robust deviation of landmarks and of followed points, each their own.

Notable choices: our own solver, because pycolmap's has no prior on points, which here fixes the axes, and SciPy's least_squares
(sparse, LSMR) has not converged after 1.1 s on 120 views of 150 points, where this is done in 0.4 s.
"""

from dataclasses import dataclass, field, replace

import numpy as np

HUBER = 2.0
"""Distances above this many deviations count linearly."""
OFTEN = 24
"""Points with more sightings than this are eliminated by dense products."""


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Points seen in frames, a row a sighting; sorted by frame, then point."""

    frame: np.ndarray
    point: np.ndarray
    px: np.ndarray
    """[M,2]."""
    weight: np.ndarray
    """[M] trust in 0..1."""
    group: np.ndarray
    """[M] 0 = tracker's landmark, 1 = followed point."""

    def in_order(self) -> "Sightings":
        order = np.lexsort((self.point, self.frame))
        return Sightings(**{name: values[order] for name, values in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Priors:
    points: np.ndarray
    """[P,3] C_p, also where the points start."""
    points_sigma: np.ndarray
    """[P] sigma_p, in the unit of the points."""
    focal_px: float
    focal_sigma: float = 0.25
    """tau: of the logarithm; 0.25 is a factor of 1.28."""
    focal_range_px: tuple[float, float]
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """[N] poses that stay as they are; empty = none."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    camera_from_head: np.ndarray
    """[N,4,4], OpenCV axes."""
    points: np.ndarray
    """[P,3] in the head's frame."""
    focal_px: float
    residual_px: np.ndarray
    """[M] distance between each sighting and its point's projection."""

    def first(self, count: int) -> "Bundle":
        """With the first `count` points only."""
        return replace(self, points=self.points[:count])


@dataclass(frozen=True, kw_only=True)
class _State:
    pose: np.ndarray
    points: np.ndarray
    log_focal: float


class _Problem:
    """Sightings and priors with what every step needs; holds no state."""

    def __init__(self, seen: Sightings, priors: Priors, center_px: np.ndarray, frames: int):
        from scipy.sparse import csr_matrix

        self.seen, self.priors, self.center, self.frames = seen, priors, center_px, frames
        count, rows = len(seen.frame), np.arange(len(seen.frame))
        ones = np.ones(count)
        self.by_frame = csr_matrix((ones, (seen.frame, rows)), shape=(frames, count))
        self.by_point = csr_matrix((ones, (seen.point, rows)), shape=(len(priors.points), count))
        self.start = np.searchsorted(seen.frame, np.arange(frames + 1))
        self.stiffness = 1 / priors.points_sigma**2
        sightings = np.bincount(seen.point, minlength=len(priors.points))
        self.often = np.flatnonzero(sightings > OFTEN)
        self.seldom = (sightings <= OFTEN)[seen.point]

    def eliminated(self, mixed: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        """[6N,6N] sum over points of B_p V_p^-1 B_p^T; B_p made of the blocks `mixed` [M,6,3], V_p^-1 = `inverse` [P,3,3]."""
        from scipy.sparse import bsr_matrix

        carried = mixed @ inverse[self.seen.point]
        rows = self.seldom
        start = np.searchsorted(self.seen.frame[rows], np.arange(self.frames + 1))
        shape = (6 * self.frames, 3 * len(inverse))
        left = bsr_matrix((carried[rows], self.seen.point[rows], start), shape=shape)
        right = bsr_matrix((mixed[rows], self.seen.point[rows], start), shape=shape)
        result = (left @ right.T).toarray()
        if len(self.often):
            result += self._dense(carried) @ self._dense(mixed).T
        return result

    def carry(self, mixed: np.ndarray, value: np.ndarray) -> np.ndarray:
        """[N,6] sum over points of B_p value_p, [P,3] values."""
        return self.by_frame @ np.einsum("mij,mj->mi", mixed, value[self.seen.point])

    def _dense(self, blocks: np.ndarray) -> np.ndarray:
        """[6N,3L] the columns of the points seen often."""
        rows = ~self.seldom
        result = np.zeros((self.frames, 6, len(self.often), 3))
        column = np.searchsorted(self.often, self.seen.point[rows])
        result[self.seen.frame[rows], :, column] = blocks[rows]
        return result.reshape(6 * self.frames, -1)

    def residual(self, state: _State) -> tuple[np.ndarray, np.ndarray]:
        """[M,2] projected minus seen (px), [M,3] the points in their cameras' frames."""
        pose, point = state.pose[self.seen.frame], state.points[self.seen.point]
        inside = np.einsum("mij,mj->mi", pose[:, :3, :3], point) + pose[:, :3, 3]
        depth = np.maximum(inside[:, 2:], 1e-3)
        return np.exp(state.log_focal) * inside[:, :2] / depth + self.center - self.seen.px, inside

    def scales(self, residual: np.ndarray) -> np.ndarray:
        """[M] robust deviation of one coordinate, by group."""
        result = np.ones(len(residual))
        for group in (0, 1):
            rows = (self.seen.group == group) & (self.seen.weight > 0.3)
            if rows.any():
                result[self.seen.group == group] = max(1.4826 * float(np.median(np.abs(residual[rows]))), 0.02)
        return result

    def cost(self, state: _State, scale: np.ndarray) -> float:
        distance = np.linalg.norm(self.residual(state)[0], axis=1) / scale
        robust = np.where(distance < HUBER, distance**2, HUBER * (2 * distance - HUBER))
        shape = np.sum(self.stiffness[:, None] * (state.points - self.priors.points) ** 2)
        return float(np.sum(self.seen.weight * robust) + shape + self.frames * self.focal_term(state) ** 2)

    def focal_term(self, state: _State) -> float:
        return (state.log_focal - float(np.log(self.priors.focal_px))) / self.priors.focal_sigma


def adjust(seen: Sightings, start: np.ndarray, center_px: np.ndarray, priors: Priors, steps: int = 40) -> Bundle:
    """The best poses (from `start` [N,4,4]), points and focal length; deterministic."""
    problem = _Problem(seen, priors, center_px, len(start))
    state = _State(
        pose=start.astype(np.float64), points=priors.points.astype(np.float64), log_focal=float(np.log(priors.focal_px))
    )
    scale = problem.scales(problem.residual(state)[0])
    damping, cost = 1e-3, problem.cost(state, scale)
    for _ in range(steps):
        moved = _moved(state, _step(problem, state, scale, damping), priors)
        lower = problem.cost(moved, scale)
        if lower < cost:
            finished = cost - lower < 1e-4 * cost
            state, damping = moved, max(damping / 8, 1e-8)
            fresh = problem.scales(problem.residual(state)[0])
            if finished and np.all(np.abs(fresh - scale) < 5e-3 * scale):
                break
            scale = fresh
            cost = problem.cost(state, scale)
        else:
            damping *= 10
            if damping > 1e4:
                break
    distance = np.linalg.norm(problem.residual(state)[0], axis=1)
    return Bundle(
        camera_from_head=state.pose, points=state.points, focal_px=float(np.exp(state.log_focal)), residual_px=distance
    )


def _step(problem: _Problem, state: _State, scale: np.ndarray, damping: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Changes of poses [N,6] (turn, shift in camera axes), points [P,3] and log focal."""
    seen, frames = problem.seen, problem.frames
    residual, inside = problem.residual(state)
    distance = np.linalg.norm(residual, axis=1) / scale
    weight = seen.weight * np.minimum(1, HUBER / np.maximum(distance, 1e-9)) / scale**2
    of_pose, of_point, of_focal = _jacobians(state, seen, inside)
    by_pose, by_point = of_pose * weight[:, None, None], of_point * weight[:, None, None]

    pose_pose = (problem.by_frame @ np.einsum("mai,maj->mij", by_pose, of_pose).reshape(-1, 36)).reshape(-1, 6, 6)
    point_point = (problem.by_point @ np.einsum("mai,maj->mij", by_point, of_point).reshape(-1, 9)).reshape(-1, 3, 3)
    mixed = np.einsum("mai,maj->mij", by_pose, of_point)
    pose_focal = problem.by_frame @ np.einsum("mai,ma->mi", by_pose, of_focal)
    point_focal = problem.by_point @ np.einsum("mai,ma->mi", by_point, of_focal)
    focal_focal = float(np.sum(weight[:, None] * of_focal**2)) + frames / problem.priors.focal_sigma**2
    down_pose = -(problem.by_frame @ np.einsum("mai,ma->mi", by_pose, residual))
    down_point = -(problem.by_point @ np.einsum("mai,ma->mi", by_point, residual))
    down_point -= problem.stiffness[:, None] * (state.points - problem.priors.points)
    down_focal = (
        -float(np.sum(weight[:, None] * of_focal * residual)) - frames * problem.focal_term(state) / problem.priors.focal_sigma
    )

    point_point[:, range(3), range(3)] += problem.stiffness[:, None]
    point_point[:, range(3), range(3)] *= 1 + damping
    pose_pose[:, range(6), range(6)] *= 1 + damping
    if problem.priors.held.any():
        pose_pose[problem.priors.held] += 1e12 * np.eye(6)
    inverse = np.linalg.inv(point_point)
    system = np.zeros((6 * frames + 1, 6 * frames + 1))
    system[:-1, :-1] = -problem.eliminated(mixed, inverse)
    rows = np.arange(6 * frames).reshape(frames, 6)
    system[rows[:, :, None], rows[:, None, :]] += pose_pose
    edge = (pose_focal - problem.carry(mixed, np.einsum("pij,pj->pi", inverse, point_focal))).ravel()
    system[:-1, -1], system[-1, :-1] = edge, edge
    solved = np.einsum("pij,pj->pi", inverse, point_focal)
    system[-1, -1] = focal_focal * (1 + damping) - float(np.sum(point_focal * solved))
    carried = problem.carry(mixed, np.einsum("pij,pj->pi", inverse, down_point))
    right = np.append((down_pose - carried).ravel(), down_focal - float(np.sum(solved * down_point)))
    change = np.linalg.solve(system, right)
    turns = change[:-1].reshape(frames, 6)
    rest = down_point - problem.by_point @ np.einsum("mij,mi->mj", mixed, turns[seen.frame]) - point_focal * change[-1]
    return turns, np.einsum("pij,pj->pi", inverse, rest), float(change[-1])


def _jacobians(state: _State, seen: Sightings, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the residual by pose [M,2,6], by point [M,2,3] and by log focal [M,2]."""
    focal, depth = np.exp(state.log_focal), np.maximum(inside[:, 2], 1e-3)
    of_inside = np.zeros((len(inside), 2, 3))
    of_inside[:, 0, 0] = of_inside[:, 1, 1] = focal / depth
    of_inside[:, :, 2] = -focal * inside[:, :2] / depth[:, None] ** 2
    pose = state.pose[seen.frame]
    x, y, z = (inside - pose[:, :3, 3]).T
    zero = np.zeros_like(x)
    turned = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    of_pose = np.concatenate([of_inside @ turned, of_inside], axis=2)
    return of_pose, of_inside @ pose[:, :3, :3], focal * inside[:, :2] / depth[:, None]


def _moved(state: _State, change: tuple[np.ndarray, np.ndarray, float], priors: Priors) -> _State:
    from scipy.spatial.transform import Rotation

    pose = state.pose.copy()
    pose[:, :3, :3] = Rotation.from_rotvec(change[0][:, :3]).as_matrix() @ pose[:, :3, :3]
    pose[:, :3, 3] += change[0][:, 3:]
    low, high = np.log(priors.focal_range_px)
    return _State(pose=pose, points=state.points + change[1], log_focal=float(np.clip(state.log_focal + change[2], low, high)))
