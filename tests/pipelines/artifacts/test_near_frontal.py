"""The frontal camera has the head where the capture's crops have it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.dataset import near_frontal
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.prior import load_prior
from pipelines.geometry.rigid import project
from tests.worlds import write_solid_capture


@pytest.mark.parametrize("center", [(0.0, 0.0), (0.02, -0.07)])
def test_the_origin_lies_where_the_crops_have_it(tmp_path: Path, center: tuple[float, float]) -> None:
    capture = write_solid_capture(tmp_path / "a.capture")
    dataset = view_of(capture, replace(load_prior("quick").frame, crop_center=center), cached=False)
    camera = near_frontal(dataset)
    pose, lens = (part[0].double().numpy() for part in (camera.world_from_camera, camera.intrinsics))
    origin = np.zeros((1, 3))
    crops = project(dataset.world_from_camera, dataset.intrinsics, origin)[:, 0, :2]
    assert np.allclose(crops, 0.5 - np.array(center) / 0.85, atol=1e-6)
    assert np.allclose(project(pose, lens, origin)[0, :2], crops[0], atol=1e-5)
