"""One door shows an avatar: whoever asks for a row and a camera gets the same picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.families import FAMILIES
from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.artifacts.dataset import Dataset
from pipelines.avatar.canvas import Canvas
from pipelines.avatar.layers import Layers
from pipelines.avatar.portrait import Portrait, gray, turned
from pipelines.core.files import read_json, write_json
from pipelines.drive.motion.motion import Motion
from pipelines.drive.render.painter import Painter
from pipelines.evaluate import render_rows, tracked_expression
from tests.tiny import write_tiny_avatar
from tests.worlds import quick_view, write_solid_capture


def sampled(folder: Path, coarse: int) -> Avatar:
    """The tiny avatar, trained with `coarse` samples a ray."""
    path = write_tiny_avatar(folder) / "avatar.json"
    write_json(path, read_json(path) | {"sampling": {"coarse": coarse, "fine": 6}})
    return load_avatar(folder)


def driven(avatar: Avatar, dataset: Dataset, rows: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """uint8 [N,S,S,3]: what a drive shows over mid gray of the rows' expressions from the rows' cameras."""
    zoom = dataset.intrinsics[rows, 0, 0] / float(avatar.frontal.intrinsics[0, 0, 0])
    motion = Motion(
        expression=expression[rows],
        world_from_camera=dataset.world_from_camera[rows],
        torso=np.zeros((len(rows), 3)),
        zoom=zoom,
    )
    size = avatar.image_size
    painter = Painter(
        portrait=Portrait(avatar), canvas=Canvas.of_square(size), background=gray(size), torso=None, batch=len(rows)
    )
    return np.stack(list(painter.paint(motion, 0, len(rows))))


@pytest.mark.parametrize("coarse", [6, 24])
def test_evaluate_and_drive_show_the_same_picture(tmp_path: Path, coarse: int) -> None:
    avatar, dataset = sampled(tmp_path / "a.avatar", coarse), quick_view(write_solid_capture(tmp_path / "a.capture"))
    rows, expression = dataset.rows("test"), tracked_expression(dataset, avatar)
    judged = render_rows(avatar, dataset, rows, expression)
    assert np.abs(255 * judged - driven(avatar, dataset, rows, expression)).max() < 1


def test_the_samples_of_the_training_are_those_of_every_picture(tmp_path: Path) -> None:
    few, many = (sampled(tmp_path / f"{coarse}.avatar", coarse) for coarse in (6, 24))
    shown = [Portrait(avatar).render(Portrait(avatar).scene(few.neutral[None]), few.frontal) for avatar in (few, many)]
    assert np.abs(shown[0].generator - shown[1].generator).max() > 1 / 255


def test_a_scene_serves_every_camera_and_size(tmp_path: Path) -> None:
    portrait = Portrait(load_avatar(write_tiny_avatar(tmp_path / "a.avatar")))
    camera = portrait.avatar.frontal
    scene = portrait.scene(portrait.avatar.neutral[None])
    again = portrait.scene(portrait.avatar.neutral[None])
    portrait.render(scene, camera.mirrored(), size=48)
    kept, fresh = (portrait.render(one, camera, size=48).generator for one in (scene, again))
    assert kept.shape == (1, 48, 48, 4) and np.array_equal(kept, fresh)
    assert portrait.render(scene, camera).pixels().shape == (1, portrait.avatar.image_size, portrait.avatar.image_size, 4)
    assert portrait.render(scene, camera, size=48, background=gray(48)).pixels().shape == (1, 48, 48, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_shown_through_it(tmp_path: Path, family: str) -> None:
    portrait = Portrait(load_avatar(write_tiny_avatar(tmp_path / "a.avatar", family)))
    avatar = portrait.avatar
    rest, open_jaw = avatar.neutral.copy(), avatar.neutral.copy()
    open_jaw[avatar.names.index("jawOpen")] = 1.0
    scene = portrait.scene(np.stack([rest, open_jaw]))
    front = portrait.render(scene, avatar.frontal[[0, 0]], background=gray(avatar.image_size)).pixels()
    aside = portrait.render(scene, turned(avatar.frontal, 40, 0)[[0, 0]], background=gray(avatar.image_size)).pixels()
    assert front.shape == (2, avatar.image_size, avatar.image_size, 3)
    assert (front[0] != front[1]).any() and (front != aside).any()


def test_layers_are_laid_over_each_other_from_the_back() -> None:
    def flat(color: Sequence[float], alpha: float) -> np.ndarray:
        return np.array([*(alpha * channel for channel in color), alpha], np.float32).reshape(1, 1, 1, 4)

    red, green, blue = np.eye(3).tolist()
    layers = Layers(generator=flat(red, 0.5), torso=flat(green, 0.5), background=flat(blue, 1.0)[0])
    assert layers.composed()[0, 0, 0] == pytest.approx((0.5, 0.25, 0.25, 1.0)) and layers.opaque
    share = np.full((1, 1, 1, 1), 0.5, np.float32)
    filmed = replace(layers, references=flat((1.0, 1.0, 1.0), 1.0), share=share, background=None)
    assert filmed.head[0, 0, 0] == pytest.approx((0.75, 0.5, 0.5, 0.75))
    assert filmed.composed()[0, 0, 0] == pytest.approx((0.75, 0.625, 0.5, 0.875)) and not filmed.opaque
