"""Open mouths for people who never opened theirs on film: a few frames whose jaw is lowered, drawn from the frames themselves.

A mouth that was filmed shut leaves nothing to drive: speech would be mumbled. So where no frame shows it open, some that see
the face from near the front are repeated with the jaw turned about its hinge (points of the jaw move as on the prior's mean
head, the picture follows them by a thin-plate spline), and the gap between the lips is painted: upper teeth, the dark behind
them, a tongue. These are training frames like others, with latents of their own. What is learned from them is a guess, and the
training says so; a mouth that was filmed open is never touched. Landmarks are looked for in these few frames; no expression of
a frame is fed to the networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from models.camera import Camera
from pipelines.evaluate.faces import INNER_LIPS, OUTER_CORNERS, Find, mouth_opening
from pipelines.geometry.angles import yaw_pitch_deg
from pipelines.media.pixels import colors, to_bytes
from pipelines.train.frames import Frames

LOOKED_AT, PLAIN, WIDE = 32, 5, 3
"""Frames in which the mouth is looked at, and such that are repeated: with a plain face, and with the widest smiles."""
JAWS_DEG = (7.0, 13.0, 19.0)
"""Turns of the jaw about its hinge: talking, loud, wide."""
FACING_DEG = 22.0
"""Largest turn of a frame that is repeated."""
OPENED, SHUT = 0.14, 0.05
"""Inner lips over eye corners (pipelines.evaluate.faces.mouth_opening): a mouth that was opened, and one that is shut."""
OPENED_SHARE = 0.18
"""Of such frames in what the training looks at."""
DRAWN_PX = 512
"""Side at which they are drawn, before they are as small as the others."""
DARK, TONGUE = np.array([0.27, 0.17, 0.16]), np.array([0.62, 0.45, 0.45])
"""Colors in a mouth, over the cheeks'."""

HINGES = (234, 454)
"""Face's edge in front of the ears."""
NOSE, CHIN, CHEEKS = 168, 152, (50, 280)
EDGE = (152, 149, 378, 172, 397, 58, 288)
"""Of the jaw, below which the neck stands still."""
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""From the right corner to the left."""
UPPER_OUTER = (185, 40, 39, 37, 0, 267, 269, 270, 409)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_LIDS, LOWER_LIDS, MOUTH_CORNERS = (159, 386), (145, 374), (61, 291)
JAW = {
    152: 1.0, 148: 1.0, 377: 1.0, 176: 1.0, 400: 1.0, 149: 1.0, 378: 1.0, 150: 1.0, 379: 1.0, 136: 0.95, 365: 0.95, 172: 0.85,
    397: 0.85, 58: 0.6, 288: 0.6, 132: 0.35, 361: 0.35, 199: 1.0, 200: 1.0, 18: 1.0, 83: 1.0, 313: 1.0, 204: 0.95, 424: 0.95,
    202: 0.85, 422: 0.85, 212: 0.7, 432: 0.7, 214: 0.6, 434: 0.6, 192: 0.5, 416: 0.5, 57: 0.4, 287: 0.4, 205: 0.12, 425: 0.12,
}  # fmt: skip
"""How far a point follows the jaw: chin and its edge all the way, cheeks in between."""
STILL = (
    1, 2, 98, 327, 168, 6, 195, 33, 263, 133, 362, 70, 300, 107, 336, 10, 127, 356, 234, 454, 93, 323, 50, 280, 129, 358,
    164, 167, 393, 123, 352,
)  # fmt: skip
CORNER, REACH = 0.45, 0.75
"""How far the mouth's corners follow; how far below the chin the neck stands still, over the chin's distance to the lips."""


@dataclass(frozen=True, kw_only=True)
class OpenedMouths:
    """Frames repeated with the jaw let down."""

    of: Tensor
    """int64 [M] numbers of the frames that are repeated."""
    image: Tensor
    """uint8 [M,3,S,S] over mid gray."""
    alpha: Tensor
    """uint8 [M,1,S,S] head matte."""

    def to(self, device: str) -> "OpenedMouths":
        return OpenedMouths(of=self.of.to(device), image=self.image.to(device), alpha=self.alpha.to(device))


def open_mouths(frames: Frames, landmarks: np.ndarray, find: Find) -> OpenedMouths | None:
    """Some frames, each with the jaw let down by every angle; `landmarks` [478,3] are the prior's.

    None where a frame shows the mouth open, or none shows it shut from near the front.
    """
    shut = shut_mouths(frames, range(len(frames)), find)
    if not shut:
        return None
    numbers, images, mattes = [], [], []
    for number in select_frames(shut, turns_deg(frames)):
        for jaw_deg in JAWS_DEG:
            moved = lower_jaw(shut[number], landmarks, frames.camera[number : number + 1], jaw_deg)
            image, alpha = paint_mouth(*picture(frames, number), shut[number], moved, frames.image.shape[-1])
            numbers.append(number)
            images.append(image)
            mattes.append(alpha)
    image, alpha = (torch.from_numpy(np.stack(pictures)) for pictures in (images, mattes))
    return OpenedMouths(of=torch.tensor(numbers), image=image, alpha=alpha)


def shut_mouths(frames: Frames, among: Sequence[int], find: Find) -> dict[int, np.ndarray] | None:
    """Landmarks [478,2] px of frames that see a shut mouth from near the front, by number; None where one shows it open."""
    turned, shut = turns_deg(frames), {}
    for at in np.unique(np.linspace(0, len(among) - 1, LOOKED_AT).round().astype(int)).tolist():
        number = among[at]
        points = find(picture(frames, number)[0])
        gap = mouth_opening(points) if points is not None else float("nan")
        if gap > OPENED:
            return None
        if points is not None and gap < SHUT and abs(turned[number]) < FACING_DEG:
            shut[number] = points[:, :2]
    return shut


def with_opened(frames: Frames, opened: OpenedMouths | None) -> Frames:
    """The frames [N], followed by the repeated ones [M], if any."""
    if opened is None:
        return frames
    image, alpha = (value.float() / 255 for value in (opened.image, opened.alpha))
    every = torch.cat([torch.arange(len(frames)), opened.of.cpu()])
    return replace(
        frames, image=torch.cat([frames.image, image * 2 - 1]), alpha=torch.cat([frames.alpha, alpha]),
        inside=frames.inside[every], detail=frames.detail[every], camera=frames.camera[every], weight=frames.weight[every],
        time_s=frames.time_s[every], rarity=None if frames.rarity is None else frames.rarity[every],
    )  # fmt: skip


def select_frames(shut: dict[int, np.ndarray], turned: np.ndarray) -> list[int]:
    """The frames to repeat, of landmarks [478,2] px by number and turns [N] in degrees: those with the widest smiles, and some
    from all sides of those with open eyes and lips as they usually lie."""
    rows, faces = np.array(list(shut)), np.stack(list(shut.values()))
    eyes = faces[:, OUTER_CORNERS]
    faces = (faces - eyes.mean(1, keepdims=True)) / np.linalg.norm(eyes[:, :1] - eyes[:, 1:], axis=2, keepdims=True)
    lips, corners = faces[:, UPPER_INNER + UPPER_OUTER + LOWER_OUTER], faces[:, MOUTH_CORNERS]
    width = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    lids = np.linalg.norm(faces[:, UPPER_LIDS] - faces[:, LOWER_LIDS], axis=2).mean(1)
    asleep = 10 * np.maximum(lids.max() / 2 - lids, 0)
    wide = rows[np.argsort(asleep - width, kind="stable")[:WIDE]]
    strange = np.linalg.norm(lips - np.median(lips, axis=0), axis=2).mean(1) + asleep
    plain = rows[np.argsort(strange, kind="stable")[: max(PLAIN, len(rows) // 2)]]
    plain = plain[np.argsort(turned[plain], kind="stable")]
    plain = plain[np.linspace(0, len(plain) - 1, PLAIN).round().astype(int)]
    return np.unique(np.concatenate([wide, plain])).tolist()


def turns_deg(frames: Frames) -> np.ndarray:
    """[N] how far a frame's camera stands beside the face."""
    place = frames.camera.world_from_camera[:, :3, 3].cpu().numpy()
    return yaw_pitch_deg(place)[:, 0]


