"""The Python API: an avatar as an object that shows itself.

from avatarcli import Avatar

anna = Avatar.load("anna.avatar")
picture = anna.render(expression={"jawOpen": 0.6}, yaw_deg=10, size=512)  # uint8 [512,512,3]
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar import load_avatar
from pipelines.avatar.background import OWN
from pipelines.avatar.portrait import Portrait, turned
from pipelines.avatar.references.distance import Faces
from pipelines.avatar.torso import Torso, load_torso
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.drive.render.output import check_text, make_background, picture_size

BESIDE_DEG = 45.0
"""A camera further aside is shown no shoulders, as by `drive`: they are a flat layer."""


class Avatar:
    """A trained avatar, which shows itself with any expression from any side; `Avatar.load` opens its folder."""

    def __init__(self, portrait: Portrait) -> None:
        """`Avatar.load` is the usual way; a portrait of your own brings another correction or precision."""
        self.portrait = portrait
        self._torsos: dict[int, Torso | None] = {}

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Avatar":
        """The avatar that `avatarcli train` left in `folder`, on a PyTorch device.

        UnusableMaterial (pipelines.core.errors) when the folder is missing or broken.
        """
        path = Path(folder)
        if not path.is_dir():
            raise UnusableMaterial(f"{path} is not a folder; make an avatar with `avatarcli train CAPTURE -o NAME.avatar`.")
        return cls(Portrait(load_avatar(path, device)))

    @property
    def channels(self) -> tuple[str, ...]:
        """The names that `render` takes in `expression`."""
        return self.portrait.avatar.names

    def render(
        self, expression: Mapping[str, float] | None = None, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0,
        size: int | None = None, background: str = "#808080", torso: bool = True,
    ) -> np.ndarray:  # fmt: skip
        """One picture: uint8 RGB [size,size,3]; RGBA [size,size,4] with straight alpha when `background` is "transparent".

        expression: strength by channel. 0 is the person at rest, 1 as far as the person went before the camera, negative
            numbers go the other way; channels that are left out are at rest.
        yaw_deg, pitch_deg: where the camera stands around the head, to the person's left and up; 0, 0 is in front.
        size: pixels a side, 16 to 4096; None: the avatar's own size, doubled while it is below 256.
        background: a color "#rrggbb", the path of an image, or "transparent".
        torso: shoulders behind the head, where the avatar was trained with them.

        SettingError (pipelines.core.errors) for a channel that the avatar does not have, a number that is not finite, and a
        size or background that cannot be used.
        """
        side = picture_size(self.portrait.avatar.image_size, size)
        if background == OWN:
            raise SettingError("render shows no scene of its own; give a color, an image or transparent, or use `drive`.")
        check_text(background)
        scores = self._scores(expression or {})[None]
        camera = turned(self.portrait.avatar.frontal, _finite("yaw_deg", yaw_deg), _finite("pitch_deg", pitch_deg))
        layer = self._torso(side) if torso and max(abs(yaw_deg), abs(pitch_deg)) <= BESIDE_DEG else None
        layers = self.portrait.render(
            self.portrait.scene(scores), camera, size=side, background=make_background(background, (side, side)),
            torso=None if layer is None else layer.placed(np.zeros(3)),
            choices=self.portrait.choices(Faces.of(scores, camera.world_from_camera.double().cpu().numpy())),
        )  # fmt: skip
        return layers.pixels()[0]

    def _scores(self, expression: Mapping[str, float]) -> np.ndarray:
        """float32 [E] raw scores of the avatar's space."""
        avatar, strengths = self.portrait.avatar, np.zeros(len(self.channels), np.float32)
        for name, strength in expression.items():
            strengths[self._channel(name)] = _finite(name, strength)
        reach = np.where(strengths >= 0, avatar.high - avatar.neutral, avatar.neutral - avatar.low)
        return avatar.neutral + strengths * reach

    def _channel(self, name: str) -> int:
        if name not in self.channels:
            near = get_close_matches(name, self.channels, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.channels)}."
            raise SettingError(f"the avatar {self.portrait.avatar.folder.name} has no channel {name!r}; {hint}")
        return self.channels.index(name)

    def _torso(self, side: int) -> Torso | None:
        if side not in self._torsos:
            avatar = self.portrait.avatar
            pose, lens = (
                part[0].double().cpu().numpy() for part in (avatar.frontal.world_from_camera, avatar.frontal.intrinsics)
            )
            self._torsos[side] = load_torso(avatar.folder, pose, lens, side) if avatar.record.torso != "none" else None
        return self._torsos[side]


def _finite(name: str, number: float) -> float:
    if not isinstance(number, int | float | np.number) or not math.isfinite(number):
        raise SettingError(f"{name}={number!r} is not a finite number.")
    return float(number)
