"""What a picture of an avatar is made of, and the one place that lays it together.

Every pixel is `front + (1 - alpha) * behind`, layer by layer, with premultiplied colors.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.avatar.canvas import Place, fade, laid
from pipelines.media.pixels import to_bytes

FADING_ALPHA = 0.06
"""Below this alpha a color is mixed with those around it before it is written without its alpha."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Pictures, front to back; a layer is premultiplied float32 [B,H,W,4] in 0..1, or [H,W,4] for the whole batch."""

    generator: np.ndarray
    references: np.ndarray | None = None
    """The head once more, made of the person's filmed frames (pipelines.avatar.references) ..."""
    share: np.ndarray | None = None
    """... and its share [B,H,W,1] of the picture."""
    torso: np.ndarray | None = None
    background: np.ndarray | None = None
    """None: transparent."""
    place: Place | None = None
    """Where the generator's square lies in torso and background, x and y of its pixels; None: they are the square alone."""

    @property
    def opaque(self) -> bool:
        """Whether nothing shines through the background."""
        return self.background is not None and bool((self.background[..., 3] == 1).all())

    @property
    def head(self) -> np.ndarray:
        """The generator's, in which filmed frames have their share."""
        if self.references is None or self.share is None:
            return self.generator
        return self.generator + self.share * (self.references - self.generator)

    def composed(self) -> np.ndarray:
        """float32 [B,H,W,4], premultiplied."""
        if self.place is None or (self.background is None and self.torso is None):
            return stacked(self.background, self.torso, self.head)
        return laid(self.head * fade(self.head.shape[-2]), stacked(self.background, self.torso), self.place)

    def pixels(self) -> np.ndarray:
        """uint8 RGB [B,H,W,3] over an opaque background, else RGBA [B,H,W,4] with straight alpha."""
        composed = self.composed()
        return to_bytes(composed[..., :3]) if self.opaque else np.stack([to_bytes(unpremultiplied(one)) for one in composed])


def stacked(*layers: np.ndarray | None) -> np.ndarray:
    """Premultiplied layers [...,H,W,4], back to front, as one; those that are None are left out."""
    picture, *front = (layer for layer in layers if layer is not None)
    for layer in front:
        picture = over(layer, picture)
    return picture


def over(front: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Premultiplied `front` over `behind`, [...,H,W,4]."""
    return front + (1.0 - front[..., 3:]) * behind


def resized(color: np.ndarray, alpha: np.ndarray, size: int) -> np.ndarray:
    """[size,size,4] of premultiplied color [h,w,3] (Lanczos) and alpha [h',w',1] (bilinear), both within 0..1.

    No color exceeds the alpha it was multiplied by: traces of super-resolution beside the head do not tint the background.
    """
    import cv2

    shrink = len(color) > size
    sized = color if len(color) == size else cv2.resize(color, (size, size), interpolation=cv2.INTER_AREA if shrink else 4)
    soft = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR)
    soft = np.clip(soft, 0.0, 1.0)[..., None]
    return np.concatenate([np.clip(sized, 0.0, soft), soft], axis=2)


def unpremultiplied(picture: np.ndarray) -> np.ndarray:
    """[H,W,4] with straight alpha of a premultiplied one.

    Where hardly anything is there (alpha below FADING_ALPHA) colors fade to those of the surroundings: noise divided by almost
    nothing would be garish, and lossy video smears such colors into the edge.
    """
    import cv2

    straight = picture[..., :3] / np.maximum(picture[..., 3:], 1e-4)
    around = cv2.GaussianBlur(picture, (0, 0), max(1.0, 0.03 * len(picture)))
    share = np.clip(2 * picture[..., 3:] / FADING_ALPHA - 1, 0.0, 1.0)
    color = share * straight + (1 - share) * around[..., :3] / np.maximum(around[..., 3:], 1e-2)
    return np.dstack([color, picture[..., 3]])
