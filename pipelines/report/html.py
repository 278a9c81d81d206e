"""One self-contained page: headings, tables and pictures without scripts or outside files.

Notable choices: jinja2 with autoescape writes every tag (`templates/`), so a text is escaped by construction; the builders
return `Markup`, and a plain string handed in where markup is expected shows as text.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

HERE = Path(__file__).parent


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> str:
    """The document of (heading, markup); a section without content says that it is not available."""
    style = Markup((HERE / "report.css").read_text())
    return _template("page.html").render(title=title, subtitle=subtitle, sections=sections, style=style)


def table(rows: Sequence[Sequence[Any]], head: Sequence[str] = (), strong: int = -1) -> Markup:
    """Rows of values; numbers are written with four digits; `strong` is the number of a row that stands out."""
    return _brick("table", [[cell_text(cell) for cell in row] for row in rows], head, strong) if rows else Markup()


def facts(values: Mapping[str, Any]) -> Markup:
    """Names and values, one a line."""
    return _brick("facts", [(name, cell_text(value)) for name, value in values.items()]) if values else Markup()


def sentence(text: str, kind: str = "") -> Markup:
    return _brick("sentence", text, kind)


def sentences(texts: Iterable[str], kind: str = "") -> Markup:
    """A paragraph for each text."""
    return join(sentence(text, kind) for text in texts)


def join(parts: Iterable[str]) -> Markup:
    """Parts one after the other."""
    return Markup().join(parts)


def row(parts: Sequence[str]) -> Markup:
    """Parts side by side; empty ones are left out."""
    filled = [part for part in parts if part]
    return _brick("row", filled) if filled else Markup()


def folded(name: str, text: str) -> Markup:
    return _brick("folded", name, text)


def picture(image: np.ndarray, caption: str = "", longest_px: int = 1600) -> Markup:
    """uint8 [H,W], [H,W,3] RGB or [H,W,4] RGBA as an embedded JPEG, shrunk to `longest_px`."""
    import cv2

    longest = max(image.shape[:2])
    if longest > longest_px:
        size = (round(image.shape[1] * longest_px / longest), round(image.shape[0] * longest_px / longest))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if image.ndim == 3:
        image = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()).decode()
    return _brick("picture", Markup(data), caption)


def cell_text(value: Any) -> str:
    """A value in a table: numbers short, missing ones as a dash."""
    if value is None:
        return "–"
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell_text(item)}" for key, item in value.items())
    return str(value)


def _brick(name: str, *values: Any) -> Markup:
    """What a macro of `templates/bricks.html` makes of values."""
    return getattr(_template("bricks.html").module, name)(*values)


@cache
def _template(name: str) -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(HERE / "templates")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=loader).get_template(name)
