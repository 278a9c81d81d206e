"""What a drive shows around the head: the canvas, the camera at rest, the layer behind the head and the background.

An avatar with a scene of its own is shown from the camera of that scene's frame, so that the head lies where it was filmed;
one without is shown from its frontal camera, alone in a square.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.artifacts.avatar import Avatar
from pipelines.avatar.background import OWN, Backdrop, moving
from pipelines.avatar.canvas import Canvas, canvas_in
from pipelines.avatar.scene.scene import Scene, load_place, load_scene
from pipelines.avatar.torso import Torso, load_torso
from pipelines.core.errors import SettingError
from pipelines.drive.render.output import LEAST_PX, SCENE_PX, make_background, picture_size
from pipelines.drive.settings import DriveSettings

if TYPE_CHECKING:
    from models.camera import Camera

AUTO, GRAY = "auto", "#808080"
SQUARE = (None, "1:1")


@dataclass(frozen=True, kw_only=True)
class Staging:
    """An avatar's surroundings in a drive."""

    canvas: Canvas
    scene: Scene | None
    pose: np.ndarray
    """[4,4] world_from_camera at rest."""
    intrinsics: np.ndarray
    """[3,3] of the square, over its side."""

    @property
    def camera(self) -> "Camera":
        """The camera at rest."""
        import torch

        from models.camera import Camera

        pose, intrinsics = (torch.from_numpy(part)[None].float() for part in (self.pose, self.intrinsics))
        return Camera(world_from_camera=pose, intrinsics=intrinsics)

    def torso(self, avatar: Path) -> Torso | None:
        """The layer behind the head; None where the avatar was trained without one."""
        if self.scene is not None:
            return self.scene.torso(self.canvas)
        return load_torso(avatar, self.pose, self.intrinsics, self.canvas.side)

    def background(self, text: str) -> np.ndarray:
        """float32 [H,W,4] of a background that stands still."""
        if text != OWN:
            return make_background(text, self.canvas.shape)
        assert self.scene is not None
        return self.scene.backdrop(self.canvas)

    def backdrop(self, text: str, driver: Path, times_s: np.ndarray) -> np.ndarray | Backdrop:
        """Any background, at the times of a driver's frames."""
        return moving(text, driver, times_s, self.canvas.shape) or self.background(text)


def staging_of(avatar: Avatar, settings: DriveSettings) -> Staging:
    """Of a loaded avatar; `settings` are settled."""
    scene, canvas = load_scene(avatar.folder), canvas_of(avatar.folder, avatar.image_size, settings)
    if scene is not None:
        return Staging(canvas=canvas, scene=scene, pose=scene.pose, intrinsics=scene.intrinsics)
    frontal = avatar.frontal
    pose, intrinsics = (part[0].double().cpu().numpy() for part in (frontal.world_from_camera, frontal.intrinsics))
    return Staging(canvas=canvas, scene=None, pose=pose, intrinsics=intrinsics)


def canvas_of(avatar: Path, image_size: int, settings: DriveSettings) -> Canvas:
    """The picture's canvas; SettingError where the avatar or its film does not have what is asked."""
    place = load_place(avatar)
    size = picture_size(image_size, settings.size, LEAST_PX if place is None else SCENE_PX)
    alone = settings.frame == "head" and settings.aspect in SQUARE
    if place is None and not alone:
        raise SettingError(
            f"{avatar.name} has no scene of its own (it was made before there were scenes, or with scene=none) and shows the "
            "head in a square; train it again for --frame and --aspect."
        )
    if settings.frame == "source" and settings.aspect is not None:
        raise SettingError("--frame source has the film's aspect; leave out --aspect, or choose --frame bust.")
    if not alone and settings.views.zoom != 1:
        raise SettingError("views.zoom enlarges the head in its square; leave it out with --frame and --aspect.")
    if place is None:
        return Canvas.of_square(size)
    return canvas_in(settings.frame, settings.aspect, size, place.frame_size, place.box)


def settled(avatar: Path, settings: DriveSettings) -> DriveSettings:
    """The settings with the background that `auto` means; SettingError for a scene that the avatar does not have."""
    filmed = load_place(avatar) is not None
    if settings.background == OWN and not filmed:
        raise SettingError(
            f"{avatar.name} has no scene of its own (it was made before there were scenes, or with scene=none): train it "
            f"again, or give a background such as {GRAY}."
        )
    return replace(settings, background=OWN if filmed else GRAY) if settings.background == AUTO else settings
