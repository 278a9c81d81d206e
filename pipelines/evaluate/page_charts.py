"""The plot of an evaluation as SVG text: figures by how far the head is turned."""

from collections.abc import Mapping, Sequence

from pipelines.report.svg import BLUE, FAINT, ORANGE, svg, text

COLORS = (BLUE, ORANGE, "#718096", "#2c7a7b", "#805ad5")


def grouped_bars(
    labels: Sequence[str], counts: Sequence[int], series: Mapping[str, Sequence[float | None]], title: str, *, unit: str = "",
    width: int = 620, height: int = 230,
) -> str:  # fmt: skip
    """A group of bars for each label, one a series, on a scale from 0; counts below; groups without frames are left out."""
    shown = [number for number, count in enumerate(counts) if count]
    known = [value for values in series.values() for number in shown if (value := values[number]) is not None]
    if not known:
        return ""
    top, left, bottom = max(*known, 1e-9), 14, height - 56
    step = (width - 2 * left) / len(shown)
    bar = min(46.0, 0.86 * step / len(series))
    body = [f'<path d="M{left} {bottom}H{width - left}" stroke="{FAINT}"/>']
    for place, number in enumerate(shown):
        middle = left + (place + 0.5) * step
        for index, values in enumerate(series.values()):
            x = middle + (index - len(series) / 2) * bar
            body.append(_bar(x, bar, bottom, values[number], top, COLORS[index % len(COLORS)]))
        body.append(text(middle, bottom + 15, f"{labels[number]}", anchor="middle"))
        body.append(text(middle, bottom + 28, f"{counts[number]} frames", anchor="middle"))
    return svg(width, height, "".join(body) + _legend(list(series), left, height - 8), f"{title}{f', {unit}' if unit else ''}")


def _bar(x: float, wide: float, bottom: float, value: float | None, top: float, color: str) -> str:
    if value is None:
        return text(x + wide / 2, bottom - 4, "–", anchor="middle")
    tall = max(value, 0.0) / top * (bottom - 44)
    shape = f'<rect x="{x + 1:.1f}" y="{bottom - tall:.1f}" width="{wide - 2:.1f}" height="{tall:.1f}" fill="{color}"/>'
    return shape + text(x + wide / 2, bottom - tall - 4, f"{value:.3g}", anchor="middle")


def _legend(names: Sequence[str], x: float, y: float) -> str:
    parts = []
    for index, name in enumerate(names):
        parts.append(f'<rect x="{x:.1f}" y="{y - 9}" width="9" height="9" fill="{COLORS[index % len(COLORS)]}"/>')
        parts.append(text(x + 13, y, name))
        x += 28 + 6.2 * len(name)
    return "".join(parts)
