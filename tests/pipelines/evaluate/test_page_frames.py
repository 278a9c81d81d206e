"""Pictures of an evaluation's page."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.evaluate import page_frames


def shown(**frame: Any) -> Any:
    """An evaluated avatar of one gray frame whose regions are its four quarters but one."""
    masks = {name: np.zeros((1, 8, 8), bool) for name in page_frames.REGION_COLORS}
    masks["mouth"][0, :4, :4], masks["eyes"][0, :4, 4:], masks["hair"][0, 4:, :4] = True, True, True
    record = {"per_frame": [{"name": "000001", "psnr_head": 24.06, "time_s": 1.25, "yaw_deg": 11.8, **frame}]}
    truth = SimpleNamespace(image=np.full((1, 8, 8, 3), 0.5, np.float32))
    return SimpleNamespace(names=["000001"], truth=truth, regions=SimpleNamespace(masks=masks), record=record)


def test_regions_are_tinted_in_their_colors(monkeypatch: pytest.MonkeyPatch):
    pictures: list[np.ndarray] = []
    monkeypatch.setattr(page_frames, "enlarged", lambda image: image)
    monkeypatch.setattr(page_frames.html, "picture", lambda image, *words, **more: pictures.append(image) or "x")
    page_frames.region_pictures(shown())
    corners = {"mouth": (0, 0), "eyes": (0, 7), "hair": (7, 0)}
    for name, place in corners.items():
        wanted = 0.6 * 127.5 + 0.4 * np.array(page_frames.REGION_COLORS[name])
        assert np.abs(pictures[0][place] - wanted).max() <= 0.5
    assert np.abs(pictures[0][7, 7] - 127.5).max() <= 0.5


def test_a_caption_names_figures_and_a_mouth_that_was_lost():
    one, other = shown(mouth_filmed=0.31, mouth_rendered=None), shown(psnr_head=25.5, mouth_rendered=0.287)
    assert page_frames._caption(0, one, None) == "000001: 24.1 dB in the head, mouth 0.31, lost, 1.2 s, yaw 12°"
    assert page_frames._caption(0, one, other) == "000001: 24.1, 25.5 dB in the head, mouth 0.31, lost, 0.29, 1.2 s, yaw 12°"
