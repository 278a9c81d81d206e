"""One self-contained page: headings, tables and pictures without scripts or outside files."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

STYLE = Path(__file__).with_name("report.css")


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> str:
    """The document; a section without content says that it is not available."""
    missing = '<p class="quiet">Not available.</p>'
    body = "".join(f"<h2>{escape(name)}</h2>{content or missing}" for name, content in sections)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE.read_text()}</style>'
    top = f'<h1>{escape(title)}</h1><p class="quiet">{escape(subtitle)}</p>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{top}{body}</body></html>\n'


def table(rows: Sequence[Sequence[Any]], head: Sequence[str] = (), strong: int = -1) -> str:
    """Rows of values; numbers are written with four digits; `strong` is the number of a row that stands out."""
    if not rows:
        return ""
    top = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    lines = (
        f"<tr{' class=strong' if number == strong else ''}>{''.join(f'<td>{escape(said(cell))}</td>' for cell in row)}</tr>"
        for number, row in enumerate(rows)
    )
    return f"<table>{top}{''.join(lines)}</table>"


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, one a line."""
    lines = "".join(f"<tr><td>{escape(name)}</td><td>{escape(said(value))}</td></tr>" for name, value in values.items())
    return f'<table class="facts">{lines}</table>' if lines else ""


def said(value: Any) -> str:
    """A value in a table: numbers short, missing ones as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {said(item)}" for key, item in value.items())
    return str(value)


def sentence(text: str, kind: str = "") -> str:
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def picture(image: np.ndarray, caption: str = "", longest_px: int = 1600) -> str:
    """uint8 [H,W], [H,W,3] RGB or [H,W,4] RGBA as an embedded JPEG, shrunk to `longest_px`."""
    import cv2

    longest = max(image.shape[:2])
    if longest > longest_px:
        size = (round(image.shape[1] * longest_px / longest), round(image.shape[0] * longest_px / longest))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if image.ndim == 3:
        image = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()).decode()
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">{under}</figure>'


def row(parts: Sequence[str]) -> str:
    found = [part for part in parts if part]
    return f'<div class="row">{"".join(found)}</div>' if found else ""


def folded(name: str, text: str) -> str:
    return f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
