"""From a capture to the files of a scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.camera import Camera
from pipelines.artifacts.avatar_record import SCENE, load_avatar_record, save_avatar_record
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.scene.build import build_scene, with_body
from pipelines.avatar.scene.plate import Look
from pipelines.avatar.scene.scene import load_scene
from pipelines.train.record import frame_of
from tests.tiny import write_tiny_avatar
from tests.worlds import as_schema_1, write_solid_capture


def nobody(image: np.ndarray) -> np.ndarray:
    return np.zeros(image.shape[:2], np.float32)


def test_a_capture_gives_plate_and_shoulders_of_one_frame(tmp_path: Path) -> None:
    capture, avatar = write_solid_capture(tmp_path / "a.capture"), write_tiny_avatar(tmp_path / "a.avatar")
    label = tuple(Camera.frontal(2.7, 3.4).label()[0].tolist())
    frame = frame_of(load_prior("quick").frame)
    save_avatar_record(avatar, replace(load_avatar_record(avatar), frontal_camera=label, crop_extent=0.85, frame=frame))
    figures = build_scene(capture, avatar, nobody)
    scene = load_scene(avatar)
    assert scene is not None and scene.frame_size == (100, 100) and figures["source_index"] == 0
    assert abs(scene.plate[5:95, 5:95].astype(int) - 128).mean() < 12, "the solid is gone before its gray room"
    assert abs(scene.box[2] - 80) < 1 and scene.shoulders[..., 3][:40].max() == 0
    assert np.allclose(scene.pose[:3, 3], scene.pose[:3, 2] * -scene.intrinsics[0, 0] * 0.85, atol=0.05)


def test_a_capture_of_an_earlier_version_gives_none(tmp_path: Path) -> None:
    capture = as_schema_1(write_solid_capture(tmp_path / "a.capture", frames=3), load_prior("quick"))
    assert build_scene(capture, tmp_path, nobody) == {} and not any((tmp_path / name).exists() for name in SCENE)


def test_the_person_goes_on_below_the_stored_matte_as_found() -> None:
    look = Look(image=np.zeros((20, 10, 3), np.uint8), matte=np.full((20, 10), 255, np.uint8))
    whole = with_body(look, 12, lambda image: np.full(image.shape[:2], 0.2, np.float32))
    assert (whole.matte[:12] == 255).all() and (whole.matte[12:] == 51).all()
    assert with_body(look, 20, nobody) is look