def picture(frames: Frames, number: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [DRAWN_PX,DRAWN_PX,3] and its matte 0..1, enlarged."""
    image = to_bytes(colors(frames.image[[number]])[0])
    alpha = frames.alpha[number, 0].cpu().numpy()
    size = (DRAWN_PX, DRAWN_PX)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)


def lower_jaw(points: np.ndarray, landmarks: np.ndarray, camera: Camera, jaw_deg: float) -> np.ndarray:
    """Points [478,2] px after the jaw turned by `jaw_deg` about the axis through its hinges.

    Each moves as the mean head's point does in front of the camera, by its share in the jaw.
    """
    hinge, share = landmarks[list(HINGES)].mean(0), shares(points)
    angle = np.radians(jaw_deg)
    y, z = landmarks[:, 1] - hinge[1], landmarks[:, 2] - hinge[2]
    turned = landmarks.copy()
    turned[:, 1] = hinge[1] + np.cos(angle) * y - np.sin(angle) * z
    turned[:, 2] = hinge[2] + np.sin(angle) * y + np.cos(angle) * z
    both = torch.from_numpy(np.stack([landmarks, turned])).float().to(camera.intrinsics)
    before, after = camera[torch.zeros(2, dtype=torch.long)].project(both)[0].cpu().numpy()
    return points + share[:, None] * (after - before) * DRAWN_PX


def shares(points: np.ndarray) -> np.ndarray:
    """[478] how far each point follows the jaw; NaN where that is not said."""
    result = np.full(len(points), np.nan)
    result[list(STILL + UPPER_INNER + UPPER_OUTER)] = 0.0
    for number, share in JAW.items():
        result[number] = share
    for lip, (right, left) in ((LOWER_INNER, (78, 308)), (LOWER_OUTER, (61, 291))):
        axis = points[left] - points[right]
        along = (points[list(lip)] - points[right]) @ axis / max(float(axis @ axis), 1e-9)
        result[list(lip)] = CORNER + (1 - CORNER) * np.sin(np.pi * along.clip(0, 1)).clip(0) ** 0.7
    return result


def paint_mouth(
    image: np.ndarray, alpha: np.ndarray, points: np.ndarray, moved: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with its points moved and the gap between the lips painted: uint8 [3,size,size], its matte [1,size,size]."""
    x, y = np.meshgrid(*2 * (np.arange(DRAWN_PX, dtype=np.float32),))
    from_x, from_y = (grid + shift for grid, shift in zip((x, y), shifts(points, moved), strict=True))
    warped = cv2.remap(image, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    matte = cv2.remap(alpha, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap, color = mouth_interior(warped, moved)
    both = np.dstack([warped + gap[..., None] * (color - warped), matte * 255])
    small = cv2.resize(both, (size, size), interpolation=cv2.INTER_AREA).round().clip(0, 255).astype(np.uint8)
    return small[..., :3].transpose(2, 0, 1), small[None, ..., 3]


def shifts(points: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the new picture comes from, less where it is: x and y [DRAWN_PX,DRAWN_PX].

    The neck stands still from a little below the chin on, and so does the picture's border.
    """
    placed = np.isfinite(moved).all(1)
    down = (points[CHIN] - points[NOSE]) / np.linalg.norm(points[CHIN] - points[NOSE])
    height, fall = (np.linalg.norm(points[CHIN] - other) for other in (points[INNER_LIPS[0]], moved[CHIN]))
    neck = points[list(EDGE)] + down * (REACH * height + fall)
    border = np.array([[x, y] for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) * DRAWN_PX
    target, first = np.unique(np.concatenate([moved[placed], neck, border]).round(3), axis=0, return_index=True)
    source = np.concatenate([points[placed], neck, border])[first]
    spline = RBFInterpolator(target, source - target, kernel="thin_plate_spline", smoothing=1.0)
    coarse = DRAWN_PX // 8
    grid = (np.stack(np.meshgrid(np.arange(coarse), np.arange(coarse)), -1).reshape(-1, 2) + 0.5) * 8 - 0.5
    shift = cv2.resize(spline(grid).reshape(coarse, coarse, 2).astype(np.float32), (DRAWN_PX, DRAWN_PX))
    return shift[..., 0], shift[..., 1]


def mouth_interior(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Soft mask [H,W] of the gap between the lips, and what is seen in it [H,W,3]: teeth above, dark, tongue below."""
    upper, lower = points[list(UPPER_INNER)], points[list(LOWER_INNER)]
    width = float(np.linalg.norm(upper[-1] - upper[0]))
    across = (upper[-1] - upper[0]) / max(width, 1e-9)
    axes = np.stack([across, [-across[1], across[0]]], axis=1) / max(width, 1e-9)
    pixels = np.stack(np.meshgrid(*map(np.arange, image.shape[1::-1])), -1)
    along, depth = np.moveaxis((pixels - upper[0]) @ axes, -1, 0)
    top, bottom = (height_at(along, (lip - upper[0]) @ axes) for lip in (upper, lower))
    skin = image[tuple(points[list(CHEEKS)].round().astype(int).clip(0, len(image) - 1)[:, ::-1].T)].mean(0)
    return _gap(image.shape[:2], upper, lower, width), _inside(np.abs(along - 0.5), depth - top, bottom - depth, skin)


def _gap(shape: tuple[int, ...], upper: np.ndarray, lower: np.ndarray, width: float) -> np.ndarray:
    """[H,W] 1 between the lips' points [K,2] px, with an edge as soft as suits a mouth of that width in px."""
    mask = np.zeros(shape[:2], np.float32)
    cv2.fillPoly(mask, [np.concatenate([upper, lower[::-1]]).round().astype(np.int32)], 1.0, lineType=cv2.LINE_AA)
    blur = 2 * max(1, round(width / 40)) + 1
    return cv2.GaussianBlur(mask, (blur, blur), 0)


def _inside(aside: np.ndarray, below: np.ndarray, above: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[H,W,3] colors at distances [H,W] in mouth widths beside the middle, below the upper and above the lower lip."""
    teeth, dark, tongue = 0.45 * skin + 0.4 * skin.max(), skin * DARK, skin * TONGUE
    low = until(above, 0.13, 0.08) * until(aside, 0.28, 0.08)
    high = until(below, 0.11, 0.05) * until(aside, 0.32, 0.1)
    shade = np.clip(1.1 - aside, 0.55, 1.0)
    color = dark + low[..., None] * (tongue - dark)
    return color + high[..., None] * (teeth * shade[..., None] - color)


def height_at(along: np.ndarray, lip: np.ndarray) -> np.ndarray:
    """The height [H,W] of a lip, whose points [K,2] are in mouth widths, at places `along` it [H,W]."""
    order = np.argsort(lip[:, 0])
    return np.interp(along, lip[order, 0], lip[order, 1])


def until(values: np.ndarray, edge: float, soft: float) -> np.ndarray:
    """1 below `edge`, 0 above, over about `soft`."""
    return 1 / (1 + np.exp(np.clip((values - edge) / (soft / 4), -30, 30)))
