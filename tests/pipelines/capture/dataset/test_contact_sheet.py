"""contact.png shows heads of the whole capture in order, over gray."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset_view import view_of
from pipelines.capture.dataset.contact_sheet import contact_sheet
from pipelines.core.files import read_image
from tests.worlds import write_solid_capture

LABEL_PX = 20
"""The name of the frame stands this far above the lower border."""


def tiles_of(capture: Path, size: int) -> np.ndarray:
    """[N,size,size,3] row by row."""
    sheet = read_image(capture / "contact.png")
    down, across = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(down, size, across, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3).astype(float)


def test_the_sheet_shows_the_heads_in_order_over_gray(tmp_path: Path) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture", frames=10)
    contact_sheet(capture, size=64)
    tiles = tiles_of(capture, 64)
    assert len(tiles) == 16 and (tiles[10:] == 128).all()
    view, rows = view_of(capture, PORTRAIT, cached=False), np.arange(10)
    head = view.head_mattes(rows, 64)[..., None] / 255.0
    expected = view.images(rows, 64) * head + 128 * (1 - head)
    assert np.abs(tiles[:10] - expected)[:, :-LABEL_PX].max() <= 1
    assert (tiles[:10, :4, :4] == 128).all()


def test_every_head_bears_the_name_of_its_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture", frames=10)
    written: list[tuple[str, np.ndarray]] = []

    def put(tile: np.ndarray, name: str, *_: object) -> np.ndarray:
        written.append((name, tile.astype(float)))
        return tile

    monkeypatch.setattr("cv2.putText", put)
    contact_sheet(capture, size=64)
    view = view_of(capture, PORTRAIT, cached=False)
    assert [name for name, _ in written] == list(view.names)
    pictures = view.images(np.arange(10), 64)
    assert all(np.abs(tile - picture)[24:40, 24:40].max() <= 1 for (_, tile), picture in zip(written, pictures, strict=True))


def test_a_long_capture_is_shown_from_its_first_to_its_last_frame(tmp_path: Path) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture", frames=10)
    contact_sheet(capture, size=64, columns=2, rows=2)
    tiles, view = tiles_of(capture, 64), view_of(capture, PORTRAIT, cached=False)
    middle = np.s_[:, 24:40, 24:40]
    assert np.abs(tiles - view.images(np.array([0, 3, 6, 9]), 64))[middle].max() <= 1
