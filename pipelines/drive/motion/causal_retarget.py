"""Retargeting without knowing the future: one row in, one row of motion out.

As `retarget`, but the driver's rest is what the first second shows, its range is the avatar's own until more was seen, and the
One-Euro filter runs forwards alone: y += share (x - y) with share = 1 / (1 + 1 / (2 pi cutoff dt)) and
cutoff = rest + speed |dx/dt|, so that a blink, which is fast, is hardly held up.
"""

from collections import deque

import numpy as np

from pipelines.artifacts.avatar import Avatar
from pipelines.avatar.torso import CALM_HZ, led, neck_moves, zoomed
from pipelines.drive.motion.motion import Motion
from pipelines.drive.motion.range_guard import Captured, guard
from pipelines.drive.motion.retarget import LEAST_RANGE, keep_closures, side_gain, strengths
from pipelines.drive.motion.view_path import (
    MOVES_SPEED,
    MOVES_UNIT,
    driver_moves,
    limited,
    resting_pose,
    seen_from,
    seen_with,
    shot,
)
from pipelines.drive.settings import DriveSettings
from pipelines.face.expression import Calibration
from pipelines.face.track import Track
from pipelines.geometry.filters import smoothing

RENEW_S = 1.0
"""Time between two looks at the driver's range."""


class OneEuro:
    """The causal filter of vectors that come at uneven times."""

    def __init__(self, rest_hz: float, speed: float) -> None:
        self.rest_hz, self.speed = rest_hz, speed
        self._value: np.ndarray | None = None
        self._input: np.ndarray | None = None

    def __call__(self, value: np.ndarray, dt: float) -> np.ndarray:
        if self._value is None or self._input is None:
            self._value = np.array(value, np.float64)
        else:
            pace = np.abs(value - self._input) / dt
            share = smoothing(self.rest_hz + self.speed * pace, 1.0 / dt)
            self._value = self._value + share * (value - self._value)
        self._input = np.array(value, np.float64)
        return self._value


class Mapper:
    """Rows of a tracked driver, as they come, to motion of an avatar."""

    def __init__(
        self, avatar: Avatar, frontal: np.ndarray, intrinsics: np.ndarray, known: Captured, settings: DriveSettings, torso: str
    ):
        self.avatar, self.frontal, self.intrinsics, self.known = avatar, frontal, intrinsics, known
        self.settings, self.follows = settings, torso == "follow"
        self.own = Calibration(neutral=avatar.neutral, low=avatar.low, high=avatar.high)
        self.view_limits = avatar.record.view_limits
        self.driver: Calibration | None = None
        self.rest: np.ndarray | None = None
        self.flagged = 0
        self._seen: deque[tuple[float, np.ndarray]] = deque()
        self._poses: list[np.ndarray] = []
        self._last_s, self._renewed_s = -1.0, 0.0
        self._gain = (np.ones(len(avatar.names)), np.ones(len(avatar.names)))
        retarget, view = settings.retarget, settings.views
        self._calm = OneEuro(retarget.smooth_hz, retarget.smooth_speed)
        self._calm_moves, self._calm_neck = OneEuro(view.smooth_hz, MOVES_SPEED), OneEuro(CALM_HZ, 0.0)
        self._expression, self._moves = np.array(avatar.neutral, np.float64), np.zeros(6)

    def __call__(self, time_s: float, scores: np.ndarray | None, pose: np.ndarray | None) -> Motion:
        """Motion of one row for a face at `time_s` (growing), or for a lost one: it stays as it was."""
        dt = max(time_s - self._last_s, 1e-3) if self._last_s >= 0 else 1 / 30
        self._last_s = time_s
        if scores is not None and pose is not None:
            self._learn(time_s, scores, pose)
            if self.driver is not None and self.rest is not None:
                self._expression = self._mapped(scores, self.driver, dt)
                moves = driver_moves(pose[None], self.rest, self.settings.views)[0]
                self._moves = self._calm_moves(moves * MOVES_UNIT, dt) / MOVES_UNIT
        return self._motion(time_s, dt)

    def _learn(self, time_s: float, scores: np.ndarray, pose: np.ndarray) -> None:
        """The driver's rest from the first rows, then now and then its range."""
        live = self.settings.live
        self._seen.append((time_s, np.array(scores, np.float64)))
        while self._seen[0][0] < time_s - live.range_s:
            self._seen.popleft()
        if self.driver is None:
            self._poses.append(pose)
            if time_s - self._seen[0][0] >= live.settle_s and len(self._poses) >= 5:
                self.rest = resting_pose(np.stack(self._poses))
                self.driver = self._range(np.median([row for _, row in self._seen], axis=0))
                self._poses.clear()
        elif time_s - self._renewed_s >= RENEW_S:
            self._renewed_s, self.driver = time_s, self._range(self.driver.neutral)

    def _range(self, neutral: np.ndarray) -> Calibration:
        """The driver's range: at least the avatar's around the driver's rest."""
        low, high = np.percentile([row for _, row in self._seen], [1.0, 99.0], axis=0)
        low = np.minimum(low, neutral - (self.own.neutral - self.own.low))
        high = np.maximum(high, neutral + (self.own.high - self.own.neutral))
        found = Calibration(neutral=neutral, low=low, high=high)
        retarget = self.settings.retarget
        sides = [side_gain(found, self.own, side, self.avatar.names, retarget) for side in ("high", "low")]
        self._gain = (sides[0], sides[1])
        return found

    def _mapped(self, scores: np.ndarray, driver: Calibration, dt: float) -> np.ndarray:
        """[E] as `retarget` has it, clamped and guarded."""
        retarget, own = self.settings.retarget, self.own
        span = np.maximum(driver.high - driver.low, LEAST_RANGE)
        calm = self._calm(scores / span, dt) * span
        moved = keep_closures(scores, calm, driver, self.avatar.names) - driver.neutral
        gain = np.where(moved >= 0, *self._gain)
        target = own.neutral + strengths(self.avatar.names, retarget) * gain * moved
        room = retarget.overshoot * (own.high - own.low)
        kept = np.clip(target, own.low - room, own.high + room)
        found = guard(kept[None], self.avatar.names, self.known, self.settings.guard)
        self.flagged += int(found.flagged[0])
        return found.expression[0]

    def _motion(self, time_s: float, dt: float) -> Motion:
        settings, zero = self.settings, np.zeros((1, 3))
        base, factor = seen_with(self.frontal, self.intrinsics, settings.views.fov_deg)
        if settings.view == "driver":
            cameras, _ = limited(seen_from(base, self._moves[None]), self.view_limits, base, settings.views)
            zoom = np.full(1, factor * settings.views.zoom)
        else:
            found = shot(settings.view, self.frontal, self.intrinsics, self._instant(time_s), settings.views)
            cameras, zoom = found.world_from_camera, found.zoom
        lens = self.intrinsics * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
        neck = neck_moves(base, lens, cameras)
        moves = led(neck, self._calm_neck(neck[0], dt)[None]) if self.follows else zero
        torso = zoomed(moves, np.full(1, settings.views.zoom), self.frontal, self.intrinsics)
        return Motion(expression=self._expression[None].astype(np.float32), world_from_camera=cameras, torso=torso, zoom=zoom)

    def _instant(self, time_s: float) -> Track:
        """A track of one row, for views that only ask for the time."""
        return Track(
            space=self.avatar.space, names=self.avatar.names, rate_hz=30.0, times_s=np.array([time_s]),
            expression=self._expression[None], world_from_head=np.eye(4)[None], confidence=np.ones(1), valid=np.ones(1, bool),
        )  # fmt: skip
