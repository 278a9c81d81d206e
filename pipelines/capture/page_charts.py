"""Plots of a capture as SVG text: coverage around the head, cameras in space, and what became of the frames over time."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.report.svg import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    blend_color,
    svg,
    text,
)

REASON_COLORS = ("#c53030", "#805ad5", "#b7791f", "#2c7a7b", "#97266d", "#4a5568", "#d53f8c", "#718096")
HEAD = 0.112
"""Radius of the drawn head in metres."""
Matrix = np.ndarray


def ring(
    seconds: Sequence[float], inferred: Sequence[float], edges_deg: Sequence[float], title: str, *, size: int = 300
) -> str:
    """Wedges around a head seen from above, the nose down: the darker, the longer it was seen from there; hatched if inferred.

    Positive angles lie at the right, where a camera in front sees the person's left side.
    """
    middle, top = (size / 2, size / 2 + 12), max(*seconds, 1e-9)
    body = [
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 6L6 0" stroke="#fff" '
        'stroke-width="1.5"/></pattern></defs>'
    ]
    for low, high, value, guess in zip(edges_deg, edges_deg[1:], seconds, inferred, strict=False):
        shape = _wedge(middle, 0.24 * size, 0.38 * size, low + 1, high - 1)
        opacity = 0.15 + 0.85 * min(1.0, math.sqrt(value / top)) if value > 0 else 0.0
        body.append(f'<path d="{shape}" fill="{BLUE}" fill-opacity="{opacity:.2f}" stroke="{FAINT}"/>')
        if guess > 0.5 * value > 0:
            body.append(f'<path d="{shape}" fill="url(#hatch)"/>')
        x, y = _around(middle, 0.43 * size, (low + high) / 2)
        body.append(text(x, y + 4, f"{round(value, 1):g}" if value else "–", anchor="middle"))
    body.append(_nose_down(middle, 0.13 * size))
    return svg(size, size + 24, "".join(body), title)


def grid(rows: Mapping[str, Sequence[float]], edges_deg: Sequence[float], title: str, *, cell: int = 38) -> str:
    """Seconds by row (an expression) and column (degrees of yaw): the darker, the longer."""
    left, top, most = 100, 44, max([0.1, *(value for row in rows.values() for value in row)])
    columns = len(edges_deg) - 1
    body = [text(left + n * cell, top - 6, f"{edge:g}", anchor="middle") for n, edge in enumerate(edges_deg)]
    for number, (name, values) in enumerate(rows.items()):
        y = top + 24 * number
        body.append(text(left - 8, y + 16, name, anchor="end"))
        for column, value in enumerate(values):
            opacity = 0.1 + 0.4 * min(1.0, math.sqrt(value / most)) if value > 0 else 0.0
            body.append(
                f'<rect x="{left + column * cell + 1}" y="{y}" width="{cell - 2}" height="22" fill="{BLUE}" '
                f'fill-opacity="{opacity:.2f}" stroke="{FAINT}"/>'
            )
            if value > 0:
                body.append(text(left + (column + 0.5) * cell, y + 15, f"{round(value, 1):g}", anchor="middle"))
    return svg(left + columns * cell + 20, top + 24 * len(rows) + 8, "".join(body), title)


def cameras(poses: Matrix, title: str, *, yaw_deg: float, pitch_deg: float, aspect: float = 1.0, size: int = 330) -> str:
    """Cameras [N,4,4] (camera to world, x right, y up, z back, m) as pyramids about the head, seen from an angle.

    First blue, last orange; what lies farther is drawn first. The head is a sphere with its nose along +z.
    """
    eye, tips = poses[:, :3, 3], _pyramids(poses, aspect)
    turn = _turn(yaw_deg, pitch_deg)
    flat = np.concatenate([eye, tips.reshape(-1, 3)]) @ turn.T
    low, high = np.minimum(flat[:, :2].min(0), -1.1 * HEAD), np.maximum(flat[:, :2].max(0), 1.1 * HEAD)
    scale, middle = (size - 40) / max(float((high - low).max()), 1e-6), (low + high) / 2

    def at(points: Matrix) -> Matrix:
        return np.column_stack([(points[:, 0] - middle[0]) * scale, -(points[:, 1] - middle[1]) * scale]) + (
            size / 2,
            size / 2 + 14,
        )

    parts = [(0.0, _head(turn, at, scale))]
    for row in range(len(poses)):
        corners = at(np.vstack([eye[row], tips[row]]) @ turn.T)
        depth = float((eye[row] @ turn.T)[2])
        parts.append((depth, _pyramid(corners, blend_color(row / max(len(poses) - 1, 1)))))
    body = "".join(shape for _, shape in sorted(parts, key=lambda part: part[0]))
    return svg(size, size + 24, body, title)


def fate(
    kept_s: Sequence[float], dropped: Sequence[tuple[float, str]], duration_s: float, title: str, *, kept: str = "kept",
    tick_s: float = 0.0, width: int = 900,
) -> str:  # fmt: skip
    """What became of the frames over time: kept ones as ticks above, dropped ones below in the color of their reason.

    A tick is `tick_s` wide, at least a pixel.
    """
    left, right = 90, 20
    reasons = list(dict.fromkeys(reason for _, reason in sorted(dropped, key=lambda item: item[1])))
    scale = (width - left - right) / max(duration_s, 1e-6)
    wide = max(1.0, tick_s * scale - 1)
    body = [text(left - 8, 45, kept, anchor="end")]
    body += [f'<rect x="{left + time * scale:.1f}" y="32" width="{wide:.1f}" height="18" fill="{BLUE}"/>' for time in kept_s]
    for number, reason in enumerate(reasons):
        y, color = 56 + 18 * number, REASON_COLORS[number % len(REASON_COLORS)]
        body.append(text(left - 8, y + 11, reason, anchor="end"))
        body += [
            f'<rect x="{left + time * scale:.1f}" y="{y}" width="{wide:.1f}" height="14" fill="{color}"/>'
            for time, why in dropped if why == reason
        ]  # fmt: skip
    bottom = 60 + 18 * len(reasons)
    body.append(f'<path d="M{left} {bottom}H{width - right}" stroke="{FAINT}"/>')
    body += [text(left + mark * scale, bottom + 14, f"{mark:g} s", anchor="middle") for mark in round_marks(duration_s)]
    return svg(width, bottom + 22, "".join(body), title)


def round_marks(end: float, most: int = 8) -> list[float]:
    """At most `most` + 1 even marks from 0 on, at 1, 2 or 5 times a power of ten; of 20 s every 5, of 33.6 s every 5."""
    least = max(end, 1e-6) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= least - 1e-12)
    return [round(number * step, 9) for number in range(int(end / step + 1e-9) + 1)]


def _wedge(middle: tuple[float, float], inner: float, outer: float, low_deg: float, high_deg: float) -> str:
    corners = [_around(middle, radius, angle) for radius, angle in
               ((inner, low_deg), (outer, low_deg), (outer, high_deg), (inner, high_deg))]  # fmt: skip
    (a, b), (c, d), (e, f), (g, h) = corners
    return (
        f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}A{outer:.1f} {outer:.1f} 0 0 0 {e:.1f} {f:.1f}L{g:.1f} {h:.1f}"
        f"A{inner:.1f} {inner:.1f} 0 0 1 {a:.1f} {b:.1f}Z"
    )


def _around(middle: tuple[float, float], radius: float, angle_deg: float) -> tuple[float, float]:
    """0 degrees is down (the camera in front), 90 to the right."""
    angle = math.radians(angle_deg)
    return middle[0] + radius * math.sin(angle), middle[1] + radius * math.cos(angle)


def _nose_down(middle: tuple[float, float], radius: float) -> str:
    x, y = middle
    return (
        f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{0.8 * radius:.1f}" ry="{radius:.1f}" fill="none" stroke="{INK}"/>'
        f'<path d="M{x - 5:.1f} {y + radius - 1:.1f}L{x:.1f} {y + radius + 9:.1f}L{x + 5:.1f} {y + radius - 1:.1f}" '
        f'fill="none" stroke="{INK}"/>'
    )


def _turn(yaw_deg: float, pitch_deg: float) -> Matrix:
    """[3,3] the world as an onlooker sees it who stands at that yaw and pitch: x right, y up, z toward the onlooker."""
    a, b = math.radians(yaw_deg), math.radians(pitch_deg)
    around = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    down = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    return down @ around


def _pyramids(poses: Matrix, aspect: float, depth: float = 0.0512) -> Matrix:
    """[N,4,3] corners of what each camera sees at `depth` metres before it."""
    wide, tall = 0.32 * min(1.0, aspect), 0.32 * min(1.0, 1 / aspect)
    corners = depth * np.array([[-wide, tall, -1], [wide, tall, -1], [wide, -tall, -1], [-wide, -tall, -1]]) * (2, 2, 1)
    return np.einsum("nij,kj->nki", poses[:, :3, :3], corners) + poses[:, None, :3, 3]


def _pyramid(corners: Matrix, color: str) -> str:
    tip, rest = corners[0], corners[1:]
    rim = "".join(f"{'M' if n == 0 else 'L'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(rest)) + "Z"
    sides = "".join(f"M{tip[0]:.1f} {tip[1]:.1f}L{x:.1f} {y:.1f}" for x, y in rest)
    return f'<path d="{rim}{sides}" fill="none" stroke="{color}" stroke-width=".8"/>'


def _head(turn: Matrix, at, scale: float) -> str:  # noqa: ANN001 - a function of points to pixels
    """A sphere with its equator, its middle line, and a nose."""
    angle = np.linspace(0, 2 * math.pi, 49)
    zero = np.zeros_like(angle)
    level = np.column_stack([np.sin(angle), zero, np.cos(angle)]) * HEAD
    upright = np.column_stack([zero, np.sin(angle), np.cos(angle)]) * HEAD
    nose = np.array([[0, 0.016, HEAD], [0, -0.0096, 1.35 * HEAD], [0, -0.0256, HEAD]])
    x, y = at(np.zeros((1, 3)))[0]
    body = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{HEAD * scale:.1f}" fill="#fff" fill-opacity=".8" stroke="{INK}"/>'
    for line, color in ((level, FAINT), (upright, FAINT), (nose, ORANGE)):
        points = " ".join(f"{u:.1f},{v:.1f}" for u, v in at(line @ turn.T))
        body += f'<polyline fill="none" stroke="{color}" stroke-width="1.3" points="{points}"/>'
    return body
