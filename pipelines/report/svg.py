"""Small plots as SVG text: curves, histograms, ranges and camera positions, for pages without scripts."""

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

INK, FAINT, BLUE, ORANGE = "#1f2430", "#c9ced8", "#2b6cb0", "#dd6b20"
Points = Sequence[tuple[float, float]]


def curve(points: Points, title: str, *, width: int = 300, height: int = 150, x_label: str = "") -> Markup:
    """A line through (x, y) points with its extremes and its last value written at the axes."""
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(known) < 2:
        return Markup()
    place = _Frame(known, width, height)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, known))
    body = f'<polyline fill="none" stroke="{BLUE}" stroke-width="1.5" points="{path}"/>' + place.axes(x_label)
    return svg(width, height, body, f"{title}: {_short(known[-1][1])}")


def histogram(counts: Sequence[int], edges: Sequence[float], title: str, *, width: int = 460, height: int = 160) -> Markup:
    """Bars of counts between edges (one more edge than counts), edges written below, counts above."""
    top, step = max(max(counts, default=0), 1), (width - 20) / max(len(counts), 1)
    bars = []
    for number, count in enumerate(counts):
        x, tall = 10 + number * step, (height - 60) * count / top
        bars.append(
            f'<rect x="{x + 1:.1f}" y="{height - 20 - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}" fill="{BLUE}"/>'
        )
        if count:
            bars.append(text(x + step / 2, height - 24 - tall, str(count), anchor="middle"))
    marks = [text(10 + number * step, height - 6, _short(edge), anchor="middle") for number, edge in enumerate(edges)]
    return svg(width, height, "".join(bars + marks), title)


def ranges(rows: Sequence[tuple[str, float, float, float]], title: str, *, width: int = 460) -> Markup:
    """A bar from low to high with a mark at neutral for each (name, low, neutral, high), on the scale 0 to 1 or wider."""
    low, high = min([0.0, *(row[1] for row in rows)]), max([1.0, *(row[3] for row in rows)])
    height, left = 26 + 16 * len(rows), 150
    scale = (width - left - 20) / (high - low)
    body = []
    for number, (name, start, neutral, end) in enumerate(rows):
        y, x = 30 + 16 * number, left + (start - low) * scale
        body.append(text(left - 8, y + 8, name, anchor="end"))
        body.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max((end - start) * scale, 1):.1f}" height="9" fill="{BLUE}" opacity=".55"/>'
        )
        body.append(f'<rect x="{left + (neutral - low) * scale:.1f}" y="{y - 1}" width="2" height="11" fill="{ORANGE}"/>')
    for value in (0.0, 1.0):
        x = left + (value - low) * scale
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{height - 4}" stroke="{FAINT}"/>')
    return svg(width, height, "".join(body), title)


class _Frame:
    """Maps values into the drawing area and writes what the axes mean."""

    def __init__(self, points: Points, width: int, height: int) -> None:
        self.x = (min(x for x, _ in points), max(x for x, _ in points))
        self.y = (min(y for _, y in points), max(y for _, y in points))
        self.width, self.height = width, height

    def __call__(self, point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (point[1] - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return 48 + across * (self.width - 58), self.height - 22 - up * (self.height - 50)

    def axes(self, x_label: str) -> str:
        bottom, right = self.height - 22, self.width - 10
        lines = f'<path d="M48 28V{bottom}H{right}" fill="none" stroke="{FAINT}"/>'
        up = text(44, 34, _short(self.y[1]), anchor="end") + text(44, bottom, _short(self.y[0]), anchor="end")
        across = text(48, self.height - 8, _short(self.x[0])) + text(
            right, self.height - 8, f"{_short(self.x[1])} {x_label}", anchor="end"
        )
        return lines + up + across


def svg(width: int, height: int, body: str, title: str) -> Markup:
    """The plot around `body` (its texts escaped by `text`), its title at the top."""
    head = f'<text x="10" y="16" font-weight="600" fill="{INK}">{escape(title)}</text>'
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return Markup(f'<svg {box} role="img" font-size="11">{head}{body}</svg>')


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#5b6372">{escape(words)}</text>'


def _short(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"


def blend_color(share: float) -> str:
    """The color of the first (0) to the last (1) of a row of things."""
    first, last = (43, 108, 176), (221, 107, 32)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(first, last, strict=True))
