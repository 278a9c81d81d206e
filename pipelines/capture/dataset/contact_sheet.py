"""contact.png: what was captured at a glance."""

from pathlib import Path

import numpy as np

from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset_view import view_of
from pipelines.core.files import write_image


def contact_sheet(partial: Path, size: int = 192, columns: int = 8, rows: int = 4) -> None:
    """Crops over mid gray through their head mattes, evenly over the capture."""
    import cv2

    view = view_of(partial, PORTRAIT, cached=False)
    shown = np.unique(np.linspace(0, len(view.names) - 1, rows * columns).round().astype(int))
    head = view.head_mattes(shown, size)[..., None].astype(np.float32) / 255
    tiles = [
        cv2.putText(tile, view.names[row], (4, size - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
        for row, tile in zip(shown, (view.images(shown, size) * head + 128 * (1 - head)).astype(np.uint8), strict=True)
    ]
    tiles += [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    write_image(partial / "contact.png", np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]))
